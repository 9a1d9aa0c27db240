"""Are logs right about our own environments? ``python -m slategym.benchmarks.offline_study``.

In each variant one policy writes some logs, and eight others are judged from each. The simulator
knows what they are truly worth: one slate in the situations of the log, and whole episodes. The
table says how far each estimator is off, whether it ranks policies rightly, and what choosing the
policy it likes best costs. Letters: P policies, R resamples, U users.
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
    NEURAL,
    SLATE_NAMES,
    USUAL,
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
from slategym.benchmarks.offline_tables import combined, markdown
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
ESTIMATORS = USUAL
BEST = "best verdict"
_RESAMPLES = 400


@dataclass(frozen=True)
class StudySettings:
    """What the study does."""

    variants: tuple[str, ...] = ("slategym/Video-v0", "slategym/Music-v0", "slategym/Shop-v0")
    """Registered ids."""
    logs: int = 3
    """Logs of each variant, drawn with seeds 10 apart; errors are means over them."""
    log_users: int = 512
    """Episodes of a log."""
    train_users: int = 256
    """Episodes of the log that the eighth policy is trained on."""
    step_users: int = 512
    """Users the truth of one slate is measured on."""
    return_users: int = 1024
    """Users the truth of whole episodes is measured on."""
    gamma: float = 0.95
    """Discount a step of whole episodes."""
    neural: bool = False
    """Whether to fit networks too (``fqe_neural``); seconds for every policy and log."""
    seed: int = 20
    """Of the first log; the truth has users of another seed, the trained agent a log of a third."""


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
    policies = [_policy(one, variant, world) for one in POLICIES]
    with tempfile.TemporaryDirectory() as folder:
        policies.append(_offline(Path(folder), behaviour, variant, world, settings))
    seed = settings.seed + 1
    users, gammas = settings.return_users, (settings.gamma, 1.0)
    truth = _Truth(
        step_truth(behaviour, policies, variant, world, users=settings.step_users, seed=seed),
        *true_returns(policies, variant, world, users=users, seed=seed, gammas=gammas),
    )
    judged = [
        _judged(settings.seed + 10 * n, behaviour, policies, variant, world, truth, settings)
        for n in range(settings.logs)
    ]
    return {
        "variant": variant.id,
        "behaviour": behaviour.name,
        "logs": settings.logs,
        "impressions": int(np.mean([one["impressions"] for one in judged])),
        "policies": _worth(policies, truth),
        "slate": combined([one["slate"] for one in judged]),
        "episode": combined([one["episode"] for one in judged]),
        "verdicts": [row for one in judged for row in one["verdicts"]],
    }


def _judged(
    seed: int,
    behaviour: StochasticPolicy,
    policies: Sequence[StochasticPolicy],
    variant: AnyVariant,
    world: World,
    truth: _Truth,
    settings: StudySettings,
) -> dict[str, Any]:
    """Return what one log says of all policies, held against the truth."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log.parquet"
        log = _log(path, behaviour, variant, world, settings.log_users, seed)
    known, neural = LogFeatures.of(log, world), settings.neural
    names = (*ESTIMATORS, NEURAL) if neural else ESTIMATORS
    views = [views_of(known, one, gamma=settings.gamma, neural=neural) for one in policies]
    rows = [judge_views(one, log, names) for one in views]
    return {
        "impressions": len(log),
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
) -> dict[str, dict[str, Any] | None]:
    """Return error, rank agreement and regret of each estimator, and of the row to go by.

    None where the weights of an estimator left the range of floats.
    """
    names = [row.name for row in rows[0]]
    chosen = {name: [name] * len(views) for name in names}
    best = [best_row(each) for each in rows]
    if all(row is not None for row in best):
        chosen[BEST] = [row.name for row in best if row is not None]
    resampled = _resampled_truth(whole, episode=names[0] in EPISODE_NAMES)
    found: dict[str, dict[str, Any] | None] = {}
    for name, each in chosen.items():
        values = [_row(r, n) for r, n in zip(rows, each, strict=True)]
        if any(row is None for row in values):
            found[name] = None
            continue
        made = np.array([row.interval.estimate for row in values if row is not None])
        drawn = np.stack([_replicates(v, n) for v, n in zip(views, each, strict=True)])  # (P, R)
        pick = int(np.argmax(made))
        found[name] = {
            "error": float(np.mean(np.abs(made - truth) / np.abs(truth))),
            "worst": float(np.max(np.abs(made - truth) / np.abs(truth))),
            "spearman": _spearman(made, truth),
            "ranks": [_spearman(d, t) for d, t in zip(drawn.T, resampled.T, strict=True)],
            "pick": views[pick].policy,
            "regret": _regret(truth, pick),
            "return_regret": _regret(whole.undiscounted.mean(1), pick),
        }
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


def _replicates(views: LogViews, name: str) -> FloatArray:
    """Return an estimate on resampled users (R,), the same users for every policy."""
    if name == "fqe":
        return np.resize(views.fitted.replicates, _RESAMPLES)
    if name == NEURAL and views.neural is not None:
        return np.resize(views.neural.members, _RESAMPLES)
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
    for name in ("logs", "log_users", "train_users", "step_users", "return_users", "seed"):
        option = f"--{name.replace('_', '-')}"
        parser.add_argument(option, type=int, default=getattr(default, name))
    parser.add_argument("--gamma", type=float, default=default.gamma)
    parser.add_argument("--neural", action="store_true", help="fit networks too")
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
