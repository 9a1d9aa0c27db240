"""Which items a user may be shown in a step: one part for each way to choose them."""

from dataclasses import dataclass

import numpy as np

from slategym.envs.arrays import DoubleArray, FloatArray
from slategym.envs.part import Part, number, register_part


@dataclass(frozen=True)
class Candidates(Part):
    """C distinct items of the catalogue that exist in this step.

    An item drawn again, or one that is not there (expired, its creator gone, see `Ageing` and
    `Creators`), is drawn anew. After 64 C attempts the rest is drawn uniformly and may be
    missing from the shelf; it then stays an empty slot if shown. Candidates do not depend on
    what was shown before (but for `RetrievedCandidates` with ``revisit``, and `Creators`), so two
    policies meet the same ones.
    """

    slot = "candidates"


@register_part
@dataclass(frozen=True)
class UniformCandidates(Candidates):
    """C distinct items, each equally likely."""

    name = "uniform"


@register_part
@dataclass(frozen=True)
class PopularCandidates(Candidates):
    """C distinct items, drawn with weight ``(count + popularity_smoothing)^popularity_exponent``.

    The count is that of the public log. Drawn by the alias method (Walker 1977; Vose 1991).
    """

    name = "popular"
    popularity_exponent: float = number(1.0, 0.0, 4.0, "0 is uniform, 1 is by count")
    popularity_smoothing: float = number(1.0, 1e-6, 1e9, "count added to every item")

    def weights(self, popularity: FloatArray) -> DoubleArray:
        """Return (I,) probabilities that sum to one."""
        raw = popularity.astype(np.float64) + self.popularity_smoothing
        weight: DoubleArray = raw**self.popularity_exponent
        return weight / weight.sum()


@register_part
@dataclass(frozen=True)
class RetrievedCandidates(Candidates):
    """What a first-stage retrieval would bring: items near the user, and some exploration.

    Each place is filled, with probability ``revisit``, by an item of the user's history (a
    uniform place of it); else, with probability ``explore``, by a uniform item; else by the best
    of ``tries`` uniform items under the public rating model (tournament selection, whose
    pressure is the number of tries: Miller and Goldberg 1995).
    """

    name = "retrieved"
    tries: float = number(8.0, 1.0, 64.0, "items of a tournament; 1 is uniform")
    explore: float = number(0.2, 0.0, 1.0, "share of uniform places")
    revisit: float = number(0.0, 0.0, 1.0, "share of places filled from the user's history")


@register_part
@dataclass(frozen=True)
class FixedCandidates(Candidates):
    """C distinct items drawn once for a user stream, the same in all its steps and episodes."""

    name = "fixed"


@register_part
@dataclass(frozen=True)
class CatalogueCandidates(Candidates):
    """The whole catalogue: a position is an item row, and nothing is listed as candidates.

    ``num_candidates`` is then I, and the observation has no ``candidates``.
    """

    name = "catalogue"


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
