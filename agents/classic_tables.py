"""What a learning agent must know of a classic to read its observations: sizes, no content."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from slategym.envs.classic_constants import (
    N_TOPICS,
    EvolutionConstants,
    ExplorationConstants,
)
from slategym.envs.classic_variant import ClassicVariant

Table = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class ClassicTables:
    """Stands where `PublicTables` stands for a world.

    A document of interest evolution is its cluster and so has a row; those of the other families
    are drawn anew and come with their features: their table is the row of padding alone.
    """

    vectors: Table  # (I + 1, D), the last row is padding
    topics: int  # Z, features whose means over the past are observed; 0 in interest evolution
    interests: bool  # whether ``user`` holds an interest in each cluster

    @classmethod
    def from_variant(cls, variant: ClassicVariant) -> Self:
        """Return the tables of a classic; they do not depend on C, K or H."""
        constants = variant.constants
        if isinstance(constants, EvolutionConstants):
            rows = np.concatenate([np.eye(N_TOPICS), np.zeros((1, N_TOPICS))])
            return cls(rows.astype(np.float32), 0, True)
        if isinstance(constants, ExplorationConstants):
            topics = len(constants.topic_distribution)
            return cls(np.zeros((1, 1 + topics), np.float32), topics, False)
        return cls(np.zeros((1, 1), np.float32), 1, False)

    @property
    def n_items(self) -> int:
        """I, also the row of padding; 0 where documents have no rows."""
        return len(self.vectors) - 1
