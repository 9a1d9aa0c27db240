"""Transformers models loaded quietly, and refused where their weights would be random."""

import hashlib
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from slategym.encoders.cpu import cpu_flags
from slategym.encoders.weights import ensure_weights, pinned
from slategym.errors import DataError, MissingModelError, SlateGymError, UsageError
from slategym.files import file_hash

Precision = Literal["auto", "float32", "bfloat16", "int8"]
Settled = Literal["float32", "bfloat16", "int8"]

_MODEL_FILES = re.compile(r"\.(safetensors|bin|json|txt|model|jinja)$")
# Parts no encoder here reads: the pooler head, and what only training masks with.
_UNREAD = re.compile(r"(^|\.)(pooler\..*|masked_spec_embed|mask_token)$")


@dataclass(frozen=True)
class Source:
    """Where a transformers model comes from.

    Attributes:
        place: Hub id, folder, or name of pinned weights.
        revision: Branch, tag or commit on the hub; None is the default branch.
        local_files_only: Never ask the hub; use what is in its cache.
        wheel: Whether ``place`` names pinned weights (`slategym.encoders.weights`).
    """

    place: str
    revision: str | None = None
    local_files_only: bool = False
    wheel: bool = False

    @cached_property
    def path(self) -> str:
        """The folder, or the id when it is on the hub. Fetches pinned weights."""
        if self.wheel:
            return str(ensure_weights(self.place))
        folder = Path(self.place).expanduser()
        if folder.is_dir():
            return str(folder)
        if folder.is_absolute() or self.place.startswith((".", "~")) or self.place.count("/") > 1:
            raise DataError(f"the model folder {self.place} does not exist.")
        return self.place

    @cached_property
    def identity(self) -> str:
        """What names the weights: their hash, or on the hub the commit. Loads no weights."""
        if self.wheel:
            return pinned(self.place).weights_hash
        if not Path(self.path).is_dir():
            return f"{self.place}@{self.commit}"
        digest = hashlib.sha256()
        for file in sorted(Path(self.path).rglob("*")):
            if file.is_file() and _MODEL_FILES.search(file.name):
                name = file.relative_to(self.path).as_posix()
                digest.update(f"{name} {file_hash(file)}\n".encode())
        return digest.hexdigest()

    @cached_property
    def commit(self) -> str | None:
        """The commit on the hub that ``revision`` means now; None for a folder."""
        if Path(self.path).is_dir():
            return None
        from transformers.utils import cached_file

        with quiet(), self._offline(), self._explained():
            config = cached_file(
                self.path,
                "config.json",
                revision=self.revision,
                local_files_only=self.local_files_only,
            )
        return Path(str(config)).parent.name

    def load(self, loader: Any, **options: Any) -> Any:  # noqa: ANN401
        """Return ``loader.from_pretrained`` of this source; code from the hub is never run."""
        commit = self.commit
        with quiet(), self._offline(), self._explained():
            return loader.from_pretrained(
                self.path,
                revision=commit or "main",
                local_files_only=self.local_files_only or commit is None,
                trust_remote_code=False,
                **options,
            )

    def load_model(self, **options: Any) -> Any:  # noqa: ANN401
        """Return the model in float32, ready to encode, every part that is used pretrained.

        Raises:
            DataError: weights are missing, which transformers would fill with random numbers.
            MissingModelError: the hub cannot be reached, or has no such model.
        """
        import torch
        from transformers import AutoModel

        model, info = self.load(
            AutoModel,
            dtype=torch.float32,
            output_loading_info=True,
            use_safetensors=True,  # the other format is a pickle, which can run code
            **options,
        )
        # Models of two modalities read their poolers: `get_text_features` of CLAP does.
        joint = any(hasattr(model, f"get_{kind}_features") for kind in ("text", "image", "audio"))
        missing = sorted(key for key in info["missing_keys"] if joint or not _UNREAD.search(key))
        if missing:
            raise DataError(
                f"the model {self.place} lacks {len(missing)} of its weights, {missing[0]!r} "
                "among them, which transformers would fill with random numbers: an encoder must "
                "be pretrained as a whole; take a checkpoint of exactly this architecture."
            )
        return model.eval().requires_grad_(False)

    @contextmanager
    def _offline(self) -> Iterator[None]:
        """Keep the hub's library from the network where ``local_files_only`` or a folder asks it.

        Even then it would fetch a list of programs that call it, to put into its headers.
        """
        from huggingface_hub import constants

        before = constants.HF_HUB_OFFLINE
        constants.HF_HUB_OFFLINE = before or self.local_files_only or Path(self.path).is_dir()
        try:
            yield
        finally:
            constants.HF_HUB_OFFLINE = before

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn what transformers raises into one sentence."""
        from safetensors import SafetensorError

        try:
            yield
        except SlateGymError:
            raise
        except (OSError, ValueError, KeyError, ImportError, RuntimeError, SafetensorError) as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(". ")
            if Path(self.path).is_dir():
                raise DataError(
                    f"the folder {self.place} is not a whole transformers model ({reason})."
                ) from error
            raise MissingModelError(
                f"the model {self.place!r} cannot be loaded from the hub or its cache ({reason}): "
                "check the id and the network, or give the path of a downloaded folder, "
                "hf:/path/to/model."
            ) from error


@contextmanager
def quiet() -> Iterator[None]:
    """Silence transformers' log lines, bars and warnings for the length of a ``with`` block."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.set_verbosity(logging.CRITICAL)
        logging.disable_progress_bar()
        try:
            yield
        finally:
            logging.set_verbosity(level)
            if bars:
                logging.enable_progress_bar()


def library() -> str:
    """Return the major version of transformers, part of a fingerprint."""
    return "transformers " + version("transformers").split(".")[0]


def settle(precision: Precision) -> Literal["float32", "bfloat16"]:
    """Return the arithmetic of torch to use: bfloat16 with ``auto`` where the processor is fast.

    On such processors it is twice as fast and the vectors have a cosine of 1.0000 with those of
    float32; on others it is slower.

    Raises:
        UsageError: int8, which not every model and processor is made for.
    """
    if precision == "int8":
        raise UsageError(
            "precision 'int8' is for BERT models whose layers are multiples of 16 wide, on "
            "x86 processors with AVX2: use 'auto', which takes the fastest that is possible."
        )
    if precision != "auto":
        return precision
    fast = cpu_flags() & {"avx512_bf16", "amx_bf16"}
    return "bfloat16" if fast else "float32"


@contextmanager
def inference(precision: Settled) -> Iterator[None]:
    """Compute without gradients, in bfloat16 where asked, for the length of a ``with`` block."""
    import torch

    low = precision == "bfloat16"
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=low):
        yield


def pooled(features: Any) -> Any:  # noqa: ANN401
    """Return the tensor in what ``get_*_features`` gives: an output object since version 5."""
    return getattr(features, "pooler_output", features)
