"""The text encoder of a catalogue file, compressed: what each way costs, and the one to use."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from slategym.encoders.base import Encoder, FloatArray, encode_present, fingerprint_of, make_encoder
from slategym.encoders.catalog import Catalog, Modality
from slategym.encoders.catalog_stream import catalog_chunks
from slategym.encoders.compress import Cost, Pca, compressed, measure, number_of
from slategym.encoders.text import TransformerText
from slategym.errors import DataError, UsageError


@dataclass(frozen=True)
class CutText:
    """A text encoder whose vectors are cut to the first axes of a catalogue's.

    Attributes:
        full: What encodes.
        axes: What is kept of it.
    """

    full: TransformerText
    axes: Pca

    @property
    def modality(self) -> Modality:
        """Text."""
        return "text"

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return int(self.axes.axes.shape[1])

    @cached_property
    def fingerprint(self) -> str:
        """The encoder and the axes."""
        kept = (self.axes.axes.tobytes().hex(), self.axes.mean.tobytes().hex())
        return fingerprint_of(f"pca-{self.full.name}", full=self.full.fingerprint, kept=kept)

    def encode(self, catalog: Catalog) -> FloatArray:
        """Return the vectors of the texts, (I, D)."""
        return encode_present(catalog, self, self.encode_texts)

    def encode_texts(self, texts: Sequence[str]) -> FloatArray:
        """Return the vectors of B texts, (B, D)."""
        return self.axes(self.full.encode_texts(texts))


def measured(
    path: Path,
    name: str,
    ways: Sequence[str],
    columns: Mapping[str, str] | None = None,
    sample: int = 500,
    seed: int = 0,
) -> tuple[list[Cost], Encoder]:
    """Return what ways of compressing cost on a catalogue, and the text encoder to use.

    That is the compressed one if there is one way only, else the full one.

    Args:
        path: The catalogue; its first texts are the sample.
        name: The full encoder, a transformers model.
        ways: As for `slategym.encoders.compress.measure`.
        columns: Role to column.
        sample: Texts at most.
        seed: Of students and probes.

    Raises:
        UsageError: the encoder is no transformers model, or a way is unknown.
        DataError: the catalogue has no texts.
    """
    full = make_encoder(name, modality="text") if name else None
    if not isinstance(full, TransformerText):
        raise UsageError(
            f"--compress is for transformers models such as minilm or hf:..., not {name!r}."
        )
    texts, topics = _sample(path, columns, sample)
    costs, vectors = measure(texts, full, ways, topics, seed=seed)
    if len(ways) != 1:
        return costs, full
    (way,) = ways
    if way.startswith("pca:"):
        return costs, CutText(full, Pca.fit(vectors["full"], number_of(way)))
    return costs, compressed(way, replace(full), texts, seed=seed)


def _sample(
    path: Path, columns: Mapping[str, str] | None, count: int
) -> tuple[list[str], list[tuple[str, ...]]]:
    """Return the first texts of a catalogue that are whole and differ, and their topics.

    Topics are taken out of the texts, since the probe asks for them.
    """
    found: dict[str, tuple[str, ...]] = {}
    only: tuple[Modality, ...] = ("text",)
    for catalog, _, _ in catalog_chunks(path, columns, modalities=only):
        for text, topics in zip(catalog.text, catalog.topics, strict=True):
            text = text.replace(", ".join(topics).rstrip(". ") or "\n\n", "").strip(". ")
            whole = text.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in text)
            if text.strip() and whole:
                found.setdefault(text, topics)
            if len(found) == count:
                return list(found), list(found.values())
    if not found:
        raise DataError(f"{path} has no texts to measure compression on.")
    return list(found), list(found.values())
