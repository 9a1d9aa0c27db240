"""`slategym train-offline`: a log in, a trained agent out; no user is simulated."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from slategym.cli_common import ImportOption, JsonOption, import_user_code, pairs
from slategym.cli_log import OptionalWorldOption
from slategym.cli_train import value_of
from slategym.console import print_json, print_table, progress_on_stderr
from slategym.errors import UsageError, nearest

if TYPE_CHECKING:
    from slategym.agents.offline_data import OfflineConfig


def train_offline(
    log: Annotated[
        list[Path], typer.Option("--log", metavar="FILE", help="A log of `log`. Repeatable.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="RUN", help="The folder to write.")],
    world: OptionalWorldOption = None,
    method: Annotated[
        str, typer.Option(help="reinforce (top-K off-policy correction) or cloning.")
    ] = "reinforce",
    seed: Annotated[int, typer.Option(help="Decides everything drawn.", min=0)] = 0,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "-s", "--set", metavar="KEY=VALUE", help="Any other training option. Repeatable."
        ),
    ] = None,
    imports: ImportOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train a slate agent on logs alone.

    The result is a RUN folder like that of `train`: `bench --run` judges it in simulation, and
    `ope --policy RUN` from a log that it was not trained on.

    Example: slategym train-offline --log logs/a.parquet --world worlds/mine --out runs/offline
    """
    import_user_code(imports)
    config = offline_config(method, seed, settings)
    from slategym.benchmarks.log_training import train_on_log
    from slategym.envs.world import World
    from slategym.envs.worlds import as_world

    opened = as_world(None) if world is None else World.open(world)
    with progress_on_stderr() as progress:
        result = train_on_log(log, opened, config, out, progress=progress)
    if as_json:
        told: dict[str, Any] = {"run": str(out), "best_epoch": result.best_epoch}
        print_json({**told, "curve": list(result.curve), "config": config.to_json()})
        return
    every = max(1, len(result.curve) // 10)
    rows = [
        [f"{point['epoch']:.0f}", f"{point['loss']:.4f}", f"{point['held_out']:.4f}"]
        for point in result.curve
        if point["epoch"] % every == 0 or point["epoch"] == result.best_epoch
    ]
    print_table("objective on held-out users of the log", ["epoch", "loss", "held out"], rows)
    print(f"weights of epoch {result.best_epoch}; agent: {out}")


def offline_config(method: str, seed: int, settings: list[str] | None) -> "OfflineConfig":
    """Return the configuration that the options say.

    Raises:
        UsageError: an unknown option, with the nearest known one; or a value out of range.
    """
    from slategym.agents.offline_data import OfflineConfig

    values: dict[str, Any] = {"method": method, "seed": seed}
    known = list(OfflineConfig.__dataclass_fields__)
    for name, text in pairs(settings, "-s", "-s gamma=0.9").items():
        if name not in known:
            raise UsageError(
                f"unknown training option {name!r}.{nearest(name, known)} "
                f"Known: {', '.join(known)}."
            )
        if name in values:
            raise UsageError(f"-s {name}=... is an option of its own: --{name}.")
        values[name] = value_of(text)
    return OfflineConfig(**values)
