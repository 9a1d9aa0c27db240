"""`slategym train`: a world in, a trained agent out."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from slategym.cli_common import (
    DEFAULT_VARIANT,
    ImportOption,
    JsonOption,
    VariantOption,
    WorldOption,
    check_variant_id,
    import_user_code,
    pairs,
)
from slategym.console import duration, print_json, print_table, progress_on_stderr
from slategym.errors import UsageError, unknown_name

if TYPE_CHECKING:
    from slategym.agents.train_config import TrainConfig
    from slategym.agents.training import TrainResult


def train(
    world: WorldOption,
    out: Annotated[Path, typer.Option("--out", metavar="RUN", help="The folder to write.")],
    variant: VariantOption = DEFAULT_VARIANT,
    frames: Annotated[
        int | None, typer.Option(help="User-steps to train for.", show_default="300000", min=1)
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Decides everything drawn.")] = None,
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
            "-s", "--set", metavar="KEY=VALUE", help="Any other training option. Repeatable."
        ),
    ] = None,
    imports: ImportOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train a slate agent with PPO and auxiliary losses.

    The same command again goes on where a stopped run was, and ends with the same weights.

    Example: slategym train --world worlds/mine --out runs/mine --aux rating=1 -s gamma=0.95
    """
    import_user_code(imports)
    check_variant_id(variant)
    config = make_config(variant, frames, seed, aux, settings)
    with progress_on_stderr() as progress:
        from slategym.agents.training import train as train_agent

        result = train_agent(world, out, config, progress)
    summary = run_summary(result, config)
    if as_json:
        print_json(summary)
    else:
        print_run(summary)


def make_config(
    variant: str,
    frames: int | None,
    seed: int | None,
    aux: list[str] | None,
    settings: list[str] | None,
) -> "TrainConfig":
    """Return the training configuration that the options of the command line say.

    Raises:
        UsageError: an unknown option or loss, with the nearest known one; a value out of range;
            an option given twice.
    """
    from slategym.agents.aux_losses import AUX_LOSSES
    from slategym.agents.train_config import TrainConfig

    values: dict[str, Any] = {"variant": variant}
    if aux:
        weights = {} if aux == ["none"] else pairs(aux, "--aux", "--aux rating=1")
        for name in weights:
            if name not in AUX_LOSSES:
                raise unknown_name("auxiliary loss", name, AUX_LOSSES)
        values |= {name: value_of(weights.get(name, "0")) for name in AUX_LOSSES}
    given = {"frames": frames, "seed": seed}
    values |= {name: value for name, value in given.items() if value is not None}
    for name, text in pairs(settings, "-s", "-s gamma=0.95").items():
        if name in values and name != "variant":
            raise UsageError(f"-s {name}=... was given by another option too; give it once.")
        values[name] = value_of(text)
    return TrainConfig.from_json(values)


def value_of(text: str) -> Any:  # noqa: ANN401
    """Return the number, true, false or null that a text is, else the text itself."""
    try:
        value = json.loads(text.lower() if text.lower() in {"true", "false"} else text)
    except json.JSONDecodeError:
        return None if text == "none" else text
    return value


def run_summary(result: "TrainResult", config: "TrainConfig") -> dict[str, Any]:
    """Return what a training run came to, as JSON values."""
    return {
        "run": str(result.run),
        "frames": result.frames,
        "cpu_seconds": result.cpu_seconds,
        "final_return": result.final_return,
        "evaluations": list(result.evaluations),
        "config": config.to_json(),
    }


def print_run(summary: Mapping[str, Any]) -> None:
    """Print the learning curve and what the run came to."""
    rows = [
        [f"{point['frames']:,.0f}"] + [f"{point[key]:.2f}" for key in ("return", "length")]
        for point in summary["evaluations"]
    ]
    print_table("learning curve on training users", ["frames", "return", "slates"], rows)
    config = summary["config"]
    losses = ("rating", "item_features", "recommendation_features")
    weights = ", ".join(f"{name} {config[name]:g}" for name in losses if config[name]) or "none"
    took = duration(summary["cpu_seconds"])
    print(f"{summary['frames']:,} frames of {config['variant']} in {took} of CPU time")
    print(f"auxiliary losses: {weights}")
    print(f"agent: {summary['run']}")
