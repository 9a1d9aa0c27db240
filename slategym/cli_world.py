"""`slategym world`: what a world is, whether it is whole, and how like its log it is."""

from pathlib import Path
from typing import Annotated, Any

import typer

from slategym.cli_common import DEFAULT_VARIANT, JsonOption, check_output, open_world
from slategym.cli_summary import print_world, world_summary
from slategym.console import print_json, progress_on_stderr
from slategym.errors import DataError

FolderArgument = Annotated[
    Path, typer.Argument(metavar="WORLD", help="A folder that `build` wrote.")
]
CardOutOption = Annotated[
    Path | None,
    typer.Option("--out", metavar="FOLDER", help="Where to write the card; default: WORLD-card."),
]
SeedOption = Annotated[int, typer.Option(help="Seed of resamples and simulations.", min=0)]
DrawsOption = Annotated[int, typer.Option(help="Resamples of users.", min=100)]
UsersOption = Annotated[
    int, typer.Option(help="Users simulated for each policy and setting; 0: no policies.", min=0)
]

world_app = typer.Typer(help="Show, verify and judge worlds.", no_args_is_help=False)


@world_app.command()
def show(folder: FolderArgument, as_json: JsonOption = False) -> None:
    """Show what a world holds, and what was measured when it was built."""
    world = open_world(folder)
    summary = world_summary(world, folder) | {"log": _log(world), "optional": _optional(world)}
    if as_json:
        print_json(summary)
        return
    print_world(summary)
    for name, value in {**summary["log"], **summary["optional"]}.items():
        print(f"{name.replace('_', ' ')}: {value}")
    for sentence in summary["assumptions"]:
        print(f"assumed: {sentence}")


@world_app.command()
def verify(folder: FolderArgument, as_json: JsonOption = False) -> None:
    """Check every file of a world against its hash, and its content against what worlds promise."""
    from slategym.envs.checks import check_world

    world = open_world(folder)
    problems = check_world(world)
    document = {"world": str(folder), "hash": world.hash, "ok": not problems, "problems": problems}
    if as_json:
        print_json(document)
        raise typer.Exit(DataError.exit_code if problems else 0)
    if problems:
        raise DataError(f"{folder} is whole but not sound: {'; '.join(problems)}.")
    print(f"{folder}: whole and sound (hash {world.hash[:16]})")


@world_app.command()
def card(
    folder: FolderArgument,
    out: CardOutOption = None,
    seed: SeedOption = 0,
    draws: DrawsOption = 1000,
    users: UsersOption = 512,
    as_json: JsonOption = False,
) -> None:
    """Judge a world on rows and users that no fit has seen; write card.html and card.json.

    Example: slategym world card worlds/ml --out cards/ml
    """
    from slategym.benchmarks.card_page import JSON, write_card
    from slategym.benchmarks.card_sensitivity import rank_stability
    from slategym.envs.card import world_card
    from slategym.envs.card_findings import findings

    target = out if out is not None else folder.with_name(f"{folder.name}-card")
    check_output(target, JSON, "a world card")
    world = open_world(folder)
    with progress_on_stderr() as progress:
        made = world_card(world, seed=seed, draws=draws, progress=progress)
        made["policy_ranking"] = (
            rank_stability(
                world,
                variant=DEFAULT_VARIANT,
                users=users,
                draws=draws,
                seed=seed,
                progress=progress,
            )
            if users
            else {"missing": "it was not asked for (--users 0)"}
        )
        page, numbers = write_card(made, target)
    found = findings(made)
    if as_json:
        print_json({"card": str(page), "numbers": str(numbers), "findings": found})
        return
    for one in found:
        print(f"[{one['tone']}] {one['about']}: {one['says']}")
    print(made["statements"]["selection_bias"])
    print(f"card  {page}")


def _log(world: Any) -> dict[str, Any]:  # noqa: ANN401 - a World, imported where it is needed
    """Return how many rows of the log are in which split."""
    if not world.has_log:
        return {"log": "not kept; build the world again to keep it"}
    names = ("public_rows", "validation_rows", "test_rows", "withheld_rows")
    counts = {name: int((world.log_split == part).sum()) for part, name in enumerate(names)}
    return {name: count for name, count in counts.items() if count or name != "withheld_rows"}


def _optional(world: Any) -> dict[str, Any]:  # noqa: ANN401 - a World
    """Return the columns from which prices, publication times and creators were read."""
    found = world.info.provenance.get("item_attributes", {})
    said: dict[str, Any] = {
        f"item_{role}": f"column {entry['column']!r}" for role, entry in found.items()
    }
    if world.cold_items.any():
        said["cold_items"] = int(world.cold_items.sum())
    if world.cold_users.any():
        said["cold_users"] = int(world.cold_users.sum())
    return said
