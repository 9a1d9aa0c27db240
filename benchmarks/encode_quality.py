"""One table of what encoders and their fusions are worth on real data.

    python -m slategym.benchmarks.encode_quality --data DIR

DIR holds clothing_cc0, fashion_products, audio_clips_cc0, ml-100k and ml-1m (for posters). Every
setting is chosen apart from what is reported: inside the training folds, on the other half of the
items, or on validation items, as the row says. Vectors are kept in slategym's cache.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from slategym.benchmarks import encode_data
from slategym.benchmarks.encode_movies import cold_rows, genre_rows
from slategym.benchmarks.encode_probes import (
    concatenated,
    neighbour_accuracy,
    probe_accuracy,
    stratified,
)
from slategym.benchmarks.encode_row import Row, encoded, table_line
from slategym.encoders.align import Alignment, fit_cca, recall_at, unit
from slategym.encoders.align_train import ContrastConfig, fit_contrastive
from slategym.encoders.audio_loop import LoopedMusicnn
from slategym.encoders.base import make_encoder
from slategym.encoders.catalog import Modality
from slategym.encoders.fuse import fuse
from slategym.encoders.gate import FusionConfig, fit_fusion
from slategym.encoders.pipeline import ItemVectors
from slategym.files import write_json

FloatArray = npt.NDArray[np.float64]
COLOUR = (0.0, 0.35, 0.7)  # weight of the classical features beside the network's
TEXT = (0.5, 0.75, 1.0, 1.5)  # of text beside pictures
STRENGTHS = (0.3, 1.0, 3.0)
TRAIN_PRODUCTS = 906
SPEED_ITEMS = 48
SEEDS = (0, 1, 2)


def speed_rows(data: Path) -> Iterator[Row]:
    """Yield items per CPU-second and bytes per item of each embedded encoder, by one thread."""
    sets = {
        "text": ("minilm", "hashed-ngrams"),
        "image": ("efficientnet-lite0", "hsv-hog"),
        "audio": ("musicnn", "mfcc"),
    }
    catalogs = {
        "text": encode_data.products(data).catalog,
        "image": encode_data.clothing(data).catalog,
        "audio": encode_data.sounds(data).catalog,
    }
    for kind, names in sets.items():
        for name in names:
            encoder = make_encoder(name)
            some = catalogs[kind].subset(np.arange(SPEED_ITEMS))
            encoder.encode(some.subset(np.arange(2)))  # loads the weights
            start = time.process_time()
            encoder.encode(some)
            rate = SPEED_ITEMS / (time.process_time() - start)
            note = f"{2 * encoder.dim} bytes per item in float16; {SPEED_ITEMS} {kind} items"
            yield Row("speed", name, "items per CPU-second", rate, None, note)


def clothing_rows(data: Path) -> Iterator[Row]:
    """Yield label accuracy on the clothing photographs."""
    given = encode_data.clothing(data)
    network = encoded(given.catalog, "image", "efficientnet-lite0")
    classical = encoded(given.catalog, "image", "hsv-hog")
    both = {f"colour {w}": concatenated((network, classical), (1, w)) for w in COLOUR}
    tables: dict[str, dict[str, npt.NDArray[Any]]] = {
        "efficientnet-lite0": {"": network},
        "hsv-hog": {"": classical},
        "both": both,
    }
    for name, options in tables.items():
        options_list: list[npt.ArrayLike] = list(options.values())
        near = neighbour_accuracy(options_list, given.labels)
        note = "weight chosen on the other half" if len(options) > 1 else "no setting"
        yield Row("clothing", name, "5-NN", near, 0.734, note)
        probe = probe_accuracy(options, given.labels, folds=5, seeds=SEEDS)
        yield Row("clothing", name, "linear probe", probe, 0.812, "nested in 5 folds, 3 seeds")


def sound_rows(data: Path) -> Iterator[Row]:
    """Yield category accuracy on the sounds."""
    given = encode_data.sounds(data)
    music = encoded(given.catalog, "audio", "musicnn")
    looped = encoded(given.catalog, "audio", LoopedMusicnn())
    cepstra = encoded(given.catalog, "audio", "mfcc")
    every = np.concatenate([looped, cepstra], axis=1)
    tables = {
        "musicnn": {"": music},
        "mfcc": {"": cepstra},
        "musicnn, heard once and looped": {"": looped},
        "musicnn looped + mfcc": {"": every},
        "whichever the training folds say": {"1": music, "2": looped, "3": every},
    }
    for name, options in tables.items():
        value = probe_accuracy(options, given.labels, folds=4, seeds=range(8))
        note = "nested in 4 folds, 8 seeds; one standard error of 173 items is 0.034"
        yield Row("sounds", name, "ridge", value, 0.716, note)


def product_rows(data: Path) -> Iterator[Row]:
    """Yield article type accuracy of each modality and fusion, then learned fusions in folds."""
    given = encode_data.products(data)
    text = encoded(given.catalog, "text", "minilm")
    picture = encoded(given.catalog, "image", "efficientnet-lite0")
    classical = encoded(given.catalog, "image", "hsv-hog")
    plain: dict[str, npt.ArrayLike] = {
        "text": text,
        "picture": picture,
        "plain concatenation": concatenated((text, picture), (1, 1)),
    }
    for name, table in plain.items():
        value = neighbour_accuracy([table], given.labels)
        yield Row("products", name, "5-NN", value, 0.868, "no setting")
    weighed = [concatenated((text, picture, classical), (w, 1, c)) for w in TEXT for c in COLOUR]
    value = neighbour_accuracy(weighed, given.labels)
    note = "weights chosen on the other half"
    yield Row("products", "weighted concatenation with colour", "5-NN", value, 0.868, note)
    vectors = pair(text, picture)
    whitened = [fuse(vectors, dim).table for dim in (32, 64, 128)]
    value = neighbour_accuracy(whitened, given.labels)
    note = "columns chosen on the other half"
    yield Row("products", "concatenation, PCA whitening", "5-NN", value, 0.868, note)
    yield from _learned_rows(vectors, given.labels)


def _learned_rows(vectors: ItemVectors, labels: npt.NDArray[np.int64]) -> Iterator[Row]:
    """Yield accuracy of fusions trained on four fifths of the labels, judged on the rest.

    Half of the judged items then lose their picture: what a gate is for.
    """
    part = stratified(labels, 5, 0)
    wanted = np.eye(int(labels.max()) + 1, dtype=np.float32)[labels]
    lost = np.random.default_rng(0).random(len(labels)) < 0.5
    makers = {
        "plain concatenation": None,
        "gates": FusionConfig(kind="gate"),
        "gates, no modality dropout": FusionConfig(kind="gate", modality_dropout=0.0),
        "attention": FusionConfig(kind="attention"),
    }
    for name, config in makers.items():
        right, right_lost = np.zeros(len(labels), np.bool_), np.zeros(len(labels), np.bool_)
        for fold in range(5):
            train, test = np.flatnonzero(part != fold), np.flatnonzero(part == fold)
            hidden = without(vectors, "image", lost & (part == fold))
            fusion = None if config is None else fit_fusion(vectors, wanted, config, rows=train)
            for given, into in ((vectors, right), (hidden, right_lost)):
                if fusion is None:
                    both = given.vectors["text"], given.vectors["image"]
                    table = np.asarray(concatenated(both, (1, 1)), np.float64)
                else:
                    table = fusion.transform(given).astype(np.float64)
                into[test] = _nearest_labels(table, labels, train, test) == labels[test]
        note = f"5 folds; {right_lost.mean():.3f} when half of the judged lose their picture"
        yield Row("products", f"{name}, held-out fold", "5-NN", float(right.mean()), None, note)


def _nearest_labels(
    table: FloatArray, labels: npt.NDArray[np.int64], train: npt.NDArray[np.int64],
    test: npt.NDArray[np.int64],
) -> npt.NDArray[np.int64]:  # fmt: skip
    rows = unit(table).astype(np.float64)
    scores = rows[test] @ rows[train].T
    near = np.argsort(-scores, axis=1, kind="stable")[:, :5]
    votes = np.zeros((len(test), int(labels.max()) + 1))
    weight = 1 + 1e-3 * np.take_along_axis(scores, near, axis=1)
    np.add.at(votes, (np.arange(len(test))[:, None], labels[train][near]), weight)
    return np.asarray(votes.argmax(axis=1))


def pair(text: npt.ArrayLike, picture: npt.ArrayLike) -> ItemVectors:
    """Return vectors of items that all have a text and a picture."""
    rows = {"text": np.asarray(text, np.float32), "image": np.asarray(picture, np.float32)}
    every = np.ones(len(rows["text"]), np.bool_)
    return ItemVectors(dict(rows), {"text": every, "image": every}, {"text": "t", "image": "i"})  # type: ignore[arg-type]


def without(vectors: ItemVectors, modality: Modality, lost: npt.NDArray[np.bool_]) -> ItemVectors:
    """Return the items with a modality taken from some of them."""
    rows = np.where(lost[:, None], 0, vectors.vectors[modality]).astype(np.float32)
    there = vectors.present[modality] & ~lost
    return replace(
        vectors,
        vectors={**vectors.vectors, modality: rows},
        present={**vectors.present, modality: there},
    )


def alignment_rows(data: Path) -> Iterator[Row]:
    """Yield text-to-picture recall on products held out of every fit and choice."""
    given = encode_data.products(data)
    text = encoded(given.catalog, "text", "minilm")
    network = encoded(given.catalog, "image", "efficientnet-lite0")
    classical = encoded(given.catalog, "image", "hsv-hog")
    order = np.random.default_rng(0).permutation(len(text))
    train, test = order[:TRAIN_PRODUCTS], order[TRAIN_PRODUCTS:]
    for colour in (0.0, 0.7):
        name = "minilm to efficientnet-lite0" + (" + hsv-hog" if colour else "")
        vectors = pair(text, concatenated((network, classical), (1, colour)))
        settings = _choose_alignment(vectors, train)
        cca = fit_cca(vectors, **settings, rows=train)  # type: ignore[arg-type]
        note = f"{settings}, chosen in 3 folds of the 906"
        yield from _recall_rows(f"CCA, {name}", cca, vectors, test, note)
        for config in (
            ContrastConfig(**settings),  # type: ignore[arg-type]
            ContrastConfig(**settings, loss="siglip"),  # type: ignore[arg-type]
            ContrastConfig(**settings, loss="siglip", hidden=128),  # type: ignore[arg-type]
        ):
            found = fit_contrastive(vectors, config, rows=train)
            heads = "MLP" if config.hidden else "linear"
            note = f"{found.report['passes']} passes, stopped by held-out items of the 906"
            yield from _recall_rows(f"{config.loss} {heads}, {name}", found, vectors, test, note)


def _choose_alignment(vectors: ItemVectors, train: npt.NDArray[np.int64]) -> dict[str, float]:
    """Return the settings with the best mean reciprocal rank in three folds of the items."""
    folds = np.array_split(np.random.default_rng(1).permutation(train), 3)
    best, chosen = -1.0, {"strength": 1.0, "power": 1.0, "dim": 128}
    for strength in STRENGTHS:
        for power in (1.0, 2.0):
            found = [
                _mean_reciprocal(
                    fit_cca(vectors, strength=strength, power=power, dim=128,
                            rows=np.setdiff1d(train, fold)), vectors, fold)
                for fold in folds
            ]  # fmt: skip
            if np.mean(found) > best:
                best = float(np.mean(found))
                chosen = {"strength": strength, "power": power, "dim": 128}
    return chosen


def _mean_reciprocal(
    alignment: Alignment, vectors: ItemVectors, rows: npt.NDArray[np.int64]
) -> float:
    text = alignment.project("text", vectors.vectors["text"][rows])
    scores = text @ alignment.project("image", vectors.vectors["image"][rows]).T
    return float((1 / (1 + (scores > np.diag(scores)[:, None]).sum(axis=1))).mean())


def _recall_rows(
    name: str, alignment: Alignment, vectors: ItemVectors, test: npt.NDArray[np.int64], note: str
) -> Iterator[Row]:
    text = alignment.project("text", vectors.vectors["text"][test])
    picture = alignment.project("image", vectors.vectors["image"][test])
    found = {k: recall_at(text, picture, k) for k in (1, 5, 10)}
    note = f"R@1 {found[1]:.3f}, R@5 {found[5]:.3f}; {len(test)} products; {note}"
    yield Row("text to picture", name, "R@10", found[10], 0.93, note)


PARTS: dict[str, Callable[[Path], Iterator[Row]]] = {
    "speed": speed_rows,
    "clothing": clothing_rows,
    "sounds": sound_rows,
    "products": product_rows,
    "alignment": alignment_rows,
    "genre": genre_rows,
    "cold": cold_rows,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table, a row as soon as it is measured."""
    parser = argparse.ArgumentParser(
        prog="python -m slategym.benchmarks.encode_quality", description=__doc__
    )
    parser.add_argument("--data", type=Path, required=True, help="the folder of the data sets")
    parser.add_argument("--out", type=Path, help="a JSON file for the rows")
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="which parts; all")
    given = parser.parse_args(arguments)
    print("| part | by | measure | value | to beat | |\n| --- | --- | --- | --- | --- | --- |")
    rows = []
    for name in given.parts or PARTS:
        for row in PARTS[name](given.data):
            rows.append(row)
            sys.stdout.write(table_line(row) + "\n")
            sys.stdout.flush()
            if given.out is not None:
                write_json(given.out, [asdict(each) for each in rows])


if __name__ == "__main__":
    main()
