"""A rating model with uncertainty: matrix factorisation with biases by variational Bayes.

A value is  mean + user_bias + item_bias + user_factors . item_factors  plus noise. The model
knows how sure it is of every user and item, which a simulator needs to draw users from, and folds
in a new history without a refit. Algorithm and citations: `slategym.cf_baselines.variational`.

Letters: N rows, U users, I items, F factors, B batch of users, H history, K slate, G = F + 1.
"""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from slategym.cf_baselines.interactions import FloatArray, Interactions, RowArray
from slategym.cf_baselines.negatives import DEFAULT_POWER, with_negatives
from slategym.cf_baselines.variational import (
    Array,
    Posterior,
    Prior,
    Side,
    audience_features,
    make_side,
    refit_prior,
    standardise,
    update,
)
from slategym.errors import DataError
from slategym.files import write_atomic
from slategym.progress import Progress, Silent, stage

# Rounds before priors and noise are learned: earlier, the factors are still noise and the priors
# would shrink them away.
WARM_UP = 3
# Quiet rounds in a row that end a fit: the noise passes through a minimum early on, where a single
# round may look quiet.
CALM = 4


@dataclass(frozen=True)
class FoldedUsers:
    """Users known by a history: posterior mean bias (B,), factors (B, F), deviation (B, F)."""

    bias: FloatArray
    factors: FloatArray
    std: FloatArray


@dataclass(frozen=True)
class RatingModel:
    """A fitted model; all arrays float32 unless said. An unknown user is all zeros.

    The basis is chosen so that user factors have mean 0 and unit variance over the population
    and item factors are uncorrelated, the strongest first.

    Attributes:
        mean: Value of an average user for an item with bias 0, in the log's units.
        user_bias: (U,), item_bias: (I,) in the log's units.
        user_factors: (U, F), item_factors: (I, F); their product is in the log's units.
        user_std: (U, F) posterior deviation of the user factors; near 1 without evidence.
        user_bias_std: (U,), item_bias_std: (I,), item_std: (I, F) likewise.
        noise_std: Deviation of a value around its prediction, in the log's units.
        prior_precision: (G, G) float64 precision of a new user's (bias, factors); mean 0.
        counts: (I,) int64 and user_counts: (U,) int64 rows the fit saw, negatives included.
        low, high: Smallest and largest value seen.
        rounds: Rounds of updates until convergence.
    """

    mean: float
    user_bias: FloatArray
    item_bias: FloatArray
    user_factors: FloatArray
    item_factors: FloatArray
    user_std: FloatArray
    user_bias_std: FloatArray
    item_std: FloatArray
    item_bias_std: FloatArray
    noise_std: float
    prior_precision: Array
    counts: RowArray
    user_counts: RowArray
    low: float
    high: float
    rounds: int

    def predict(
        self, users: npt.ArrayLike, items: npt.ArrayLike, *, clip: bool = False
    ) -> FloatArray:
        """Return the expected value for each pair, (N,), in the log's units.

        Args:
            users: (N,) user rows; -1 for an unknown user.
            items: (N,) item rows.
            clip: Cut to the range of values seen; lowers the RMSE, not for ranking.
        """
        pairs = np.asarray(items)[:, None]
        out = self.score(np.asarray(users), pairs)[:, 0]
        return np.clip(out, self.low, self.high) if clip else out

    def predict_rows(
        self, interactions: Interactions, rows: npt.ArrayLike | None = None, *, clip: bool = False
    ) -> FloatArray:
        """Return the expected value of each of these rows of a log, (N,)."""
        chosen = interactions.rows_or_all(rows)
        return self.predict(interactions.users[chosen], interactions.items[chosen], clip=clip)

    def score(self, users: npt.ArrayLike, items: npt.ArrayLike) -> FloatArray:
        """Return expected values for users (B,), -1 unknown, and items (B, K): (B, K)."""
        rows = np.asarray(users)
        known = (rows >= 0).astype(np.float32)
        bias = self.user_bias[rows] * known
        return self._combine(bias, self.user_factors[rows] * known[:, None], np.asarray(items))

    def score_folded(self, state: FoldedUsers, items: npt.ArrayLike) -> FloatArray:
        """Return expected values of folded-in users for items (B, K): (B, K)."""
        return self._combine(state.bias, state.factors, np.asarray(items))

    def _combine(
        self, bias: FloatArray, factors: FloatArray, items: npt.NDArray[Any]
    ) -> FloatArray:
        """Return mean + biases + product of factors, (B, K)."""
        product = np.matmul(self.item_factors[items], factors[:, :, None])[:, :, 0]
        offset = np.float32(self.mean) + bias[:, None]
        return (offset + self.item_bias[items] + product).astype(np.float32)

    def fold_in(self, items: npt.ArrayLike, values: npt.ArrayLike) -> FoldedUsers:
        """Return users as their history tells, without a refit.

        The item side is held fixed, its uncertainty taken as uncorrelated; the prior is the
        population. An empty history gives the population mean: zeros.

        Args:
            items: (B, H) item rows, -1 for no entry.
            values: (B, H) values in the log's units; ignored where there is no entry.
        """
        history = np.asarray(items)
        there = history >= 0
        z = np.concatenate(
            [np.ones((*history.shape, 1), np.float32), self.item_factors[history]], axis=2
        )
        z = (z * there[:, :, None]).astype(np.float64)
        gap = np.where(there, np.asarray(values) - self.mean - self.item_bias[history], 0.0)
        precision = np.matmul(z.transpose(0, 2, 1), z)
        diagonal = np.arange(1, z.shape[2])
        variance = self.item_std[history].astype(np.float64) ** 2 * there[:, :, None]
        precision[:, diagonal, diagonal] += variance.sum(axis=1)
        right = np.matmul(gap[:, None, :], z)[:, 0] / self.noise_std**2
        covariance = np.linalg.inv(self.prior_precision + precision / self.noise_std**2)
        mean = np.matmul(covariance, right[:, :, None])[:, :, 0].astype(np.float32)
        std = np.sqrt(covariance[:, diagonal, diagonal]).astype(np.float32)
        return FoldedUsers(mean[:, 0], mean[:, 1:], std)

    def save(self, path: Path) -> None:
        """Write the model as one safetensors file, atomically."""
        from safetensors.numpy import save_file

        arrays = {f.name: np.asarray(getattr(self, f.name)) for f in fields(self)}
        write_atomic(path, lambda target: save_file(arrays, str(target)))

    @staticmethod
    def load(path: Path) -> "RatingModel":
        """Return a saved model.

        Raises:
            DataError: the file is missing, damaged, or is not a rating model.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            arrays = load_file(str(path))
            scalars = {k: a.item() for k, a in arrays.items() if a.ndim == 0}
            return RatingModel(**{**arrays, **scalars})
        except (OSError, SafetensorError, TypeError) as error:
            raise DataError(f"{path} is not a saved rating model ({error}); fit it anew.") from None


def fit_rating_model(
    interactions: Interactions,
    rows: npt.ArrayLike | None = None,
    *,
    factors: int = 16,
    seed: int = 0,
    audience: int = 30,
    item_features: npt.ArrayLike | None = None,
    rounds: int = 60,
    tolerance: float = 1e-3,
    negatives: int = 4,
    negative_power: float = DEFAULT_POWER,
    progress: Progress | None = None,
) -> RatingModel:
    """Return the model fitted on these rows.

    Deterministic: equal arguments give equal arrays on one machine.

    Args:
        interactions: The log. If implicit, negatives are sampled and the target is 1 or 0.
        rows: Rows to fit on; all for ``None``. Nothing else of the log's values is looked at.
        factors: F, at least 1.
        seed: For the start values and the sampled negatives.
        audience: Features of who interacted with an item that inform its prior, at most one
            for 20 items; 0 for none.
            30 was chosen on rows held out of ML-100K's u1.base. Not used for implicit logs, where
            they would hold the answer.
        item_features: (I, D) optional features of the items, say of their content, that inform
            the prior as well; what an item without ratings is predicted from.
        rounds: At most this many rounds over both sides.
        tolerance: Stop when four rounds in a row change the noise variance by a smaller share.
        negatives: Sampled per positive, for implicit logs.
        negative_power: See `slategym.cf_baselines.negatives`.
        progress: Told of every round.

    Raises:
        DataError: no rows, rows of one user only, or all values are equal.
    """
    data = interactions.take(interactions.rows_or_all(rows))
    if interactions.implicit:
        audience = 0
        data = with_negatives(
            interactions, rows, per_positive=negatives, power=negative_power, seed=seed
        )
    if not len(data) or np.ptp(data.values) == 0:
        raise DataError(
            f"{interactions.name}: {len(data)} rows with one value or none cannot be fitted; "
            "a rating model needs values that differ."
        )
    if (data.users == data.users[0]).all():
        # The scale of tastes is that of the population; one user has none.
        raise DataError(
            f"{interactions.name}: all {len(data)} rows to fit are of one user, "
            f"{data.user_ids[data.users[0]]!r}; a rating model needs at least two."
        )
    centre = float(data.values.mean(dtype=np.float64))
    scale = float(data.values.std(dtype=np.float64))
    shape = (len(data.user_ids), len(data.item_ids))
    scaled = (data.values.astype(np.float64) - centre) / scale
    side = make_side(data.users, data.items, scaled, shape)
    state = _Fit(side, factors, seed, _item_side(side.transpose(), audience, item_features))
    taken = state.run(rounds, tolerance, progress or Silent())
    return _to_model(state, data, centre, scale, taken)


def _item_side(side: Side, audience: int, item_features: npt.ArrayLike | None) -> Array:
    """Return the features of the items' prior, (I, 1 + D), the constant first."""
    blocks = [np.ones((side.pattern.shape[0], 1))]
    if audience:
        blocks.append(audience_features(side, audience))
    if item_features is not None:
        blocks.append(standardise(np.asarray(item_features, dtype=np.float64)))
    return np.hstack(blocks)


class _Fit:
    """The state of a fit: both posteriors, both priors and the noise precision."""

    def __init__(self, side: Side, factors: int, seed: int, item_features: Array) -> None:
        n_users, n_items = side.pattern.shape
        size = factors + 1
        self.user_side, self.item_side = side, side.transpose()
        self.user_features, self.item_features = np.ones((n_users, 1)), item_features
        start = np.random.default_rng(seed).normal(0.0, 0.3, (n_items, size))
        start[:, 0] = 0.0
        tight = np.tile(0.01 * np.eye(size), (n_items, 1, 1))
        self.items = Posterior(start, tight)
        precision = np.eye(size)
        precision[0, 0] = 4.0
        self.user_prior = Prior(np.zeros((n_users, size)), precision)
        self.item_prior = Prior(np.zeros((n_items, size)), precision)
        self.tau = 1.5
        self.users = update(side, self.items, self.user_prior, self.tau)[0]

    def run(self, rounds: int, tolerance: float, progress: Progress) -> int:
        """Alternate until convergence; return the number of rounds."""
        n = self.user_side.count
        calm = 0
        with stage(progress, "fit rating model", rounds):
            for round_ in range(1, rounds + 1):
                before = self.tau
                learn = round_ > WARM_UP
                self.users, _ = update(self.user_side, self.items, self.user_prior, self.tau)
                if learn:
                    self.user_prior = refit_prior(self.users, self.user_features, self.user_prior)
                self.items, error = update(self.item_side, self.users, self.item_prior, self.tau)
                if learn:
                    self.item_prior = refit_prior(self.items, self.item_features, self.item_prior)
                    self.tau = n / max(error, 1e-6 * n)
                progress.advance("fit rating model")
                calm = calm + 1 if learn and abs(self.tau / before - 1) < tolerance else 0
                if calm == CALM:
                    return round_
        return rounds


def _basis(state: _Fit) -> tuple[Array, Array]:
    """Return (G, G) maps of users and items that keep every prediction but a shift of the mean.

    They whiten the users' factors over the population and decorrelate the items'.
    """
    size = state.users.mean.shape[1]
    centred = state.users.mean[:, 1:] - state.user_prior.mean[0, 1:]
    spread = centred.T @ centred + state.users.covariance[:, 1:, 1:].sum(axis=0)
    root = np.linalg.cholesky(spread / len(centred))
    moved = state.items.mean[:, 1:] @ root
    _, rotation = np.linalg.eigh(moved.T @ moved)
    rotation = rotation[:, ::-1]  # strongest first
    biggest = np.abs(rotation).argmax(axis=0)
    rotation = rotation * np.sign(rotation[biggest, np.arange(size - 1)])
    users, items = np.eye(size), np.eye(size)
    users[1:, 1:] = rotation.T @ np.linalg.inv(root)
    items[1:, 1:] = rotation.T @ root.T
    items[0, 1:] = state.user_prior.mean[0, 1:]  # the average user's taste goes to the item bias
    return users, items


def _to_model(
    state: _Fit, data: Interactions, centre: float, scale: float, rounds: int
) -> RatingModel:
    """Return the fit in the log's units and in the chosen basis."""
    to_users, to_items = _basis(state)
    average = state.user_prior.mean[0]
    users = (state.users.mean - average) @ to_users.T
    items = state.items.mean @ to_items.T
    user_std = _moved_std(state.users.covariance, to_users)
    item_std = _moved_std(state.items.covariance, to_items)
    # Biases and item factors carry the unit; user factors are without one.
    prior = np.linalg.inv(to_users @ np.linalg.inv(state.user_prior.precision) @ to_users.T)
    prior[0] /= scale
    prior[:, 0] /= scale

    def f32(array: Array) -> FloatArray:
        return np.ascontiguousarray(array, dtype=np.float32)

    return RatingModel(
        mean=centre + scale * float(average[0]),
        user_bias=f32(users[:, 0] * scale),
        item_bias=f32(items[:, 0] * scale),
        user_factors=f32(users[:, 1:]),
        item_factors=f32(items[:, 1:] * scale),
        user_std=f32(user_std[:, 1:]),
        user_bias_std=f32(user_std[:, 0] * scale),
        item_std=f32(item_std[:, 1:] * scale),
        item_bias_std=f32(item_std[:, 0] * scale),
        noise_std=scale * state.tau**-0.5,
        prior_precision=np.asarray(prior, dtype=np.float64),
        counts=data.item_counts(),
        user_counts=data.user_counts(),
        low=float(data.values.min()),
        high=float(data.values.max()),
        rounds=rounds,
    )


def _moved_std(covariance: Array, map_: Array) -> Array:
    """Return the deviations (E, G) of Gaussians with covariances (E, G, G) under a linear map."""
    variance = (np.matmul(map_, covariance) * map_).sum(axis=2)
    return np.asarray(np.sqrt(variance))
