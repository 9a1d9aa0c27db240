"""From sessions to results: leaderboard, paired differences, and the sentence on top."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from slategym.benchmarks.comparison import all_pairs
from slategym.benchmarks.manifest import world_facts
from slategym.benchmarks.metric_list import METRICS
from slategym.benchmarks.rollout import Trajectories
from slategym.benchmarks.session_numbers import (
    interval_of,
    lorenz_of,
    session_metrics,
    set_metrics,
    still_there,
    still_visiting,
)
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
    """A policy with its numbers."""

    policy: PolicyRuns
    sessions: dict[str, FloatArray]  # each (N,)
    sets: dict[str, Interval]
    lorenz: FloatArray  # (101,)


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
        (_measure(world, policy, bootstrap) for policy in policies),
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
        **_together(measured, bootstrap),
        "sessions_per_policy": len(first.users),
        "distinct_users": bootstrap.groups,
        "replicates": len(bootstrap.weights),
        "metrics": [metric.__dict__ for metric in METRICS],
        "world": world_facts(world),
    }


def _measure(world: World, policy: PolicyRuns, bootstrap: UserBootstrap) -> _Measured:
    """Return the numbers of a policy."""
    parts = [session_metrics(world, run) for run in policy.runs]
    known = [key for key in parts[0] if all(key in part for part in parts)]
    sessions = {key: np.concatenate([part[key] for part in parts]) for key in known}
    drawn = set_metrics(world, policy.runs, bootstrap)
    sets = {key: interval_of(values) for key, values in drawn.items()}
    return _Measured(policy, sessions, sets, lorenz_of(world, policy.runs))


def _row(one: _Measured, bootstrap: UserBootstrap) -> dict[str, Any]:
    """Return a policy's line of the leaderboard."""
    numbers = {key: bootstrap.mean(values) for key, values in one.sessions.items()} | one.sets
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


def _together(measured: Sequence[_Measured], bootstrap: UserBootstrap) -> dict[str, Any]:
    """Return the curves of all policies, and each policy against each other."""
    return {
        "survival": {one.policy.name: still_there(one.sessions["length"]) for one in measured},
        "returning": {
            one.policy.name: still_visiting(one.sessions["last_visit"])
            for one in measured
            if "last_visit" in one.sessions
        },
        "lorenz": {one.policy.name: _lorenz(one) for one in measured},
        "compared": all_pairs(
            {one.policy.name: float(one.sessions["return"].mean()) for one in measured},
            {one.policy.name: _replicates(one, bootstrap) for one in measured},
            bootstrap.groups,
        ),
    }


def _replicates(one: _Measured, bootstrap: UserBootstrap) -> FloatArray:
    """Return the mean return on each resample (R,)."""
    drawn = bootstrap.mean_replicates(one.sessions["return"])
    return drawn if bootstrap.groups > 1 else np.full_like(drawn, np.nan)


def _lorenz(one: _Measured) -> dict[str, list[float]]:
    """Return the Lorenz curve of exposure."""
    items = np.linspace(0.0, 1.0, len(one.lorenz))
    return {"items": np.round(items, 4).tolist(), "exposure": np.round(one.lorenz, 5).tolist()}
