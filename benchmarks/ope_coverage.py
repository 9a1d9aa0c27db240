"""Do intervals cover, and do verdicts tell? ``python -m slategym.benchmarks.ope_coverage``.

Logs of made-up problems are drawn again and again; each interval is held against the true value,
each verdict against the errors that came with it.
"""

import argparse
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from slategym.benchmarks.ope_estimate import Estimate, effective_sample_size
from slategym.benchmarks.ope_intervals import (
    METHOD,
    Clusters,
    bernstein_interval,
    delta_interval,
    spread_units,
    studentised_deviations,
    studentised_interval,
)
from slategym.benchmarks.ope_judge import AnyLog, judge, make_estimates
from slategym.benchmarks.ope_problems import make_rounds, make_sessions, make_slates
from slategym.benchmarks.statistics import Interval, percentile_interval
from slategym.errors import SlateGymError
from slategym.files import write_json

FloatArray = npt.NDArray[np.float64]

REPLICATIONS = 600
RESAMPLES = 400
UNITS = 1000
VERDICTS = ("reliable", "weak", "do not use")


class Problem(Protocol):
    """What logs are drawn from."""

    @property
    def truth(self) -> float:
        """Value of the judged policy."""

    def draw(self, units: int, rng: np.random.Generator) -> tuple[Any, npt.NDArray[np.integer]]:
        """Return a log and the user of each unit."""


@dataclass(frozen=True)
class Setting:
    """A problem and what is tried on it.

    Attributes:
        name: in tables.
        make: makes the problem.
        estimators: names, as `make_estimates` takes them.
        good: whether the log can say something about the judged policy.
    """

    name: str
    make: Callable[[], Problem]
    estimators: tuple[str, ...]
    good: bool = True


_ROUNDS = ("ipw", "snipw", "dr", "sndr", "ipw_clip@3", "switch_dr")
_SLATES = ("sips", "snsips", "iips", "rips", "snrips")
_SESSIONS = ("tis", "pdis", "sntis", "snpdis")
SETTINGS: tuple[Setting, ...] = (
    Setting("rounds, near", lambda: make_rounds(1.0, 2.0), _ROUNDS),
    Setting("rounds, apart", lambda: make_rounds(0.5, 2.0), _ROUNDS),
    Setting("rounds, uniform log", lambda: make_rounds(0.0, 1.5), _ROUNDS),
    Setting("rounds, far", lambda: make_rounds(-0.5, 1.5), _ROUNDS, good=False),
    Setting("rounds, opposite", lambda: make_rounds(-1.0, 2.0), _ROUNDS, good=False),
    Setting("rounds, best barred", lambda: make_rounds(0.5, 2.0, forbidden=2), _ROUNDS, good=False),
    Setting("rounds, wrong p", lambda: make_rounds(-1.0, 1.5, wrong=True), _ROUNDS, good=False),
    Setting("slates, near", lambda: make_slates(0.3, 0.6), _SLATES),
    Setting("slates, uniform log", lambda: make_slates(0.0, 0.7), _SLATES),
    Setting("slates, opposite", lambda: make_slates(-0.3, 1.0), _SLATES, good=False),
    Setting("sessions, near", lambda: make_sessions(0.3, 5), _SESSIONS),
    Setting("sessions, apart", lambda: make_sessions(0.5, 5), _SESSIONS),
    Setting("sessions, long", lambda: make_sessions(1.0, 10), _SESSIONS, good=False),
)


@dataclass
class Tally:
    """What was seen of one estimator in one setting.

    Attributes:
        errors: estimate less truth, one for each log.
        covered: whether the interval of each method held the truth.
        widths: width of the interval of each method.
        verdicts: verdict on each log.
        spread: users that carry the variance.
    """

    errors: list[float] = field(default_factory=list)
    covered: dict[str, list[bool]] = field(default_factory=lambda: defaultdict(list))
    widths: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    verdicts: list[str] = field(default_factory=list)
    spread: list[float] = field(default_factory=list)

    def add(self, method: str, ends: Interval, truth: float) -> None:
        """Count one interval."""
        self.covered[method].append(ends.low <= truth <= ends.high)
        self.widths[method].append(ends.high - ends.low)


@dataclass(frozen=True)
class Line:
    """A line of the table: one estimator in one setting.

    Attributes:
        setting: name of the setting.
        estimator: name of the estimator.
        good: whether the log can say something.
        share: effective sample size divided by the number of units, its mean over logs.
        truth: true value.
        bias: mean error.
        rmse: root mean squared error.
        coverage: share of intervals that held the truth, by method.
        width: mean width, by method.
        spread: median number of users that carry the variance.
        verdicts: share of each verdict.
        held: share of logs with each verdict whose bootstrap-t interval held the truth, times the
            share of that verdict.
    """

    setting: str
    estimator: str
    good: bool
    share: float
    truth: float
    bias: float
    rmse: float
    coverage: Mapping[str, float]
    width: Mapping[str, float]
    spread: float
    verdicts: Mapping[str, float]
    held: Mapping[str, float]


def run_setting(
    setting: Setting,
    *,
    replications: int = REPLICATIONS,
    resamples: int = RESAMPLES,
    units: int = UNITS,
    seed: int = 0,
) -> tuple[Line, ...]:
    """Return the lines of one setting.

    Args:
        setting: what is tried.
        replications: logs drawn.
        resamples: resamples of each bootstrap.
        units: rounds, slates or sessions in a log.
        seed: seed of the logs and resamples.
    """
    problem = setting.make()
    truth = problem.truth
    rng = np.random.default_rng([seed, *setting.name.encode()])
    tallies: dict[str, Tally] = {name: Tally() for name in setting.estimators}
    shares: dict[str, list[float]] = defaultdict(list)
    for number in range(replications):
        log, users = problem.draw(units, rng)
        estimates = make_estimates(log, setting.estimators)
        clusters = Clusters.of(users, units)
        boot = shared_bootstrap(estimates, clusters, resamples, seed + number)
        verdicts = _verdicts(log, estimates, clusters)
        for name, one, drawn, said in zip(
            setting.estimators, estimates, boot, verdicts, strict=True
        ):
            tally = tallies[name]
            tally.errors.append(one.value - truth)
            for method, ends in drawn.items():
                tally.add(method, ends, truth)
            tally.add("delta", delta_interval(one, clusters), truth)
            tally.add("Bernstein", bernstein_interval(one, clusters), truth)
            tally.verdicts.append(said)
            tally.spread.append(spread_units(one, clusters))
            shares[name].append(effective_sample_size(one.weights) / units)
    return tuple(
        line_of(setting.name, name, tally, truth, float(np.mean(shares[name])), good=setting.good)
        for name, tally in tallies.items()
    )


def _verdicts(log: AnyLog, estimates: Sequence[Estimate], clusters: Clusters) -> tuple[str, ...]:
    """Return the verdict on each estimate, with intervals by the delta method for speed."""
    rows = judge(log, (), users=clusters, extra=estimates, method="delta")
    return tuple(row.verdict for row in rows)


def shared_bootstrap(
    estimates: Sequence[Estimate], clusters: Clusters, resamples: int, seed: int
) -> list[dict[str, Interval]]:
    """Return both bootstrap intervals of each estimate on the same resamples."""
    drawn = np.concatenate(list(clusters.counts(resamples, seed)))
    found = []
    for one in estimates:
        deviations = studentised_deviations(one, drawn, clusters)
        found.append(
            {
                "bootstrap-t": studentised_interval(one, deviations, clusters),
                "bootstrap": percentile_interval(
                    one.value, one.replicates(drawn, clusters.members)
                ),
            }
        )
    return found


def line_of(
    setting: str, name: str, tally: Tally, truth: float, share: float, *, good: bool = True
) -> Line:
    """Return the line of a tally.

    Args:
        setting: its name.
        name: of the estimator.
        tally: what was seen.
        truth: true value.
        share: effective sample size divided by the number of units, its mean over logs.
        good: whether the log can say something.
    """
    errors, verdicts = np.array(tally.errors), np.array(tally.verdicts)
    # What is fitted again on each resample has percentiles alone.
    held = np.array(tally.covered[METHOD if METHOD in tally.covered else "bootstrap"])
    return Line(
        setting=setting,
        estimator=name,
        good=good,
        share=share,
        truth=truth,
        bias=float(errors.mean()),
        rmse=float(np.sqrt(np.mean(errors**2))),
        coverage={k: float(np.mean(v)) for k, v in tally.covered.items()},
        width={k: float(np.mean(v)) for k, v in tally.widths.items()},
        spread=float(np.median(tally.spread)),
        verdicts={said: float(np.mean(verdicts == said)) for said in VERDICTS},
        held={said: float(np.mean((verdicts == said) & held)) for said in VERDICTS},
    )


def markdown(lines: Sequence[Line]) -> str:
    """Return the lines as a Markdown table."""
    rows = [
        "| setting | estimator | ESS/n | bias | RMSE | bootstrap-t | bootstrap | delta | "
        "Bernstein | reliable | weak | do not use |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for line in lines:
        covered = (
            f"{line.coverage[m]:.3f} ({line.width[m]:.3f})" if m in line.coverage else "-"
            for m in ("bootstrap-t", "bootstrap", "delta", "Bernstein")
        )
        said = (f"{100 * line.verdicts[v]:.0f} %" for v in VERDICTS)
        cells = (
            line.setting,
            line.estimator,
            f"{line.share:.3f}",
            f"{line.bias:+.4f}",
            f"{line.rmse:.4f}",
            *covered,
            *said,
        )
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


def verdict_table(lines: Sequence[Line]) -> str:
    """Return as a Markdown table how often each verdict fell and how often its interval held."""
    rows = [
        "| settings | verdict | share of estimates | interval held the truth |",
        "| --- | --- | --- | --- |",
    ]
    for good, name in ((True, "log can tell"), (False, "log cannot tell")):
        chosen = [line for line in lines if line.good is good]
        for said in VERDICTS:
            share = float(np.mean([line.verdicts[said] for line in chosen])) if chosen else 0.0
            held = float(np.mean([line.held[said] for line in chosen])) if chosen else 0.0
            covered = f"{held / share:.3f}" if share else "-"
            rows.append(f"| {name} | {said} | {100 * share:.1f} % | {covered} |")
    return "\n".join(rows) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run all settings and print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m slategym.benchmarks.ope_coverage", description=__doc__
    )
    parser.add_argument("--replications", type=int, default=REPLICATIONS, help="logs a setting")
    parser.add_argument("--resamples", type=int, default=RESAMPLES, help="resamples a bootstrap")
    parser.add_argument("--units", type=int, default=UNITS, help="rounds in a log")
    parser.add_argument("--seed", type=int, default=0, help="seed of logs and resamples")
    parser.add_argument("--json", type=Path, default=None, help="also write the numbers here")
    given = parser.parse_args(arguments)
    lines: list[Line] = []
    start = time.monotonic()
    try:
        for setting in SETTINGS:
            lines += run_setting(
                setting,
                replications=given.replications,
                resamples=given.resamples,
                units=given.units,
                seed=given.seed,
            )
            sys.stderr.write(f"{setting.name}: {time.monotonic() - start:.0f} s\n")
        if given.json is not None:
            write_json(given.json, {"lines": [asdict(line) for line in lines]})
    except SlateGymError as error:
        sys.stderr.write(f"error: {error}\n")
        raise SystemExit(error.exit_code) from None
    sys.stdout.write(f"{markdown(lines)}\n{verdict_table(lines)}")


if __name__ == "__main__":
    main()
