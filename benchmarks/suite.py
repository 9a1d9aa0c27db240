"""Runs policies over the same users with the same luck, cell by cell, and resumes."""

import hashlib
import importlib
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from slategym.agents.policy import POLICIES, Policy, make_policy
from slategym.agents.run_folder import RunFolder, changed_parameters
from slategym.agents.train_config import TrainConfig
from slategym.benchmarks.analysis import PolicyRuns, analyse
from slategym.benchmarks.cells import CellJournal, CellRecord, cell_key
from slategym.benchmarks.curves import read_curve
from slategym.benchmarks.manifest import manifest
from slategym.benchmarks.rollout import STAGE, make_env, rollout
from slategym.benchmarks.sessions import example_sessions
from slategym.envs.protocol import AnyVariant
from slategym.envs.registry import get_variant
from slategym.envs.world import World
from slategym.envs.worlds import world_of
from slategym.errors import DataError, UsageError, unknown_name
from slategym.files import file_hash, read_json, write_json
from slategym.progress import Progress, Silent, stage

DEFAULT_POLICIES = (
    "random",
    "popularity",
    "quality",
    "threshold",
    "sequence",
    "cf-greedy",
    "cf-mmr",
    "cf-dpp",
    "cf-calibrated",
    "cf-rested",
    "linucb",
    "oracle-myopic",
)
SCHEMA = 1


@dataclass(frozen=True)
class Settings:
    """What must be equal for two results to be comparable; kept as ``bench.json``.

    Attributes:
        world: hash of the world.
        variant: id of the env.
        variant_hash: hash of the variant's parameters.
        users: user streams a seed.
        split: which users of the world.
        slate_size: slots K; ``num_candidates`` C and ``horizon`` T as asked, ``None`` where
            they were left to the variant.
        num_candidates: see ``slate_size``.
        horizon: see ``slate_size``.
        schema: version of the folder's layout.
    """

    world: str
    variant: str
    variant_hash: str
    users: int
    split: str
    slate_size: int
    num_candidates: int | None
    horizon: int | None
    schema: int = SCHEMA


@dataclass(frozen=True)
class Contender:
    """A policy to be run: a registered name, or a RUN folder of a trained agent."""

    name: str
    run: Path | None
    fingerprint: str
    kind: str  # "agent", "baseline", or "reference": sees what no platform sees


def run_benchmark(
    world: World,
    policies: Sequence[str] = DEFAULT_POLICIES,
    runs: Sequence[Path | str] = (),
    out: Path | str = "bench",
    *,
    users: int = 1024,
    seeds: Sequence[int] = (0,),
    slate_size: int | None = None,
    num_candidates: int | None = None,
    horizon: int | None = None,
    split: str = "held_out",
    variant: str | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Run every (policy, seed) cell that ``out`` does not hold yet and write ``results.json``.

    Every policy meets the same user streams with the same luck. A finished cell is appended to
    ``cells.jsonl`` and never run again: the same command after a kill goes on where it stopped,
    and a command with more policies, runs or seeds runs the new cells only.

    Args:
        world: the world to simulate.
        policies: names known to `slategym.agents.policy.make_policy`.
        runs: RUN folders written by `slategym.agents.training.train`.
        out: the BENCH folder.
        users: user streams for each seed.
        seeds: first halves of the streams' names.
        slate_size: K; ``None``, here and in the next three, takes what the first run was trained
            with, else the default.
        num_candidates: C.
        horizon: most steps.
        variant: a registered env id. Named, it may differ from what a run was trained on.
        split: "held_out", "train" or "all" users.
        progress: hears of ended sessions.

    Returns:
        The content of ``results.json``.

    Raises:
        UsageError: nothing to run, a repeated name, ``out`` holds results of other settings, or
            ``variant`` is not named and its parameters are not those that were trained with.
        DataError: a RUN folder is not one, or ``cells.jsonl`` is damaged.
    """
    contenders = _contenders(policies, runs)
    if not contenders or not seeds:
        raise UsageError("a benchmark needs at least one policy or run, and at least one seed.")
    trained = _trained_with(contenders, told=variant is not None)
    settings = _settings(
        world,
        variant or trained.get("variant") or "slategym/World-v0",
        users,
        split,
        slate_size=trained.get("slate_size") if slate_size is None else slate_size,
        num_candidates=trained.get("num_candidates") if num_candidates is None else num_candidates,
        horizon=trained.get("horizon") if horizon is None else horizon,
    )
    _claim(Path(out), settings)
    return _run_all(world, contenders, seeds, settings, Path(out), progress or Silent())


def _run_all(
    world: World,
    contenders: Sequence[Contender],
    seeds: Sequence[int],
    settings: Settings,
    folder: Path,
    progress: Progress,
) -> dict[str, Any]:
    """Run what is missing in a claimed folder, analyse all of it and write the results."""
    journal = CellJournal(folder)
    records = _run_missing(world, contenders, seeds, settings, journal, progress)
    ran = [
        PolicyRuns(
            one.name,
            one.kind,
            one.fingerprint,
            tuple(journal.load(record) for record in records[one.name]),
            sum(record.seconds for record in records[one.name]),
        )
        for one in contenders
    ]
    with stage(progress, "analyse"):
        results = analyse(world, ran)
    results["settings"] = asdict(settings)
    results["seeds"] = [int(seed) for seed in seeds]
    results["curves"] = [read_curve(one.name, one.run) for one in contenders if one.run]
    results["sessions"] = example_sessions(
        world, ran, results, folder, variant=_variant(settings), split=settings.split
    )
    results["manifest"] = manifest(world, [one.fingerprint for one in contenders])
    write_json(folder / "results.json", results)
    return results


def _variant(settings: Settings) -> AnyVariant:
    """Return what was played."""
    sizes = {key: getattr(settings, key) for key in ("slate_size", "num_candidates", "horizon")}
    told = {key: value for key, value in sizes.items() if value is not None}
    return get_variant(settings.variant).override(**told)


def read_results(folder: Path | str) -> dict[str, Any]:
    """Return the results of a BENCH folder.

    Raises:
        DataError: the folder holds no results of this version.
    """
    path = Path(folder) / "results.json"
    if not path.exists():
        raise DataError(
            f"{folder} holds no results.json, so it is not a finished benchmark; "
            "run `slategym bench --out` with this folder first."
        )
    results: dict[str, Any] = read_json(path)
    schema = results.get("settings", {}).get("schema")
    if schema != SCHEMA:
        raise DataError(
            f"{path} has schema {schema!r}, this version of slategym reads {SCHEMA}; "
            "run the benchmark again into a new folder."
        )
    return results


def _trained_with(contenders: Sequence[Contender], *, told: bool) -> dict[str, Any]:
    """Return the training options of the first run, nothing without one.

    Args:
        contenders: what is to be run.
        told: whether the user named the variant and so knows what it is today.
    """
    run = next((one.run for one in contenders if one.run is not None), None)
    if run is None:
        return {}
    record = read_json(RunFolder(run).agent)
    config = TrainConfig.from_json(record["config"])
    changes = [] if told else changed_parameters(record, config.task())
    if changes:
        raise UsageError(
            f"{run} was trained on other parameters of variant {config.variant!r}: "
            f"{'; '.join(changes)}; train again, or name the variant to compare on it as it is now."
        )
    return config.to_json()


def _settings(world: World, variant: str, users: int, split: str, **sizes: int | None) -> Settings:
    """Return the settings, asking the variant for what was left open."""
    if users < 1:
        raise UsageError(f"users is {users}; a benchmark needs at least 1.")
    env = make_env(world, variant=variant, num_envs=1, users=split, **sizes)
    try:
        shape = env.single_action_space.shape
        described = json.dumps(env.variant.to_json(), sort_keys=True)
    finally:
        env.close()
    return Settings(
        world=world.hash,
        variant=variant,
        variant_hash=hashlib.sha256(described.encode()).hexdigest()[:16],
        users=users,
        split=split,
        slate_size=int(shape[0]) if shape else 1,
        num_candidates=sizes["num_candidates"],
        horizon=sizes["horizon"],
    )


def _claim(folder: Path, settings: Settings) -> None:
    """Make the folder a BENCH folder of these settings, or refuse it."""
    path, wanted = folder / "bench.json", asdict(settings)
    if not path.exists():
        if folder.exists() and any(folder.iterdir()):
            raise UsageError(
                f"{folder} is not empty and is not a benchmark folder; give another --out."
            )
        folder.mkdir(parents=True, exist_ok=True)
        write_json(path, wanted)
        return
    there = read_json(path)
    differing = [key for key in wanted if there.get(key) != wanted[key]]
    if differing:
        told = ", ".join(
            f"{key} is {there.get(key)!r} there and {wanted[key]!r} now" for key in differing
        )
        raise UsageError(
            f"{folder} holds a benchmark of other settings ({told}); give another --out, or "
            "delete the folder to start anew."
        )


def _contenders(policies: Sequence[str], runs: Sequence[Path | str]) -> list[Contender]:
    """Return what is to be run; a RUN folder is known by the bytes of its files."""
    found = [_baseline(name) for name in policies]
    for entry in runs:
        run = Path(entry)
        described, weights = RunFolder(run).agent, RunFolder(run).weights
        missing = next((p for p in (described, weights) if not p.exists()), None)
        if missing is not None:
            raise DataError(
                f"{run} is not a finished training run: {missing.name} is missing; "
                "run `slategym train --out` with this folder first."
            )
        digest = hashlib.sha256((file_hash(weights) + file_hash(described)).encode())
        fingerprint = f"run:{digest.hexdigest()[:16]}"
        found.append(Contender(run.resolve().name, run, fingerprint, "agent"))
    names = [one.name for one in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UsageError(
            f"the name {twice!r} is given twice; each policy may stand once, and a run folder "
            "needs a name of its own."
        )
    return found


def _baseline(name: str) -> Contender:
    """Return a registered policy; nothing is built yet."""
    if name not in POLICIES:
        raise unknown_name("policy", name, POLICIES)
    module, _, attribute = POLICIES[name].partition(":")
    privileged = getattr(getattr(importlib.import_module(module), attribute), "privileged", False)
    return Contender(name, None, f"policy:{name}", "reference" if privileged else "baseline")


def _run_missing(
    world: World,
    contenders: Sequence[Contender],
    seeds: Sequence[int],
    settings: Settings,
    journal: CellJournal,
    progress: Progress,
) -> dict[str, list[CellRecord]]:
    """Run what the journal does not hold and return the records of every contender."""
    records: dict[str, list[CellRecord]] = {one.name: [] for one in contenders}
    with stage(progress, STAGE, len(contenders) * len(seeds) * settings.users):
        for one in contenders:
            policy: Policy | None = None
            for seed in seeds:
                cell = _cell(one, int(seed), settings)
                record = journal.get(cell_key(cell))
                if record is None:
                    policy = policy or _load(one, world, settings)
                    record = _run_cell(policy, world, cell, settings, journal, progress)
                else:
                    progress.advance(STAGE, settings.users)
                records[one.name].append(record)
    return records


def _cell(contender: Contender, seed: int, settings: Settings) -> dict[str, Any]:
    """Return a cell as JSON: everything its result depends on."""
    return {
        "policy": contender.name,
        "fingerprint": contender.fingerprint,
        "seed": seed,
        **asdict(settings),
    }


def _load(contender: Contender, world: World, settings: Settings) -> Policy:
    """Return the policy itself."""
    if contender.run is None:
        seen = world_of(get_variant(settings.variant), world)  # as the platform knows it
        return make_policy(contender.name, seen, settings.slate_size)
    from slategym.agents.trained import load_agent

    return load_agent(contender.run, world, name=contender.name, slate_size=settings.slate_size)


def _run_cell(
    policy: Policy,
    world: World,
    cell: dict[str, Any],
    settings: Settings,
    journal: CellJournal,
    progress: Progress,
) -> CellRecord:
    """Run one cell and put it into the journal."""
    start = time.perf_counter()
    result = rollout(
        policy,
        world,
        users=settings.users,
        seed=cell["seed"],
        slate_size=settings.slate_size,
        num_candidates=settings.num_candidates,
        horizon=settings.horizon,
        split=settings.split,
        variant=settings.variant,
        progress=progress,
    )
    return journal.add(cell, result, time.perf_counter() - start)
