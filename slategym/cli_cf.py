"""`slategym cf`: collaborative-filtering models compared on a data set, and a score explained."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from slategym.cli_common import JsonOption
from slategym.console import print_json, print_table, progress_on_stderr
from slategym.errors import UsageError, nearest

if TYPE_CHECKING:
    from slategym.benchmarks.cf_bench import Row, Table

DataArgument = Annotated[
    Path,
    typer.Argument(
        metavar="DATA",
        help="A MovieLens folder, the TikTok or CoLaKG split, or a CSV, TSV or Parquet log.",
    ),
]
SHOWN = {
    "ndcg@10": "NDCG@10",
    "recall@20": "Recall@20",
    "ndcg@20": "NDCG@20",
    "hit_rate@10": "HR@10",
    "mrr@10": "MRR@10",
    "map@10": "MAP@10",
    "coverage@10": "coverage@10",
    "novelty@10": "novelty@10",
    "rmse u1": "RMSE u1",
    "rmse mean": "RMSE mean",
    "mae mean": "MAE mean",
}

cf_app = typer.Typer(
    help="Compare collaborative-filtering models, and explain a score.", no_args_is_help=False
)


@cf_app.command()
def bench(
    data: DataArgument,
    model: Annotated[
        list[str] | None, typer.Option("--model", metavar="NAME", help="Repeatable. Default: all.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of models with random starts.", min=0)] = 0,
    content: Annotated[
        bool,
        typer.Option("--content", help="Also with what items are, and with that shuffled."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Compare models on held-out rows, their settings chosen on other rows held out before.

    CPU seconds are those of one fit and, for lists, of scoring every item for every user.

    Example: slategym cf bench data/ml-100k --model ease --model item-knn
    """
    from slategym.benchmarks.cf_bench import run_bench

    with progress_on_stderr() as progress:
        tables = run_bench(data, model, seed, progress, content=content)
    if as_json:
        print_json({"data": str(data), "seed": seed, "tables": [asdict(table) for table in tables]})
        return
    for table in tables:
        _print(table)


def _print(table: "Table") -> None:
    measures = [name for name in SHOWN if name in table.rows[0].values]
    columns = ["model", *(SHOWN[name] for name in measures), "validation", "CPU s"]
    lines = [_line(row, measures) for row in table.rows]
    print_table(table.task, columns, lines)
    print(table.protocol)
    for row in table.rows:
        chosen = ", ".join(f"{name} {value}" for name, value in row.settings.items())
        print(f"  {row.model}: {chosen or 'its defaults'} ({row.tried} tried)")


def _line(row: "Row", measures: Sequence[str]) -> list[str]:
    cells = []
    for name in measures:
        half = (row.high[name] - row.low[name]) / 2 if name in row.high else None
        cells.append(f"{row.values[name]:.4f}" + (f" ±{half:.4f}" if half is not None else ""))
    return [row.model, *cells, f"{row.validation:.4f}", f"{row.cpu_seconds:.2f}"]


@cf_app.command()
def explain(
    data: DataArgument,
    user: Annotated[str, typer.Option("--user", metavar="ID", help="The user's id in the log.")],
    item: Annotated[
        str, typer.Option("--item", metavar="ID", help="The item's id in the log, or its title.")
    ],
    model: Annotated[str, typer.Option("--model", metavar="NAME", help="The model.")] = "ease",
    top: Annotated[int, typer.Option(help="Items of the history to name.", min=1)] = 5,
    as_json: JsonOption = False,
) -> None:
    """Say why a model would show an item to a user, in plain words.

    Example: slategym cf explain data/ml-100k --user 196 --item "Star Wars (1977)"
    """
    from slategym.cf_baselines.base import make_scorer
    from slategym.cf_baselines.benchmark_data import load_ranking_task

    scorer = make_scorer(model)
    task = load_ranking_task(data)
    log, titles = task.log, task.titles
    row = _find(user, "user", log.user_ids, log.user_ids)
    column = _find(item, "item", log.item_ids, titles)
    scorer.fit(log)
    why = scorer.explain(row, column, top)
    place, of = _place(scorer, row, column)
    if as_json:
        parts = [
            {**asdict(part), "title": titles[part.item] if part.item >= 0 else None}
            for part in why.parts
        ]
        found = {"user": user, "item": log.item_ids[column], "title": titles[column]}
        print_json({**found, "model": model, "score": why.score, "rank": place, "parts": parts})
        return
    if place is None:
        print(f"User {user} has had {titles[column]} already.")
    else:
        print(f"For user {user}, {titles[column]} is number {place:,} of {of:,} items not had yet.")
    print(why.text(titles))
    print("The percentages are shares of everything that counted, for and against.")


def _place(scorer: Any, user: int, item: int) -> tuple[int | None, int]:  # noqa: ANN401
    """Return the rank of an item among those the user has not had (None if had), and how many."""
    import numpy as np

    scores = scorer.score_all([user])[0]
    unseen = np.ones(len(scores), np.bool_)
    had = scorer.index.items_of(np.array([user]))[0]
    unseen[had[had >= 0]] = False
    if not unseen[item]:
        return None, int(unseen.sum())
    return 1 + int((scores[unseen] > scores[item]).sum()), int(unseen.sum())


def _find(wanted: str, what: str, ids: Sequence[str], titles: Sequence[str]) -> int:
    """Return the row of an id, else of a title, written in any case.

    Raises:
        UsageError: there is no such id or title.
    """
    if wanted in ids:
        return list(ids).index(wanted)
    lowered = [title.lower() for title in titles]
    if wanted.lower() in lowered:
        return lowered.index(wanted.lower())
    starts = [row for row, title in enumerate(lowered) if title.startswith(wanted.lower())]
    if len(starts) == 1 and wanted:
        return starts[0]
    hint = nearest(wanted, titles) or f" The first is {titles[0]!r}."
    raise UsageError(f"--{what} {wanted!r}: there is no such {what} in the data.{hint}")
