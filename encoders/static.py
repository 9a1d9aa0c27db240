"""Static text vectors distilled from a transformer: one per token, weighted and averaged."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from slategym.encoders.base import FloatArray, encode_present, fingerprint_of
from slategym.encoders.catalog import Catalog, Modality
from slategym.encoders.text import TransformerText, minilm
from slategym.errors import UsageError
from slategym.files import cache_dir, write_atomic

_TINY = 1e-8
_TEXTS = 2048  # tokenised at a time


@dataclass(frozen=True)
class StaticText:
    """A table of token vectors made from a teacher, as model2vec makes it (Tulkens 2024).

    Each token of the vocabulary is encoded alone by the teacher; the vectors are centred, turned
    to their first principal axes and multiplied by ``log(1 + rank)``, the rank standing for
    frequency, since vocabularies list frequent tokens first (Zipf's law). A text is the mean of
    its tokens' vectors, of length 1. Made at first use, in some seconds, and kept in the cache.

    Attributes:
        teacher: What is distilled; its tokenizer must be a fast one.
        dim: Numbers per vector, at most the teacher's.
    """

    teacher: TransformerText
    dim: int = 256

    @property
    def modality(self) -> Modality:
        """Text."""
        return "text"

    @cached_property
    def fingerprint(self) -> str:
        """The teacher and the size."""
        name = f"static-{self.teacher.name}"
        return fingerprint_of(name, teacher=self.teacher.fingerprint, dim=self.dim, version=1)

    def encode(self, catalog: Catalog) -> FloatArray:
        """Return the vectors of the texts, (I, D)."""
        return encode_present(catalog, self, self.encode_texts)

    def encode_texts(self, texts: Sequence[str]) -> FloatArray:
        """Return the vectors of B texts, (B, D)."""
        parts = [self._encode(texts[at : at + _TEXTS]) for at in range(0, len(texts), _TEXTS)]
        return np.concatenate(parts) if parts else np.zeros((0, self.dim), np.float32)

    def _encode(self, texts: Sequence[str]) -> FloatArray:
        found = self._words.encode_batch_fast(list(texts), add_special_tokens=False)
        ids = [each.ids or [self._unknown] for each in found]
        lengths = np.array([len(row) for row in ids])
        starts = np.cumsum(lengths) - lengths
        summed = np.add.reduceat(self.table[np.concatenate(ids)], starts)
        return summed / np.maximum(np.linalg.norm(summed, axis=1, keepdims=True), _TINY)

    @property
    def model_bytes(self) -> int:
        """Size of the table."""
        return self.table.nbytes

    @cached_property
    def table(self) -> FloatArray:
        """The vectors of all tokens, (V, D); read from the cache or made."""
        from safetensors import SafetensorError
        from safetensors.numpy import load_file, save_file

        path = cache_dir() / "models" / self.fingerprint / "model.safetensors"
        try:
            return np.asarray(load_file(path)["table"], np.float32)
        except (FileNotFoundError, SafetensorError, KeyError):  # not made yet, or damaged
            table = self._distil()
            write_atomic(path, lambda target: save_file({"table": table}, target))
            return table

    def _distil(self) -> FloatArray:
        words = self._words
        size = words.get_vocab_size()
        vectors = self.teacher.encode_tokens([[token] for token in range(size)])
        if self.dim > vectors.shape[1]:
            raise UsageError(
                f"static vectors of {self.dim} numbers cannot be made of {vectors.shape[1]}: "
                "give a dim that is not above the teacher's."
            )
        centred = vectors - vectors.mean(axis=0)
        _, axes = np.linalg.eigh(centred.T.astype(np.float64) @ centred)
        chosen = axes[:, ::-1][:, : self.dim]
        # A sign for each axis that does not depend on the linear algebra library.
        chosen = chosen * np.sign(chosen[np.abs(chosen).argmax(axis=0), range(self.dim)])
        rank = np.log1p(np.arange(1, size + 1))[:, None]
        return np.ascontiguousarray(centred @ chosen * rank, np.float32)

    @cached_property
    def _words(self) -> Any:  # noqa: ANN401
        backend = getattr(self.teacher.tokenizer, "backend_tokenizer", None)
        if backend is None:
            raise UsageError(
                f"static vectors need a fast tokenizer, which the model {self.teacher.name!r} "
                "does not have."
            )
        backend.no_truncation()
        backend.no_padding()
        return backend

    @property
    def _unknown(self) -> int:
        return int(self.teacher.tokenizer.unk_token_id or 0)


def static_minilm(*, dim: int = 256) -> StaticText:
    """Return static vectors distilled from all-MiniLM-L6-v2."""
    return StaticText(minilm(), dim)
