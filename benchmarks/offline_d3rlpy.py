"""Agents of d3rlpy, judged both ways: ``python -m slategym.benchmarks.offline_d3rlpy``.

CQL, IQL and others, trained on a log alone, against policies trained or written otherwise: what
they earn in simulation, and what another log says that they would earn. Needs the extra ``d3rlpy``.
"""

import argparse
import contextlib
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from slategym.agents.policy import Policy, for_variant, make_policy
from slategym.agents.stochastic import with_propensities
from slategym.benchmarks.log_d3rlpy import ALGORITHMS, import_d3rlpy, train_d3rlpy
from slategym.benchmarks.log_judging import USUAL, best_row, judge
from slategym.benchmarks.log_reader import read_log
from slategym.benchmarks.log_schema import Log
from slategym.benchmarks.log_truth import step_truth, true_returns
from slategym.benchmarks.log_views import LogFeatures
from slategym.benchmarks.log_writer import write_log
from slategym.benchmarks.ope_verdict import Row
from slategym.benchmarks.rollout import rollout
from slategym.envs.protocol import AnyVariant
from slategym.envs.registry import get_variant
from slategym.envs.world import World
from slategym.envs.worlds import as_world
from slategym.errors import SlateGymError

GAMMA = 0.95
RULES = ("random", "cf-greedy", "cf-rested")


@dataclass(frozen=True)
class D3rlpySettings:
    """What is trained and how it is judged."""

    variant: str = "slategym/World-v0"
    """A registered id of a world."""
    slate_size: int | None = None
    """K; None: the variant's own. 1 for discrete algorithms."""
    algorithms: tuple[str, ...] = ("bc", "iql", "cql")
    """Keys of `slategym.benchmarks.log_d3rlpy.ALGORITHMS`."""
    temperature: float = 0.7
    """Of ``cf-greedy``, which writes both logs."""
    users: int = 1024
    """Episodes of each log, and of each truth."""
    steps: int = 2000
    """Gradient steps of each algorithm."""
    width: int = 64
    """Of the hidden layers."""
    epsilon: float = 0.2
    """Of random slates with which agents are judged from the log."""
    seed: int = 0
    """Of training."""


@dataclass(frozen=True)
class Judged:
    """One policy judged both ways.

    Attributes:
        name: of the policy.
        value: mean return of held-out sessions, all policies meeting the same users.
        error: its standard error.
        seconds: of CPU, to train it; NaN if it was not trained.
        slate: the row to go by for one slate, from the log; None if there is none.
        slate_truth: of one slate.
        episode: the row to go by for the discounted return.
        episode_truth: discounted return.
    """

    name: str
    value: float
    error: float
    seconds: float
    slate: Row | None
    slate_truth: float
    episode: Row | None
    episode_truth: float


def run_d3rlpy(settings: D3rlpySettings, world: World) -> list[Judged]:
    """Return rules and agents of d3rlpy, judged in simulation and from a log.

    Args:
        settings: what to do.
        world: where.

    Raises:
        SlateGymError: d3rlpy is not installed.
        UsageError: an unknown algorithm, or one that takes no slates.
    """
    import_d3rlpy()  # refused before anything is simulated
    variant: AnyVariant = get_variant(settings.variant)
    if settings.slate_size is not None:
        variant = variant.override(slate_size=settings.slate_size)
    wrote = with_propensities(
        make_policy("cf-greedy", world, variant.slate_size), temperature=settings.temperature
    )
    with tempfile.TemporaryDirectory() as folder:
        logs: list[Log] = []
        for seed in (40, 41):
            path = Path(folder) / f"{seed}.parquet"
            write_log(wrote, variant, path, world=world, users=settings.users, seed=seed)
            logs.append(read_log(path))
    policies: list[tuple[Policy, float]] = []
    for name in settings.algorithms:
        print(f"{name} ...", file=sys.stderr, flush=True)
        start = time.process_time()
        with contextlib.redirect_stdout(sys.stderr):  # d3rlpy tells of itself there
            agent = train_d3rlpy(
                logs[0], world, name, steps=settings.steps, width=settings.width, gamma=GAMMA,
                seed=settings.seed,
            )  # fmt: skip
        policies.append((agent, time.process_time() - start))
    policies += [(make_policy(name, world, variant.slate_size), np.nan) for name in RULES]
    return _both_ways(policies, logs[1], variant, world, settings)


def _both_ways(
    policies: Sequence[tuple[Policy, float]],
    log: Log,
    variant: AnyVariant,
    world: World,
    settings: D3rlpySettings,
) -> list[Judged]:
    """Judge policies in simulation as they are, and with a little chance from a log."""
    users, wrote = settings.users, settings.temperature
    soft = [
        with_propensities(one, epsilon=None if one.name == "random" else settings.epsilon)
        for one, _ in policies
    ]
    behaviour = make_policy("cf-greedy", world, variant.slate_size)
    writer = with_propensities(behaviour, temperature=wrote)
    step = step_truth(writer, soft, variant, world, users=users // 2, seed=43).value
    (whole,) = true_returns(soft, variant, world, users=users, seed=43, gammas=(GAMMA,))
    known, found = LogFeatures.of(log, world), []
    for number, (policy, seconds) in enumerate(policies):
        told = judge(known, soft[number], estimators=USUAL, gamma=GAMMA)
        played = rollout(for_variant(policy, variant), world, users=users, variant=variant)
        returns = played.returns
        found.append(
            Judged(
                name=policy.name,
                value=float(returns.mean()),
                error=float(returns.std(ddof=1) / np.sqrt(len(returns))),
                seconds=seconds,
                slate=best_row(told.slate),
                slate_truth=float(step[number]),
                episode=best_row(told.episode),
                episode_truth=float(whole[number].mean()),
            )
        )
    return found


def markdown(rows: Sequence[Judged]) -> str:
    """Return a Markdown table."""
    lines = [
        "| policy | CPU s | return | one slate: log | truth | discounted return: log | truth |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        spent = "" if np.isnan(row.seconds) else f"{row.seconds:.0f}"
        cells = (
            row.name,
            spent,
            f"{row.value:.2f} ± {1.96 * row.error:.2f}",
            _said(row.slate),
            f"{row.slate_truth:.3f}",
            _said(row.episode),
            f"{row.episode_truth:.2f}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _said(row: Row | None) -> str:
    """Return an estimate with its interval and verdict."""
    if row is None:
        return "none can be used"
    ends = row.interval
    return f"{row.name} {ends.estimate:.3f} [{ends.low:.3f}, {ends.high:.3f}], {row.verdict}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Train and judge from the command line and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m slategym.benchmarks.offline_d3rlpy", description=__doc__
    )
    default = D3rlpySettings()
    parser.add_argument("--world", default="tiny", help="a world folder; default: the tiny one")
    parser.add_argument("--variant", default=default.variant, help="a registered id")
    parser.add_argument("--slate-size", type=int, help="1 for discrete-cql")
    known = ", ".join(ALGORITHMS)
    parser.add_argument("--algorithms", default="bc,iql,cql", help=f"of {known}")
    for name in ("users", "steps", "width", "seed"):
        parser.add_argument(f"--{name}", type=int, default=getattr(default, name))
    given = vars(parser.parse_args(arguments))
    world, names = given.pop("world"), given.pop("algorithms")
    try:
        settings = D3rlpySettings(**given, algorithms=tuple(names.split(",")))
        print(markdown(run_d3rlpy(settings, as_world(world))))
    except SlateGymError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
