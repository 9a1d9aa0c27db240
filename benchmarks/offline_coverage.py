"""Do intervals cover on our own environments? ``python -m slategym.benchmarks.offline_coverage``.

One policy writes a few hundred short logs of a world and of two classics; others are judged from
each, and every interval is held against the true value, which the simulator knows.
"""

import argparse
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from slategym.agents.classic_rules import make_classic_policy
from slategym.agents.policy import make_policy
from slategym.agents.stochastic import StochasticPolicy, with_propensities
from slategym.benchmarks.log_judging import EPISODE_NAMES, episode_estimate, slate_estimate
from slategym.benchmarks.log_truth import step_truth, true_returns
from slategym.benchmarks.log_views import LogFeatures, LogViews, views_of
from slategym.benchmarks.log_writer import BLOCK, log_blocks
from slategym.benchmarks.ope_bandit import doubly_robust
from slategym.benchmarks.ope_coverage import (
    RESAMPLES,
    Line,
    Tally,
    line_of,
    markdown,
    shared_bootstrap,
    verdict_table,
)
from slategym.benchmarks.ope_estimate import Estimate, effective_sample_size
from slategym.benchmarks.ope_intervals import Clusters, bernstein_interval, delta_interval
from slategym.benchmarks.ope_sequence import SEQUENCE_ESTIMATORS
from slategym.benchmarks.ope_verdict import estimate_table
from slategym.benchmarks.statistics import percentile_interval
from slategym.envs.classic_variant import ClassicVariant
from slategym.envs.protocol import AnyVariant
from slategym.envs.registry import get_variant
from slategym.envs.tiny import tiny_world
from slategym.envs.world import World
from slategym.errors import SlateGymError
from slategym.files import write_json

LOGS = 300
TRUTH_USERS = 16384
GAMMA = 0.95
Named = tuple[str, Mapping[str, float]]


@dataclass(frozen=True)
class OwnSetting:
    """An environment, the policy that writes its logs, and those that are judged.

    Attributes:
        variant: a registered id.
        changes: constants of it that are changed; a short horizon keeps logs cheap.
        behaviour: name and wrap of the policy that writes.
        judged: names and wraps of the others.
        estimators: what is tried.
    """

    variant: str
    changes: Mapping[str, float]
    behaviour: Named
    judged: tuple[Named, ...]
    estimators: tuple[str, ...]


_SLATE = ("ipw", "snipw", "dr", "sndr", "dm")
_EPISODE = ("pdis", "snpdis", "seq_dr", "fqe")
_SLOTS = ("sniips", "snrips", "cascade_dr")
SETTINGS: tuple[OwnSetting, ...] = (
    OwnSetting(
        "slategym/World-v0",
        {"slate_size": 2, "num_candidates": 10, "horizon": 4},
        ("cf-greedy", {"temperature": 0.7}),
        (("random", {}), ("cf-greedy", {"temperature": 0.3})),
        (*_SLATE, *_SLOTS, "snmips", "offcem", *_EPISODE),
    ),
    OwnSetting(
        "slategym/LongTermSatisfaction-v0",
        {"time_budget": 3.0},
        ("random", {}),
        (("kale", {"epsilon": 0.75}), ("choc", {"epsilon": 0.75})),
        (*_SLATE, *_EPISODE),
    ),
    OwnSetting(
        "slategym/InterestExploration-v0",
        {"horizon": 4, "slate_size": 1, "num_candidates": 8},
        ("random", {}),
        (("quality", {"epsilon": 0.7}), ("bayes", {"epsilon": 0.7})),
        (*_SLATE, *_EPISODE),
    ),
)


def coverage_world() -> World:
    """Return a synthetic world of 2,000 users, so that a log meets most of its users once.

    The truth is a mean over all users. With few of them every log would hold them all, and
    intervals that resample users would cover too often.
    """
    return tiny_world(users=2000)


def run_own(
    setting: OwnSetting,
    world: World | None,
    *,
    logs: int = LOGS,
    truth_users: int = TRUTH_USERS,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> list[Line]:
    """Return the lines of one environment.

    Args:
        setting: what is tried.
        world: what a world variant is run in; None for a classic.
        logs: M, logs of `BLOCK` episodes each.
        truth_users: users the truth is measured on, under another seed.
        resamples: of each bootstrap.
        seed: of logs and resamples.
    """
    variant = get_variant(setting.variant).override(**setting.changes)
    behaviour = _policy(setting.behaviour, variant, world)
    judged = [_policy(one, variant, world) for one in setting.judged]
    truth_seed = seed + 1_000_003
    users = truth_users
    step = step_truth(behaviour, judged, variant, world, users=users, seed=truth_seed).value
    (returns,) = true_returns(judged, variant, world, users=users, seed=truth_seed, gammas=(GAMMA,))
    truths = [
        {name: float(whole.mean() if name in EPISODE_NAMES else one) for name in setting.estimators}
        for one, whole in zip(step, returns, strict=True)
    ]
    seen = [_Seen(setting.estimators, truth) for truth in truths]
    blocks = log_blocks(behaviour, variant, world=world, users=logs * BLOCK, seed=seed)
    for number, log in enumerate(blocks):
        known = LogFeatures.of(log, world, pooled="snmips" in setting.estimators)
        for policy, tallies in zip(judged, seen, strict=True):
            tallies.add(views_of(known, policy, gamma=GAMMA), resamples, seed + number)
    short = setting.variant.removeprefix("slategym/")
    return [
        line_of(f"{short}, {policy.name}", name, *tallies.of(name))
        for policy, tallies in zip(judged, seen, strict=True)
        for name in setting.estimators
    ]


def _policy(named: Named, variant: AnyVariant, world: World | None) -> StochasticPolicy:
    """Return a policy that gives probabilities."""
    name, wrap = named
    if isinstance(variant, ClassicVariant):
        return with_propensities(make_classic_policy(name, variant), **wrap)
    assert world is not None
    return with_propensities(make_policy(name, world, variant.slate_size), **wrap)


class _Seen:
    """What was seen of one judged policy.

    Args:
        names: of estimators.
        truth: true value of each.
    """

    def __init__(self, names: Sequence[str], truth: Mapping[str, float]) -> None:
        self.truth = truth
        self.tallies = {name: Tally() for name in names}
        self.shares: dict[str, list[float]] = defaultdict(list)

    def of(self, name: str) -> tuple[Tally, float, float]:
        """Return the tally of an estimator, its truth and its share of effective units."""
        shares = self.shares[name]
        return self.tallies[name], self.truth[name], float(np.mean(shares))

    def add(self, views: LogViews, resamples: int, seed: int) -> None:
        """Count one log."""
        slates = [n for n in self.tallies if n not in EPISODE_NAMES]
        whole = [n for n in self.tallies if n in EPISODE_NAMES]
        reference = doubly_robust(views.bandit)
        self._count(slates, slate_estimate, views, views.user, reference, resamples, seed)
        reference = SEQUENCE_ESTIMATORS["dr"](views.sequence)
        self._count(whole, episode_estimate, views, views.episode_user, reference, resamples, seed)

    def _count(
        self,
        names: Sequence[str],
        make: Callable[[str, LogViews], Estimate | None],
        views: LogViews,
        users: np.ndarray[tuple[int], np.dtype[np.int64]],
        reference: Estimate,
        resamples: int,
        seed: int,
    ) -> None:
        """Count estimates on the same units."""
        made = [make(name, views) for name in names]
        estimates = [one for one in made if one is not None]
        clusters = Clusters.of(users, len(users))
        rows = estimate_table(
            estimates, users=clusters, reference=reference, method="delta", seed=seed
        )
        drawn = shared_bootstrap(estimates, clusters, resamples, seed)
        for one, row, ends in zip(estimates, rows, drawn, strict=True):
            tally, truth = self.tallies[one.name], self.truth[one.name]
            tally.errors.append(one.value - truth)
            tally.verdicts.append(row.verdict)
            tally.spread.append(float(clusters.users))
            self.shares[one.name].append(effective_sample_size(one.weights) / len(users))
            if one.name == "fqe":  # fitted again on each resample of users
                refitted = percentile_interval(views.fitted.value, views.fitted.replicates)
                tally.add("bootstrap", refitted, truth)
                continue
            for method, told in ends.items():
                tally.add(method, told, truth)
            tally.add("delta", delta_interval(one, clusters), truth)
            tally.add("Bernstein", bernstein_interval(one, clusters), truth)


def _plain(line: Line) -> dict[str, Any]:
    """Return a line as JSON; what has no weights has no share of effective units."""
    return asdict(line) | {"share": line.share if np.isfinite(line.share) else None}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run all settings and print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m slategym.benchmarks.offline_coverage", description=__doc__
    )
    parser.add_argument("--logs", type=int, default=LOGS, help="logs of each environment")
    parser.add_argument("--truth-users", type=int, default=TRUTH_USERS, help="users of the truth")
    parser.add_argument("--resamples", type=int, default=RESAMPLES, help="resamples a bootstrap")
    parser.add_argument("--seed", type=int, default=0, help="seed of logs and resamples")
    parser.add_argument("--variant", action="append", help="an id; repeatable; default: all three")
    parser.add_argument("--json", type=Path, default=None, help="also write the numbers here")
    given = parser.parse_args(arguments)
    lines: list[Line] = []
    start = time.monotonic()
    try:
        for setting in SETTINGS:
            if given.variant and setting.variant not in given.variant:
                continue
            classic = get_variant(setting.variant).family != "world"
            lines += run_own(
                setting,
                None if classic else coverage_world(),
                logs=given.logs,
                truth_users=given.truth_users,
                resamples=given.resamples,
                seed=given.seed,
            )
            sys.stderr.write(f"{setting.variant}: {time.monotonic() - start:.0f} s\n")
        if given.json is not None:
            write_json(given.json, {"lines": [_plain(line) for line in lines]})
    except SlateGymError as error:
        sys.stderr.write(f"error: {error}\n")
        raise SystemExit(error.exit_code) from None
    sys.stdout.write(f"{markdown(lines)}\n{verdict_table(lines)}")


if __name__ == "__main__":
    main()
