"""EASE: a linear item-to-item model in closed form, strong on small and middle-sized logs."""

from typing import Literal

import numpy as np
import numpy.typing as npt
import scipy.sparse as sparse

from slategym.cf_baselines.base import ProfileScorer
from slategym.cf_baselines.interactions import FloatArray
from slategym.errors import UsageError


class EaseScorer(ProfileScorer):
    """Scores a profile x as x B, where B minimises |X - X B|^2 + penalty |B|^2, diag(B) = 0.

    In closed form  B = I - P diag(1 / diag P),  P = inv(X^T X + penalty I)  (Steck 2019,
    "Embarrassingly shallow autoencoders", equation 8). With fewer users than items the same
    scores come from a user-by-user inverse, by the Woodbury identity
    P = (I - X^T inv(X X^T + penalty I) X) / penalty,  and no item-by-item table is made.

    Args:
        penalty: > 0; 200 was best by validation on ML-100K.
        solve: Which inverse: the smaller one for ``auto``.

    Raises:
        UsageError: the penalty is not positive, or no such way to solve.
    """

    name = "ease"

    def __init__(
        self, penalty: float = 200.0, solve: Literal["auto", "primal", "dual"] = "auto"
    ) -> None:
        super().__init__()
        if not penalty > 0 or solve not in ("auto", "primal", "dual"):
            raise UsageError(
                f"penalty={penalty}, solve={solve!r}: the penalty must be positive, solve one of "
                "'auto', 'primal', 'dual'."
            )
        self.penalty, self.solve = penalty, solve
        self.inverse: npt.NDArray[np.float64] = np.zeros((0, 0))
        self.diagonal: npt.NDArray[np.float64] = np.zeros(0)
        self.dual = False

    def _learn(self) -> None:
        likes = self.likes.astype(np.float64)
        n_users, n_items = likes.shape
        self.dual = self.solve == "dual" or (self.solve == "auto" and n_users < n_items)
        gram = (likes @ likes.T if self.dual else likes.T @ likes).toarray()
        gram[np.diag_indices_from(gram)] += self.penalty
        self.inverse = np.linalg.inv(gram)
        if self.dual:
            explained = likes.multiply(self.inverse @ likes).sum(axis=0)
            self.diagonal = (1.0 - np.asarray(explained).ravel()) / self.penalty
        else:
            self.diagonal = np.diag(self.inverse).copy()

    def _score_all(self, profiles: sparse.csr_matrix) -> FloatArray:
        dense = profiles.toarray().astype(np.float64)
        if self.dual:
            likes = self.likes.astype(np.float64)
            through = (profiles @ likes.T).toarray() @ self.inverse @ likes
            moved = (dense - through) / self.penalty
        else:
            moved = np.asarray(profiles @ self.inverse)
        return (dense - moved / self.diagonal).astype(np.float32)
