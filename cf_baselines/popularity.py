"""The popularity baseline: everybody gets what most people liked."""

import numpy as np
import scipy.sparse as sparse

from slategym.cf_baselines.base import ProfileScorer
from slategym.cf_baselines.interactions import FloatArray


class PopularityScorer(ProfileScorer):
    """Scores an item by its share of all positive interactions, in [0, 1]."""

    name = "popularity"

    def _score_all(self, profiles: sparse.csr_matrix) -> FloatArray:
        return np.tile(self.popularity, (profiles.shape[0], 1))
