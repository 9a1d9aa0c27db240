"""`slategym log`: a policy's slates with their probabilities, as one Parquet file."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from slategym.cli_common import (
    DEFAULT_VARIANT,
    ImportOption,
    JsonOption,
    VariantOption,
    check_variant_id,
    import_user_code,
    open_world,
)
from slategym.console import print_json, progress_on_stderr
from slategym.errors import UsageError

if TYPE_CHECKING:
    from slategym.agents.policy import Policy
    from slategym.envs.classic_variant import ClassicVariant
    from slategym.envs.protocol import AnyVariant
    from slategym.envs.world import World

OptionalWorldOption = Annotated[
    Path | None,
    typer.Option("--world", metavar="WORLD", help="The folder that `build` wrote. Default: tiny."),
]
TemperatureOption = Annotated[
    float | None,
    typer.Option(
        help="Draw slates by softmax over the policy's scores / this.", show_default=False
    ),
]
EpsilonOption = Annotated[
    float | None,
    typer.Option(help="Show any slate with this probability.", show_default=False),
]


def log(
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The Parquet file to write.")],
    policy: Annotated[
        str,
        typer.Option(
            metavar="NAME|RUN", help="A policy by name, or the folder of a trained agent."
        ),
    ],
    world: OptionalWorldOption = None,
    variant: VariantOption = DEFAULT_VARIANT,
    temperature: TemperatureOption = None,
    epsilon: EpsilonOption = None,
    users: Annotated[int, typer.Option(help="Episodes, one a user stream.", min=1)] = 1024,
    seed: Annotated[int, typer.Option(help="Decides users, luck and draws.", min=0)] = 0,
    split: Annotated[str, typer.Option(help="Users: train, held_out or all.")] = "train",
    imports: ImportOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write what a policy shows and what users do with it, one row per slot.

    Each row has the probability of the item when it was shown, so that other policies can be
    judged from the file (`slategym ope`) and agents trained on it (`slategym train-offline`). A
    policy that always shows the same slate has none: give it a temperature or an epsilon.

    Example: slategym log --world worlds/mine --policy cf-greedy --epsilon 0.3 --out logs/a.parquet
    """
    import_user_code(imports)
    check_variant_id(variant)
    from slategym.agents.stochastic import with_propensities
    from slategym.benchmarks.log_writer import write_log
    from slategym.envs.registry import get_variant

    task = get_variant(variant)
    opened = world_for(task, world)
    chosen = with_propensities(
        policy_by_name(policy, task, opened), temperature=temperature, epsilon=epsilon
    )
    with progress_on_stderr() as progress:
        info = write_log(
            chosen, task, out, world=opened, users=users, seed=seed, split=split, progress=progress
        )
    if as_json:
        print_json({"log": str(out), **info.to_json()})
        return
    print(f"{users:,} episodes of {variant} under {chosen.name} (environment {info.env_hash})")
    print(f"log: {out}")


def world_for(variant: "AnyVariant", folder: Path | None) -> "World | None":
    """Return the world a variant is run in; None for a classic.

    Raises:
        UsageError: a world was named for a variant that has none.
    """
    if variant.family != "world":
        if folder is not None:
            raise UsageError(f"{variant.id} is of family {variant.family}: it takes no --world.")
        return None
    from slategym.envs.worlds import as_world

    return open_world(folder) if folder is not None else as_world(getattr(variant, "world", None))


def policy_by_name(name: str, variant: "AnyVariant", world: "World | None") -> "Policy":
    """Return a registered policy, or the agent of a RUN folder.

    Raises:
        UsageError: an unknown name; the message gives the nearest.
    """
    from slategym.agents.policy import POLICIES, for_variant, make_policy
    from slategym.envs.worlds import world_of

    trained = (Path(name) / "agent.json").is_file()
    if world is None:
        from slategym.agents.classic_rules import CLASSIC_POLICIES, make_classic_policy

        task = cast("ClassicVariant", variant)
        if name in CLASSIC_POLICIES[task.family] or not trained:
            return make_classic_policy(name, task)
    elif name in POLICIES or not trained:
        known = make_policy(name, world_of(variant, world), variant.slate_size)
        return for_variant(known, variant)
    from slategym.agents.trained import load_agent

    run = Path(name)
    return load_agent(run, world, name=run.resolve().name, slate_size=variant.slate_size)
