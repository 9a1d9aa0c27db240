"""`slategym encode`, `cache` and `models`: vectors of a catalogue, and what is kept on disk."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from slategym.cli_common import JsonOption, check_output, pairs
from slategym.console import print_json, print_table, progress_on_stderr
from slategym.errors import DataError

if TYPE_CHECKING:
    from slategym.encoders.compress import Cost
    from slategym.encoders.stream import Summary

CatalogArgument = Annotated[
    Path, typer.Argument(metavar="CATALOG", help="A CSV, TSV or Parquet file of items.")
]
OutOption = Annotated[Path, typer.Option("--out", metavar="DIR", help="Where to write vectors.")]
TextOption = Annotated[
    str,
    typer.Option(
        "--text", metavar="NAME", help="Encoder: a name, hf:ID_OR_FOLDER, or '' for none."
    ),
]
ImageOption = Annotated[str, typer.Option("--image", metavar="NAME", help="As --text.")]
AudioOption = Annotated[str, typer.Option("--audio", metavar="NAME", help="As --text.")]
ColumnsOption = Annotated[
    list[str] | None,
    typer.Option("--columns", metavar="ROLE=COLUMN", help="Which column is what. Repeatable."),
]
CompressOption = Annotated[
    list[str] | None,
    typer.Option(
        "--compress",
        metavar="WAY",
        help="int8, onnx, static, pca:N or student:N: what it costs and saves is printed; "
        "a single one is also used. Repeatable.",
    ),
]
SampleOption = Annotated[int, typer.Option(help="Texts on which compression is measured.", min=20)]
SeedOption = Annotated[int, typer.Option(help="Seed of students and probes.", min=0)]
ShownOption = Annotated[int, typer.Option(help="Problems to print.", min=0)]
CacheOption = Annotated[
    Path | None, typer.Option("--cache", metavar="FOLDER", help="Default: slategym's own.")
]

cache_app = typer.Typer(help="Show, verify and prune kept vectors.", no_args_is_help=False)
models_app = typer.Typer(help="Show, fetch and verify embedded models.", no_args_is_help=False)


def encode(
    catalog: CatalogArgument,
    out: OutOption,
    text: TextOption = "minilm",
    image: ImageOption = "efficientnet-lite0",
    audio: AudioOption = "musicnn",
    columns: ColumnsOption = None,
    compress: CompressOption = None,
    sample: SampleOption = 500,
    seed: SeedOption = 0,
    problems: ShownOption = 10,
    cache: CacheOption = None,
    as_json: JsonOption = False,
) -> None:
    """Turn a catalogue of any size into vectors; what fails is said, and the rest is encoded.

    Example: slategym encode items.csv --out vectors --compress int8 --compress static

    Exit code 3 if any item failed.
    """
    from slategym.encoders.stream import MANIFEST, encode_stream

    check_output(out, MANIFEST, "a folder of vectors")
    roles = pairs(columns, "--columns", "--columns text=plot")
    chosen: dict[str, Any] = {"text": text, "image": image, "audio": audio}
    costs: list[Cost] = []
    if compress:
        from slategym.encoders.compressed import measured

        costs, chosen["text"] = measured(catalog, text, compress, roles, sample, seed)
    with progress_on_stderr() as progress:
        summary = encode_stream(
            catalog, out, encoders=chosen, columns=roles, cache=cache, progress=progress
        )
    if as_json:
        print_json(asdict(summary) | {"out": str(out), "costs": [asdict(cost) for cost in costs]})
    else:
        _print_costs(costs)
        _print_summary(summary, out, problems)
    if summary.failed:
        raise typer.Exit(DataError.exit_code)


def _print_costs(costs: "list[Cost]") -> None:
    if not costs:
        return
    heads = ("way", "cosine", "same of 10", "topics AP", "texts/CPU-s", "setup s", "model MB", "B")
    rows = [
        (
            cost.name,
            f"{cost.cosine:.4f}",
            f"{cost.overlap:.3f}",
            _number(cost.probe, "{:.3f}"),
            _number(cost.rate, "{:,.0f}"),
            f"{cost.setup:.1f}",
            f"{cost.model_bytes / 1e6:.1f}",
            str(cost.item_bytes),
        )
        for cost in costs
    ]
    print_table("what compressing the text encoder costs and saves", heads, rows)


def _number(value: float, form: str) -> str:
    return "-" if value != value else form.format(value)  # NaN is not itself


def _print_summary(summary: "Summary", out: Path, shown: int) -> None:
    print(summary.columns)
    rows = [
        (
            modality,
            f"{summary.present[modality]:,}",
            f"{summary.missing[modality]:,}",
            f"{summary.cut[modality]:,}",
            summary.fingerprints[modality],
        )
        for modality in summary.present
    ]
    print_table("", ("modality", "encoded", "missing", "cut short", "encoder"), rows)
    print(
        f"{summary.items:,} items, {summary.duplicates:,} with the content of another, "
        f"{summary.failed:,} failed"
    )
    for _, _, message in summary.problems[:shown]:
        print(f"failed: {message}")
    if summary.failed > shown:
        print(f"... and {summary.failed - shown:,} more (in {out / 'encoded.json'})")
    print(f"vectors  {out}")


def _cache_folder(given: Path | None) -> Path:
    from slategym.files import cache_dir

    return given if given is not None else cache_dir() / "encodings"


@cache_app.command("ls")
def cache_ls(cache: CacheOption = None, as_json: JsonOption = False) -> None:
    """List what is kept: encoder, vectors, size, and when it was last added to."""
    import time

    from slategym.encoders.cache import kept

    folder = _cache_folder(cache)
    found = kept(folder)
    if as_json:
        print_json({"folder": str(folder), "encoders": [asdict(each) for each in found]})
        return
    rows = [
        (
            each.fingerprint,
            f"{each.vectors:,}",
            f"{each.shards:,}",
            f"{each.bytes / 1e6:,.1f}",
            f"{(time.time() - each.added) / 86_400:.1f}",
        )
        for each in found
    ]
    print_table(str(folder), ("encoder", "vectors", "shards", "MB", "days ago"), rows)


@cache_app.command("verify")
def cache_verify(cache: CacheOption = None, as_json: JsonOption = False) -> None:
    """Read every shard and every remembered file again, and say which are not what they were."""
    from slategym.encoders.cache import kept
    from slategym.encoders.file_index import FileIndex

    folder = _cache_folder(cache)
    found = kept(folder, verify=True)
    damaged = [f"{each.fingerprint}/{name}" for each in found for name in each.damaged]
    stale = FileIndex(folder).stale() if folder.is_dir() else []
    if as_json:
        print_json({"folder": str(folder), "damaged": damaged, "changed_files": stale})
    else:
        for name in damaged:
            print(f"damaged: {name} (its items will be encoded again)")
        for name in stale:
            print(f"changed: {name} (same size and time, other bytes; forgotten)")
        print(f"{sum(each.shards for each in found):,} shards read in {folder}")
    if damaged or stale:
        raise typer.Exit(DataError.exit_code)


@cache_app.command("prune")
def cache_prune(
    days: Annotated[
        float, typer.Option("--older-than", help="Days since it was last added to.", min=0)
    ] = 30.0,
    encoder: Annotated[
        str | None, typer.Option(help="Only encoders whose name begins so; see `cache ls`.")
    ] = None,
    cache: CacheOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove vectors of encoders that nothing was added to for some time; forget missing files."""
    from slategym.encoders.cache import prune
    from slategym.encoders.file_index import FileIndex

    folder = _cache_folder(cache)
    gone = prune(folder, older_than_days=days, fingerprint=encoder)
    forgotten = FileIndex(folder).forget_missing() if folder.is_dir() else 0
    freed = sum(each.bytes for each in gone)
    if as_json:
        names = [each.fingerprint for each in gone]
        print_json({"removed": names, "bytes": freed, "files_forgotten": forgotten})
        return
    print(
        f"removed {len(gone)} encoders' vectors, {freed / 1e6:,.1f} MB; {forgotten} files forgotten"
    )


@models_app.command("ls")
def models_ls(as_json: JsonOption = False) -> None:
    """List the embedded models, with source, licence and whether they are here."""
    from slategym.encoders.weights import PINNED, available, weights_folder

    rows = [
        {
            "name": pin.name,
            "here": available(pin.name),
            "licence": pin.licence,
            "source": pin.source,
            "package": f"{pin.distribution}=={pin.version}",
            "folder": str(weights_folder(pin.name)),
        }
        for pin in PINNED.values()
    ]
    if as_json:
        print_json({"models": rows})
        return
    heads = ("name", "here", "licence", "source", "package")
    table = [
        ["yes" if row["here"] is True else str(row[head] or "no") for head in heads] for row in rows
    ]
    print_table("", heads, table, first_left=5)


@models_app.command("pull")
def models_pull(
    name: Annotated[str, typer.Argument(metavar="NAME", help="See `models ls`; or 'all'.")],
    as_json: JsonOption = False,
) -> None:
    """Fetch a model with pip, check its hashes, and convert it; done already is done."""
    from slategym.encoders.weights import PINNED, ensure_weights, pinned

    names = list(PINNED) if name == "all" else [pinned(name).name]
    with progress_on_stderr() as progress:
        folders = {each: str(ensure_weights(each, progress)) for each in names}
    if as_json:
        print_json({"models": folders})
        return
    for each, folder in folders.items():
        pin = pinned(each)
        print(f"{each}: {folder} ({pin.licence}; {pin.source})")


@models_app.command("verify")
def models_verify(as_json: JsonOption = False) -> None:
    """Check every file of the models that are here against its recorded hash."""
    from slategym.encoders.weights import PINNED, available, weights_folder

    found = {name: available(name) for name in PINNED if weights_folder(name).is_dir()}
    if as_json:
        print_json({"models": found})
    else:
        for name, whole in found.items():
            print(f"{name}: {'whole' if whole else 'damaged; `models pull` makes it anew'}")
        if not found:
            print("no model is here; `slategym models pull all` fetches them")
    if not all(found.values()):
        raise typer.Exit(DataError.exit_code)
