"""Text encoders: any transformers model, pooled; the embedded one is all-MiniLM-L6-v2."""

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from slategym.encoders.base import FloatArray, encode_present, fingerprint_of
from slategym.encoders.catalog import Catalog, Modality
from slategym.encoders.cpu import fast_int8, threads
from slategym.encoders.hub import (
    Precision,
    Settled,
    Source,
    inference,
    library,
    pooled,
    quiet,
    settle,
)

Pooling = Literal["auto", "mean", "cls", "last"]

_TOKENS = 512  # per pass in int8: its activations stay near the processor


@dataclass(frozen=True)
class TransformerText:
    """A transformers model that reads texts.

    Attributes:
        source: Where the model comes from.
        name: Its name in the fingerprint.
        pooling: How token vectors become one: their ``mean``, the first (``cls``) or the
            ``last``. ``auto`` asks the model's own ``1_Pooling/config.json``, else takes the
            last token of a decoder and the mean of an encoder. Models with
            ``get_text_features`` (CLIP, CLAP) pool by themselves.
        max_tokens: Texts are cut after so many tokens.
        prefix: Put before every text; some models were trained with one.
        normalise: Whether vectors have length 1.
        precision: ``auto`` is int8 for BERT on a processor with AVX2, else bfloat16 where the
            processor is fast at it, else float32. The cosine of int8 with float32 is 0.996 on
            average; it uses as many threads as ``OMP_NUM_THREADS``, or processors, allow.
        batch: Texts per forward pass in float32 and bfloat16; int8 passes about 512 tokens.
    """

    source: Source
    name: str = "text"
    pooling: Pooling = "auto"
    max_tokens: int = 256
    prefix: str = ""
    normalise: bool = True
    precision: Precision = "auto"
    batch: int = 32

    @property
    def modality(self) -> Modality:
        """Text."""
        return "text"

    @cached_property
    def dim(self) -> int:
        """Length of a vector."""
        return int(self.encode_texts(["dimension"]).shape[1])

    @cached_property
    def fingerprint(self) -> str:
        """Weights, options, arithmetic and library."""
        return fingerprint_of(
            self.name,
            weights=self.source.identity,
            pooling=self.pooling,
            max_tokens=self.max_tokens,
            prefix=self.prefix,
            normalise=self.normalise,
            precision=self.arithmetic,
            library=library(),
        )

    @cached_property
    def arithmetic(self) -> Settled:
        """What ``precision`` means for this model on this processor. Loads no weights.

        Raises:
            UsageError: int8 was asked for, and the model or the processor is not made for it.
        """
        asked = self.precision in ("auto", "int8")
        return "int8" if asked and fast_int8() and self._convertible else settle(self.precision)

    @property
    def _convertible(self) -> bool:
        if self.source.wheel:  # it is known to be; naming it must neither fetch nor import much
            return True
        from transformers import AutoConfig

        from slategym.encoders.bert_int8 import convertible

        return convertible(self.source.load(AutoConfig))

    def cut(self, catalog: Catalog) -> npt.NDArray[np.bool_]:
        """Return whose text has more tokens than are read, (I,)."""
        found = np.zeros(len(catalog), np.bool_)
        limit = self._limit
        for row, text in enumerate(catalog.text):
            if len(text) >= limit - 2:  # a token has at least one character, bar special ones
                with quiet():
                    found[row] = len(self.tokenizer(self.prefix + text)["input_ids"]) > limit
        return found

    def encode(self, catalog: Catalog) -> FloatArray:
        """Return the vectors of the texts, (I, D)."""
        return encode_present(catalog, self, self.encode_texts)

    def encode_texts(self, texts: Sequence[str]) -> FloatArray:
        """Return the vectors of B texts, (B, D)."""
        return self._encode(self.tokens(texts))

    def encode_tokens(self, tokens: Sequence[list[int]]) -> FloatArray:
        """Return the vectors of B texts given as token ids, (B, D); special ones are added."""
        whole, bare = (
            list(self.tokenizer("a", add_special_tokens=special)["input_ids"])
            for special in (True, False)
        )
        begin = next(at for at in range(len(whole)) if whole[at : at + len(bare)] == bare)
        before, after = whole[:begin], whole[begin + len(bare) :]
        return self._encode([[*before, *ids, *after] for ids in tokens])

    def _encode(self, tokens: list[list[int]]) -> FloatArray:
        # Texts of like length share a batch, so that little padding is computed.
        order = np.argsort([len(ids) for ids in tokens], kind="stable")
        if self.arithmetic == "int8":
            parts = self._in_int8([tokens[row] for row in order])
        else:
            parts = [
                self._forward([tokens[row] for row in order[start : start + self.batch]])
                for start in range(0, len(order), self.batch)
            ]
        vectors = np.empty((len(tokens), parts[0].shape[1]), np.float32)
        vectors[order] = np.concatenate(parts)
        return vectors

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the token ids of texts, special ones and the prefix included, cut if too long."""
        texts = [self.prefix + text for text in texts]
        with quiet():
            found = self.tokenizer(texts, truncation=True, max_length=self._limit)["input_ids"]
        return [list(ids) or [self._padding] for ids in found]

    def _in_int8(self, tokens: list[list[int]]) -> list[FloatArray]:
        """Return the pooled vectors of texts, in parts; each text's do not depend on the others."""
        groups: list[list[list[int]]] = []
        room = 0
        for ids in tokens:
            if len(ids) > room:
                groups.append([])
                room = max(_TOKENS, len(ids))
            groups[-1].append(ids)
            room -= len(ids)
        bert, pooling = self._bert, self._pooling

        def encode(group: list[list[int]]) -> FloatArray:
            lengths = np.array([len(ids) for ids in group])
            starts = np.cumsum(lengths) - lengths
            hidden = bert.hidden(np.concatenate(group).astype(np.int64), starts)
            if pooling == "mean":
                vectors = np.add.reduceat(hidden, starts) / lengths[:, None]
            else:
                vectors = hidden[starts if pooling == "cls" else starts + lengths - 1]
            if self.normalise:
                vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
            return np.asarray(vectors, np.float32)

        with ThreadPoolExecutor(threads()) as pool:
            return list(pool.map(encode, groups))

    def _forward(self, tokens: list[list[int]]) -> FloatArray:
        """Return the pooled vectors of one batch, (B, D)."""
        import torch

        ids, mask = pad_tokens(tokens, self._padding)
        batch = {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)}
        with inference(self.arithmetic):
            if hasattr(self._model, "get_text_features"):
                vectors = pooled(self._model.get_text_features(**batch)).float()
            else:
                hidden = self._model(**batch).last_hidden_state.float()  # (B, T, D)
                return np.asarray(self.pool_tensor(hidden, batch["attention_mask"]).numpy())
            if self.normalise:
                vectors = torch.nn.functional.normalize(vectors, dim=1)
        return np.asarray(vectors.numpy(), np.float32)

    def pool_tensor(self, hidden: Any, mask: Any) -> Any:  # noqa: ANN401
        """Return the vectors (B, D) of token vectors (B, T, D) under a mask (B, T), as tensors."""
        import torch

        vectors = _pool(hidden, mask, self._pooling)
        return torch.nn.functional.normalize(vectors, dim=1) if self.normalise else vectors

    def pool(self, hidden: FloatArray, mask: npt.NDArray[np.int64]) -> FloatArray:
        """Do what `pool_tensor` does to arrays."""
        import torch

        made = self.pool_tensor(torch.from_numpy(hidden), torch.from_numpy(mask))
        return np.asarray(made.numpy(), np.float32)

    @property
    def model_bytes(self) -> int:
        """Size of the weights that are read, in the arithmetic chosen."""
        each = {"float32": 4, "bfloat16": 2, "int8": 1}[self.arithmetic]
        return sum(each * weights.numel() for weights in self._model.parameters())

    @cached_property
    def _model(self) -> Any:  # noqa: ANN401
        model = self.source.load_model()
        return model.get_encoder() if model.config.is_encoder_decoder else model

    @cached_property
    def _bert(self) -> Any:  # noqa: ANN401
        from slategym.encoders.bert_int8 import convert

        return convert(self._model)

    @cached_property
    def tokenizer(self) -> Any:  # noqa: ANN401
        """The model's own tokenizer."""
        from transformers import AutoTokenizer

        return self.source.load(AutoTokenizer)

    @property
    def _limit(self) -> int:
        return min(self.max_tokens, int(self.tokenizer.model_max_length))

    @property
    def _padding(self) -> int:
        # Decoders often have no padding token; what is masked out may be any token.
        return int(self.tokenizer.pad_token_id or 0)

    @cached_property
    def _pooling(self) -> Literal["mean", "cls", "last"]:
        if self.pooling != "auto":
            return self.pooling
        from transformers import AutoConfig

        own = _own_pooling(self.source)
        return own or ("last" if _is_decoder(self.source.load(AutoConfig)) else "mean")


def pad_tokens(
    tokens: list[list[int]], padding: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return ids and mask of texts padded on the right, (B, T) each."""
    width = max(map(len, tokens))
    lengths = np.array([len(ids) for ids in tokens])
    mask = (np.arange(width) < lengths[:, None]).astype(np.int64)
    ids = np.full(mask.shape, padding, np.int64)
    ids[mask.astype(bool)] = np.concatenate([np.asarray(row) for row in tokens])
    return ids, mask


def _pool(hidden: Any, mask: Any, pooling: Literal["mean", "cls", "last"]) -> Any:  # noqa: ANN401
    """Return one vector per text from token vectors (B, T, D) and their mask (B, T)."""
    if pooling == "cls":
        return hidden[:, 0]
    if pooling == "last":
        return hidden[range(len(hidden)), mask.sum(dim=1) - 1]
    kept = mask[..., None].float()
    return (hidden * kept).sum(dim=1) / kept.sum(dim=1)


def _own_pooling(source: Source) -> Literal["mean", "cls", "last"] | None:
    """Return the pooling that a sentence-transformers model states for itself."""
    from transformers.utils import cached_file

    with quiet():
        file = cached_file(
            source.path,
            "1_Pooling/config.json",
            revision=source.commit,
            local_files_only=source.local_files_only or source.commit is None,
            _raise_exceptions_for_missing_entries=False,
            _raise_exceptions_for_connection_errors=False,
        )
    if file is None:
        return None
    stated = json.loads(Path(file).read_text(encoding="utf-8"))
    keys: dict[Literal["mean", "cls", "last"], str] = {
        "cls": "pooling_mode_cls_token",
        "mean": "pooling_mode_mean_tokens",
        "last": "pooling_mode_lasttoken",
    }
    return next((way for way, key in keys.items() if stated.get(key)), None)


def _is_decoder(config: Any) -> bool:  # noqa: ANN401
    """Return whether a model reads from left to right only."""
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as CAUSAL,
    )
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_MASKED_LM_MAPPING_NAMES as MASKED,
    )

    if config.is_encoder_decoder:
        return False
    stated = bool(getattr(config, "is_decoder", False))
    return stated or (config.model_type in CAUSAL and config.model_type not in MASKED)


def minilm(
    *, max_tokens: int = 256, precision: Precision = "auto", batch: int = 32
) -> TransformerText:
    """Return the embedded text encoder: all-MiniLM-L6-v2, 384 numbers, in English."""
    source = Source("minilm", wheel=True)
    return TransformerText(
        source, "minilm", max_tokens=max_tokens, precision=precision, batch=batch
    )


def hub_text(
    place: str,
    *,
    revision: str | None = None,
    local_files_only: bool = False,
    pooling: Pooling = "auto",
    max_tokens: int = 256,
    prefix: str = "",
    normalise: bool = True,
    precision: Precision = "auto",
    batch: int = 32,
) -> TransformerText:
    """Return the encoder of a model on the hub or in a folder; options as in `TransformerText`."""
    source = Source(place, revision, local_files_only)
    name = "hf-" + place.rstrip("/").split("/")[-1]
    return TransformerText(source, name, pooling, max_tokens, prefix, normalise, precision, batch)
