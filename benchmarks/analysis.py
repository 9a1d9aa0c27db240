"""From sessions to results: leaderboard, paired differences, and the sentence on top."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from slategym.benchmarks import metrics
from slategym.benchmarks.rollout import Trajectories
from slategym.benchmarks.statistics import Interval, UserBootstrap, paired_superiority
from slategym.envs.world import World
from slategym.errors import DataError

FloatArray = npt.NDArray[np.float64]

# Differences are shown for these; the rest are in the leaderboard.
PAIRED_METRICS = ("return", "clicks", "minutes", "length", "diversity", "novelty")
_LABELS = {
    "random": "Random",
    "popularity": "Popularity",
    "quality": "Quality",
    "threshold": "Thresholds",
    "sequence": "Sequential rules",
    "cf-greedy": "CF-greedy",
    "cf-mmr": "CF + MMR",
    "cf-dpp": "CF + DPP",
    "cf-calibrated": "CF, calibrated",
    "cf-rested": "CF + rest",
    "linucb": "LinUCB",
    "lin-ts": "Linear Thompson",
    "epsilon-greedy": "Epsilon-greedy",
    "oracle-myopic": "Oracle (myopic)",
    "agent": "Trained agent",
}


@dataclass(frozen=True)
class PolicyRuns:
    """A policy and its sessions, one `Trajectories` for each seed, seeds in the same order.

    Attributes:
        name: unique name.
        kind: "agent", "baseline" or "reference" (sees what no platform sees; never a winner).
        fingerprint: what identifies the policy.
        runs: its sessions.
        seconds: wall time of the rollouts.
    """

    name: str
    kind: str
    fingerprint: str
    runs: tuple[Trajectories, ...]
    seconds: float = 0.0

    @property
    def label(self) -> str:
        """Name for people."""
        return _LABELS.get(self.name, self.name)

    @property
    def phrase(self) -> str:
        """Name inside a sentence."""
        return "the trained agent" if self.label == _LABELS["agent"] else self.label

    @cached_property
    def users(self) -> npt.NDArray[np.int32]:
        """World row of the user of each session, seeds one after the other (N,)."""
        return np.concatenate([run.users for run in self.runs])


@dataclass(frozen=True)
class _Measured:
    """A policy with one number a session for each session-level metric, and its exposure."""

    policy: PolicyRuns
    sessions: dict[str, FloatArray]  # each (N,)
    exposure: sp.csr_array  # (N, I)


def analyse(world: World, policies: Sequence[PolicyRuns], *, seed: int = 0) -> dict[str, Any]:
    """Return leaderboard, paired differences, verdict and curves as JSON.

    Args:
        world: the world simulated.
        policies: the policies with their sessions; all on the same user streams.
        seed: seed of the resampling.

    Raises:
        DataError: two policies did not meet the same users.
    """
    first = policies[0]
    for other in policies[1:]:
        if not np.array_equal(first.users, other.users):
            raise DataError(
                f"policies {first.name!r} and {other.name!r} did not meet the same users, so "
                "they cannot be compared; run the benchmark again into a new folder."
            )
    bootstrap = UserBootstrap(first.users, seed=seed)
    measured = sorted(
        (_measure(world, policy) for policy in policies),
        key=lambda one: -float(one.sessions["return"].mean()),
    )
    rows = [_row(one, bootstrap) for one in measured]
    winner, reference = _winner(measured), _reference(measured)
    paired = [_paired(one, reference, bootstrap) for one in measured if one is not reference]
    against = [
        _paired(winner, one, bootstrap)
        for one in measured
        if one is not winner and one.policy.kind != "reference"
    ]
    return {
        "policies": rows,
        "winner": winner.policy.name,
        "reference": reference.policy.name,
        "paired": paired,
        "against_winner": against,
        **_verdict(winner, against, {one.policy.name: one for one in measured}),
        "survival": {one.policy.name: _survival(one.policy) for one in measured},
        "lorenz": {one.policy.name: _lorenz(one) for one in measured},
        "sessions_per_policy": len(first.users),
        "distinct_users": bootstrap.groups,
        "replicates": len(bootstrap.weights),
        "metrics": [metric.__dict__ for metric in metrics.METRICS],
        "world": _world(world),
    }


def _measure(world: World, policy: PolicyRuns) -> _Measured:
    """Return the session-level numbers of a policy."""
    parts = [session_metrics(world, run) for run in policy.runs]
    sessions = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    exposure = [metrics.exposure_matrix(run.shown, world.n_items) for run in policy.runs]
    return _Measured(policy, sessions, sp.csr_array(sp.vstack(exposure)))


def session_metrics(world: World, run: Trajectories) -> dict[str, FloatArray]:
    """Return every session-level metric of a rollout, each (B,), by key."""
    impressions = (run.shown >= 0).sum(axis=(0, 2))
    novelty = metrics.self_information(world.item_popularity)
    clicks = run.clicks.astype(np.float64)
    rate = np.full(len(run), np.nan)
    np.divide(clicks, impressions, out=rate, where=impressions > 0)
    return {
        "return": run.returns,
        "clicks": clicks,
        "click_rate": rate,
        "minutes": run.minutes,
        "length": run.length.astype(np.float64),
        "diversity": metrics.session_diversity(run.shown, world.directions),
        "novelty": metrics.mean_over_shown(run.shown, novelty),
        "topic_entropy": metrics.topic_entropy(run.shown, run.clicked, world.item_topics),
    }


def _row(one: _Measured, bootstrap: UserBootstrap) -> dict[str, Any]:
    """Return a policy's line of the leaderboard."""
    numbers = {key: bootstrap.mean(values) for key, values in one.sessions.items()}
    sets = {"coverage": metrics.coverage, "gini": metrics.gini}
    for key, statistic in sets.items():
        numbers[key] = bootstrap.set_statistic(one.exposure, statistic, (0.0, 1.0))
    return {
        "name": one.policy.name,
        "label": one.policy.label,
        "phrase": one.policy.phrase,
        "kind": one.policy.kind,
        "fingerprint": one.policy.fingerprint,
        "seconds": round(one.policy.seconds, 3),
        "left": round(float(np.mean(np.concatenate([r.left for r in one.policy.runs]))), 4),
        "metrics": {key: interval.to_json() for key, interval in numbers.items()},
    }


def _winner(measured: Sequence[_Measured]) -> _Measured:
    """Return the policy with the highest mean return that a platform could run."""
    return next((one for one in measured if one.policy.kind != "reference"), measured[0])


def _reference(measured: Sequence[_Measured]) -> _Measured:
    """Return what differences are taken against: the best trained agent, else the winner."""
    return next((one for one in measured if one.policy.kind == "agent"), _winner(measured))


def _paired(one: _Measured, other: _Measured, bootstrap: UserBootstrap) -> dict[str, Any]:
    """Return the paired differences ``one`` minus ``other``, over the same users."""
    differences = {
        key: bootstrap.difference(one.sessions[key], other.sessions[key]) for key in PAIRED_METRICS
    }
    first, second = one.sessions["return"], other.sessions["return"]
    varying = first.std() > 0 and second.std() > 0
    return {
        "policy": one.policy.name,
        "against": other.policy.name,
        "metrics": {key: interval.to_json() for key, interval in differences.items()},
        "excludes_zero": differences["return"].excludes_zero,
        "superiority": paired_superiority(first, second),
        "correlation": float(np.corrcoef(first, second)[0, 1]) if varying else None,
    }


def _verdict(
    winner: _Measured, against: Sequence[dict[str, Any]], measured: dict[str, _Measured]
) -> dict[str, Any]:
    """Return the title and the one-sentence verdict."""
    name = winner.policy.label
    if not against:
        text = f"{name} was run without a rival, so there is nothing to compare it with."
        return {"title": f"{name}, without a rival", "verdict": text, "decided": False}
    closest = min(against, key=lambda pair: pair["metrics"]["return"]["estimate"])
    interval = Interval.from_json(closest["metrics"]["return"])
    rival = measured[closest["against"]]
    base = float(rival.sessions["return"].mean())
    tied = [
        measured[pair["against"]].policy.phrase for pair in against if not pair["excludes_zero"]
    ]
    share = f" ({100 * interval.estimate / abs(base):+.0f} %)" if abs(base) > 1e-9 else ""
    gain = (
        f"a mean return of {winner.sessions['return'].mean():.2f} a session, "
        f"{interval.estimate:+.2f}{share} over {rival.policy.phrase}, the next best"
    )
    ends = f"[{interval.low:+.2f}, {interval.high:+.2f}]"
    if np.isnan(interval.low):
        title = f"No clear winner: {name} leads, but with a single user"
        verdict = f"{name} has {gain}; a single user leaves nothing to tell chance by."
    elif tied:
        title = f"No clear winner: {name} leads, but not beyond chance"
        verdict = (
            f"{name} has {gain}; the paired 95 % interval {ends} "
            f"{'excludes' if interval.excludes_zero else 'includes'} 0, and it cannot be told "
            f"from {_listed(tied)}."
        )
    else:
        title = f"{name} wins, {interval.estimate:+.2f}{share} over {rival.policy.phrase}"
        verdict = (
            f"{name} wins with {gain}; the paired 95 % interval {ends} excludes 0"
            f"{_others(against, measured)}."
        )
    return {"title": title, "verdict": verdict, "decided": not tied}


def _others(against: Sequence[dict[str, Any]], measured: dict[str, _Measured]) -> str:
    """Return for whom else a win holds; a reference may well have the higher return."""
    if len(against) < 2:
        return ""
    which = any(one.policy.kind == "reference" for one in measured.values())
    return f", as it does against every other policy{' that a platform could run' * which}"


def _listed(names: Sequence[str]) -> str:
    """Return names as "a, b and c"."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _survival(policy: PolicyRuns) -> list[float]:
    """Return the share of sessions that see slate t, for t = 1, 2, ... (T,)."""
    length = np.concatenate([run.length for run in policy.runs])
    steps = np.arange(1, int(length.max()) + 1)
    return [round(float(np.mean(length >= step)), 5) for step in steps]


def _lorenz(one: _Measured) -> dict[str, list[float]]:
    """Return the Lorenz curve of exposure."""
    items, exposure = metrics.lorenz(np.asarray(one.exposure.sum(axis=0)).ravel())
    return {"items": np.round(items, 4).tolist(), "exposure": np.round(exposure, 5).tolist()}


def _world(world: World) -> dict[str, Any]:
    """Return what the report says about the world."""
    info = world.info
    return {
        "name": info.name,
        "hash": world.hash,
        "synthetic": info.synthetic,
        "items": world.n_items,
        "users": world.n_users,
        "source": info.source,
        "licence": info.licence,
        "assumptions": list(info.assumptions),
        "metrics": dict(info.metrics),
        "provenance": dict(info.provenance),
    }
