"""A batch of users of a classic task: begin episodes, show slates, observe."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium import spaces

from slategym.envs.arrays import AnyArray, BoolArray, FloatArray, KeyArray, LongArray
from slategym.envs.classic_buffers import Pool
from slategym.envs.classic_constants import N_TOPICS
from slategym.envs.classic_family import FAMILY, Family
from slategym.envs.classic_kernels import BAD_POSITION, run
from slategym.envs.classic_state import EPISODE, SEED, STREAM, Response, View, new_state
from slategym.envs.classic_variant import ClassicVariant
from slategym.envs.classic_view import slate_view
from slategym.envs.protocol import Step, out_of_range, positions, restore
from slategym.envs.render_view import SlateView, as_text

Observation = dict[str, AnyArray]
StepResult = tuple[Observation, FloatArray, BoolArray, BoolArray, dict[str, Any]]


class ClassicSimulation:
    """B users at once. Every array it hands out is new and is never written to again."""

    def __init__(self, variant: ClassicVariant, batch: int) -> None:
        self.variant = variant
        self.batch = batch
        self.family: Family = FAMILY[variant.family]
        self.rules = self.family.rules(variant.constants)
        constants = variant.constants
        self.ids = constants.observation == "ids"
        self.state = new_state(batch, self.family.sizes(constants))
        self.layout = self.family.layout(constants)
        self.observation_space = self.family.observation_space(constants)
        count, size = constants.num_candidates, constants.slate_size
        self.action_space: spaces.Space[Any] = (
            spaces.Discrete(count) if size == 1 else spaces.MultiDiscrete([count] * size)
        )
        self._past = constants.history_length
        user, document, context = self.layout[:3].tolist()
        documents = 0 if self.ids else document
        widths = [user, documents * self._past, documents * count, 3 * self._past, context]
        self._pool, self._finals = Pool(widths, batch), Pool(widths, batch)
        self._no_ids = np.empty(0, dtype=np.int32)
        self._all = np.ones(batch, dtype=np.bool_)
        self._last: Response | None = None

    @property
    def item_vectors(self) -> FloatArray:
        """What a policy on ids looks documents up in: the one-hot clusters (20, 20)."""
        return np.eye(N_TOPICS, dtype=np.float32)

    def begin(self, seed: KeyArray, stream: KeyArray) -> None:
        """Start episode 0 of user stream (seed, stream) in every row."""
        counters = self.state.counters
        counters[:, SEED], counters[:, STREAM], counters[:, EPISODE] = seed, stream, 0
        run("begin", self.rules, self.state, self._all)
        self._last = None

    def next_episode(self, rows: BoolArray) -> None:
        """Start the next episode of the same user streams in ``rows`` (B,)."""
        self.state.counters[rows, EPISODE] += np.uint64(1)
        run("begin", self.rules, self.state, rows)

    def step(self, actions: AnyArray) -> Step:
        """Show slates: ``actions`` (B, K) holds candidate positions, which may repeat.

        Raises:
            UsageError: the actions have another shape, kind or range; nothing has changed then.
        """
        slates = positions(actions, self.batch, self.variant.slate_size)
        out = self._response()
        if run("step", self.rules, self.state, slates, out) == BAD_POSITION:
            raise out_of_range(slates, self.variant.num_candidates)
        self._last = out
        return Step(out.reward[0], out.ended[0], out.ended[1], self._info(out))

    def turn(self, actions: AnyArray, privileged: bool) -> StepResult:
        """Return what `SlateVectorEnv.step` returns: step, autoreset, observation in one pass."""
        slates = positions(actions, self.batch, self.variant.slate_size)
        if privileged:
            return self._turn_in_parts(slates)
        out, last = self._response(), self._finals.take_zero()
        view, observation = self._observation(self._pool.take())
        last_view, final = self._observation(last, zero=True)
        ended = run(
            "turn", self.rules, self.state, slates, out, view, last_view, self.layout
        )  # fmt: skip
        if ended == BAD_POSITION:
            raise out_of_range(slates, self.variant.num_candidates)
        self._last = out
        info = self._info(out)
        done = out.ended[0] | out.ended[1]
        self._finals.written(last, np.flatnonzero(done))
        if ended:
            info["final_info"] = dict(info)
            info["final_obs"], info["_final_obs"] = final, done
            info["_final_info"] = done.copy()
        return observation, out.reward[0], out.ended[0], out.ended[1], info

    def _turn_in_parts(self, slates: LongArray) -> StepResult:
        """Step, autoreset and observe one after the other, with what an oracle may know."""
        reward, terminated, truncated, info = self.step(slates)
        done = terminated | truncated
        info["privileged"] = self.privileged()
        if done.any():
            info["final_info"] = dict(info)
            info["final_obs"], info["_final_obs"] = self.observe(done), done
            info["_final_info"] = done.copy()
            self.next_episode(done)
            info["privileged"] = self.privileged()
        return self.observe(), reward, terminated, truncated, info

    def observe(self, rows: BoolArray | None = None) -> dict[str, AnyArray]:
        """Return the observation of the rows (the others are zero), by key."""
        if rows is None:
            rows, real = self._all, self._pool.take()
        else:
            real = np.zeros(self._pool.size, dtype=np.float32)
        view, observation = self._observation(real, zero=True)
        run("observe", self.rules, self.state, rows, view, self.layout)
        return observation

    def privileged(self, quality: bool = True) -> dict[str, AnyArray]:
        """Return what only an oracle may know of the users and of the next candidates.

        Evolution: ``quality`` and ``cluster_id`` (B, C), ``interest`` (B, 20), ``time_budget``
        (B,) minutes. Exploration: ``quality`` and ``cluster_id`` (B, C), ``affinity`` (B, Z),
        ``user_type`` (B,). Satisfaction: ``clickbait`` (B, C), ``npe``, ``satisfaction`` and
        ``time_budget`` (B,) steps.

        Args:
            quality: draw the quality of every candidate in evolution, which a step leaves
                undrawn but for the documents it shows.
        """
        known = self.family.privileged(self.state)
        if quality and "quality" not in known and "cluster_id" in known:
            drawn = np.empty(self.state.cluster.shape, dtype=np.float64)
            run("quality", self.rules, self.state, drawn)
            known = {"quality": drawn, **known}
        return known

    def get_state(self) -> dict[str, AnyArray]:
        """Return a copy of everything that changes; `set_state` goes on from there exactly."""
        return {name: array.copy() for name, array in self.state._asdict().items()}

    def set_state(self, snapshot: Mapping[str, AnyArray]) -> None:
        """Go back to a snapshot of `get_state`.

        Raises:
            UsageError: the snapshot is of another batch size or variant.
        """
        restore(self.state._asdict(), snapshot)
        self._last = None

    def ansi(self, row: int) -> str:
        """Return the last slate of a row as text."""
        return as_text(self.slate_view(row))

    def slate_view(self, row: int) -> SlateView:
        """Return the last slate of a row, ready to be written or drawn."""
        return slate_view(self.family, self.variant, self.state, self._last, row)

    def _response(self) -> Response:
        """Return fresh arrays for one step."""
        batch, size = self.batch, self.variant.slate_size
        return Response(
            real=np.empty((len(self.family.names), batch, size), dtype=np.float32),
            whole=np.empty((2, batch, size), dtype=np.int32),
            reward=np.empty((2, batch), dtype=np.float32),
            ended=np.empty((2, batch), dtype=np.bool_),
        )

    def _info(self, out: Response) -> dict[str, Any]:
        """Return what a step's info tells of the response."""
        response: dict[str, AnyArray] = dict(zip(self.family.names, out.real, strict=True))
        if self.family.has_clusters:
            response["cluster_id"] = out.whole[1]
        return {
            "response": response,
            "slate": out.whole[0],
            "reward_terms": {self.family.reward_term: out.reward[1]},
        }

    def _observation(self, real: FloatArray, *, zero: bool = False) -> tuple[View, Observation]:
        """Return a buffer as the kernels and as a caller see it; ids are added in ids mode."""
        blocks = self._pool.blocks(real)
        if not self.ids:
            user, history, candidates, feedback, context = blocks
            view = View(real, self._no_ids, self._no_ids)
        else:
            user, feedback, context = blocks
            make, count = np.zeros if zero else np.empty, self.variant.num_candidates
            candidates = make((self.batch, count), dtype=np.int32)
            history = make((self.batch, self._past), dtype=np.int32)
            feedback = feedback.reshape(self.batch, self._past, 3)
            view = View(real, candidates.reshape(-1), history.reshape(-1))
        return view, {
            "user": user,
            "history": history,
            "history_feedback": feedback,
            "candidates": candidates,
            "context": context,
        }
