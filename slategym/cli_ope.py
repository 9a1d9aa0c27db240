"""`slategym ope`: what a log says of policies that did not write it, and how sure that is."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from slategym.cli_common import ImportOption, JsonOption, import_user_code, open_world
from slategym.cli_log import EpsilonOption, OptionalWorldOption, TemperatureOption, policy_by_name
from slategym.console import print_json, progress_on_stderr
from slategym.errors import UsageError
from slategym.progress import stage

if TYPE_CHECKING:
    from slategym.agents.stochastic import StochasticPolicy
    from slategym.benchmarks.log_judging import Judgement
    from slategym.benchmarks.log_schema import Log
    from slategym.benchmarks.log_views import LogFeatures
    from slategym.envs.world import World

STAGE = "judge"


def ope(
    log: Annotated[
        list[Path], typer.Option("--log", metavar="FILE", help="A log of `log`. Repeatable.")
    ],
    policy: Annotated[
        list[str],
        typer.Option(
            metavar="NAME|RUN",
            help="What to judge: a policy by name, or the folder of a trained agent. Repeatable.",
        ),
    ],
    world: OptionalWorldOption = None,
    temperature: TemperatureOption = None,
    epsilon: EpsilonOption = None,
    estimators: Annotated[
        str | None, typer.Option(metavar="A,B,...", help="Estimators; `all`. Default: twelve.")
    ] = None,
    neural: Annotated[
        bool,
        typer.Option("--neural", help="Fit networks too (`fqe_neural`); seconds a policy."),
    ] = False,
    wrote: Annotated[
        str | None,
        typer.Option(
            "--wrote",
            metavar="RUN",
            help="The agent that wrote the log, if it was one; `mips` and `offcem` ask it again.",
            show_default=False,
        ),
    ] = None,
    gamma: Annotated[
        float, typer.Option(help="Discount a step of whole episodes.", min=0.0, max=1.0)
    ] = 0.95,
    estimate_propensities: Annotated[
        bool,
        typer.Option(
            "--estimate-propensities",
            help="Estimate the probabilities of the log, and mark every number that uses them.",
        ),
    ] = False,
    seed: Annotated[int, typer.Option(help="Of folds, draws and resamples.", min=0)] = 0,
    imports: ImportOption = None,
    as_json: JsonOption = False,
) -> None:
    """Judge policies from a log, without a user.

    Two tables a policy: the reward of one slate in the situations of the log, and the discounted
    return of an episode. Each row has its interval, effective sample size, largest and mean
    weight (1 if the propensities are right), and a verdict: reliable, weak, do not use.

    Example: slategym ope --log logs/a.parquet --world worlds/mine --policy cf-mmr --epsilon 0.2
    """
    import_user_code(imports)
    from slategym.benchmarks.log_judging import NEURAL, check_estimators, judge
    from slategym.benchmarks.log_reader import read_log

    names = _names(estimators)
    if neural and NEURAL not in names:
        names = (*names, NEURAL)
    check_estimators(names)
    read = read_log(log)
    opened = _world_of(read, world)
    judged = _judged(policy, read, opened, temperature, epsilon)
    if estimate_propensities:
        read = _estimated(read, opened)
    with progress_on_stderr() as progress, stage(progress, STAGE, len(judged)):
        known, found = _known(read, opened, estimators, wrote, seed), []
        for one in judged:
            found.append(judge(known, one, estimators=names, gamma=gamma, seed=seed))
            progress.advance(STAGE)
    if as_json:
        print_json({"log": read.info.to_json(), "policies": [each.to_json() for each in found]})
        return
    for judgement in found:
        print_judgement(judgement, read)


def _judged(
    names: list[str],
    log: "Log",
    world: "World | None",
    temperature: float | None,
    epsilon: float | None,
) -> "list[StochasticPolicy]":
    """Return the policies to judge; one that nothing softens is sure of its slate."""
    from slategym.agents.stochastic import with_propensities
    from slategym.benchmarks.log_training import logged_variant

    variant, made = logged_variant(log, world), []
    softened = temperature is not None or epsilon is not None
    for name in names:
        sure = None if softened or name == "random" else 0.0
        policy = policy_by_name(name, variant, world)
        wrap = epsilon if softened else sure
        made.append(with_propensities(policy, temperature=temperature, epsilon=wrap))
    return made


def _known(
    log: "Log", world: "World | None", estimators: str | None, wrote: str | None, seed: int
) -> "LogFeatures":
    """Return the log with its features.

    Raises:
        UsageError: an estimator that pools items was named, and they cannot be pooled.
    """
    from slategym.benchmarks.log_clusters import CLUSTERED
    from slategym.benchmarks.log_training import logged_variant
    from slategym.benchmarks.log_views import LogFeatures

    asked = [name for name in _names(estimators) if name in CLUSTERED]
    variant = logged_variant(log, world)
    inside = None if wrote is None else policy_by_name(wrote, variant, world)
    known = LogFeatures.of(log, world, seed=seed, pooled=bool(asked), wrote=inside)
    named = asked and estimators is not None and estimators.strip() != "all"
    if known.unpooled and (named or wrote is not None):
        raise UsageError(f"{', '.join(CLUSTERED)} cannot be computed: {known.unpooled}")
    return known


def _names(text: str | None) -> tuple[str, ...]:
    """Return the estimators that an option names; `all` are those that take no networks."""
    from slategym.benchmarks.log_judging import EPISODE_NAMES, NEURAL, SLATE_NAMES, USUAL

    if text is None:
        return USUAL
    if text.strip() == "all":
        return tuple(name for name in (*SLATE_NAMES, *EPISODE_NAMES) if name != NEURAL)
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _world_of(log: "Log", folder: Path | None) -> "World | None":
    """Return the world of a log: the folder's, the tiny one, or none for a classic."""
    if folder is not None:
        return open_world(folder)
    if log.info.world is None:
        return None
    from slategym.envs.worlds import as_world

    return as_world(None)


def _estimated(log: "Log", world: "World | None") -> "Log":
    """Return the log with estimated propensities."""
    from slategym.benchmarks.behaviour_policy import estimate_propensities
    from slategym.benchmarks.log_features import candidate_features

    return estimate_propensities(log, candidate_features(log, world))


def print_judgement(judgement: "Judgement", log: "Log") -> None:
    """Print the tables of one policy."""
    from slategym.benchmarks.log_judging import best_row
    from slategym.benchmarks.ope_verdict import table_text

    wrote = " and ".join(judgement.behaviour)
    print(f"{judgement.policy}, judged from {log.first.sum():,} episodes under {wrote}")
    if judgement.propensities == "estimated":
        fit = log.info.behavior
        print(
            "The log's propensities are estimated, not logged: nothing below is surer than that "
            f"guess (skill {fit['skill']:.3f} nats a slot above uniform, calibration error "
            f"{fit['calibration_error']:.3f})."
        )
    tables = {
        "\nreward of one slate, in the situations of the log": judgement.slate,
        f"\nreturn of an episode, discounted by {judgement.gamma:g} a slate": judgement.episode,
    }
    for title, rows in tables.items():
        if not rows:
            continue
        print(f"{title}\n{table_text(rows)}", end="")
        row = best_row(rows)
        if row is None:
            print("No estimate can be used: the log says too little of this policy.")
        else:
            print(f"Go by {row.name} ({row.verdict}): {row.interval.estimate:.4f}")
    print()
