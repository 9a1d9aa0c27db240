"""One session for each simulated user under a policy, with everything that was shown."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from slategym.agents.policy import Observation, Policy, for_variant, with_privileged
from slategym.envs.protocol import AnyVariant
from slategym.envs.vector import SlateVectorEnv
from slategym.envs.world import World
from slategym.errors import UsageError
from slategym.progress import Progress, Silent

FloatArray = npt.NDArray[np.float64]
Int32Array = npt.NDArray[np.int32]
BoolArray = npt.NDArray[np.bool_]

STAGE = "rollout"
# Keeps a policy's own draws apart from any other use of the same (seed, step).
_POLICY_STREAM = 0x51A7E


@dataclass(frozen=True)
class Trajectories:
    """One session of each of B user streams.

    Attributes:
        policy: name of the policy.
        seed: row b is user stream (seed, b), the same user with the same luck under any policy.
        users: world row of each user (B,).
        returns: undiscounted sum of rewards (B,).
        clicks: items clicked (B,).
        minutes: minutes watched (B,).
        length: slates seen (B,), at least 1.
        left: whether the user left (B,); else the horizon cut the session.
        shown: item rows (T, B, K); -1 for an empty slot and after the end of a session.
        clicked: whether each shown item was clicked (T, B, K).
        watched: minutes watched of each shown item (T, B, K), float32.
        over: whether a slate was the last of a visit (T, B); None where users do not return.
        away: days from that visit to the next one (T, B), 0 for none; None likewise.
        purchases: items bought (B,); None where nothing is for sale.
    """

    policy: str
    seed: int
    users: Int32Array  # (B,)
    returns: FloatArray  # (B,)
    clicks: Int32Array  # (B,)
    minutes: FloatArray  # (B,)
    length: Int32Array  # (B,)
    left: BoolArray  # (B,)
    shown: Int32Array  # (T, B, K)
    clicked: BoolArray  # (T, B, K)
    watched: npt.NDArray[np.float32]  # (T, B, K)
    over: BoolArray | None = None  # (T, B)
    away: npt.NDArray[np.float32] | None = None  # (T, B)
    purchases: Int32Array | None = None  # (B,)

    def __len__(self) -> int:
        """Return the number of sessions B."""
        return len(self.users)

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return the arrays by field name, ready for safetensors; what is None is left out."""
        names = [n for n in self.__dataclass_fields__ if n not in ("policy", "seed")]
        found = {name: getattr(self, name) for name in names}
        return {name: np.ascontiguousarray(a) for name, a in found.items() if a is not None}


def make_env(
    world: World,
    *,
    variant: AnyVariant | str,
    num_envs: int,
    **options: Any,  # noqa: ANN401
) -> SlateVectorEnv:
    """Return the batched env of a variant over a world, ``ids`` observations.

    Args:
        world: the world to simulate.
        variant: a variant, or a registered id.
        num_envs: number of user streams B.
        options: env keywords; those that are ``None`` are left to the variant.

    Raises:
        UsageError: an unknown variant, keyword or value.
    """
    chosen = {key: value for key, value in options.items() if value is not None}
    return SlateVectorEnv(num_envs, variant=variant, world=world, observation="ids", **chosen)


def rollout(
    policy: Policy,
    world: World,
    *,
    users: int = 1024,
    seed: int = 0,
    slate_size: int | None = None,
    num_candidates: int | None = None,
    horizon: int | None = None,
    split: str = "held_out",
    variant: AnyVariant | str = "slategym/World-v0",
    progress: Progress | None = None,
) -> Trajectories:
    """Return one session of each user stream (seed, 0) .. (seed, users - 1) under a policy.

    The env's draws depend on (seed, stream, step, purpose) only, so two policies meet the same
    users with the same luck. A user whose session has ended is ignored while the others go on.
    The policy's own randomness is a generator seeded by (seed, step). A policy with a method
    ``update`` learns from each step before the next (see `slategym.agents.policy.Policy`).

    Args:
        policy: chooses a slate from an ``ids`` observation; with a true attribute
            ``privileged`` it also sees the hidden state: for reference rows only.
        world: the world to simulate.
        users: number of user streams B.
        seed: first half of a user stream's name.
        slate_size: slots K; ``None`` leaves it to the variant, like the next two.
        num_candidates: candidates C.
        horizon: most steps of a session T.
        split: "held_out", "train" or "all" users of the world.
        variant: a variant, or a registered env id.
        progress: hears of ended sessions, in the stage "rollout" opened by the caller.

    Raises:
        UsageError: ``users`` is not positive.
    """
    if users < 1:
        raise UsageError(f"users is {users}; a rollout needs at least 1.")
    privileged = bool(getattr(policy, "privileged", False))
    env = make_env(
        world,
        variant=variant,
        num_envs=users,
        slate_size=slate_size,
        num_candidates=num_candidates,
        horizon=horizon,
        users=split,
        privileged=privileged,
    )
    chosen = for_variant(policy, env.variant)
    return _run(chosen, env, users, seed, progress or Silent())


def _run(
    policy: Policy,
    env: SlateVectorEnv,
    users: int,
    seed: int,
    progress: Progress,
) -> Trajectories:
    """Step the env until every first session has ended."""
    observation, info = env.reset(seed=seed)
    reset = getattr(policy, "reset", None)
    if callable(reset):
        reset()
    learn = getattr(policy, "update", None)
    record = _Record(users)
    while record.alive.any():
        seen = with_privileged(policy, observation, info)
        rng = np.random.default_rng((_POLICY_STREAM, seed, record.steps))
        slate = np.asarray(policy.act(seen, rng))
        action = slate.reshape(env.action_space.shape)
        observation, reward, terminated, truncated, info = env.step(action)
        if callable(learn):
            learn(*_lesson(seen, slate, reward, info, record.alive))
        ended = record.add(reward, terminated, truncated, info)
        if ended:
            progress.advance(STAGE, ended)
    return record.finish(policy.name, seed)


def _lesson(
    seen: Observation,
    slate: npt.NDArray[Any],
    reward: npt.NDArray[np.floating],
    info: Mapping[str, Any],
    alive: BoolArray,
) -> tuple[Observation, npt.NDArray[Any], dict[str, npt.NDArray[Any]]]:
    """Return what a policy may learn from a step: the rows whose session it belongs to."""
    response = {
        name: np.asarray(signal).reshape(slate.shape)[alive]
        for name, signal in info["response"].items()
    }
    response["reward"] = np.asarray(reward)[alive]
    return {name: array[alive] for name, array in seen.items()}, slate[alive], response


class _Record:
    """Gathers steps; grows with the longest session, not with the horizon."""

    def __init__(self, users: int) -> None:
        self.alive = np.ones(users, dtype=np.bool_)
        self.steps = 0
        self._users = np.zeros(users, np.int32)
        self._returns = np.zeros(users)
        self._length = np.zeros(users, np.int32)
        self._left = np.zeros(users, np.bool_)
        self._shown: list[Int32Array] = []
        self._clicked: list[BoolArray] = []
        self._watched: list[npt.NDArray[np.float32]] = []
        self._over: list[BoolArray] = []
        self._away: list[npt.NDArray[np.float32]] = []
        self._bought: Int32Array | None = None

    def add(
        self,
        reward: npt.NDArray[np.floating],
        terminated: BoolArray,
        truncated: BoolArray,
        info: Mapping[str, Any],
    ) -> int:
        """Take in one step and return how many sessions it ended."""
        alive = self.alive[:, None]
        response = info["response"]
        slate = np.asarray(info["slate"])
        shown = np.where(alive, slate.reshape(len(alive), -1), -1).astype(np.int32)
        present = shown >= 0
        clicked = (np.asarray(response["click"]).reshape(shown.shape) > 0) & present
        minutes = np.asarray(response["minutes"]).reshape(shown.shape)
        if self.steps == 0:
            self._users = np.asarray(info["user"]).astype(np.int32).copy()
        self._shown.append(shown)
        self._clicked.append(clicked)
        self._watched.append(np.where(clicked, minutes, 0.0).astype(np.float32))
        self._returns += np.where(self.alive, reward, 0.0)
        self._length += self.alive
        self._left |= self.alive & terminated
        self._follow(info, present)
        before = int(self.alive.sum())
        self.alive &= ~(terminated | truncated)
        self.steps += 1
        return before - int(self.alive.sum())

    def _follow(self, info: Mapping[str, Any], present: BoolArray) -> None:
        """Note ends of visits and purchases, where the variant has them."""
        visit, bought = info.get("session"), info["response"].get("purchase")
        if visit is not None:
            self._over.append(self.alive & (np.asarray(visit["over"]) > 0))
            away = np.where(self.alive, np.asarray(visit["days_away"]), 0.0)
            self._away.append(away.astype(np.float32))
        if bought is not None:
            count = ((np.asarray(bought).reshape(present.shape) > 0) & present).sum(axis=1)
            so_far = 0 if self._bought is None else self._bought
            self._bought = (so_far + count).astype(np.int32)

    def finish(self, policy: str, seed: int) -> Trajectories:
        """Return what was gathered."""
        clicked, watched = np.stack(self._clicked), np.stack(self._watched)
        return Trajectories(
            policy=policy,
            seed=seed,
            users=self._users,
            returns=self._returns,
            clicks=clicked.sum(axis=(0, 2)).astype(np.int32),
            minutes=watched.sum(axis=(0, 2), dtype=np.float64),
            length=self._length,
            left=self._left,
            shown=np.stack(self._shown),
            clicked=clicked,
            watched=watched,
            over=np.stack(self._over) if self._over else None,
            away=np.stack(self._away) if self._away else None,
            purchases=self._bought,
        )
