"""What people consumed one after the other, in the log and in the simulator, to compare the two.

Letters: N events, G sequences (users of the log, sessions of the simulator), I items, Z topics.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from slategym.envs.arrays import DoubleArray, FloatArray, IntArray, LongArray
from slategym.envs.world import World
from slategym.errors import UsageError

if TYPE_CHECKING:
    from slategym.envs.vector import SlateVectorEnv

CANDIDATES = 100
_STREAM = 0x5E9  # keeps these draws apart from any other use of the seed
_PRIOR_COUNT = 1.0  # added to each item's count where slates are drawn by popularity


@dataclass(frozen=True, eq=False)
class Sequences:
    """Events in order, sequence by sequence.

    Attributes:
        owner: (N,) sequence of each event, ascending, in [0, G).
        items: (N,) item rows, in order of time within a sequence.
        count: G.
    """

    owner: LongArray
    items: IntArray
    count: int

    def lengths(self) -> LongArray:
        """Return the events of each sequence, (G,)."""
        return np.bincount(self.owner, minlength=self.count)

    def take(self, chosen: LongArray) -> "Sequences":
        """Return these sequences (g,) only, renumbered."""
        number = np.full(self.count, -1, dtype=np.int64)
        number[chosen] = np.arange(len(chosen))
        rows = np.flatnonzero(number[self.owner] >= 0)
        rows = rows[np.argsort(number[self.owner[rows]], kind="stable")]
        return Sequences(number[self.owner[rows]], self.items[rows], len(chosen))

    def pairs(self) -> tuple[LongArray, LongArray, LongArray]:
        """Return owner, item and next item of every two events that follow each other."""
        same = self.owner[1:] == self.owner[:-1]
        first = np.flatnonzero(same)
        items = self.items.astype(np.int64)
        return self.owner[first], items[first], items[first + 1]


def logged_sequences(world: World, threshold: float) -> Sequences:
    """Return what each held-out user took and liked, in order of time; of all users if none is.

    An event is a row of the log, of any split, with a value of at least ``threshold``.
    """
    log = world.log
    held = (world.users["split"] == "held_out").to_numpy()
    mine = held if held.any() else np.ones(world.n_users, dtype=np.bool_)
    rows = np.flatnonzero(mine[log.users] & ((log.values >= threshold) | log.implicit))
    rows = rows[np.lexsort((rows, log.times[rows], log.users[rows]))]
    found, owner = np.unique(log.users[rows], return_inverse=True)
    return Sequences(owner.astype(np.int64), log.items[rows], len(found))


def simulated_sequences(
    world: World,
    *,
    sessions: int,
    seed: int,
    variant: str = "slategym/World-v0",
    **changes: Any,  # noqa: ANN401
) -> Sequences:
    """Return what simulated users click in a session each when shown slates by popularity.

    A slate is drawn from the candidates without replacement, by public popularity: the log does
    not tell what was shown, and what is popular was shown more often. Sessions without a click
    are left out.

    Args:
        world: the world.
        sessions: user streams simulated.
        seed: of the streams and the slates.
        variant: a registered id of a world variant.
        **changes: parameters of the variant.

    Raises:
        UsageError: the variant is not one over a world.
    """
    from slategym.envs.vector import SlateVectorEnv

    held = bool((world.users["split"] == "held_out").any())
    env = SlateVectorEnv(
        sessions,
        variant=variant,
        world=world,
        users="held_out" if held else "all",
        observation="ids",
        num_candidates=min(CANDIDATES, world.n_items),
        **changes,
    )
    if env.action_space.shape is None:
        raise UsageError(f"variant {variant!r} does not take slates.")
    owner, items = _clicks(env, np.log(world.item_popularity + _PRIOR_COUNT), seed)
    order = np.argsort(owner, kind="stable")
    found, number = np.unique(owner[order], return_inverse=True)
    return Sequences(number.astype(np.int64), items[order], len(found))


def _clicks(env: "SlateVectorEnv", weight: FloatArray, seed: int) -> tuple[LongArray, IntArray]:
    """Return row and item of every click of the first session of each row, in order of steps.

    Gumbel noise on log weights (I,) draws without replacement (Efraimidis and Spirakis 2006).
    """
    rng = np.random.default_rng((_STREAM, seed))
    shape = env.action_space.shape or ()
    slots = int(np.prod(shape[1:]))
    padded = np.append(weight, -np.inf)
    observation, _ = env.reset(seed=seed)
    alive = np.ones(env.num_envs, dtype=np.bool_)
    owners, clicked = [np.zeros(0, np.int64)], [np.zeros(0, np.int32)]
    while alive.any():
        candidates = np.asarray(observation["candidates"])
        score = padded[candidates] + rng.gumbel(size=candidates.shape)
        slate = np.argsort(-score, axis=1, kind="stable")[:, :slots]
        observation, _, ended, cut, info = env.step(slate.reshape(shape))
        shown = np.asarray(info["slate"]).reshape(env.num_envs, -1)
        click = (np.asarray(info["response"]["click"]).reshape(shown.shape) > 0) & (shown >= 0)
        row, slot = np.nonzero(click & alive[:, None])
        owners.append(row)
        clicked.append(shown[row, slot].astype(np.int32))
        alive &= ~(ended | cut)
    return np.concatenate(owners), np.concatenate(clicked)


def topic_mass(items: IntArray | LongArray, topics: FloatArray) -> DoubleArray:
    """Return the share of each topic (Z,) among events on items; items without a topic apart."""
    mass = topics[items].sum(axis=0, dtype=np.float64)
    return np.asarray(mass / max(float(mass.sum()), 1e-12))


def gini(counts: DoubleArray) -> float:
    """Return the Gini coefficient of counts: 0 if all are equal, near 1 if one has everything."""
    total = float(counts.sum())
    if total <= 0:
        return 0.0
    ordered = np.sort(counts)
    rank = np.arange(1, len(ordered) + 1)
    n = len(ordered)
    return float((2 * rank - n - 1) @ ordered / (n * total))


def ks_distance(first: DoubleArray, second: DoubleArray) -> float:
    """Return the largest gap between two empirical distribution functions (Kolmogorov 1933)."""
    a, b = np.sort(first), np.sort(second)
    at = np.concatenate([a, b])
    gaps = np.searchsorted(a, at, side="right") / max(len(a), 1) - np.searchsorted(
        b, at, side="right"
    ) / max(len(b), 1)
    return float(np.abs(gaps).max(initial=0.0))


def total_variation(first: DoubleArray, second: DoubleArray) -> float:
    """Return half the sum of the absolute differences of two distributions, in [0, 1]."""
    return float(0.5 * np.abs(first - second).sum())
