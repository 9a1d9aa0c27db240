"""`slategym envs`: which environments there are, what they are made of, whether they are sound."""

import shutil
import textwrap
from pathlib import Path
from typing import Annotated, Any

import typer

from slategym.cli_common import DEFAULT_VARIANT, ImportOption, JsonOption, import_user_code
from slategym.cli_render import render
from slategym.console import print_json
from slategym.errors import SlateGymError, UsageError

VariantArgument = Annotated[str, typer.Argument(metavar="ID", help="A registered environment.")]
OptionalWorld = Annotated[
    Path | None,
    typer.Option("--world", metavar="WORLD", help="A world folder; default: the variant's own."),
]

envs_app = typer.Typer(
    help="List, show, check, begin and render environments.", no_args_is_help=False
)
envs_app.command()(render)


def _columns() -> int:
    """Return the width of the terminal, 80 where there is none, at most 110: longer is hard."""
    return min(max(shutil.get_terminal_size((80, 24)).columns, 60), 110)


@envs_app.command("list")
def list_envs(imports: ImportOption = None, as_json: JsonOption = False) -> None:
    """List the environments, by family."""
    import_user_code(imports)
    from slategym.envs.entry_points import broken_entry_points
    from slategym.envs.registry import get_variant, list_variants
    from slategym.variant_text import listing

    variants = [get_variant(name) for name in list_variants()]
    if as_json:
        broken = [vars(one) for one in broken_entry_points()]
        print_json({"envs": [variant.to_json() for variant in variants], "broken": broken})
        return
    print(listing(variants, _columns()))
    for one in broken_entry_points():
        told = f"left out: {one.name} of package {one.distribution}: {one.problem}"
        print("\n" + textwrap.fill(told, _columns(), subsequent_indent="  "))


@envs_app.command()
def show(
    variant_id: VariantArgument,
    world: OptionalWorld = None,
    imports: ImportOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what an environment is made of."""
    import_user_code(imports)
    from slategym.envs.registry import get_variant
    from slategym.envs.single import SlateEnv
    from slategym.variant_text import describe

    variant = get_variant(variant_id)
    env = SlateEnv(variant=variant, **_in_world(variant, world))
    observation = {key: brief(box) for key, box in env.observation_space.spaces.items()}
    action = str(env.action_space)
    name = env.world.info.name if variant.family == "world" else None
    env.close()
    if as_json:
        document = {"variant": variant.to_json(), "parameters": variant.parameters}
        spaces = {"world": name, "observation": observation, "action": action}
        print_json({**document, "spaces": spaces})
        return
    print(describe(variant, _columns()))
    print(f"\nobservation, in world {name}" if name else "\nobservation")
    for key, space in observation.items():
        print(f"  {key:<17} {space}")
    print(textwrap.fill(f"action  {action}", _columns(), subsequent_indent="  "))


def _in_world(variant: Any, world: Path | None) -> dict[str, Any]:  # noqa: ANN401
    """Return the keyword for a world; a variant without one takes none.

    Raises:
        UsageError: a world was named for a variant that has none.
    """
    if world is None:
        return {}
    if variant.family != "world":
        raise UsageError(f"{variant.id} is of family {variant.family}: it takes no --world.")
    return {"world": world}


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
    """Check that an environment keeps its contract.

    These are the checks that slategym's own tests run on its environments.
    """
    import_user_code(imports)
    from slategym.envs import checks
    from slategym.envs.registry import get_variant

    variant = get_variant(variant_id)
    problems, place = [], None
    given = _in_world(variant, world)
    if variant.family == "world":
        from slategym.envs.worlds import as_world

        opened = as_world(getattr(variant, "world", None) if world is None else world)
        problems, place = checks.check_world(opened), opened.info.name
        given = {"world": opened}
    problems = [*problems, *checks.check_variant(variant_id, **given)]
    checked = _checked(checks.check_variant.__doc__ or "")
    if as_json:
        document = {"variant": variant_id, "world": place, "checked": checked}
        print_json({**document, "ok": not problems, "problems": problems})
    elif not problems:
        print(f"{variant_id}{f' in world {place}' if place else ''}: sound. Checked:")
        for one in [*(["the world's tables agree"] if place else []), *checked]:
            print(textwrap.fill(one, _columns(), initial_indent="  ", subsequent_indent="    "))
    if problems:
        listed = textwrap.indent("\n".join(problems), "  ")
        raise SlateGymError(f"{variant_id} breaks its contract:\n{listed}")


def _checked(text: str) -> list[str]:
    """Return what the docstring of `check_variant` says is checked, one entry each."""
    _, _, after = text.partition("Checked: ")
    sentence = " ".join(after.split("\n\n")[0].split()).rstrip(".")
    return [one.strip() for one in sentence.split(";") if one.strip()]


@envs_app.command()
def new(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Bored, or acme/Bored-v0 with its namespace.")
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="The folder to write; default: named after it."),
    ] = None,
    base: Annotated[
        str, typer.Option("--base", metavar="ID", help="The environment to begin with.")
    ] = DEFAULT_VARIANT,
    yaml: Annotated[
        bool, typer.Option("--yaml", help="Write the variant as YAML, not as Python.")
    ] = False,
    imports: ImportOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a new environment with its test.

    Three files that run as they are: the variant, its test, and a README. Nothing is overwritten.

    Example: slategym envs new acme/Bored-v0 --base slategym/World-v0
    """
    import_user_code(imports)
    from slategym.envs.registry import get_variant, list_variants
    from slategym.skeleton import name_of, write_skeleton

    called = name_of(name)
    if called.id in list_variants():
        raise UsageError(f"{called.id} is taken; choose another name or the next version.")
    folder = Path(called.module) if out is None else out
    files = write_skeleton(called, get_variant(base), folder, yaml=yaml)
    if as_json:
        print_json({"id": called.id, "files": files})
        return
    print(f"{called.id} is in {folder}:")
    for file in files:
        print(f"  {file.name}")
    print(f"next: cd {folder} && python -m pytest {files[1].name}")
