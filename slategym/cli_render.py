"""`slategym envs render`: an episode as text, or as one animated GIF."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from slategym.cli_common import ImportOption, JsonOption, import_user_code
from slategym.console import print_json
from slategym.errors import UsageError

if TYPE_CHECKING:
    from slategym.envs.single import SlateEnv


IdArgument = Annotated[str, typer.Argument(metavar="ID", help="A registered environment.")]
WorldFolderOption = Annotated[
    Path | None,
    typer.Option("--world", metavar="WORLD", help="A world folder; default: the variant's."),
]
PolicyOption = Annotated[
    str,
    typer.Option(
        metavar="NAME", help="Who chooses the slates; a classic's are its oracles, or random."
    ),
]
RunOption = Annotated[
    Path | None,
    typer.Option("--run", metavar="RUN", help="A trained agent chooses, as `train` wrote it."),
]
SeedOption = Annotated[int, typer.Option(help="Names the user and the luck.", min=0)]
StepsOption = Annotated[int, typer.Option(help="Most slates.", min=1, max=1000)]
OutOption = Annotated[
    Path | None,
    typer.Option("--out", metavar="FILE.gif", help="The GIF to write; without it: text."),
]
FpsOption = Annotated[float, typer.Option(help="Slates per second in the GIF.")]


def render(
    variant_id: IdArgument,
    world: WorldFolderOption = None,
    policy: PolicyOption = "random",
    run: RunOption = None,
    seed: SeedOption = 0,
    steps: StepsOption = 40,
    out: OutOption = None,
    fps: FpsOption = 1.0,
    imports: ImportOption = None,
    as_json: JsonOption = False,
) -> None:
    """Render an episode as text or GIF.

    What one user was shown under a policy, what was taken, and what it was worth.

    Example: slategym envs render slategym/World-v0 --policy cf-greedy --out episode.gif
    """
    if out is not None and out.suffix.lower() != ".gif":
        raise UsageError(f"--out is {str(out)!r}; it must be named .gif, or left out for text.")
    import_user_code(imports)
    from slategym.benchmarks.episode import play, player, texts

    env = _open(variant_id, world, "ansi" if out is None else "rgb_array")
    episode = play(env, player(env, policy, run), seed, steps)
    env.close()
    summary: dict[str, Any] = {
        "variant": env.variant.id,
        "policy": policy if run is None else str(run),
        "seed": seed,
        "slates": len(episode.frames),
        "return": episode.total,
        "ended": episode.ended,
    }
    if out is not None:
        from slategym.envs.render_gif import save_gif

        save_gif(episode.frames, out, fps)
        summary |= {"out": out, "bytes": out.stat().st_size}
    shown = list(texts(episode)) if out is None else []
    if as_json:
        print_json(summary | ({} if out else {"text": shown}))
        return
    _tell(shown, summary)


def _open(variant_id: str, world: Path | None, mode: str) -> "SlateEnv":
    """Return the environment as the policies by name see it and act in it.

    Raises:
        UsageError: no such variant, or a world for a task that has none.
    """
    from slategym.envs.registry import get_variant
    from slategym.envs.single import SlateEnv

    variant = get_variant(variant_id)
    inside = variant.family == "world"
    if world is not None and not inside:
        raise UsageError(f"{variant.id} is of family {variant.family}: it takes no --world.")
    changes: dict[str, Any] = {"observation": "ids", "action": "slate"} if inside else {}
    return SlateEnv(variant=variant, world=world, privileged=True, render_mode=mode, **changes)


def _tell(shown: list[str], summary: dict[str, Any]) -> None:
    """Print the slates, what they came to, and where the picture is."""
    for text in shown:
        print(text)
    told = f"{summary['slates']} slates, return {summary['return']:.2f}"
    told += "" if summary["ended"] else ", not ended yet"
    print(f"{summary['variant']}, {summary['policy']}, seed {summary['seed']}: {told}")
    if "out" in summary:
        print(f"picture: {summary['out']} ({summary['bytes'] / 1000:,.0f} kB)")
