"""`slategym search` and `slategym finetune`: ask a world's items, and tune vectors on its log."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from slategym.cli_common import JsonOption, open_world, pairs
from slategym.cli_train import value_of
from slategym.console import print_json, print_table, progress_on_stderr
from slategym.errors import DataError
from slategym.progress import stage

if TYPE_CHECKING:
    from slategym.encoders.tasks import FinetuneData
    from slategym.envs.world import World

_PUBLIC, _VALIDATION = 0, 1

WorldArgument = Annotated[
    Path, typer.Argument(metavar="WORLD", help="A folder that `build` wrote.")
]


def search(
    folder: WorldArgument,
    text: Annotated[str | None, typer.Argument(help="Words to search for.")] = None,
    picture: Annotated[
        Path | None, typer.Option("--picture", metavar="FILE", help="A picture to search by.")
    ] = None,
    sound: Annotated[
        Path | None, typer.Option("--sound", metavar="FILE", help="A sound to search by.")
    ] = None,
    count: Annotated[int, typer.Option("-k", "--count", help="Items to list.", min=1)] = 10,
    encoders: Annotated[
        list[str] | None,
        typer.Option(
            "--encoder",
            metavar="MODALITY=NAME",
            help="The encoder the world was built with, where it is not the default.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List the items of a world nearest to a text, a picture or a sound.

    Items without the modality asked by are found through the space the modalities share.

    Example: slategym search worlds/films "a slow film about the sea"
    """
    world = open_world(folder)
    found = world.search(
        text, picture=picture, sound=sound, k=count,
        encoders=pairs(encoders, "--encoder", "--encoder text=minilm"),
    )  # fmt: skip
    ids, titles = world.items["item_id"].astype(str), world.items["title"].astype(str)
    rows = [
        {"item_id": ids.iloc[item], "title": titles.iloc[item], "score": round(float(score), 4)}
        for item, score in zip(found.items, found.scores, strict=True)
    ]
    if as_json:
        print_json({"world": str(folder), "items": rows})
        return
    cells = [[row["item_id"], row["title"], f"{row['score']:.2f}"] for row in rows]
    print_table("nearest items", ["item", "title", "score"], cells)


def finetune(
    folder: WorldArgument,
    out: Annotated[Path, typer.Option("--out", metavar="RUN", help="The folder to write.")],
    settings: Annotated[
        list[str] | None,
        typer.Option("-s", "--set", metavar="KEY=VALUE", help="A setting. Repeatable."),
    ] = None,
    tensorboard: Annotated[
        Path | None,
        typer.Option("--tensorboard", metavar="FOLDER", help="Where to write curves."),
    ] = None,
    wandb: Annotated[
        str | None, typer.Option("--wandb", metavar="PROJECT", help="Curves to Weights & Biases.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Tune item vectors on the public ratings of a world: three tasks on a shared trunk.

    The tasks are the rating, the item's vector from the user's side, and the joint vector of
    both. The same command again goes on where a stopped run was.

    Example: slategym finetune worlds/films --out runs/tuned -s rating=1 -s nested=[16]
    """
    from slategym.encoders.finetune import finetune as tune
    from slategym.encoders.finetune_config import FinetuneConfig
    from slategym.trackers import trackers

    given = pairs(settings, "-s", "-s rating=1")
    config = FinetuneConfig.from_json({name: value_of(text) for name, text in given.items()})
    data = data_of(open_world(folder), config.mode != "adapter")
    with progress_on_stderr() as progress, trackers(tensorboard, wandb, config.to_json()) as told:

        def tell(epoch: int, measures: Any) -> None:  # noqa: ANN401
            progress.advance("finetune")
            told(epoch, measures)

        with stage(progress, "finetune", config.epochs):
            model = tune(data, config, out=out, tracker=tell)
    best = {task: min(row[f"validation/{task}"] for row in model.history) for task in config.tasks}
    document = {
        "run": str(out),
        "passes": len(model.history),
        "config": config.to_json(),
        "best": best,
    }
    if as_json:
        print_json(document)
        return
    cells = [[task.replace("_", " "), f"{loss:.4f}"] for task, loss in best.items()]
    print_table("best validation loss, 1 is saying the mean", ["task", "loss"], cells)
    print(f"run: {out}")


def data_of(world: "World", with_texts: bool) -> "FinetuneData":
    """Return what fine-tuning learns from in a world: its public log and its content vectors."""
    import numpy as np

    from slategym.encoders.tasks import (
        FinetuneData,
        Ratings,
        choice_factors,
        fit_biases,
        taste_factors,
    )

    log = world.log
    split = np.asarray(world.log_split)
    parts = [
        Ratings(log.users[split == part], log.items[split == part], log.values[split == part])
        for part in (_PUBLIC, _VALIDATION)
    ]
    first, last = world.info.blocks["content"]
    vectors = world.item_vectors[:, first:last]
    if with_texts:
        if world.item_text is None:
            raise DataError(
                f"world {world.info.name!r} keeps no text encodings, which training the text "
                "encoder starts from; use -s mode=adapter."
            )
        vectors = world.item_text
    users, items = world.n_users, world.n_items
    biases = fit_biases(parts[0], users, items)
    factors = min(32, users - 1, items - 1)
    titles = tuple(world.items["title"].astype(str)) if with_texts else ()
    return FinetuneData(
        parts[0], parts[1], vectors, users,
        choice_factors(parts[0], users, items, factors=factors),
        taste_factors(parts[0], biases, users, items, factors=min(16, factors)), titles,
    )  # fmt: skip
