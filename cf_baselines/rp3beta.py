"""RP3beta: a random walk of three steps over likes, popular ends held back."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sparse

from slategym.cf_baselines.neighbour_tables import ItemTableScorer, find_nearest
from slategym.cf_baselines.settings import in_range


@dataclass(frozen=True)
class RP3betaConfig:
    """Settings of `RP3betaScorer`.

    Attributes:
        alpha: Power of each step's probability, > 0.
        beta: Power of the popularity that an end is divided by, >= 0.
        neighbours: Ways in kept for each item, at least 1.
        positive: Values from here on are positive; by default `default_threshold` of the log.
    """

    alpha: float = 0.8
    beta: float = 0.5
    neighbours: int = 400
    positive: float | None = None

    def __post_init__(self) -> None:
        said = f"alpha={self.alpha}, beta={self.beta}, neighbours={self.neighbours}"
        ok = self.alpha > 0 and self.beta >= 0 and self.neighbours >= 1
        in_range("rp3beta", ok, said, "above 0, at least 0, at least 1")


class RP3betaScorer(ItemTableScorer):
    """Scores an item by how often a walk item - user - item from the profile ends there.

    The weight from i to j is  sum_u (1 / n_i)^alpha (1 / n_u)^alpha / n_j^beta,  over the users
    who liked both, n being how many likes an item or user has (Paudel et al. 2016, "Updatable,
    accurate, diverse, and scalable recommendations for interactive applications", equation 6,
    each step to the power alpha as in their P3alpha).
    """

    name = "rp3beta"
    Config = RP3betaConfig
    config: RP3betaConfig

    def _table(self) -> sparse.csr_matrix:
        likes, alpha = self.likes, self.config.alpha
        of_item = np.maximum(np.asarray(likes.sum(axis=0)).ravel(), 1.0)
        of_user = np.maximum(np.asarray(likes.sum(axis=1)).ravel(), 1.0)
        # Rows are where walks end, so that each keeps the best ways in.
        ends = sparse.csr_matrix(likes.T)
        step = sparse.diags_array(of_user**-alpha) @ likes @ sparse.diags_array(of_item**-alpha)
        onward = sparse.csr_matrix(step, dtype=np.float32)
        size = likes.shape[1]
        none, ones = np.zeros(size, np.float32), np.ones(size, np.float32)
        return find_nearest(
            ends,
            onward,
            ((of_item**self.config.beta).astype(np.float32), none, ones, none),
            np.full(size, -1),
            np.arange(size),
            self.config.neighbours,
            jaccard=False,
            shrinkage=0.0,
        )
