"""EASE: a linear item-to-item model in closed form, strong on small and middle-sized logs."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import scipy.sparse as sparse

from slategym.cf_baselines.gram import add_to_gram, gram, inverse, multiply
from slategym.cf_baselines.interactions import FloatArray
from slategym.cf_baselines.profile_scorer import ProfileScorer
from slategym.cf_baselines.settings import in_range

SOLVES = ("auto", "primal", "dual")


@dataclass(frozen=True)
class EaseConfig:
    """Settings of `EaseScorer`.

    Attributes:
        penalty: > 0; 200 was best by validation on ML-100K.
        solve: Which inverse: the smaller one for ``auto``.
        positive: Values from here on are positive; by default `default_threshold` of the log.
    """

    penalty: float = 200.0
    solve: Literal["auto", "primal", "dual"] = "auto"
    positive: float | None = None

    def __post_init__(self) -> None:
        said = f"penalty={self.penalty}, solve={self.solve!r}"
        in_range(
            "ease",
            self.penalty > 0 and self.solve in SOLVES,
            said,
            "the penalty must be positive, solve one of 'auto', 'primal', 'dual'",
        )


class EaseScorer(ProfileScorer):
    """Scores a profile x as x B, where B minimises |X - X B|^2 + penalty |B|^2, diag(B) = 0.

    In closed form  B = I - P diag(1 / diag P),  P = inv(X^T X + penalty I)  (Steck 2019,
    "Embarrassingly shallow autoencoders", equation 8). With fewer users than items the same
    scores come from a user-by-user inverse, by the Woodbury identity
    P = (I - X^T inv(X X^T + penalty I) X) / penalty,  and no item-by-item table is made.

    The Gram matrix is kept, so that `partial_fit` adds to it; its entries are whole numbers, so
    that the sum is exact.
    """

    name = "ease"
    Config = EaseConfig
    config: EaseConfig

    def __init__(self, config: EaseConfig | None = None, **options: Any) -> None:  # noqa: ANN401
        super().__init__(config, **options)
        self.gram: FloatArray | None = None  # of items, or of users if dual
        self.weights: FloatArray = np.zeros((0, 0), np.float32)  # B, or inv(X X^T + l I) X if dual
        self.diagonal: FloatArray = np.zeros(0, np.float32)  # penalty * diag P, if dual
        self.dual = False

    def _learn_items(self) -> None:
        self.dual = self._is_dual()
        self.gram = gram(self._side(self.likes))
        self._solve()

    def _relearn_items(self, before: sparse.csr_matrix) -> None:
        if self._is_dual() != self.dual:
            self._learn_items()
            return
        if self.gram is None:  # loaded: it is not kept in files, being quick to make
            self.gram = gram(self._side(before))
        self.gram = add_to_gram(self.gram, self._side(before), self._side(self.likes))
        self._solve()

    def _is_dual(self) -> bool:
        users, items = self.likes.shape
        return self.config.solve == "dual" or (self.config.solve == "auto" and users < items)

    def _side(self, likes: sparse.csr_matrix) -> sparse.csr_matrix:
        """Return the table whose Gram matrix is solved, its columns being users if dual."""
        return sparse.csr_matrix(likes.T) if self.dual else likes

    def _solve(self) -> None:
        assert self.gram is not None
        solved = inverse(self.gram, self.config.penalty)
        if self.dual:
            dense = self.likes.toarray()
            self.weights = solved @ dense
            self.diagonal = 1.0 - np.einsum("ui,ui->i", dense, self.weights)
        else:
            solved /= -np.diag(solved)
            np.fill_diagonal(solved, 0.0)
            self.weights = solved

    def _score_all(self, profiles: sparse.csr_matrix) -> FloatArray:
        if not self.dual:
            return multiply(profiles, self.weights)
        dense = profiles.toarray()
        through = multiply(sparse.csr_matrix(profiles @ self.likes.T), self.weights)
        return np.asarray(dense - (dense - through) / self.diagonal, dtype=np.float32)

    def _arrays(self) -> dict[str, npt.NDArray[Any]]:
        return {"weights": self.weights, "diagonal": self.diagonal}

    def _restore(self, arrays: dict[str, npt.NDArray[Any]]) -> None:
        super()._restore(arrays)
        self.weights, self.diagonal = arrays["weights"], arrays["diagonal"]
        self.dual, self.gram = len(self.diagonal) > 0, None
