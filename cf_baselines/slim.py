"""SLIM: a sparse linear item-to-item model with weights of at least 0, by elastic net."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sparse

from slategym.cf_baselines.gram import add_to_gram, gram
from slategym.cf_baselines.interactions import FloatArray
from slategym.cf_baselines.neighbour_tables import ItemTableScorer
from slategym.cf_baselines.settings import in_range

# Columns solved at once, before the zeros are dropped.
COLUMNS = 512


@dataclass(frozen=True)
class SlimConfig:
    """Settings of `SlimScorer`.

    Attributes:
        l1: Penalty on the sum of weights, >= 0: more of them become 0.
        l2: Penalty on the squares, > 0.
        rounds: Passes over the weights of a column, at most.
        tolerance: Stop when no weight moves by more, > 0.
        positive: Values from here on are positive; by default `default_threshold` of the log.
    """

    l1: float = 2.0
    l2: float = 100.0
    rounds: int = 30
    tolerance: float = 1e-4
    positive: float | None = None

    def __post_init__(self) -> None:
        said = f"l1={self.l1}, l2={self.l2}"
        in_range("slim", self.l1 >= 0 and self.l2 > 0, said, "l1 at least 0, l2 above 0")
        said = f"rounds={self.rounds}, tolerance={self.tolerance}"
        ok = self.rounds >= 1 and self.tolerance > 0
        in_range("slim", ok, said, "rounds at least 1, tolerance above 0")


class SlimScorer(ItemTableScorer):
    """Scores a profile x as x W, where each column of W is an elastic-net regression.

    W minimises  |X - X W|^2 / 2 + l1 |W|_1 + l2 |W|^2 / 2  with W >= 0 and diag(W) = 0  (Ning and
    Karypis 2011, "SLIM: sparse linear methods for top-N recommender systems", equation 3), by
    coordinate descent on the Gram matrix X^T X (Friedman et al. 2010, section 2.2).
    """

    name = "slim"
    Config = SlimConfig
    config: SlimConfig

    def __init__(self, config: SlimConfig | None = None, **options: Any) -> None:  # noqa: ANN401
        super().__init__(config, **options)
        self.gram: FloatArray | None = None

    def _learn_items(self) -> None:
        self.gram = gram(self.likes)
        super()._learn_items()

    def _relearn_items(self, before: sparse.csr_matrix) -> None:
        known = gram(before) if self.gram is None else self.gram
        self.gram = add_to_gram(known, before, self.likes)
        super()._learn_items()

    def _table(self) -> sparse.csr_matrix:
        from slategym.cf_baselines.neighbour_kernels import slim_columns

        assert self.gram is not None
        config, size = self.config, len(self.gram)
        table = np.ascontiguousarray(self.gram)
        blocks = [
            sparse.csr_matrix(
                slim_columns(
                    table,
                    config.l1,
                    config.l2,
                    config.rounds,
                    config.tolerance,
                    at,
                    min(at + COLUMNS, size),
                )
            )
            for at in range(0, size, COLUMNS)
        ]
        return sparse.csr_matrix(sparse.vstack(blocks))
