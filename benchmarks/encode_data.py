"""The labelled sets that encoders are judged on, read from folders of real data.

Letters: I items.
"""

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from slategym.cf_baselines.movielens import MovieLens, load_movielens
from slategym.encoders.catalog import Catalog
from slategym.errors import DataError
from slategym.files import atomic_folder, cache_dir, file_hash

Labels = npt.NDArray[np.int64]
MIN_CLIPS = 8  # of a category of sounds, for it to count


@dataclass(frozen=True, eq=False)
class LabelledSet:
    """Items with one label each.

    Attributes:
        catalog: The I items.
        labels: (I,) class numbers from 0.
        classes: Their names.
    """

    catalog: Catalog
    labels: Labels
    classes: tuple[str, ...]


def clothing(data: Path) -> LabelledSet:
    """Return the clothing photographs: pictures, with what is on them."""
    table = _items(data / "clothing_cc0")
    files = _unpacked(data / "clothing_cc0" / "images.zip")
    images = tuple(files / name for name in table["image"])
    return _labelled("clothing", table["image"], [""] * len(table), images, table["label"])


def products(data: Path) -> LabelledSet:
    """Return the fashion products: title and picture, with the type of article."""
    table = _items(data / "fashion_products")
    files = _unpacked(data / "fashion_products" / "images.zip")
    images = tuple(files / f"{id_}.jpg" for id_ in table["id"])
    titles = list(table["productDisplayName"])
    return _labelled("products", table["id"], titles, images, table["articleType"])


def sounds(data: Path) -> LabelledSet:
    """Return the sounds of categories with at least `MIN_CLIPS`, with their category.

    Their texts name the category, so they are left out.
    """
    table = _items(data / "audio_clips_cc0")
    files = _unpacked(data / "audio_clips_cc0" / "clips.zip")
    counts = table["category"].value_counts()
    table = table[table["category"].map(counts) >= MIN_CLIPS].reset_index(drop=True)
    audio = tuple(files / f"{name}.flac" for name in table["clip"])
    return _labelled("sounds", table["clip"], [""] * len(table), None, table["category"], audio)


def movies(data: Path) -> MovieLens:
    """Return MovieLens 100K with plots and posters."""
    return load_movielens(data / "ml-100k")


def _items(folder: Path) -> pd.DataFrame:
    path = folder / "items.csv"
    if not path.is_file():
        raise DataError(f"{path} does not exist; --data names the folder of {folder.name}.")
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def _unpacked(archive: Path) -> Path:
    """Return a folder in the cache with the files of a zip; only their base names are used."""
    target = cache_dir() / "quality" / file_hash(archive)[:16]
    if not target.is_dir():
        with zipfile.ZipFile(archive) as whole, atomic_folder(target) as folder:
            for member in whole.infolist():
                if not member.is_dir():
                    (folder / Path(member.filename).name).write_bytes(whole.read(member))
    return target


def _labelled(
    name: str,
    ids: "pd.Series[str]",
    texts: list[str],
    images: tuple[Path, ...] | None,
    labels: "pd.Series[str]",
    audio: tuple[Path, ...] | None = None,
) -> LabelledSet:
    nothing: tuple[None, ...] = (None,) * len(ids)
    catalog = Catalog(
        name=name,
        item_ids=tuple(ids),
        titles=tuple(text or id_ for text, id_ in zip(texts, ids, strict=True)),
        text=tuple(texts),
        images=images or nothing,
        audio=audio or nothing,
        topics=((),) * len(ids),
    )
    codes, classes = pd.factorize(labels, sort=True)
    return LabelledSet(catalog, np.asarray(codes, np.int64), tuple(map(str, classes)))
