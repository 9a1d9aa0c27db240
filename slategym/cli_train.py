"""`slategym train`: a world or a classic in, a trained agent out."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from slategym.cli_common import (
    DEFAULT_VARIANT,
    ImportOption,
    JsonOption,
    check_variant_id,
    import_user_code,
    pairs,
)
from slategym.console import duration, print_json, print_table, progress_on_stderr
from slategym.errors import UsageError, unknown_name

if TYPE_CHECKING:
    from slategym.agents.train_config import TrainConfig
    from slategym.agents.training import TrainResult


# Figure of an evaluation -> head of its column.
CURVE = {
    "return": "return",
    "length": "slates",
    "signal": "signal",
    "validation_return": "held-out users",
    "validation_signal": "their signal",
    "new_items_return": "held-out items",
}
# Parameters of a variant that are options of training themselves.
SIZES = ("slate_size", "num_candidates", "horizon")


def train(
    out: Annotated[Path, typer.Option("--out", metavar="RUN", help="The folder to write.")],
    world: Annotated[
        Path | None,
        typer.Option(
            "--world", metavar="WORLD", help="The folder that `build` wrote; a classic has none."
        ),
    ] = None,
    variant: Annotated[
        str,
        typer.Option(
            "--variant", "--env", metavar="ID", help="The environment; see `slategym envs list`."
        ),
    ] = DEFAULT_VARIANT,
    algo: Annotated[
        str, typer.Option(metavar="NAME", help="The algorithm; an unknown name lists them.")
    ] = "ppo",
    frames: Annotated[
        int | None,
        typer.Option(help="User-steps to train for.", show_default="of the preset", min=1),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Decides everything drawn.")] = None,
    seeds: Annotated[
        int | None,
        typer.Option(
            help="Train so many seeds, from --seed (0) on, into RUN/seed-0, RUN/seed-1, ...", min=1
        ),
    ] = None,
    aux: Annotated[
        list[str] | None,
        typer.Option(
            "--aux",
            metavar="LOSS=WEIGHT",
            help="Weights of the auxiliary losses rating, item_features and "
            "recommendation_features; those not named are off. `--aux none`: all off.",
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "-s",
            "--set",
            metavar="KEY=VALUE",
            help="Any other training option; env.NAME: a parameter of the environment; algo.NAME: "
            "one of the algorithm. Repeatable.",
        ),
    ] = None,
    tensorboard: Annotated[
        bool, typer.Option(help="Write the curves to RUN/tensorboard too.")
    ] = True,
    wandb: Annotated[
        str | None,
        typer.Option("--wandb", metavar="PROJECT", help="Send the curves to Weights & Biases too."),
    ] = None,
    imports: ImportOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train a slate agent, with the preset of its environment where there is one.

    The same command again goes on where a stopped run was, and ends with the same weights.

    Example: slategym train --world worlds/mine --out runs/mine --aux rating=1 -s gamma=0.95
    """
    import_user_code(imports)
    check_variant_id(variant)
    config = make_config(variant, algo, frames, seed, aux, settings)
    with progress_on_stderr() as progress:
        from slategym.agents.run_watch import Watch
        from slategym.agents.seed_runs import train_seeds
        from slategym.agents.training import train as train_agent

        watch = Watch(tensorboard, wandb)
        if seeds is None:
            results = [train_agent(world, out, config, progress, watch)]
        else:
            results = train_seeds(world, out, config, seeds, progress, watch)
    summaries = [run_summary(result, config) for result in results]
    told = summaries[0] if seeds is None else set_summary(out, summaries)
    if as_json:
        print_json(told)
    elif seeds is None:
        print_run(told)
    else:
        print_set(told)


def make_config(
    variant: str,
    algo: str,
    frames: int | None,
    seed: int | None,
    aux: list[str] | None,
    settings: list[str] | None,
) -> "TrainConfig":
    """Return the training configuration that the options of the command line say.

    Raises:
        UsageError: an unknown option, algorithm or loss, with the nearest known one; a value out
            of range; an option given twice.
    """
    from slategym.agents.algorithms import ALGORITHMS
    from slategym.agents.aux_losses import AUX_LOSSES
    from slategym.agents.presets import preset_config

    if algo not in ALGORITHMS:
        raise unknown_name("algorithm", algo, ALGORITHMS)
    values: dict[str, Any] = {"algo": algo}
    if aux:
        weights = {} if aux == ["none"] else pairs(aux, "--aux", "--aux rating=1")
        for name in weights:
            if name not in AUX_LOSSES:
                raise unknown_name("auxiliary loss", name, AUX_LOSSES)
        values |= {name: value_of(weights.get(name, "0")) for name in AUX_LOSSES}
    given = {"frames": frames, "seed": seed}
    values |= {name: value for name, value in given.items() if value is not None}
    inner: dict[str, dict[str, Any]] = {"env": {}, "algo": {}}
    for name, text in pairs(settings, "-s", "-s gamma=0.95").items():
        prefix, dot, rest = name.partition(".")
        if dot and prefix in inner and rest not in SIZES:
            inner[prefix][rest] = value_of(text)
            continue
        name = rest if dot and prefix == "env" else name
        if name in values:
            raise UsageError(f"-s {name}=... was given by another option too; give it once.")
        values[name] = value_of(text)
    found = {"env": inner["env"], "algo_options": inner["algo"]}
    values |= {name: options for name, options in found.items() if options}
    variant = values.pop("variant", variant)
    return preset_config(variant, **values)


def value_of(text: str) -> Any:  # noqa: ANN401
    """Return the number, true, false or null that a text is, else the text itself."""
    try:
        value = json.loads(text.lower() if text.lower() in {"true", "false"} else text)
    except json.JSONDecodeError:
        return None if text == "none" else text
    return value


def set_summary(out: Path, summaries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what a set of seeds came to: every run, and the interquartile mean of the returns."""
    from slategym.benchmarks.statistics import stratified_interval

    finals = [run["final_return"] for run in summaries if run["final_return"] is not None]
    return {
        "run": str(out),
        "seeds": list(summaries),
        "final_return": stratified_interval([finals]).to_json() if finals else None,
    }


def run_summary(result: "TrainResult", config: "TrainConfig") -> dict[str, Any]:
    """Return what a training run came to, as JSON values."""
    return {
        "run": str(result.run),
        "frames": result.frames,
        "cpu_seconds": result.cpu_seconds,
        "final_return": result.final_return,
        "evaluations": list(result.evaluations),
        "stopped": result.stopped,
        "kept_frames": result.kept_frames,
        "config": config.to_json() | {"seed": result.seed},
    }


def print_run(summary: Mapping[str, Any]) -> None:
    """Print the learning curve and what the run came to."""
    points, config = summary["evaluations"], summary["config"]
    shown = {key: head for key, head in CURVE.items() if any(key in point for point in points)}
    rows = [
        [f"{point['frames']:,.0f}"] + [f"{point[key]:.2f}" for key in shown] for point in points
    ]
    print_table("learning curve", ["frames", *shown.values()], rows)
    if summary["kept_frames"] is not None:
        early = "stopped early; " if summary["stopped"] else ""
        print(f"{early}weights of {summary['kept_frames']:,} frames kept")
    losses = ("rating", "item_features", "recommendation_features")
    weights = ", ".join(f"{name} {config[name]:g}" for name in losses if config[name]) or "none"
    took = duration(summary["cpu_seconds"])
    print(f"{summary['frames']:,} frames of {config['variant']} in {took} of CPU time")
    print(f"auxiliary losses: {weights}")
    print(f"agent: {summary['run']}")


def print_set(summary: Mapping[str, Any]) -> None:
    """Print the final return of every seed, and their interquartile mean."""
    rows = [
        [
            str(run["config"]["seed"]),
            "n/a" if run["final_return"] is None else f"{run['final_return']:,.2f}",
            f"{run['frames']:,}",
            duration(run["cpu_seconds"]),
        ]
        for run in summary["seeds"]
    ]
    print_table("final return on training users", ["seed", "return", "frames", "CPU time"], rows)
    found = summary["final_return"]
    if found is not None:
        told = "" if found["low"] is None else f" [{found['low']:,.2f}, {found['high']:,.2f}]"
        print(f"interquartile mean [95 %]: {found['estimate']:,.2f}{told}")
    print(f"agents: {summary['run']}; `slategym bench --run {summary['run']}` judges them")
