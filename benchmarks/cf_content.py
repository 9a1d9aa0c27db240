"""Content of the items of the public splits, as vectors that models of likes can use.

Letters: I items, D content dimensions.
"""

import gzip
import json
from pathlib import Path

import numpy as np
import numpy.typing as npt

from slategym.cf_baselines.benchmark_data import RankingTask
from slategym.cf_baselines.lightgcn_training import standardised
from slategym.encoders.catalog import Catalog
from slategym.errors import DataError

FloatArray = npt.NDArray[np.float32]
KINDS = ("minilm", "words", "people", "genres", "year")
WIDTH = 256
# Of the vectors that came with the TikTok split.
TIKTOK = ("audio_feat.npy", "image_feat.npy")
DESCRIPTIONS = "llm_item_descriptions.json.gz"


def task_content(path: str | Path, task: RankingTask) -> FloatArray:
    """Return content (I, D) of a task's items, zeros for an item without any.

    MovieLens 100K: what `movie_vectors` makes of texts, people, genres and years. The CoLaKG split:
    descriptions that a language model wrote, encoded by MiniLM. TikTok: the audio and picture
    vectors of the split, each column with variance 1.

    Raises:
        DataError: nothing of the kind lies in the folder.
    """
    path = Path(path)
    if (path / "interactions.npz").is_file():
        parts = [standardised(np.load(path / name, allow_pickle=False)) for name in TIKTOK]
        return np.concatenate([part / np.sqrt(part.shape[1]) for part in parts], axis=1)
    for folder in (path, path / "colakg_split"):
        if (folder / "item_map.txt").is_file():
            return _described(folder, len(task.log.item_ids))
    if (path / "item_text.csv.gz").is_file():
        return movie_vectors(path, task.log.item_ids)
    raise DataError(
        f"{path} holds no content of items that is known; leave --content out, or take "
        "MovieLens 100K with item_text.csv.gz, the TikTok or the CoLaKG split."
    )


def movie_vectors(folder: Path, item_ids: tuple[str, ...]) -> FloatArray:
    """Return vectors (I, D) of MovieLens movies whose products are their likeness.

    The likeness is the mean of those by MiniLM, words, people, genres and years that
    `slategym.benchmarks.encode_movies.cold_kernels` finds; the vectors are its `WIDTH` strongest
    principal components.
    """
    from slategym.benchmarks.encode_movies import cold_kernels
    from slategym.cf_baselines.movielens import load_movielens

    movies = load_movielens(folder)
    kernels = cold_kernels(movies)
    likeness = sum(kernels[name] for name in KINDS) / len(KINDS)
    size, axes = np.linalg.eigh(likeness)
    vectors = axes[:, -WIDTH:] * np.sqrt(np.maximum(size[-WIDTH:], 0.0))
    rows = {id_: row for row, id_ in enumerate(movies.catalog.item_ids)}
    out = np.zeros((len(item_ids), vectors.shape[1]), np.float32)
    for row, id_ in enumerate(item_ids):
        if id_ in rows:
            out[row] = vectors[rows[id_]]
    return out


def _described(folder: Path, n_items: int) -> FloatArray:
    """Return MiniLM's vectors (I, D) of the descriptions of a split's items."""
    from slategym.benchmarks.encode_row import encoded

    path = folder.parent / DESCRIPTIONS
    if not path.is_file():
        raise DataError(f"{path} does not exist; the content of {folder} is read from it.")
    with gzip.open(path, "rt", encoding="utf-8") as stream:
        told = json.load(stream)
    texts = [""] * n_items
    for line in (folder / "item_map.txt").read_text(encoding="utf-8").splitlines():
        original, row = line.split()
        texts[int(row)] = str(told.get(original, ""))
    ids, none = tuple(map(str, range(n_items))), (None,) * n_items
    catalog = Catalog(folder.name, ids, ids, tuple(texts), none, none, ((),) * n_items)
    return np.asarray(encoded(catalog, "text", "minilm"), dtype=np.float32)
