"""A text transformer as an ONNX file in 8 bits, run by onnxruntime; both are extras."""

import importlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from slategym.encoders.base import FloatArray, encode_present, fingerprint_of
from slategym.encoders.catalog import Catalog, Modality
from slategym.encoders.cpu import threads
from slategym.encoders.text import TransformerText, pad_tokens
from slategym.errors import UsageError
from slategym.files import cache_dir, write_atomic

_BATCH = 16  # texts; more no longer fit near the processor


@dataclass(frozen=True)
class OnnxText:
    """A BERT-like encoder with weights of 8 bits per output and activations of 8 bits per batch.

    Exported and quantised at first use, and kept in the cache: a file of a quarter of the size
    that needs neither torch nor transformers to run.

    Attributes:
        teacher: What is exported.
    """

    teacher: TransformerText

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
        """The exported encoder and how it is quantised."""
        name = f"onnx-{self.teacher.name}"
        return fingerprint_of(name, teacher=self.teacher.fingerprint, version=1)

    @property
    def model_bytes(self) -> int:
        """Size of the file."""
        return self._file.stat().st_size

    def encode(self, catalog: Catalog) -> FloatArray:
        """Return the vectors of the texts, (I, D)."""
        return encode_present(catalog, self, self.encode_texts)

    def encode_texts(self, texts: Sequence[str]) -> FloatArray:
        """Return the vectors of B texts, (B, D)."""
        tokens = self.teacher.tokens(texts)
        order = np.argsort([len(ids) for ids in tokens], kind="stable")
        parts = []
        for start in range(0, len(order), _BATCH):
            ids, mask = pad_tokens([tokens[row] for row in order[start : start + _BATCH]], 0)
            (hidden,) = self._session.run(None, {"ids": ids, "mask": mask})
            vectors = self.teacher.pool(hidden, mask)
            parts.append(vectors)
        found = np.empty((len(texts), parts[0].shape[1]), np.float32)
        found[order] = np.concatenate(parts)
        return found

    @cached_property
    def _session(self) -> Any:  # noqa: ANN401
        runtime = _extra("onnxruntime")
        options = runtime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads(), 1
        return runtime.InferenceSession(
            str(self._file), options, providers=["CPUExecutionProvider"]
        )

    @cached_property
    def _file(self) -> Path:
        path = cache_dir() / "models" / self.fingerprint / "model.onnx"
        if not path.is_file():
            _extra("onnx")
            quantise = _extra("onnxruntime.quantization")
            with tempfile.TemporaryDirectory(prefix="slategym-") as scratch:
                exported = Path(scratch) / "exported.onnx"
                self._export(exported)
                write_atomic(
                    path,
                    lambda target: quantise.quantize_dynamic(
                        str(exported),
                        str(target),
                        per_channel=True,
                        reduce_range=True,  # else sums of 16 bits overflow without VNNI
                        weight_type=quantise.QuantType.QInt8,
                    ),
                )
        return path

    def _export(self, path: Path) -> None:
        import warnings

        import torch

        model = self.teacher.source.load_model(attn_implementation="eager")

        class Hidden(torch.nn.Module):
            def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
                return model(input_ids=ids, attention_mask=mask).last_hidden_state

        example = torch.ones(2, 8, dtype=torch.long)
        axes = {name: {0: "texts", 1: "tokens"} for name in ("ids", "mask", "hidden")}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                Hidden().eval(),
                (example, example),
                str(path),
                input_names=["ids", "mask"],
                output_names=["hidden"],
                dynamic_axes=axes,
                opset_version=17,
                dynamo=False,
            )


def _extra(name: str) -> Any:  # noqa: ANN401
    """Import a module of the extra ``onnx``."""
    try:
        return importlib.import_module(name)
    except ImportError:
        raise UsageError(
            f"the ONNX form of a model needs the package {name.split('.')[0]!r}, which is not "
            "installed: pip install 'slategym[onnx]', or choose int8, which needs no extra."
        ) from None
