"""Search: the items nearest to a text, a picture or a sound, whatever they are made of.

Letters: I items, Dm numbers per vector of modality m, D numbers in the shared space, k results.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from slategym.encoders.align import MIN_ITEMS, Alignment, check_encoders, fit_cca, unit
from slategym.encoders.base import Encoder, FloatArray, make_encoder
from slategym.encoders.catalog import Catalog, Modality
from slategym.encoders.pipeline import DEFAULT_ENCODERS, ItemVectors
from slategym.errors import DataError, UsageError

UNKNOWN_ENCODER = "unknown"
_TINY = 1e-6


@dataclass(frozen=True, eq=False)
class Found:
    """What a search found, best first.

    Attributes:
        items: (k,) rows of items.
        scores: (k,) how much nearer each is than the average item, in standard deviations.
    """

    items: npt.NDArray[np.int64]
    scores: FloatArray

    def context(self, table: npt.ArrayLike) -> FloatArray:
        """Return the query as a vector of an item table (I, D): the weighted mean of its results.

        It lies where the items lie, as an environment's ``query`` observation does.
        """
        rows = np.asarray(table, np.float32)[self.items]
        weights = np.exp(self.scores - self.scores.max())
        return np.asarray(weights @ rows / weights.sum(), np.float32)


@dataclass(frozen=True, eq=False)
class SearchIndex:
    """Items that can be asked for by any modality.

    Attributes:
        vectors: What encoders made of the items.
        alignment: The space modalities share; None where no item has two.
        shared: (I, D) items in that space; (I, 0) without one.
    """

    vectors: ItemVectors
    alignment: Alignment | None
    shared: FloatArray

    @classmethod
    def build(cls, vectors: ItemVectors, alignment: Alignment | None = None) -> "SearchIndex":
        """Return the index of items; without an alignment one is fitted where that is possible.

        Raises:
            DataError: no item has a vector, or the alignment is for other encoders.
        """
        if not any(there.any() for there in vectors.present.values()):
            raise DataError("there is nothing to search: no item has a vector.")
        if alignment is None:
            several = np.sum(list(vectors.present.values()), axis=0) >= 2
            if several.sum() >= MIN_ITEMS:
                alignment = fit_cca(vectors, dim=min(128, int(several.sum()) - 1))
        if alignment is None:
            return cls(vectors, None, np.zeros((len(vectors), 0), np.float32))
        check_encoders(vectors, alignment.heads)
        return cls(vectors, alignment, alignment.project_items(vectors))

    @classmethod
    def from_tables(
        cls, tables: Mapping[Modality, FloatArray | None], fingerprints: Mapping[str, str]
    ) -> "SearchIndex":
        """Return the index of items given as tables of encodings, as a world keeps them.

        Args:
            tables: Modality to (I, Dm), or None; a zero row is an item without it.
            fingerprints: Modality to the fingerprint of its encoder; those not named are not
                checked.

        Raises:
            DataError: there is no table, or no item has a vector.
        """
        known = {name: table for name, table in tables.items() if table is not None}
        present = {name: np.abs(table).sum(axis=1) > 0 for name, table in known.items()}
        prints = {name: fingerprints.get(name, UNKNOWN_ENCODER) for name in known}
        return cls.build(ItemVectors(known, present, prints))

    def nearest(self, modality: Modality, query: npt.ArrayLike, k: int = 10) -> Found:
        """Return the ``k`` items nearest to a query vector (Dm,) of a modality.

        Items that have the modality are compared in its own space, and every item in the shared
        space. Both cosines are standardised over the items compared, and averaged where both
        are known: a picture with no text competes with texts.

        Raises:
            UsageError: nothing can be compared with the modality, or ``k`` is below 1.
            DataError: the query is of another length than the modality's vectors.
        """
        if k < 1:
            raise UsageError(f"a search returns at least 1 item, not {k}.")
        row = np.asarray(query, np.float32).reshape(1, -1)
        ways = []
        if modality in self.vectors.vectors:
            table = self.vectors.vectors[modality]
            if table.shape[1] != row.shape[1]:
                raise DataError(
                    f"the query has {row.shape[1]} numbers, the items' {modality} vectors "
                    f"{table.shape[1]}: encode it with {self.vectors.fingerprints[modality]}."
                )
            ways.append(_standardised(table, row, self.vectors.present[modality]))
        if self.alignment is not None and modality in self.alignment.heads:
            there = np.abs(self.shared).sum(axis=1) > 0
            ways.append(_standardised(self.shared, self.alignment.project(modality, row), there))
        if not ways:
            known = ", ".join(self.vectors.vectors)
            raise UsageError(f"these items cannot be searched by {modality}; they have {known}.")
        stacked = np.ma.masked_invalid(np.stack(ways))
        scores = np.asarray(stacked.mean(axis=0).filled(-np.inf), np.float32)
        order = np.argsort(-scores, kind="stable")[: min(k, int(np.isfinite(scores).sum()))]
        return Found(order.astype(np.int64), scores[order])

    def search(
        self,
        *,
        text: str | None = None,
        picture: str | Path | None = None,
        sound: str | Path | None = None,
        k: int = 10,
        encoders: Mapping[str, str | Encoder] | None = None,
    ) -> Found:
        """Return the ``k`` items nearest to a text, a picture file or a sound file.

        Args:
            text: Words, or
            picture: a picture file, or
            sound: a sound file; one of the three.
            k: How many items.
            encoders: Modality to the encoder the items were encoded with, or its name; the
                defaults where left out.

        Raises:
            UsageError: none or several of the three, or an encoder of another kind.
            DataError: the encoder is not the one the items were encoded with, or the file
                cannot be read.
        """
        modality, catalog = _asked(text, picture, sound)
        chosen = (encoders or {}).get(modality, DEFAULT_ENCODERS[modality])
        made: Any = make_encoder(chosen, modality=modality) if isinstance(chosen, str) else chosen
        wanted = self.vectors.fingerprints.get(modality, UNKNOWN_ENCODER)
        if wanted not in (UNKNOWN_ENCODER, made.fingerprint):
            raise DataError(
                f"the items' {modality} was encoded by {wanted}, the query would be by "
                f"{made.fingerprint}: name the items' encoder."
            )
        return self.nearest(modality, made.encode(catalog)[0], k)


def _asked(
    text: str | None, picture: str | Path | None, sound: str | Path | None
) -> tuple[Modality, Catalog]:
    """Return the modality of a query, and the query as a catalogue of one item."""
    given = [name for name, value in (("text", text), ("picture", picture), ("sound", sound))
             if value is not None]  # fmt: skip
    if len(given) != 1:
        raise UsageError(
            f"a search needs one of text, picture and sound; got {', '.join(given) or 'none'}."
        )
    if text is not None and not text.strip():
        raise UsageError("the text to search for is empty.")
    for file in (picture, sound):
        if file is not None and not Path(file).is_file():
            raise DataError(f"{file} does not exist; name a picture or sound file.")
    modality: Modality = {"text": "text", "picture": "image", "sound": "audio"}[given[0]]  # type: ignore[assignment]
    return modality, Catalog(
        name="query",
        item_ids=("query",),
        titles=("query",),
        text=(text or "",),
        images=(None if picture is None else Path(picture),),
        audio=(None if sound is None else Path(sound),),
        topics=((),),
    )


def _standardised(
    table: FloatArray, query: FloatArray, there: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float64]:
    """Return cosines of a query (1, D) with items (I, D) as z-scores; NaN where not there."""
    scores = np.full(len(table), np.nan)
    cosines = (unit(table[there]) @ unit(query)[0]).astype(np.float64)
    if len(cosines):
        scores[there] = (cosines - cosines.mean()) / max(float(cosines.std()), _TINY)
    return scores
