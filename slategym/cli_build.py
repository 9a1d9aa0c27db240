"""`slategym build`: a catalogue and a log in, a world out."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer

from slategym.cli_common import JsonOption, check_output, pairs
from slategym.cli_summary import print_world, world_summary
from slategym.console import print_json, progress_on_stderr
from slategym.errors import DataError, UsageError, unknown_name
from slategym.progress import Progress
from slategym.user_table import load_profiles

if TYPE_CHECKING:
    from slategym.cf_baselines.interactions import Interactions, Split
    from slategym.encoders.catalog import Catalog
    from slategym.encoders.tables import ColumnReport
    from slategym.envs.world import World


OutOption = Annotated[Path, typer.Option("--out", metavar="WORLD", help="The folder to write.")]
MovielensOption = Annotated[
    Path | None,
    typer.Option("--movielens", metavar="FOLDER", help="MovieLens 100K in its own layout."),
]
PostersOption = Annotated[
    Path | None,
    typer.Option("--posters", metavar="ZIP", help="Posters for --movielens, if not found."),
]
LogOption = Annotated[
    Path | None, typer.Option("--log", metavar="FILE", help="Who did what: CSV, TSV, Parquet.")
]
ItemsOption = Annotated[
    Path | None,
    typer.Option("--items", metavar="FILE", help="The catalogue: CSV, TSV or Parquet."),
]
UsersOption = Annotated[
    Path | None,
    typer.Option("--users", metavar="FILE", help="What is known of the users, if anything."),
]
DemoOption = Annotated[
    bool, typer.Option("--demo", help="The generated catalogue and log; synthetic.")
]
ColumnsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--columns",
        metavar="ROLE=COLUMN",
        help="Which column plays a role, where the guess is wrong; `items.`, `log.` or "
        "`users.` before the role names one file. Repeatable.",
    ),
]
EncoderOption = Annotated[
    list[str] | None,
    typer.Option(
        "--encoder",
        metavar="MODALITY=NAME",
        help="The encoder of text, image or audio: text=minilm, text=hf:FOLDER, ... Repeatable.",
    ),
]
NameOption = Annotated[str | None, typer.Option("--name", help="What the world is called.")]
FactorsOption = Annotated[int, typer.Option(help="Dimensions of taste.", min=1)]
HeldOutOption = Annotated[
    float, typer.Option(help="Share of users no agent trains on.", min=0.0, max=0.9)
]
SeedOption = Annotated[int, typer.Option(help="Seed of the random choices.")]


@dataclass(frozen=True)
class Inputs:
    """What a world is built from.

    Attributes:
        catalog: The items.
        interactions: The log.
        split: Rows to fit, validate and test on; None lets the builder choose.
        profiles: (U,) a text about each user, or None.
        name: What the world is called.
        reports: Which column was read as what, a report for each file.
    """

    catalog: "Catalog"
    interactions: "Interactions"
    split: "Split | None" = None
    profiles: tuple[str, ...] | None = None
    name: str | None = None
    reports: "tuple[ColumnReport, ...]" = ()


@dataclass(frozen=True)
class Sources:
    """The options of `build` that name its input; exactly one kind may be given."""

    movielens: Path | None = None
    posters: Path | None = None
    log: Path | None = None
    items: Path | None = None
    users: Path | None = None
    demo: bool = False


def build(
    out: OutOption,
    movielens: MovielensOption = None,
    posters: PostersOption = None,
    log: LogOption = None,
    items: ItemsOption = None,
    users: UsersOption = None,
    demo: DemoOption = False,
    columns: ColumnsOption = None,
    encoder: EncoderOption = None,
    name: NameOption = None,
    factors: FactorsOption = 16,
    held_out: HeldOutOption = 0.2,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Build a world: encode the items, fit the users on the log, calibrate their clicks.

    Example: slategym build --log user_behavior.csv --items item_features.csv --out worlds/mine
    """
    check_output(out, "world.json", "a world")
    chosen = pairs(columns, "--columns", "--columns item_id=asin")
    encoders = pairs(encoder, "--encoder", "--encoder text=minilm")
    check_encoders(encoders)
    with progress_on_stderr() as progress, TemporaryDirectory(prefix="slategym-") as scratch:
        sources = Sources(movielens, posters, log, items, users, demo)
        inputs = load_inputs(sources, chosen, Path(scratch), progress)
        for report in inputs.reports:
            progress.note(report.describe())
        world = build_from(
            inputs,
            out,
            progress,
            name=name,
            encoders=encoders or None,
            factors=factors,
            held_out_users=held_out,
            seed=seed,
        )
    summary = world_summary(world, out)
    if as_json:
        reports = [{"file": str(r.path), "columns": dict(r.columns)} for r in inputs.reports]
        print_json({**summary, "columns": reports})
    else:
        print_world(summary)


def build_from(
    inputs: Inputs,
    out: Path,
    progress: Progress,
    *,
    name: str | None = None,
    **options: Any,  # noqa: ANN401 - passed on to `build_world` as they are
) -> "World":
    """Build a world from loaded inputs, write it to ``out`` and return it."""
    from slategym.envs.build import build_world

    return build_world(
        inputs.catalog,
        inputs.interactions,
        split=inputs.split,
        profiles=inputs.profiles,
        name=name or inputs.name,
        out=out,
        progress=progress,
        **options,
    )


def load_inputs(
    sources: Sources, columns: Mapping[str, str], scratch: Path, progress: Progress
) -> Inputs:
    """Load the one kind of input that was asked for.

    Args:
        sources: The options that name inputs.
        columns: Role to column, for plain files.
        scratch: A folder for the generated demo.
        progress: Told of the demo's items.

    Raises:
        UsageError: none, or more than one, or an option that does not belong to it.
    """
    files = sources.log is not None or sources.items is not None
    if sum((sources.movielens is not None, files, sources.demo)) != 1:
        raise UsageError(
            "build needs one input: --movielens FOLDER, or --log FILE with --items FILE, or --demo."
        )
    if sources.posters is not None and sources.movielens is None:
        raise UsageError("--posters belongs to --movielens; name pictures in a column of --items.")
    if (sources.users is not None or columns) and not files:
        raise UsageError("--users and --columns belong to --log and --items.")
    if sources.movielens is not None:
        return movielens_inputs(sources.movielens, sources.posters)
    if sources.demo:
        return demo_inputs(scratch / "demo", progress)
    if sources.log is None or sources.items is None:
        given, missing = ("--items", "--log") if sources.log is None else ("--log", "--items")
        raise UsageError(f"{given} needs {missing} FILE beside it.")
    return file_inputs(sources.log, sources.items, sources.users, columns)


def check_encoders(encoders: Mapping[str, str]) -> None:
    """Refuse an encoder that does not exist before any work is done; nothing is loaded.

    Raises:
        UsageError: an unknown modality or encoder, or one of another modality.
    """
    if encoders:
        from slategym.encoders.base import make_encoder

        for modality, name in encoders.items():
            if name:  # "" leaves the modality out
                make_encoder(name, modality=modality)  # type: ignore[arg-type]


def movielens_inputs(folder: Path, posters: Path | None) -> Inputs:
    """Return MovieLens 100K with its official u1 split."""
    from slategym.cf_baselines.movielens import load_movielens

    data = load_movielens(folder, posters=posters)
    return Inputs(data.catalog, data.interactions, data.split, data.user_profiles, "movielens-100k")


def demo_inputs(folder: Path, progress: Progress) -> Inputs:
    """Return the synthetic catalogue and log, generated into ``folder`` if it is not there."""
    from slategym.cf_baselines.synthetic import load_demo, make_demo

    if not folder.exists():  # it appears whole or not at all
        make_demo(folder, progress=progress)
    data = load_demo(folder)
    return Inputs(data.catalog, data.interactions, data.split, data.profiles, data.catalog.name)


def file_inputs(log: Path, items: Path, users: Path | None, columns: Mapping[str, str]) -> Inputs:
    """Return what plain files hold, with the report of their columns."""
    from slategym.cf_baselines.interactions import LOG_COLUMNS, load_interactions
    from slategym.encoders.catalog import ITEM_COLUMNS, load_catalog

    roles = {
        "items": [wanted.role for wanted in ITEM_COLUMNS],
        "log": [wanted.role for wanted in LOG_COLUMNS],
    }
    if users is not None:
        roles["users"] = ["user_id", "profile"]
    parts = columns_by_file(columns, roles)
    try:
        catalog, items_report = load_catalog(items, columns=parts["items"])
        interactions, log_report = load_interactions(log, columns=parts["log"], catalog=catalog)
        reports, profiles = [items_report, log_report], None
        if users is not None:
            ids = interactions.user_ids
            profiles, users_report = load_profiles(users, ids, columns=parts["users"])
            reports.append(users_report)
    except DataError as error:
        raise DataError(_as_option(str(error))) from None
    return Inputs(catalog, interactions, None, profiles, items.stem, tuple(reports))


def columns_by_file(
    columns: Mapping[str, str], roles: Mapping[str, Sequence[str]]
) -> dict[str, dict[str, str]]:
    """Return the overrides of each file: ``log.item_id`` for one, ``item_id`` for all with it.

    Args:
        columns: Role, perhaps with the name of a file and a dot before it, to column.
        roles: The roles of each file.

    Raises:
        UsageError: no file, or not the file named, has such a role.
    """
    found: dict[str, dict[str, str]] = {file: {} for file in roles}
    for name, column in columns.items():
        file, _, role = name.rpartition(".")
        files = [file] if file else [each for each in roles if role in roles[each]]
        if file and file not in roles:
            raise unknown_name("file in --columns", file, roles)
        known = (
            roles[file] if file else sorted({each for names in roles.values() for each in names})
        )
        if role not in known:
            raise unknown_name("column role", role, set(known))
        for each in files:
            # A role named for one file wins over the same role named for all.
            if file or role not in found[each]:
                found[each][role] = column
    return found


def _as_option(message: str) -> str:
    """Return a loader's advice in the words of the command line."""
    return re.sub(r"columns=\{'(\w+)': '(.*?)'\}", r"--columns \1=\2", message)
