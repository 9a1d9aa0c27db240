"""A world: everything a simulation needs, frozen into tables and arrays."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from slategym.cf_baselines.interactions import Interactions
from slategym.envs.arrays import AnyArray, BoolArray, FloatArray, IntArray, LongArray, frozen
from slategym.envs.world_log import LOG_ARRAYS, PUBLIC, ByteArray, check_log, whole_log
from slategym.errors import DataError

if TYPE_CHECKING:
    from slategym.encoders.base import Encoder
    from slategym.encoders.search import Found, SearchIndex

# 1: without the optional arrays below the encodings; still opened. 2: the arrays may be there.
SCHEMA_VERSION = 2

# Name -> (shape in letters, dtype). Letters met twice must agree; Dt, Dm, Da, N are free.
ARRAYS: dict[str, tuple[tuple[str, ...], str]] = {
    "item_vectors": (("I", "D"), "float32"),
    "item_factors": (("I", "F"), "float32"),
    "item_bias": (("I",), "float32"),
    "user_factors": (("U", "F"), "float32"),
    "user_std": (("U", "F"), "float32"),
    "user_bias": (("U",), "float32"),
    "public_item_factors": (("I", "F2"), "float32"),
    "public_item_bias": (("I",), "float32"),
    "public_user_factors": (("U", "F2"), "float32"),
    "public_user_bias": (("U",), "float32"),
    "item_topics": (("I", "Z"), "float32"),
    "item_duration": (("I",), "float32"),
    "item_popularity": (("I",), "float32"),
    "user_history": (("U", "H"), "int32"),
    "user_history_value": (("U", "H"), "float32"),
    "user_profile": (("U", "Dp"), "float32"),
}
OPTIONAL_ARRAYS: dict[str, tuple[tuple[str, ...], str]] = {
    "item_text": (("I", "Dt"), "float32"),
    "item_image": (("I", "Dm"), "float32"),
    "item_audio": (("I", "Da"), "float32"),
    "user_text": (("U", "Dt"), "float32"),
    "item_price": (("I",), "float32"),
    "item_time": (("I",), "int64"),
    "item_creator": (("I",), "int32"),
    **LOG_ARRAYS,
}


@dataclass(frozen=True)
class WorldInfo:
    """What is known about a world beside its arrays. All of it is plain JSON."""

    name: str
    """What the world is called in listings and reports."""
    synthetic: bool
    """True if items or users were generated and not observed."""
    mean: float
    """Global mean of the simulator's rating model, on the scale of the log's values."""
    public_mean: float
    """Global mean of the public rating model."""
    click_slope: float
    """Slope of the click logit over the predicted value (natural-log odds per unit)."""
    click_intercept: float
    """Intercept of the click logit (natural-log odds)."""
    no_click_logit: float
    """Utility of choosing nothing (natural-log odds), chosen when the world was built."""
    value_low: float
    """Lowest value of the log's scale (1 for five stars)."""
    value_high: float
    """Highest value of the log's scale (5 for five stars)."""
    blocks: dict[str, tuple[int, int]]
    """Half-open column ranges of ``item_vectors``: content, collaborative, topics, prior."""
    topic_names: tuple[str, ...]
    """Z names."""
    content_spread: tuple[float, ...] = ()
    """Deviation of each content column before it was whitened; empty: all alike."""
    schema_version: int = SCHEMA_VERSION
    source: str = ""
    """Where the data came from."""
    licence: str = ""
    """What the data's owner allows."""
    provenance: dict[str, Any] = field(default_factory=dict)
    """Encoder fingerprints, hashes of catalogue and log, versions, settings."""
    metrics: dict[str, Any] = field(default_factory=dict)
    """Held-out measures of the response model; empty for a synthetic world."""
    assumptions: tuple[str, ...] = ()
    """What was assumed and not learned, one sentence each."""

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain JSON values."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self), allow_nan=False))
        return plain

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "WorldInfo":
        """Return the info whose `to_json` gave ``value``."""
        known = {entry.name for entry in fields(cls)}
        if set(value) != known:
            odd = sorted(set(value) ^ known)
            raise DataError(f"world info has missing or unknown keys {odd}; rebuild the world.")
        plain = dict(value)
        plain["blocks"] = {name: (int(a), int(b)) for name, (a, b) in plain["blocks"].items()}
        plain["topic_names"] = tuple(plain["topic_names"])
        plain["content_spread"] = tuple(plain["content_spread"])
        plain["assumptions"] = tuple(plain["assumptions"])
        return cls(**plain)


@dataclass(frozen=True, eq=False)
class World:
    """Items, users and the fitted response model of one simulation; nothing in it changes.

    Agents and baselines may see ``item_vectors``, the ``public_*`` model, topics, durations,
    popularity, prices, publication times, creators, histories, profiles and `public_log`.
    ``item_factors``, ``item_bias`` and ``user_*`` factors are the simulator's own, fitted apart,
    and stay hidden, as do the rows of the log beyond `public_log`.

    The click logit of a user with taste p on item i is
    ``click_intercept + click_slope * (mean + user_bias + item_bias_i + p . q_i)``.
    """

    info: WorldInfo
    items: pd.DataFrame
    """I rows: item_id, title, topics (JSON list), duration (minutes), popularity, evidence."""
    users: pd.DataFrame
    """U rows: user_id, split ("train" or "held_out"), n_ratings, profile."""
    item_vectors: FloatArray  # (I, D) what agents see
    item_factors: FloatArray  # (I, F) hidden
    item_bias: FloatArray  # (I,) hidden
    user_factors: FloatArray  # (U, F) hidden
    user_std: FloatArray  # (U, F) hidden, posterior standard deviation
    user_bias: FloatArray  # (U,) hidden
    public_item_factors: FloatArray  # (I, F2)
    public_item_bias: FloatArray  # (I,)
    public_user_factors: FloatArray  # (U, F2)
    public_user_bias: FloatArray  # (U,)
    item_topics: FloatArray  # (I, Z) rows sum to 1, or to 0
    item_duration: FloatArray  # (I,) minutes
    item_popularity: FloatArray  # (I,) public counts
    user_history: IntArray  # (U, H) item rows, oldest first, -1 padded on the left
    user_history_value: FloatArray  # (U, H) in [0, 1]
    user_profile: FloatArray  # (U, Dp)
    item_text: FloatArray | None = None  # (I, Dt) raw encodings
    item_image: FloatArray | None = None  # (I, Dm)
    item_audio: FloatArray | None = None  # (I, Da)
    user_text: FloatArray | None = None  # (U, Dt) raw encodings of profiles, 0 where none
    item_price: FloatArray | None = None  # (I,) > 0, in the catalogue's currency
    item_time: LongArray | None = None  # (I,) publication, seconds since 1970
    item_creator: IntArray | None = None  # (I,) number of the creator, -1 unknown
    log_user: IntArray | None = None  # (N,) in [0, U)
    log_item: IntArray | None = None  # (N,) in [0, I)
    log_value: FloatArray | None = None  # (N,) in the log's own units; 1 if implicit
    log_time: LongArray | None = None  # (N,) seconds since 1970, 0 unknown
    log_split: ByteArray | None = None  # (N,) 0 public, 1 validation, 2 test, 3 withheld
    thumbnails: Mapping[int, bytes] = field(default_factory=dict)
    """Item row -> JPEG bytes."""

    def __post_init__(self) -> None:
        sizes = {"I": len(self.items), "U": len(self.users), "Z": len(self.info.topic_names)}
        for name, (letters, dtype) in (ARRAYS | OPTIONAL_ARRAYS).items():
            array = getattr(self, name)
            if array is None and name in OPTIONAL_ARRAYS:
                continue
            _check_array(name, array, letters, dtype, sizes)
            object.__setattr__(self, name, frozen(array))
        check_log(self)

    @property
    def arrays(self) -> dict[str, AnyArray]:
        """Every array that is there, by field name."""
        named = {name: getattr(self, name) for name in ARRAYS | OPTIONAL_ARRAYS}
        return {name: array for name, array in named.items() if array is not None}

    @property
    def n_items(self) -> int:
        """I, the number of items."""
        return len(self.items)

    @property
    def n_users(self) -> int:
        """U, the number of users in the population."""
        return len(self.users)

    @property
    def n_topics(self) -> int:
        """Z, the number of topics."""
        return self.item_topics.shape[1]

    @property
    def has_log(self) -> bool:
        """Whether the world keeps the log it was fitted on; worlds of schema 1 do not."""
        return self.log_user is not None

    @cached_property
    def log(self) -> Interactions:
        """The whole log, validation and test rows included: for measuring, hidden from agents.

        Row n belongs to split ``log_split[n]``. An implicit log holds its positives only.

        Raises:
            DataError: the world keeps no log.
        """
        return whole_log(self)

    @cached_property
    def public_log(self) -> Interactions:
        """The rows that agents and baselines may learn from: those of split 0.

        Raises:
            DataError: the world keeps no log.
        """
        return self.log.take(np.flatnonzero(self.log_split == PUBLIC))

    @cached_property
    def cold_items(self) -> BoolArray:
        """Items (I,) without any public row."""
        return frozen(np.asarray(self.item_popularity == 0))

    @cached_property
    def cold_users(self) -> BoolArray:
        """Users (U,) without any public row, whose history is empty."""
        return frozen(np.asarray((self.user_history < 0).all(axis=1)))

    @cached_property
    def directions(self) -> FloatArray:
        """Unit vectors (I, Dc) whose dot product says how alike the contents of two items are.

        The content block with its whitening undone: whitened vectors of any two items are about
        equally far apart. A row is zero where nothing is known of an item.
        """
        start, stop = self.info.blocks["content"]
        spread = np.asarray(self.info.content_spread or np.ones(stop - start), np.float32)
        rows = self.item_vectors[:, start:stop] * spread
        length = np.sqrt((rows * rows).sum(axis=1, keepdims=True))
        return frozen((rows / np.where(length > 0, length, 1.0)).astype(np.float32))

    @cached_property
    def search_index(self) -> "SearchIndex":
        """The index of the items' encodings, which other than `search` can be asked too.

        Raises:
            DataError: the world keeps no encodings.
        """
        from slategym.encoders.search import SearchIndex

        tables: dict[Any, FloatArray | None] = {
            "text": self.item_text, "image": self.item_image, "audio": self.item_audio
        }  # fmt: skip
        if all(table is None for table in tables.values()):
            raise DataError(
                f"world {self.info.name!r} keeps no encodings to search, for an older slategym "
                "built it; build it again from its catalogue and log."
            )
        return SearchIndex.from_tables(tables, self.info.provenance.get("encoders", {}))

    def search(
        self,
        text: str | None = None,
        *,
        picture: str | Path | None = None,
        sound: str | Path | None = None,
        k: int = 10,
        encoders: "Mapping[str, str | Encoder] | None" = None,
    ) -> "Found":
        """Return the k items nearest to a text, a picture or a sound, best first.

        ``world.search("the sea").items`` are rows of `items`; ``.context(world.item_vectors)`` is
        the query as a point among the items, as an environment's ``query`` is.

        Args:
            text: what to look for, in words; or else ``picture`` or ``sound``.
            picture: path of a picture.
            sound: path of a sound.
            k: most items to return, at least 1.
            encoders: modality to the encoder the world was built with, if not the default.

        Raises:
            UsageError: none or several are asked for, or items lack the modality.
            DataError: the world keeps no encodings, or was built with another encoder.
        """
        return self.search_index.search(
            text=text, picture=picture, sound=sound, k=k, encoders=encoders
        )

    @cached_property
    def content(self) -> dict[str, str]:
        """sha256 of each array and table, by name."""
        hashes = {name: array_hash(array) for name, array in self.arrays.items()}
        hashes["items"] = table_hash(self.items)
        hashes["users"] = table_hash(self.users)
        pictures = hashlib.sha256()
        for row in sorted(self.thumbnails):
            pictures.update(f"{row}:{len(self.thumbnails[row])}:".encode())
            pictures.update(self.thumbnails[row])
        hashes["thumbnails"] = pictures.hexdigest()
        return hashes

    @cached_property
    def hash(self) -> str:
        """sha256 over the manifest content: the info and the hash of every array and table.

        It is the same before saving and after opening.
        """
        return manifest_hash(self.info, self.content)

    def thumbnail(self, item: int) -> bytes | None:
        """Return the JPEG bytes of an item row's picture, or None if it has none."""
        return self.thumbnails.get(int(item))

    def user_rows(self, users: str = "all") -> IntArray:
        """Return the population rows of a group of users.

        Args:
            users: "all"; "train" or "held_out", the splits; "cold", those without a history.

        Raises:
            DataError: the world has no such users.
        """
        if users == "all":
            return np.arange(self.n_users, dtype=np.int32)
        cold = users == "cold"
        among = self.cold_users if cold else (self.users["split"] == users).to_numpy()
        chosen = np.flatnonzero(among).astype(np.int32)
        if len(chosen) == 0:
            group = "cold users" if cold else f"users in split {users!r}"
            more = "ask for cold_start > 0" if cold else "rebuild it with held_out_users > 0"
            raise DataError(
                f"world {self.info.name!r} has no {group}; "
                f'use "all", "train", "held_out" or "cold", or {more}.'
            )
        return chosen

    def save(self, folder: str | Path) -> Path:
        """Write the world as a folder, whole or not at all, and return the folder."""
        from slategym.envs.world_files import save_world

        return save_world(self, Path(folder))

    @classmethod
    def open(cls, folder: str | Path) -> "World":
        """Open a world folder; arrays are memory-mapped and read-only.

        Raises:
            DataError: the folder is missing, is not a world, was written by a newer schema,
                or one of its files is missing or changed (the message names it).
        """
        from slategym.envs.world_files import open_world

        return open_world(Path(folder))


def array_hash(array: AnyArray) -> str:
    """Return the sha256 of an array's dtype, shape and little-endian bytes."""
    little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    digest = hashlib.sha256(f"{array.dtype.name}{array.shape}".encode())
    digest.update(little.data.cast("B") if little.size else b"")
    return digest.hexdigest()


def table_hash(table: pd.DataFrame) -> str:
    """Return the sha256 of a table's column names and values."""
    text = table.to_json(orient="split", index=False, double_precision=15)
    return hashlib.sha256(str(text).encode()).hexdigest()


def manifest_hash(info: WorldInfo, content: Mapping[str, str]) -> str:
    """Return the sha256 of the manifest content as canonical JSON."""
    text = json.dumps([info.to_json(), dict(content)], sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _check_array(
    name: str, array: AnyArray, letters: tuple[str, ...], dtype: str, sizes: dict[str, int]
) -> None:
    """Refuse an array whose dtype or shape does not fit the other arrays."""
    if array.dtype.name != dtype or array.ndim != len(letters):
        raise DataError(
            f"world array {name} is {array.dtype.name} of shape {array.shape}; "
            f"it must be {dtype} of shape ({', '.join(letters)})."
        )
    for letter, size in zip(letters, array.shape, strict=True):
        if sizes.setdefault(letter, size) != size:
            raise DataError(
                f"world array {name} has {letter} = {size}; other parts have {sizes[letter]}."
            )
