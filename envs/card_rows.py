"""The rows a world card judges: held-out rows of all users, and later rows of held-out users.

Letters: N rows, U users, I items, F factors, B held-out users.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from slategym.cf_baselines.calibration import ClickModel, fit_click_model, labelled
from slategym.cf_baselines.factorization import FoldedUsers, RatingModel
from slategym.cf_baselines.interactions import Interactions
from slategym.cf_baselines.logistic import BiasLogit, log_losses
from slategym.envs.arrays import BoolArray, DoubleArray, LongArray
from slategym.envs.build_models import fit_with_content
from slategym.envs.card_scores import Judged
from slategym.envs.scenario_make import click_threshold, content_of, fit_settings
from slategym.envs.world import World
from slategym.envs.world_log import PUBLIC, TEST, VALIDATION

PAST = 0.5  # share of a held-out user's rows, the oldest, that is folded in
MOST_PAST = 300  # rows of a user that are folded in, the newest of these
MOST_FITTED = 1_000_000  # public rows a refit reads; of more, whole users are left out
MOST_JUDGED = 200_000
_PRIORS = (1.0, 3.0, 10.0, 30.0)  # rows that the global rate counts for, in an item's mean
_PRECISIONS = (0.5, 1.0, 2.0, 4.0, 8.0)  # of the biases' prior
_FOLDED_AT_ONCE = 256


@dataclass(frozen=True, eq=False)
class Held:
    """Later rows of held-out users, and what a model that never saw these users knows of them.

    Attributes:
        rows: with every way's probabilities.
        model: the rating model fitted on the training users.
        click: its calibration, on validation rows of the training users.
        state: what the past rows of the B held-out users tell.
        place: (N,) place of each row's user in ``state``.
        values: (N,) the value given, in the log's units.
    """

    rows: Judged
    model: RatingModel
    click: ClickModel
    state: FoldedUsers
    place: LongArray
    values: DoubleArray

    def predicted(self, bias: DoubleArray, factors: DoubleArray) -> DoubleArray:
        """Return the expected value of each row (N,) for users of given bias and taste."""
        items, model = self.rows.items, self.model
        taste = (factors[self.place] * model.item_factors[items]).sum(axis=1)
        return np.asarray(model.mean + bias[self.place] + model.item_bias[items] + taste)

    def drawn(self, rng: np.random.Generator) -> DoubleArray:
        """Return the value of each row (N,) for tastes drawn around what the past tells."""
        noise = rng.standard_normal(self.state.factors.shape)
        return self.predicted(
            self.state.bias.astype(np.float64), self.state.factors + self.state.std * noise
        )


def split_rows(world: World, part: int) -> LongArray:
    """Return the rows of the log in one split, ascending."""
    return np.flatnonzero(np.asarray(world.log_split) == part)


def judged_rows(world: World, seed: int) -> Judged | None:
    """Return the test rows with what the world's public model predicts; None if there are none.

    The model is the one in the world, its clicks calibrated as the simulator's are. The simpler
    ways are fitted on the public rows and smoothed as suits the validation rows.
    """
    log, threshold = world.log, click_threshold(world)
    test = capped_rows(log, split_rows(world, TEST), seed)
    if not len(test):
        return None
    train, validation, rows = (
        labelled(log, part, threshold, seed=seed + number)
        for number, part in enumerate(
            (split_rows(world, PUBLIC), split_rows(world, VALIDATION), test)
        )
    )
    taste = (world.public_user_factors[rows.users] * world.public_item_factors[rows.items]).sum(1)
    bias = world.public_user_bias[rows.users] + world.public_item_bias[rows.items]
    value = world.info.public_mean + bias + taste
    own = expit(world.info.click_intercept + world.info.click_slope * value.astype(np.float64))
    return _judged(rows, own, train, validation)


def held_out_users(world: World, seed: int) -> Held | None:
    """Return the later rows of held-out users, predicted by a model that never saw these users.

    The model is fitted on the public rows of the training users, its clicks on their validation
    rows. The older half of a held-out user's rows is folded in, the newer half predicted. The
    simpler ways are fitted on both, so they know these users' past too.

    Returns:
        None if no user is held out, or none has two rows.
    """
    log, threshold = world.log, click_threshold(world)
    held = (world.users["split"] == "held_out").to_numpy()
    past, later = past_and_later(log, held)
    if not len(later) or held.all():
        return None
    later = capped_rows(log, later, seed)
    factors, fit_seed, _ = fit_settings(world)
    public, check = split_rows(world, PUBLIC), split_rows(world, VALIDATION)
    fitted = capped_rows(log, public[~held[log.users[public]]], seed, MOST_FITTED)
    check = check[~held[log.users[check]]]
    model, _ = fit_with_content(log, fitted, content_of(world), factors, fit_seed)
    click = fit_click_model(model, log, check, positive=threshold, seed=fit_seed)
    told = labelled(log, past, threshold, seed=seed) if log.implicit else log.take(past)
    state, where = fold_users(model, told)
    rows = labelled(log, later, threshold, seed=seed + 2)
    known = labelled(log, np.sort(np.concatenate([fitted, past])), threshold, seed=seed)
    validation = labelled(log, check, threshold, seed=seed + 1)
    empty = Judged(rows.users, rows.items, rows.values.astype(np.float64), {})
    values = rows.values if log.implicit else log.values[later]
    found = Held(empty, model, click, state, where[rows.users], values.astype(np.float64))
    value = found.predicted(state.bias.astype(np.float64), state.factors.astype(np.float64))
    own = click.probability(value).astype(np.float64)
    judged = _judged(rows, own, known, validation)
    return Held(judged, model, click, state, found.place, found.values)


def past_and_later(log: Interactions, held: BoolArray) -> tuple[LongArray, LongArray]:
    """Return the older and the newer rows of some users, each ascending.

    Rows of one second are in the order of the log. A user with one row is left out.

    Args:
        log: the log.
        held: (U,) mask of the users.
    """
    mine = np.flatnonzero(held[log.users])
    order = mine[np.lexsort((mine, log.times[mine], log.users[mine]))]
    users = log.users[order]
    counts = np.bincount(users, minlength=len(log.user_ids))
    place = np.arange(len(order)) - (np.cumsum(counts) - counts)[users]
    cut = np.ceil(PAST * counts).astype(np.int64)[users]
    enough = counts[users] > 1
    recent = place >= cut - MOST_PAST
    older, newer = enough & (place < cut) & recent, enough & (place >= cut)
    return np.sort(order[older]), np.sort(order[newer])


def fold_users(model: RatingModel, told: Interactions) -> tuple[FoldedUsers, LongArray]:
    """Return what a model makes of users' rows, and the place (U,) of each user, -1 for none."""
    found, place = np.unique(told.users, return_inverse=True)
    where = np.full(len(told.user_ids), -1, dtype=np.int64)
    where[found] = np.arange(len(found))
    order = np.argsort(place, kind="stable")
    counts = np.bincount(place, minlength=len(found))
    slot = np.arange(len(order)) - (np.cumsum(counts) - counts)[place[order]]
    items = np.full((len(found), int(counts.max(initial=1))), -1, dtype=np.int64)
    values = np.zeros(items.shape)
    items[place[order], slot] = told.items[order]
    values[place[order], slot] = told.values[order]
    parts = [
        model.fold_in(
            items[start : start + _FOLDED_AT_ONCE], values[start : start + _FOLDED_AT_ONCE]
        )
        for start in range(0, len(found), _FOLDED_AT_ONCE)
    ]
    whole = (np.concatenate([getattr(p, n) for p in parts]) for n in ("bias", "factors", "std"))
    return FoldedUsers(*whole), where


def capped_rows(
    log: Interactions, rows: LongArray, seed: int, most: int = MOST_JUDGED
) -> LongArray:
    """Return the rows of as many whole users as fit in ``most`` rows, chosen by the seed."""
    if len(rows) <= most:
        return rows
    counts = log.user_counts(rows)
    order = np.random.default_rng(seed).permutation(len(counts))
    kept = np.zeros(len(counts), dtype=np.bool_)
    kept[order[np.cumsum(counts[order]) <= most]] = True
    return np.asarray(rows[kept[log.users[rows]]])


def _judged(
    rows: Interactions, own: DoubleArray, train: Interactions, validation: Interactions
) -> Judged:
    """Return labelled rows with the model's probabilities and those of three simpler ways."""
    rate = float(train.values.mean())
    ways = {
        "model": own,
        "global_rate": np.full(len(rows), rate),
        "item_mean": _best([_item_mean(train, rate, prior) for prior in _PRIORS], validation)(rows),
        "user_item_bias": _best([_biases(train, size) for size in _PRECISIONS], validation)(rows),
    }
    return Judged(rows.users, rows.items, rows.values.astype(np.float64), ways)


_Way = Callable[[Interactions], DoubleArray]


def _item_mean(train: Interactions, rate: float, prior: float) -> _Way:
    """Return the share of positives of each item, smoothed, as a function of rows."""
    hits = np.bincount(train.items, train.values, len(train.item_ids))
    share = (hits + prior * rate) / (train.item_counts() + prior)
    return lambda rows: np.asarray(share[rows.items])


def _biases(train: Interactions, precision: float) -> _Way:
    """Return a logistic model with a bias for each user and item, as a function of rows."""
    fitted = BiasLogit(train, precision)
    return lambda rows: fitted.probability(rows.users, rows.items)


def _best(ways: list[_Way], validation: Interactions) -> _Way:
    """Return the way with the least log loss on the validation rows, the first of equals."""
    if not len(validation):
        return ways[len(ways) // 2]
    label = validation.values.astype(np.float64)
    losses = [float(log_losses(way(validation), label).mean()) for way in ways]
    return ways[int(np.argmin(losses))]
