"""What a world records of its items and users beside the fitted models."""

import io
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from slategym.cf_baselines.interactions import Interactions
from slategym.encoders.catalog import Catalog
from slategym.encoders.fuse import fuse
from slategym.encoders.pipeline import encode_catalog
from slategym.envs.arrays import DoubleArray, FloatArray, IntArray
from slategym.errors import DataError
from slategym.progress import Progress

MOST_TOPICS = 64  # named topics kept, the most frequent first; satiation is by topic
CLUSTERS = 16  # topics made by clustering where a catalogue names none
DEFAULT_MINUTES = 4.0  # the length of every video in RecSim (Ie et al. 2019)
THUMBNAIL = (96, 144)  # pixels


def topic_rows(catalog: Catalog, content: FloatArray) -> tuple[FloatArray, tuple[str, ...]]:
    """Return topics (I, Z), rows that sum to 1 or 0, and their Z names.

    A catalogue's own topics share an item equally. Without any, items are clustered by content.
    """
    counts = Counter(name for names in catalog.topics for name in dict.fromkeys(names))
    if not counts:
        return _clusters(content)
    kept = sorted(counts, key=lambda name: (-counts[name], name))[:MOST_TOPICS]
    place = {name: z for z, name in enumerate(sorted(kept))}
    rows = np.zeros((len(catalog), len(place)), np.float32)
    for i, names in enumerate(catalog.topics):
        known = [place[name] for name in dict.fromkeys(names) if name in place]
        rows[i, known] = 1.0 / max(len(known), 1)
    return rows, tuple(place)


def _clusters(content: FloatArray) -> tuple[FloatArray, tuple[str, ...]]:
    """Return one-hot clusters of content by k-means (Lloyd 1982), started by farthest points."""
    from scipy.cluster.vq import kmeans2

    count = min(CLUSTERS, len(content))
    rows = content.astype(np.float64)
    chosen = [int(np.argmax((rows**2).sum(axis=1)))]
    distance = np.full(len(rows), np.inf)
    while len(chosen) < count:
        distance = np.minimum(distance, ((rows - rows[chosen[-1]]) ** 2).sum(axis=1))
        chosen.append(int(np.argmax(distance)))
    _, label = kmeans2(rows, rows[chosen], minit="matrix", missing="warn", iter=25)
    names = tuple(f"cluster {z + 1}" for z in range(count))
    return np.eye(count, dtype=np.float32)[label], names


def durations(catalog: Catalog) -> FloatArray:
    """Return minutes (I,) to consume each item; `DEFAULT_MINUTES` where a catalogue says none."""
    if catalog.duration is None:
        return np.full(len(catalog), DEFAULT_MINUTES, np.float32)
    return np.asarray(catalog.duration, np.float32)


def thumbnails(images: Sequence[Path | None]) -> dict[int, bytes]:
    """Return small JPEG pictures by item row.

    Raises:
        DataError: a picture cannot be decoded; the message names the file.
    """
    from PIL import Image

    made = {}
    for row, path in enumerate(images):
        if path is None:
            continue
        try:
            with Image.open(path) as picture:
                small = picture.convert("RGB")
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise DataError(
                f"picture {path} of item row {row + 1} cannot be decoded ({error}); "
                "replace it, or leave the cell empty."
            ) from None
        small.thumbnail(THUMBNAIL)
        stream = io.BytesIO()
        small.save(stream, "JPEG", quality=85)
        made[row] = stream.getvalue()
    return made


def histories(
    log: Interactions, rows: npt.ArrayLike, length: int, low: float, high: float
) -> tuple[IntArray, FloatArray]:
    """Return the last items (U, H) of each user among ``rows`` and their values in [0, 1].

    Oldest first, -1 padded on the left. Every public interaction counts, liked or not: what a
    user did not like says as much.
    """
    part = log.take(rows)
    order = np.lexsort((np.arange(len(part)), part.times, part.users))
    users = part.users[order]
    last = np.searchsorted(users, users, side="right")  # one past the user's newest entry
    age = last - 1 - np.arange(len(users))
    near = age < length
    place = (users[near], length - 1 - age[near])
    items = np.full((len(log.user_ids), length), -1, np.int32)
    values = np.zeros((len(log.user_ids), length), np.float32)
    items[place] = part.items[order][near]
    values[place] = np.clip((part.values[order][near] - low) / max(high - low, 1e-9), 0.0, 1.0)
    return items, values


def profile_vectors(
    profiles: Sequence[str], encoder: str | None, width: int, cache: Path | None, progress: Progress
) -> FloatArray:
    """Return profile texts as encoded vectors (U, Dp <= width), or one column of zeros."""
    distinct = sorted({text for text in profiles if text.strip()})
    if encoder == "" or len(distinct) < 2:
        return np.zeros((len(profiles), 1), np.float32)
    texts = Catalog(
        name="user profiles",
        item_ids=tuple(str(n) for n in range(len(distinct))),
        titles=tuple(distinct),
        text=tuple(distinct),
        images=(None,) * len(distinct),
        audio=(None,) * len(distinct),
        topics=((),) * len(distinct),
        duration=None,
        attributes=pd.DataFrame(index=range(len(distinct))),
    )
    chosen = {"image": "", "audio": "", **({"text": encoder} if encoder else {})}
    vectors = encode_catalog(texts, encoders=chosen, cache=cache, progress=progress)
    table = fuse(vectors, min(width, len(distinct) - 1)).table
    place = {text: row for row, text in enumerate(distinct)}
    out = np.zeros((len(profiles), table.shape[1]), np.float32)
    for row, text in enumerate(profiles):
        if text in place:
            out[row] = table[place[text]]
    return out


def standardised(columns: npt.ArrayLike) -> FloatArray:
    """Return columns of mean 0 and deviation 1; constant columns become 0."""
    rows: DoubleArray = np.asarray(columns, np.float64)
    spread = rows.std(axis=0)
    out: FloatArray = ((rows - rows.mean(axis=0)) / np.where(spread > 1e-9, spread, 1.0)).astype(
        np.float32
    )
    return out


def item_table(
    catalog: Catalog, minutes: FloatArray, popularity: npt.ArrayLike, evidence: npt.ArrayLike
) -> pd.DataFrame:
    """Return the item table of a world, I rows."""
    return pd.DataFrame(
        {
            "item_id": list(catalog.item_ids),
            "title": list(catalog.titles),
            "topics": [json.dumps(list(names), ensure_ascii=False) for names in catalog.topics],
            "duration": minutes.astype(np.float64),
            "popularity": np.asarray(popularity, np.float64),
            "evidence": np.asarray(evidence, np.int64),
        }
    )


def user_table(log: Interactions, profiles: Sequence[str], share: float, seed: int) -> pd.DataFrame:
    """Return the user table of a world, U rows; ``share`` of the users are held out by seed."""
    count = len(log.user_ids)
    held = np.zeros(count, bool)
    drawn = np.random.default_rng([seed, 1]).permutation(count)
    held[drawn[: min(round(share * count), count - 1)]] = True
    return pd.DataFrame(
        {
            "user_id": list(log.user_ids),
            "split": np.where(held, "held_out", "train").tolist(),
            "n_ratings": log.user_counts().astype(np.int64),
            "profile": list(profiles),
        }
    )
