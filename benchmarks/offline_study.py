"""Are logs right about our own environments? ``python -m slategym.benchmarks.offline_study``.

In each variant one policy writes a log, and eight others are judged from it. The simulator knows
what they are truly worth: one slate in the situations of the log, and whole episodes. The table
says how far each estimator is off, whether it ranks policies rightly, and what choosing the policy
it likes best costs. Letters: P policies, R resamples, U users.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from slategym.agents.offline_data import OfflineConfig
from slategym.agents.policy import make_policy
from slategym.agents.stochastic import StochasticPolicy, with_propensities
from slategym.benchmarks.log_judging import (
    EPISODE_NAMES,
    SLATE_NAMES,
    best_row,
    episode_estimate,
    judge_views,
    slate_estimate,
)
from slategym.benchmarks.log_reader import read_log
from slategym.benchmarks.log_schema import FloatArray, Log
from slategym.benchmarks.log_training import train_on_log
from slategym.benchmarks.log_truth import StepTruth, step_truth, true_returns
from slategym.benchmarks.log_views import LogFeatures, LogViews, views_of
from slategym.benchmarks.log_writer import write_log
from slategym.benchmarks.offline_tables import markdown
from slategym.benchmarks.ope_intervals import Clusters
from slategym.benchmarks.ope_verdict import Row
from slategym.envs.protocol import AnyVariant
from slategym.envs.registry import get_variant
from slategym.envs.tiny import tiny_world
from slategym.envs.world import World
from slategym.envs.worlds import as_world
from slategym.errors import SlateGymError, UsageError
from slategym.files import read_json, write_json

BEHAVIOUR = ("cf-greedy", {"temperature": 0.7})
POLICIES: tuple[tuple[str, dict[str, float]], ...] = (
    ("random", {}),
    ("popularity", {"epsilon": 0.2}),
    ("cf-greedy", {"temperature": 1.0}),
    ("cf-greedy", {"temperature": 0.5}),
    ("cf-greedy", {"temperature": 0.25}),
    ("cf-mmr", {"epsilon": 0.2}),
    ("cf-rested", {"epsilon": 0.2}),
)
"""And an eighth: an agent trained offline on another log of the behaviour policy."""
ESTIMATORS = (
    "dm", "snipw", "dr", "dros", "sniips", "snrips", "cascade_dr", "fqe", "snpdis", "seq_dr",
)  # fmt: skip
_RESAMPLES = 400


@dataclass(frozen=True)
class StudySettings:
    """What the study does."""

    variants: tuple[str, ...] = ("slategym/Video-v0", "slategym/Music-v0", "slategym/Shop-v0")
    """Registered ids."""
    log_users: int = 512
    """Episodes of the log."""
    train_users: int = 256
    """Episodes of the log that the eighth policy is trained on."""
    step_users: int = 512
    """Users the truth of one slate is measured on."""
    return_users: int = 1024
    """Users the truth of whole episodes is measured on."""
    gamma: float = 0.95
    """Discount a step of whole episodes."""
    seed: int = 20
    """Of the log; the truth is measured on users of another seed, the agent trained on a third."""


@dataclass(frozen=True, eq=False)
class _Truth:
    """What the policies of one variant are worth."""

    step: StepTruth
    discounted: FloatArray  # (P, U)
    undiscounted: FloatArray  # (P, U)


def study_world() -> World:
    """Return a synthetic world of 200 items and 1,000 users: enough users to resample."""
    return tiny_world(items=200, users=1000)


def run_study(settings: StudySettings, world: World, out: Path | None = None) -> dict[str, Any]:
    """Return the results of every variant, as plain JSON values.

    Args:
        settings: what to do.
        world: the world all variants are run in.
        out: where results go as each variant is done; those that it holds of the same settings
            are not run again.

    Raises:
        UsageError: ``out`` holds results of other settings.
    """
    told = {"settings": asdict(settings), "world": world.info.name, "world_hash": world.hash}
    told = json.loads(json.dumps(told))  # as a file has it
    found = _finished(out, told)
    for name in settings.variants:
        if name not in found:
            print(f"{name} ...", file=sys.stderr, flush=True)
            found[name] = _variant(get_variant(name), world, settings)
            if out is not None:
                write_json(out, {**told, "variants": list(found.values())})
    return {**told, "variants": list(found.values())}


def _finished(out: Path | None, told: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the variants that a file holds, by id."""
    if out is None or not out.exists():
        return {}
    there = read_json(out)
    if {key: there.get(key) for key in told} != told:
        raise UsageError(f"{out} holds a study of other settings or another world; name another.")
    return {one["variant"]: one for one in there["variants"]}


def _variant(variant: AnyVariant, world: World, settings: StudySettings) -> dict[str, Any]:
    """Return the results of one variant."""
    behaviour = _policy(BEHAVIOUR, variant, world)
    with tempfile.TemporaryDirectory() as folder:
        path, users = Path(folder) / "log.parquet", settings.log_users
        log = _log(path, behaviour, variant, world, users, settings.seed)
        policies = [_policy(one, variant, world) for one in POLICIES]
        policies.append(_offline(Path(folder), behaviour, variant, world, settings))
    seed = settings.seed + 1
    users, gammas = settings.return_users, (settings.gamma, 1.0)
    truth = _Truth(
        step_truth(behaviour, policies, variant, world, users=settings.step_users, seed=seed),
        *true_returns(policies, variant, world, users=users, seed=seed, gammas=gammas),
    )
    known = LogFeatures.of(log, world)
    views = [views_of(known, policy, gamma=settings.gamma) for policy in policies]
    rows = [judge_views(one, log, ESTIMATORS) for one in views]
    return {
        "variant": variant.id,
        "behaviour": behaviour.name,
        "impressions": len(log),
        "policies": _worth(policies, truth),
        "slate": _measured(views, [r[0] for r in rows], truth.step.value, truth),
        "episode": _measured(views, [r[1] for r in rows], truth.discounted.mean(1), truth),
        "verdicts": _verdicts(rows, truth),
    }


def _policy(
    named: tuple[str, Mapping[str, float]], variant: AnyVariant, world: World
) -> StochasticPolicy:
    """Return a policy of the study."""
    name, wrap = named
    return with_propensities(make_policy(name, world, variant.slate_size), **wrap)


def _log(
    path: Path,
    behaviour: StochasticPolicy,
    variant: AnyVariant,
    world: World,
    users: int,
    seed: int,
) -> Log:
    """Write and read a log."""
    write_log(behaviour, variant, path, world=world, users=users, seed=seed)
    return read_log(path)


def _offline(
    folder: Path,
    behaviour: StochasticPolicy,
    variant: AnyVariant,
    world: World,
    settings: StudySettings,
) -> StochasticPolicy:
    """Return an agent trained on a log of its own, drawing slates as in training."""
    from slategym.agents.trained import load_agent

    path, run = folder / "training.parquet", folder / "run"
    _log(path, behaviour, variant, world, settings.train_users, settings.seed + 2)
    train_on_log([path], world, OfflineConfig(epochs=15), run)
    return with_propensities(load_agent(run, world, name="offline"), temperature=1.0)


def _worth(policies: Sequence[StochasticPolicy], truth: _Truth) -> list[dict[str, Any]]:
    """Return what each policy is truly worth, with standard errors."""
    root = np.sqrt(truth.discounted.shape[1])
    return [
        {
            "policy": policy.name,
            "slate": truth.step.value[n],
            "slate_error": truth.step.error[n],
            "episode": truth.discounted[n].mean(),
            "episode_error": truth.discounted[n].std(ddof=1) / root,
            "return": truth.undiscounted[n].mean(),
        }
        for n, policy in enumerate(policies)
    ]


def _measured(
    views: Sequence[LogViews], rows: Sequence[Sequence[Row]], truth: FloatArray, whole: _Truth
) -> list[dict[str, Any]]:
    """Return error, rank agreement and regret of each estimator, and of the row to go by."""
    names = [row.name for row in rows[0]]
    chosen = {name: [name] * len(views) for name in names}
    best = [best_row(each) for each in rows]
    if all(row is not None for row in best):
        chosen["best verdict"] = [row.name for row in best if row is not None]
    resampled = _resampled_truth(whole, episode=names[0] in EPISODE_NAMES)
    found: list[dict[str, Any]] = []
    for name, each in chosen.items():
        values = [_row(r, n) for r, n in zip(rows, each, strict=True)]
        if any(row is None for row in values):  # weights left the range of floats
            found.append({"estimator": name, "error": None})
            continue
        made = np.array([row.interval.estimate for row in values if row is not None])
        drawn = np.stack([_replicates(v, n) for v, n in zip(views, each, strict=True)])  # (P, R)
        ranks = [_spearman(d, t) for d, t in zip(drawn.T, resampled.T, strict=True)]
        low, high = np.nanquantile(ranks, [0.025, 0.975])
        pick = int(np.argmax(made))
        found.append(
            {
                "estimator": name,
                "error": float(np.mean(np.abs(made - truth) / np.abs(truth))),
                "worst": float(np.max(np.abs(made - truth) / np.abs(truth))),
                "spearman": _or_none(_spearman(made, truth)),
                "spearman_low": _or_none(low),
                "spearman_high": _or_none(high),
                "pick": views[pick].policy,
                "regret": _regret(truth, pick),
                "return_regret": _regret(whole.undiscounted.mean(1), pick),
            }
        )
    return found


def _regret(worth: FloatArray, pick: int) -> float:
    """Return what a choice gives away, as a share of the distance from the best to the worst."""
    return float((worth.max() - worth[pick]) / np.ptp(worth))


def _row(rows: Sequence[Row], name: str) -> Row | None:
    """Return the row of an estimator, None if there is none."""
    return next((row for row in rows if row.name == name), None)


def _spearman(one: FloatArray, other: FloatArray) -> float:
    """Return the rank correlation; NaN where all are equal."""
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return float("nan")
    return float(spearmanr(one, other)[0])


def _or_none(value: float) -> float | None:
    """Return None for NaN, which JSON does not have."""
    return float(value) if np.isfinite(value) else None


def _replicates(views: LogViews, name: str) -> FloatArray:
    """Return an estimate on resampled users (R,), the same users for every policy."""
    if name == "fqe":
        return np.resize(views.fitted.replicates, _RESAMPLES)
    estimate = slate_estimate(name, views) if name in SLATE_NAMES else episode_estimate(name, views)
    assert estimate is not None
    users = views.user if name in SLATE_NAMES else views.episode_user
    clusters = Clusters.of(users, len(users))
    parts = [estimate.replicates(c, clusters.members) for c in clusters.counts(_RESAMPLES, 0)]
    return np.concatenate(parts)


def _resampled_truth(truth: _Truth, *, episode: bool) -> FloatArray:
    """Return the truth on resampled users (P, R), the same users for every policy."""
    rng = np.random.default_rng(1)
    if episode:
        users = truth.discounted.shape[1]
        picks = rng.integers(0, users, (_RESAMPLES, users))
        return np.stack([truth.discounted[:, one].mean(1) for one in picks], axis=1)
    users = len(truth.step.impressions)
    picks = rng.integers(0, users, (_RESAMPLES, users))
    sums = np.stack([truth.step.reward[:, one].sum(1) for one in picks], axis=1)
    counts = np.array([truth.step.impressions[one].sum() for one in picks])
    return np.asarray(sums / counts)


def _verdicts(
    rows: Sequence[tuple[Sequence[Row], Sequence[Row]]], truth: _Truth
) -> list[dict[str, Any]]:
    """Return every row's verdict with what became of it: its error, and whether it covers."""
    worth = (truth.step.value, truth.discounted.mean(1))
    errors = (
        truth.step.error,
        truth.discounted.std(1, ddof=1) / np.sqrt(truth.discounted.shape[1]),
    )
    return [
        {
            "estimator": row.name,
            "policy": n,
            "verdict": row.verdict,
            "error": float(abs(row.interval.estimate - worth[kind][n]) / abs(worth[kind][n])),
            # The truth is measured too: within its own error it counts as met.
            "covers": bool(
                row.interval.low - 1.96 * errors[kind][n]
                <= worth[kind][n]
                <= row.interval.high + 1.96 * errors[kind][n]
            ),
        }
        for n, both in enumerate(rows)
        for kind, each in enumerate(both)
        for row in each
    ]


def main() -> int:
    """Run the study from the command line and return the exit code."""
    parser = argparse.ArgumentParser(prog="offline_study", description=__doc__)
    parser.add_argument("--world", help="a world folder; default: a synthetic one")
    parser.add_argument("--variant", action="append", help="an id; repeatable; default: three")
    default = StudySettings()
    for name in ("log_users", "train_users", "step_users", "return_users", "seed"):
        option = f"--{name.replace('_', '-')}"
        parser.add_argument(option, type=int, default=getattr(default, name))
    parser.add_argument("--gamma", type=float, default=default.gamma)
    parser.add_argument("--out", type=Path, help="where the results go as JSON")
    given = vars(parser.parse_args())
    world, out, variants = (given.pop(name) for name in ("world", "out", "variant"))
    if variants:
        given["variants"] = tuple(variants)
    try:
        opened = study_world() if world is None else as_world(world)
        results = run_study(StudySettings(**given), opened, out)
    except SlateGymError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(markdown(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
