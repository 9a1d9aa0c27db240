"""ALS by the package ``implicit``, for those who have it installed."""

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sparse

from slategym.errors import UsageError

if TYPE_CHECKING:
    from slategym.cf_baselines.als import AlsConfig

F32 = npt.NDArray[np.float32]


def load_implicit() -> Any:  # noqa: ANN401
    """Return the package.

    Raises:
        UsageError: it is not installed.
    """
    try:
        import implicit.als
    except ImportError:
        raise UsageError(
            "backend='implicit' needs the package implicit, which is not installed: "
            "pip install implicit, or take backend='own'."
        ) from None
    return implicit


def fit_als(
    likes: sparse.csr_matrix, users: F32, items: F32, config: "AlsConfig"
) -> tuple[F32, F32]:
    """Return factors of users (U, F) and items (I, F), fitted from those given.

    The package weighs a like alpha against 1 for other pairs, here 1 against ``unseen``: the same
    objective times alpha, with alpha = 1 / unseen and its penalty ours / unseen.
    """
    model = load_implicit().als.AlternatingLeastSquares(
        factors=config.factors,
        regularization=config.penalty / config.unseen,
        alpha=1.0 / config.unseen,
        iterations=config.rounds,
        use_cg=config.steps > 0,
        random_state=config.seed,
        num_threads=1,
        calculate_training_loss=False,
    )
    model.user_factors, model.item_factors = users.copy(), items.copy()
    model.fit(likes, show_progress=False)
    return np.asarray(model.user_factors), np.asarray(model.item_factors)
