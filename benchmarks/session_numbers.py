"""All numbers of a policy's sessions: one a session, and those of all sessions together."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from slategym.benchmarks import diversity, metrics
from slategym.benchmarks.diversity_fairness import exposure_gap, group_gap
from slategym.benchmarks.metric_list import SAMPLED_SLATES
from slategym.benchmarks.rollout import Trajectories
from slategym.benchmarks.statistics import Interval, UserBootstrap, percentile_interval
from slategym.envs.world import World

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.integer]
# Users a group by taste must have: the mean of fewer says little.
_FEWEST = 5


def session_metrics(world: World, run: Trajectories) -> dict[str, FloatArray]:
    """Return every session-level metric of a rollout, each (B,), by key."""
    impressions = (run.shown >= 0).sum(axis=(0, 2))
    clicks = run.clicks.astype(np.float64)
    rate = np.full(len(run), np.nan)
    np.divide(clicks, impressions, out=rate, where=impressions > 0)
    found = {
        "return": run.returns,
        "clicks": clicks,
        "click_rate": rate,
        "minutes": run.minutes,
        "length": run.length.astype(np.float64),
        "stayed": 1.0 - run.left.astype(np.float64),
    }
    if run.purchases is not None:
        found["purchases"] = run.purchases.astype(np.float64)
    return found | _visits(run) | _variety(world, run)


def set_metrics(
    world: World, runs: Sequence[Trajectories], bootstrap: UserBootstrap
) -> dict[str, FloatArray]:
    """Return each set-level metric, (1 + R,): as it is, then on each resample of the users.

    Replicates are shifted to have the estimate as their mean (see
    `slategym.benchmarks.statistics.UserBootstrap.set_replicates`). What a world does not have
    (creators, groups of users) is left out.

    Args:
        world: the world simulated.
        runs: sessions of one policy, one rollout for each seed.
        bootstrap: over the users of these sessions, seeds one after the other.
    """
    exposure = sp.csr_array(
        sp.vstack([metrics.exposure_matrix(run.shown, world.n_items) for run in runs])
    )
    found = {
        "coverage": bootstrap.set_replicates(exposure, metrics.coverage, (0.0, 1.0)),
        "gini": bootstrap.set_replicates(exposure, metrics.gini, (0.0, 1.0)),
    }
    for name, groups in _item_groups(world).items():
        shown = sp.csr_array(exposure @ groups)
        fair = np.asarray(groups.sum(axis=0), np.float64).ravel()
        deserved = fair / max(float(fair.sum()), 1.0)

        def gap(counts: FloatArray, deserved: FloatArray = deserved) -> FloatArray:
            total = counts.sum(axis=-1, keepdims=True)
            shares = np.divide(counts, total, out=np.zeros_like(counts), where=total > 0)
            return exposure_gap(shares, deserved)

        found[f"{name}_gap"] = bootstrap.set_replicates(shown, gap, (0.0, 1.0))
        if name == "creator":
            found["creator_gini"] = bootstrap.set_replicates(shown, metrics.gini, (0.0, 1.0))
    return found | _user_gaps(world, runs, bootstrap)


def interval_of(drawn: FloatArray) -> Interval:
    """Return the interval of a number and its replicates (1 + R,), as `set_metrics` gives them."""
    return percentile_interval(float(drawn[0]), drawn[1:])


def lorenz_of(world: World, runs: Sequence[Trajectories]) -> FloatArray:
    """Return the shares of exposure of the Lorenz curve, at 0, 0.01, ..., 1 of the items (101,)."""
    counts = np.zeros(world.n_items)
    for run in runs:
        counts += np.bincount(run.shown[run.shown >= 0].ravel(), minlength=world.n_items)
    return metrics.lorenz(counts)[1]


def still_there(length: FloatArray) -> list[float]:
    """Return the share of sessions (N,) that see slate t, for t = 1, 2, ... (T,)."""
    return [round(float(np.mean(length >= step)), 5) for step in range(1, int(length.max()) + 1)]


def still_visiting(last_visit: FloatArray) -> dict[str, list[float]]:
    """Return the share of users with a visit on that day or later.

    Args:
        last_visit: day on which the last visit of each session began (N,).

    Returns:
        ``days``, 0 and up to 60 more, and ``share``.
    """
    days = np.linspace(0.0, float(np.ceil(last_visit.max())), 61)
    share = [round(float(np.mean(last_visit >= day)), 5) for day in days]
    return {"days": np.round(days, 4).tolist(), "share": share}


def _visits(run: Trajectories) -> dict[str, FloatArray]:
    """Return what is known of visits and the days between them; nothing where none return."""
    if run.over is None or run.away is None:
        return {}
    away = run.away.astype(np.float64)
    last = run.length - 1
    column = np.arange(len(run))
    # A visit that the horizon cut is one, too.
    visits = run.over.sum(axis=0) + ~run.over[last, column]
    gaps, days = (away > 0).sum(axis=0), away.sum(axis=0)
    return {
        "visits": visits.astype(np.float64),
        "visit_length": run.length / visits,
        "return_days": np.divide(days, gaps, out=np.full(len(run), np.nan), where=gaps > 0),
        # The gap after the last slate leads to a visit beyond the last day.
        "last_visit": days - away[last, column],
    }


def _variety(world: World, run: Trajectories) -> dict[str, FloatArray]:
    """Return diversity, novelty, serendipity and calibration of each session."""
    vectors, topics = world.directions, world.item_topics
    novelty = metrics.self_information(world.item_popularity)
    steps, row = _sampled(run.length)
    lists, clicked = run.shown[steps, row], run.clicked[steps, row]  # (M, K)
    past = history_of(world)[run.users]
    shown = metrics.exposure_matrix(run.shown, world.n_items)
    target = diversity.history_shares(past, topics)
    shares = diversity.history_shares(shown, topics)
    surprise = diversity.serendipity(lists, clicked, sp.csr_array(past[row]), vectors)
    users = len(run)
    return {
        "diversity": metrics.session_diversity(run.shown, vectors),
        "session_diversity": diversity.pooled_diversity(run.shown, vectors),
        "consumed_diversity": diversity.pooled_diversity(run.shown, vectors, run.clicked),
        "vendi": _mean_by_session(diversity.vendi(lists, vectors), row, users),
        "volume": _mean_by_session(diversity.log_volume(lists, vectors), row, users),
        "novelty": metrics.mean_over_shown(run.shown, novelty),
        "serendipity": _mean_by_session(surprise, row, users),
        "topic_entropy": metrics.topic_entropy(run.shown, run.clicked, topics),
        "calibration_kl": diversity.calibration_kl(target, shares),
        "calibration_js": diversity.calibration_js(target, shares),
    }


def _sampled(length: IntArray) -> tuple[IntArray, IntArray]:
    """Return steps and sessions of up to `SAMPLED_SLATES` slates of each session, each (M,)."""
    count = np.minimum(length, SAMPLED_SLATES)
    row = np.repeat(np.arange(len(length)), count)
    place = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)
    return place * length[row] // count[row], row


def _mean_by_session(values: FloatArray, row: IntArray, users: int) -> FloatArray:
    """Return the mean of the known values (M,) of each session (B,); NaN without any."""
    known = np.isfinite(values)
    sums = np.bincount(row[known], weights=values[known], minlength=users)
    count = np.bincount(row[known], minlength=users)
    return np.divide(sums, count, out=np.full(users, np.nan), where=count > 0)


def history_of(world: World) -> sp.csr_array:
    """Return how often each user's public history holds each item (U, I)."""
    user, slot = np.nonzero(world.user_history >= 0)
    columns = world.user_history[user, slot]
    shape = (world.n_users, world.n_items)
    return sp.csr_array((np.ones(len(user)), (user, columns)), shape=shape)


def _item_groups(world: World) -> dict[str, sp.csr_array]:
    """Return what belongs to what, (I, G): topics, and creators where a world has them."""
    found = {}
    if world.n_topics > 1:
        found["topic"] = sp.csr_array(world.item_topics.astype(np.float64))
    creator = world.item_creator
    if creator is not None and len(np.unique(creator[creator >= 0])) > 1:
        known = np.flatnonzero(creator >= 0)
        group = np.unique(creator[known], return_inverse=True)[1]
        shape = (world.n_items, int(group.max()) + 1)
        found["creator"] = sp.csr_array((np.ones(len(known)), (known, group)), shape=shape)
    return found


def _user_gaps(
    world: World, runs: Sequence[Trajectories], bootstrap: UserBootstrap
) -> dict[str, FloatArray]:
    """Return gaps of mean return between groups of users, where there is more than one group."""
    users = np.concatenate([run.users for run in runs])
    returns = np.concatenate([run.returns for run in runs])
    found = {}
    depth = _history_length(world)[users]
    longer = (depth > np.median(_history_length(world))).astype(np.int64)
    if 0 < longer.sum() < len(longer):
        more, less = (
            np.concatenate(
                [[returns[longer == side].mean()], _means(returns, longer, side, bootstrap)]
            )
            for side in (1, 0)
        )
        found["history_gap"] = _centred(more - less)
    taste = diversity.history_shares(history_of(world), world.item_topics)
    group = np.where(taste.sum(axis=1) > 0, taste.argmax(axis=1), -1)[users]
    kept = [g for g in np.unique(group[group >= 0]) if len(np.unique(users[group == g])) >= _FEWEST]
    if len(kept) > 1:
        each = np.stack([_means(returns, group, g, bootstrap) for g in kept])
        estimate = group_gap(returns, np.where(np.isin(group, kept), group, -1), world.n_topics)
        spread = _centred(np.concatenate([[estimate], np.nanmax(each, 0) - np.nanmin(each, 0)]))
        found["taste_gap"] = np.maximum(spread, 0.0)
    return found


def _means(values: FloatArray, group: IntArray, which: int, bootstrap: UserBootstrap) -> FloatArray:
    """Return the mean of a group's sessions on each resample (R,)."""
    if bootstrap.groups < 2:
        return np.full(len(bootstrap.weights), np.nan)
    return bootstrap.mean_replicates(np.where(group == which, values, np.nan))


def _centred(drawn: FloatArray) -> FloatArray:
    """Return a number and its replicates (1 + R,), these shifted to have it as their mean."""
    known = drawn[1:][np.isfinite(drawn[1:])]
    shift = drawn[0] - known.mean() if known.size else 0.0
    return np.concatenate([drawn[:1], drawn[1:] + shift])


def _history_length(world: World) -> IntArray:
    """Return how many public interactions each user has (U,): of the log, if there is one."""
    if world.has_log:
        return np.bincount(world.public_log.users, minlength=world.n_users)
    return (world.user_history >= 0).sum(axis=1)
