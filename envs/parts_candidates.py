"""Which items a user may be shown in a step: one part for each way to choose them."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from slategym.envs import rng
from slategym.envs.arrays import AnyArray, DoubleArray, FloatArray, IntArray, LongArray
from slategym.envs.part import number, register_part
from slategym.envs.parts_hooks import HookedPart

if TYPE_CHECKING:
    from slategym.envs.reference_scene import Scene

TRIES = 64  # attempts per candidate before the rest is drawn uniformly


@dataclass(frozen=True)
class Candidates(HookedPart):
    """C distinct items of the catalogue that exist in this step.

    An item drawn again, or one that is not there (expired, its creator gone, see `Ageing` and
    `Creators`), is drawn anew. After 64 C attempts the rest is drawn uniformly and may be
    missing from the shelf; it then stays an empty slot if shown. Candidates do not depend on
    what was shown before (but for `RetrievedCandidates` with ``revisit``, and `Creators`), so two
    policies meet the same ones. More than half of the catalogue is drawn, with the same
    distribution, by a race of exponential clocks (Efraimidis and Spirakis 2006).
    """

    slot = "candidates"

    def propose(self, scene: "Scene", attempts: LongArray) -> LongArray:
        """Return (B, N) item rows: what each attempt (N,) draws for a place; uniform by default."""
        return scene.below(rng.CANDIDATE, attempts, scene.world.n_items)

    def draw(self, scene: "Scene") -> IntArray:
        """Return (B, C) distinct item rows for the coming step."""
        batch, count = scene.state.candidates.shape
        drawn = np.full((batch, count), -1, dtype=np.int32)
        filled = np.zeros(batch, dtype=np.int64)
        start, last = 0, TRIES * count
        while (filled < count).any():
            end = start + count + 8
            attempts = np.arange(start, min(end, last) if start < last else end)
            items = (self if start < last else _PLAIN).propose(scene, attempts)
            there = scene.available(items) if start < last else np.ones(items.shape, np.bool_)
            for item, good in zip(items.T, there.T, strict=True):
                new = good & (filled < count) & ~(drawn == item[:, None]).any(axis=1)
                drawn[new, filled[new]] = item[new]
                filled += new
            start = int(attempts[-1]) + 1
        return drawn


_PLAIN = Candidates()


def race(scene: "Scene", weight: AnyArray) -> IntArray:
    """Return (B, C) items whose exponential clocks ring first, those that exist before.

    Item i rings at ``E_i / weight_i``: a weighted draw without replacement (Efraimidis and
    Spirakis 2006).
    """
    batch, count = scene.state.candidates.shape
    items = np.broadcast_to(np.arange(scene.world.n_items), (batch, scene.world.n_items))
    wait = scene.exponential(rng.CANDIDATE, items) / weight
    first = np.lexsort((wait, ~scene.available(items)), axis=1)
    return first[:, :count].astype(np.int32)


@register_part
@dataclass(frozen=True)
class UniformCandidates(Candidates):
    """C distinct items, each equally likely."""

    name = "uniform"

    def draw(self, scene: "Scene") -> IntArray:
        """Return (B, C) distinct item rows for the coming step."""
        return race(scene, np.ones(1)) if scene.most_are_candidates else super().draw(scene)


@register_part
@dataclass(frozen=True)
class PopularCandidates(Candidates):
    """C distinct items, the popular ones more often.

    Drawn with weight ``(count + popularity_smoothing)^popularity_exponent``. The count is that of
    the public log. Drawn by the alias method (Walker 1977; Vose 1991).
    """

    name = "popular"
    popularity_exponent: float = number(1.0, 0.0, 4.0, "0 is uniform, 1 is by count")
    popularity_smoothing: float = number(1.0, 1e-6, 1e9, "count added to every item")

    def weights(self, popularity: FloatArray) -> DoubleArray:
        """Return (I,) probabilities that sum to one."""
        raw = popularity.astype(np.float64) + self.popularity_smoothing
        weight: DoubleArray = raw**self.popularity_exponent
        return weight / weight.sum()

    def propose(self, scene: "Scene", attempts: LongArray) -> LongArray:
        """Return (B, N) item rows by the alias method."""
        bits = scene.bits(rng.CANDIDATE, attempts)
        keep, alias = scene.setting.alias
        item = rng.below_of(bits, len(keep))
        # The upper bits chose the item; the lower ones say whether it is kept.
        spare = ((bits & np.uint64(2**32 - 1)).astype(np.float64) + 0.5) * 2.0**-32
        return np.where(spare < keep[item], item, alias[item])

    def draw(self, scene: "Scene") -> IntArray:
        """Return (B, C) distinct item rows for the coming step."""
        if scene.most_are_candidates:
            return race(scene, self.weights(scene.world.item_popularity))
        return super().draw(scene)


@register_part
@dataclass(frozen=True)
class RetrievedCandidates(Candidates):
    """What a first-stage retrieval would bring: items near the user, and some exploration.

    Each place is filled, with probability ``revisit``, by an item of the user's history (a
    uniform place of it; an empty place gives a uniform item); else, with probability
    ``explore``, by a uniform item; else by the best of ``tries`` uniform items under the public
    rating model (tournament selection, whose pressure is the number of tries: Miller and
    Goldberg 1995).
    """

    name = "retrieved"
    tries: float = number(8.0, 1.0, 64.0, "items of a tournament; 1 is uniform")
    explore: float = number(0.2, 0.0, 1.0, "share of uniform places")
    revisit: float = number(0.0, 0.0, 1.0, "share of places filled from the user's history")

    def propose(self, scene: "Scene", attempts: LongArray) -> LongArray:
        """Return (B, N) items of the history, uniform ones, or the best of tournaments."""
        world, history, start = scene.world, scene.state.history, 128 * attempts
        kind = scene.uniform(rng.RETRIEVE, start)
        place = scene.below(rng.RETRIEVE, start + 1, history.shape[1])
        past = np.take_along_axis(history, place, axis=1)
        index = (start[:, None] + 2 + np.arange(int(self.tries))).ravel()
        entered = scene.below(rng.RETRIEVE, index, world.n_items)
        entered = entered.reshape(*kind.shape, -1)  # (B, N, tries)
        taste = world.public_user_factors[scene.state.user].astype(np.float64)
        score = np.einsum("bf,bntf->bnt", taste, world.public_item_factors[entered])
        best = (score + world.public_item_bias[entered]).argmax(axis=2)[:, :, None]
        best = np.take_along_axis(entered, best, axis=2)[:, :, 0]
        uniform = kind < self.revisit + (1.0 - self.revisit) * self.explore
        fresh = np.where(uniform, entered[:, :, 0], best)
        return np.where((kind < self.revisit) & (past >= 0), past, fresh)


@register_part
@dataclass(frozen=True)
class FixedCandidates(Candidates):
    """C distinct items drawn once for a user stream, the same in all its steps and episodes.

    With `Ageing` they are those on the shelf when an episode begins.
    """

    name = "fixed"

    def draw(self, scene: "Scene") -> IntArray:
        """Return the candidates of the first step, drawn when it has not begun yet."""
        first = scene.of_first_episode()
        drawn = race(first, np.ones(1)) if scene.most_are_candidates else super().draw(first)
        new = (scene.state.step == 0)[:, None]
        return np.where(new, drawn, scene.state.candidates)


@register_part
@dataclass(frozen=True)
class CatalogueCandidates(Candidates):
    """The whole catalogue: a position is an item row, and nothing is listed as candidates.

    ``num_candidates`` is then I, and the observation has no ``candidates``.
    """

    name = "catalogue"

    def draw(self, scene: "Scene") -> IntArray:
        """Return (B, 0): nothing is listed."""
        return np.zeros((scene.batch, 0), dtype=np.int32)


def alias_table(weight: DoubleArray) -> tuple[DoubleArray, np.ndarray]:
    """Return thresholds (I,) in [0, 1] and aliases (I,) int32 of Vose's alias method (1991).

    Item i of a uniform draw is kept if a second uniform number is below its threshold, else it
    is replaced by its alias.
    """
    count = len(weight)
    scaled = weight * count
    keep = np.ones(count)
    alias = np.arange(count, dtype=np.int32)
    small = list(np.flatnonzero(scaled < 1.0))
    large = list(np.flatnonzero(scaled >= 1.0))
    while small and large:
        low, high = small.pop(), large[-1]
        keep[low], alias[low] = scaled[low], high
        scaled[high] -= 1.0 - scaled[low]
        if scaled[high] < 1.0:
            small.append(large.pop())
    return keep, alias
