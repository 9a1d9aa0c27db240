"""`slategym envs`: which environments there are, what they are made of, whether they are sound."""

import dataclasses
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from slategym.cli_common import ImportOption, JsonOption, import_user_code
from slategym.console import print_json, print_table
from slategym.errors import SlateGymError

if TYPE_CHECKING:
    from slategym.envs.variant import Variant

VariantArgument = Annotated[str, typer.Argument(metavar="ID", help="A registered environment.")]
OptionalWorld = Annotated[
    Path | None,
    typer.Option("--world", metavar="WORLD", help="A world folder; default: the variant's own."),
]

envs_app = typer.Typer(help="List, show and check environments.", no_args_is_help=False)


@envs_app.command("list")
def list_envs(imports: ImportOption = None, as_json: JsonOption = False) -> None:
    """List the registered environments."""
    import_user_code(imports)
    from slategym.envs.registry import get_variant, list_variants

    variants = [get_variant(name) for name in list_variants()]
    if as_json:
        print_json({"envs": [variant.to_json() for variant in variants]})
        return
    rows = [
        [v.id, f"{v.slate_size} of {v.num_candidates}", str(v.horizon), v.description]
        for v in variants
    ]
    print_table("", ["id", "slate", "horizon", "what it is"], rows, first_left=4)


@envs_app.command()
def show(
    variant_id: VariantArgument,
    world: OptionalWorld = None,
    imports: ImportOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the parts, parameters and spaces of an environment."""
    import_user_code(imports)
    from slategym.envs.registry import get_variant
    from slategym.envs.single import SlateEnv

    variant = get_variant(variant_id)
    env = SlateEnv(variant=variant, world=world)
    observation = {key: brief(box) for key, box in env.observation_space.spaces.items()}
    action = str(env.action_space)
    name = env.world.info.name
    env.close()
    if as_json:
        document = {"variant": variant.to_json(), "parameters": variant.parameters}
        spaces = {"world": name, "observation": observation, "action": action}
        print_json({**document, "spaces": spaces})
        return
    print(f"{variant.id}: {variant.description}")
    print_table("", ["parameter", "value", "meaning"], parameter_rows(variant), first_left=3)
    print(f"observation, in world {name}")
    for key, space in observation.items():
        print(f"  {key:<17} {space}")
    print(f"action\n  {action}")


def parameter_rows(variant: "Variant") -> list[list[str]]:
    """Return name, value and meaning of each parameter of a variant, part by part."""
    from slategym.envs.variant import PARTS

    counts = {
        "slate_size": "items shown per step",
        "num_candidates": "items to choose the slate from",
        "horizon": "steps after which an episode is cut",
        "observation": "features (vectors inline) or ids",
    }
    rows = [[name, str(getattr(variant, name)), meaning] for name, meaning in counts.items()]
    for part in PARTS:
        piece = getattr(variant, part)
        for entry in dataclasses.fields(piece):
            value = getattr(piece, entry.name)
            shown = "of the world" if value is None else str(value)
            rows.append([f"{part}.{entry.name}", shown, entry.metadata.get("meaning", "")])
    return rows


def brief(box: Any) -> str:  # noqa: ANN401 - a gymnasium Box
    """Return dtype, shape and the range over all entries of a space, without listing bounds."""
    return f"{box.dtype} {tuple(box.shape)} in [{box.low.min():.4g}, {box.high.max():.4g}]"


@envs_app.command()
def check(
    variant_id: VariantArgument,
    world: OptionalWorld = None,
    imports: ImportOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run the conformance checks that the project's own tests run on its environments."""
    import_user_code(imports)
    from slategym.envs.checks import check_variant, check_world
    from slategym.envs.registry import as_world, get_variant

    variant = get_variant(variant_id)
    opened = as_world(variant.world if world is None else world)
    problems = [*check_world(opened), *check_variant(variant_id, world=opened)]
    document: dict[str, Any] = {
        "variant": variant_id,
        "world": opened.info.name,
        "ok": not problems,
        "problems": problems,
    }
    if as_json:
        print_json(document)
    elif not problems:
        print(f"{variant_id} in world {opened.info.name}: sound")
    if problems:
        listed = textwrap.indent("\n".join(problems), "  ")
        raise SlateGymError(f"{variant_id} breaks its contract:\n{listed}")
