"""The tables of a world: items, users, topics, histories, profiles, thumbnails."""

import io
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd

from slategym.cf_baselines.factorization import RatingModel
from slategym.cf_baselines.interactions import Interactions
from slategym.encoders.catalog import Catalog
from slategym.envs.arrays import DoubleArray, FloatArray, IntArray, LongArray
from slategym.errors import DataError
from slategym.progress import Progress, stage

MAX_TOPICS = 32
CLUSTERS = 16
THUMBNAIL = (96, 144)  # pixels, width and height at most
DEFAULT_MINUTES = 10.0


def topic_table(
    catalog: Catalog, content: FloatArray, seed: int
) -> tuple[FloatArray, tuple[str, ...]]:
    """Return topics (I, Z) and their names: the catalogue's own, else clusters of the content.

    The topics of an item share its row equally; an item without topics has a zero row. Beyond
    `MAX_TOPICS` names, the rarer ones are one topic, "other".
    """
    counts = Counter(name for names in catalog.topics for name in set(names))
    if not counts:
        clusters = min(CLUSTERS, max(1, len(catalog) // 8))
        labels = k_means(content, clusters, seed)
        return (
            np.eye(clusters, dtype=np.float32)[labels],
            tuple(f"cluster {z + 1}" for z in range(clusters)),
        )
    ranked = sorted(counts, key=lambda name: (-counts[name], name))
    kept = ranked if len(ranked) <= MAX_TOPICS else [*ranked[: MAX_TOPICS - 1], "other"]
    column = {name: z for z, name in enumerate(kept)}
    table = np.zeros((len(catalog), len(kept)), dtype=np.float32)
    for row, names in enumerate(catalog.topics):
        for name in set(names):
            table[row, column.get(name, len(kept) - 1)] += 1
    total = table.sum(axis=1, keepdims=True)
    return table / np.maximum(total, 1), tuple(kept)


def k_means(rows: FloatArray, clusters: int, seed: int, rounds: int = 50) -> LongArray:
    """Return the cluster (I,) of each row: Lloyd's algorithm from k-means++ centres.

    Deterministic for a seed (Lloyd 1982; Arthur and Vassilvitskii 2007). A cluster that empties
    takes the row farthest from its centre.
    """
    points = rows.astype(np.float64)
    rng = np.random.default_rng(seed)
    centres = points[[int(rng.integers(len(points)))]]
    for _ in range(clusters - 1):
        far = _distances(points, centres).min(axis=1)
        edges = np.cumsum(far)
        if edges[-1] <= 0:
            pick = int(rng.integers(len(points)))
        else:
            pick = int(np.searchsorted(edges, rng.random() * edges[-1], side="right"))
        centres = np.vstack([centres, points[min(pick, len(points) - 1)]])
    labels = np.full(len(points), -1, dtype=np.int64)
    for _ in range(rounds):
        distance = _distances(points, centres)
        new = distance.argmin(axis=1)
        if (new == labels).all():
            break
        labels = new
        for z in range(clusters):
            own = labels == z
            lonely = int(distance.min(axis=1).argmax())
            centres[z] = points[own].mean(axis=0) if own.any() else points[lonely]
    return labels


def _distances(points: DoubleArray, centres: DoubleArray) -> DoubleArray:
    """Return squared distances (I, Z)."""
    cross = points @ centres.T
    square = (points**2).sum(axis=1)[:, None] + (centres**2).sum(axis=1) - 2 * cross
    return np.asarray(np.maximum(square, 0.0))


def histories(
    log: Interactions, rows: LongArray, scale: tuple[float, float], length: int
) -> tuple[IntArray, FloatArray]:
    """Return the last items of each user among ``rows``, and their values in [0, 1].

    Both are (U, H), oldest first, padded on the left with -1 and 0. Rows of one second are in
    the order of the log. What a user did not like is kept too: it says as much.
    """
    order = rows[np.lexsort((rows, log.times[rows], log.users[rows]))]
    users = log.users[order]
    items = np.full((len(log.user_ids), length), -1, dtype=np.int32)
    values = np.zeros((len(log.user_ids), length), dtype=np.float32)
    ends = np.cumsum(np.bincount(users, minlength=len(log.user_ids)))
    age = ends[users] - 1 - np.arange(len(users))  # 0 is the newest of its user
    recent = age < length
    low, high = scale
    items[users[recent], length - 1 - age[recent]] = log.items[order[recent]]
    share = (log.values[order[recent]] - low) / (high - low)
    values[users[recent], length - 1 - age[recent]] = np.clip(share, 0, 1)
    return items, values


def durations(catalog: Catalog) -> FloatArray:
    """Return minutes (I,); an unknown duration is the median of the known ones, or 10."""
    given = catalog.duration or tuple(np.nan for _ in range(len(catalog)))
    minutes = np.array(given, dtype=np.float64)
    known = np.isfinite(minutes) & (minutes > 0)
    typical = float(np.median(minutes[known])) if known.any() else DEFAULT_MINUTES
    return np.where(known, minutes, typical).astype(np.float32)


def item_table(
    catalog: Catalog, minutes: FloatArray, popularity: LongArray, evidence: LongArray
) -> pd.DataFrame:
    """Return what is told of the I items, a row each."""
    return pd.DataFrame(
        {
            "item_id": list(catalog.item_ids),
            "title": list(catalog.titles),
            "topics": [json.dumps(list(names), ensure_ascii=False) for names in catalog.topics],
            "duration": minutes.astype(np.float64),
            "popularity": popularity.astype(np.float64),
            "evidence": evidence.astype(np.int64),
        }
    )


def user_table(
    log: Interactions, train: LongArray, profiles: tuple[str, ...], held_out: float, seed: int
) -> pd.DataFrame:
    """Return what is told of the U users; a share of them, chosen by the seed, is held out."""
    count = len(log.user_ids)
    split = np.full(count, "train", dtype=object)
    kept = np.random.default_rng(seed).permutation(count)[: round(held_out * count)]
    split[kept] = "held_out"
    return pd.DataFrame(
        {
            "user_id": list(log.user_ids),
            "split": split.tolist(),
            "n_ratings": log.user_counts(train).astype(np.int64),
            "profile": list(profiles),
        }
    )


def public_vectors(
    content: FloatArray, model: RatingModel, topics: FloatArray, popularity: LongArray
) -> tuple[FloatArray, dict[str, tuple[int, int]]]:
    """Return the item table that agents see, and the columns of each of its blocks.

    Content is whitened already; the public factors are scaled to unit deviation, and the prior
    block, public bias and log(1 + popularity), is standardised.
    """
    prior = np.column_stack([model.item_bias, np.log1p(popularity)])
    spread, deviation = model.item_factors.std(axis=0), prior.std(axis=0)
    blocks = {
        "content": content,
        "collaborative": model.item_factors / np.where(spread > 0, spread, 1.0),
        "topics": topics,
        "prior": (prior - prior.mean(axis=0)) / np.where(deviation > 0, deviation, 1.0),
    }
    columns, start = {}, 0
    for name, block in blocks.items():
        columns[name] = (start, start + block.shape[1])
        start += block.shape[1]
    return np.concatenate(list(blocks.values()), axis=1).astype(np.float32), columns


def spanned(table: FloatArray) -> FloatArray:
    """Return a whitened table without its empty columns, at least one column wide."""
    used = np.flatnonzero(np.abs(table).max(axis=0, initial=0.0) > 0)
    return np.ascontiguousarray(table[:, : int(used[-1]) + 1 if len(used) else 1])


def thumbnails(catalog: Catalog, progress: Progress) -> dict[int, bytes]:
    """Return small JPEG pictures by item row.

    Raises:
        DataError: a picture cannot be decoded (the message names the file).
    """
    rows = np.flatnonzero(catalog.has("image")).tolist()
    if not rows:
        return {}
    made = {}
    with stage(progress, "draw thumbnails", len(rows)):
        for row in rows:
            made[row] = _thumbnail(Path(str(catalog.images[row])))
            progress.advance("draw thumbnails")
    return made


def _thumbnail(path: Path) -> bytes:
    from PIL import Image

    try:
        with Image.open(path) as picture:
            small = picture.convert("RGB")
    except (OSError, ValueError, SyntaxError) as error:
        raise DataError(f"the picture {path} cannot be read ({error}); replace it.") from None
    small.thumbnail(THUMBNAIL)
    buffer = io.BytesIO()
    small.save(buffer, format="JPEG", quality=80)
    return buffer.getvalue()
