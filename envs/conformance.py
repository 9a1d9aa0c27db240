"""Do the classics behave as RecSim does? ``python -m slategym.envs.conformance FILE.json``.

FILE holds statistics measured on RecSim itself, each with its standard error, and cases whose
result is exact. Every configuration is simulated here, with many more episodes than the file's,
and z = (mine - theirs) / sqrt(their se^2 + my se^2). Exit 0 if no |z| is above 3.5 and no exact
value is off by more than 1e-9, 1 if one is, 2 if the file cannot be understood.
"""

import argparse
import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from slategym.envs.classic_constants import CONSTANTS
from slategym.envs.classic_exact import exact_errors
from slategym.envs.classic_policies import FixedPolicy
from slategym.envs.classic_simulation import ClassicSimulation
from slategym.envs.classic_statistics import Statistic, Tally, statistics_of
from slategym.envs.classic_variant import ClassicVariant
from slategym.envs.part import check_keys
from slategym.errors import DataError, SlateGymError, unknown_name

MOST_Z, MOST_ERROR = 3.5, 1e-9
SEED = 20261125
"""Of users, documents and random slates; fixed, and not chosen among others."""
TIMES, LEAST = 10, 20_000
"""Episodes: this many times those of the file, and at least so many."""
BATCH = 4096
NO_HORIZON = 1_000_000
"""Of a configuration without one: RecSim's tasks end by themselves or never."""


@dataclass(frozen=True)
class Comparison:
    """One statistic, theirs and mine."""

    where: str
    name: str
    theirs: Statistic
    mine: Statistic
    rare: bool
    """Their standard error rests on too few events, and the one that my spread implies is used."""

    @property
    def z(self) -> float:
        """How many standard errors apart they are."""
        gap = self.mine.mean - self.theirs.mean
        spread = math.hypot(self.theirs.se, self.mine.se)
        if abs(gap) <= 1e-9 * max(1.0, abs(self.theirs.mean)):
            return 0.0
        return gap / spread if spread > 0 else math.copysign(math.inf, gap)


def simulate(
    variant: ClassicVariant, policy: str, episodes: int, seed: int = SEED
) -> dict[str, Statistic]:
    """Return the statistics of a fixed policy: one episode each of ``episodes`` user streams.

    Args:
        variant: the task.
        policy: one of `slategym.envs.classic_policies.policy_names`.
        episodes: how many.
        seed: of the users and of random slates.

    Raises:
        UsageError: the family has no such policy.
    """
    rng = np.random.Generator(np.random.Philox(seed))
    size, count = variant.slate_size, variant.num_candidates
    chosen = FixedPolicy(variant.family, policy, size, count, rng)
    parts = []
    for start in range(0, episodes, BATCH):
        batch = min(BATCH, episodes - start)
        simulation = variant.simulation(batch)
        streams = np.arange(start, start + batch, dtype=np.uint64)
        simulation.begin(np.full(batch, seed, dtype=np.uint64), streams)
        parts.append(_episodes(simulation, chosen).arrays())
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return statistics_of(variant.family, size, joined)


def _episodes(simulation: ClassicSimulation, policy: FixedPolicy) -> Tally:
    """Return what was measured of one episode of each user of a simulation."""
    batch, family = simulation.batch, simulation.variant.family
    tally = Tally(family, batch, simulation.variant.slate_size)
    live = np.ones(batch, dtype=np.bool_)
    known = simulation.privileged(quality=policy.looks_at_quality)
    tally.begin(known)
    number = 0
    while live.any():
        step = simulation.step(policy.act(known, batch))
        after = simulation.privileged(quality=policy.looks_at_quality)
        tally.add(number, live, known, after, step)
        over = live & (step.terminated | step.truncated)
        tally.end(np.flatnonzero(over), after)
        live &= ~over
        known, number = after, number + 1
    return tally


def compare(entry: Mapping[str, Any], least: int = LEAST) -> Iterator[Comparison]:
    """Yield every statistic of one entry of ``configs``, theirs and mine.

    Args:
        entry: ``env``, ``name``, ``config``, ``policy``, ``episodes`` and ``stats``.
        least: simulate at least so many episodes.

    Raises:
        UsageError: an unknown environment, keyword, policy or statistic.
        DataError: the entry lacks something.
    """
    try:
        where = f"{entry['env']} {entry['name']} {entry['policy']}"
        family, policy, theirs = entry["env"], entry["policy"], entry["stats"]
        config, count = dict(entry["config"]), int(entry["episodes"])
    except (KeyError, TypeError) as error:
        raise DataError(f"an entry of configs is not complete: {error}.") from None
    if family not in CONSTANTS:
        raise unknown_name("env", str(family), CONSTANTS)
    check_keys(f"config {entry['name']}", config, CONSTANTS[family].__dataclass_fields__)
    constants = CONSTANTS[family](**{"horizon": NO_HORIZON, **config})
    variant = ClassicVariant("conformance/Case-v0", constants=constants)
    found = simulate(variant, policy, max(least, TIMES * count))
    for name, given in theirs.items():
        if name not in found:
            raise unknown_name(f"statistic of {where}", name, found)
        yield _compared(where, name, given, found[name], count)


def _compared(
    where: str, name: str, given: Mapping[str, Any], mine: Statistic, episodes: int
) -> Comparison:
    """Return a comparison; see `Comparison.rare` for statistics of rare events.

    Where an event happened once or never in the file's episodes, its standard error is an
    estimate from one event or none. If it is below half of what my spread implies for as many
    episodes, that is used instead.
    """
    n = int(given.get("n", given.get("n_episodes", episodes)))
    implied = mine.se * math.sqrt(mine.n / n)
    rare = float(given["se"]) < 0.5 * implied
    theirs = Statistic(float(given["mean"]), implied if rare else float(given["se"]), n)
    return Comparison(where, name, theirs, mine, rare)


def check(reference: Mapping[str, Any], least: int = LEAST) -> bool:
    """Print a line for every statistic, then the worst; return whether all are within bounds.

    Args:
        reference: the content of a file.
        least: simulate at least so many episodes of each configuration.

    Raises:
        UsageError: an unknown environment, keyword, policy or statistic.
        DataError: the file is not of the form of RecSim's reference statistics.
    """
    if not isinstance(reference.get("configs"), list):
        raise DataError("the file has no list under 'configs'; see docs/classics.md for its form.")
    errors = list(exact_errors(reference.get("exact_cases", {})))
    for name, error in errors:
        _say(f"exact {name:50s} error {error:.2e}")
    compared: list[Comparison] = []
    for entry in reference["configs"]:
        for one in compare(entry, least):
            compared.append(one)
            _say(_line(one))
    name, worst_error = max(errors, key=lambda pair: pair[1], default=("none", 0.0))
    worst = max(compared, key=lambda one: abs(one.z), default=None)
    beyond = [one for one in compared if abs(one.z) > MOST_Z]
    rare = sum(one.rare for one in compared)
    beyond_2 = sum(abs(one.z) > 2 for one in compared)
    _say(
        f"\n{len(compared)} statistics, {beyond_2} beyond |z| 2, {len(beyond)} beyond {MOST_Z}; "
        f"{rare} of rare events (*: se from this simulator)"
    )
    for one in beyond:
        _say("beyond " + _line(one))
    _say(f"{len(errors)} exact values, worst error {worst_error:.2e} ({name})")
    if worst is not None:
        _say(f"worst |z| {abs(worst.z):.2f} ({worst.where} {worst.name})")
    return not beyond and worst_error <= MOST_ERROR


def _line(one: Comparison) -> str:
    """Return one comparison as a line."""
    star = "*" if one.rare else " "
    return (
        f"{one.where:68s} {one.name:46s} recsim {one.theirs.mean:11.5f} +-{one.theirs.se:.5f}{star}"
        f" mine {one.mine.mean:11.5f} +-{one.mine.se:.5f} z {one.z:+.2f}"
    )


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    """Check a file; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m slategym.envs.conformance",
        description=(__doc__ or "").partition("\n")[0],
    )
    parser.add_argument("file", type=Path, help="statistics measured on RecSim, as JSON")
    parser.add_argument(
        "--episodes", type=int, default=LEAST, help=f"simulate at least so many (default {LEAST})"
    )
    given = parser.parse_args(arguments)
    try:
        reference = json.loads(given.file.read_text())
        if not isinstance(reference, dict):
            raise DataError(f"{given.file} holds no JSON object.")
        return 0 if check(reference, given.episodes) else 1
    except (OSError, ValueError) as error:
        sys.stderr.write(f"{given.file} cannot be read: {error}\n")
    except SlateGymError as error:
        sys.stderr.write(f"{error}\n")
    return 2


if __name__ == "__main__":
    sys.exit(main())
