"""Fusion that is learned: gates and attention that know which modalities an item has.

Letters: I items, M modalities, Dm numbers per vector of modality m, G targets, D fused numbers.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from slategym.encoders.align import check_encoders
from slategym.encoders.base import FloatArray
from slategym.encoders.catalog import MODALITIES, Modality
from slategym.encoders.pipeline import ItemVectors
from slategym.errors import DataError, UsageError, unknown_name
from slategym.files import atomic_folder, read_json, write_json

Kind = Literal["gate", "attention"]
KINDS = ("gate", "attention")
SCHEMA_VERSION = 1
ARRAYS_FILE, FACTS_FILE = "fusion.safetensors", "fusion.json"


@dataclass(frozen=True)
class FusionConfig:
    """Settings of learned fusion."""

    kind: Kind = "gate"
    """``gate``: weights from all vectors of an item and which it lacks (gated multimodal unit,
    Arevalo et al. 2017). ``attention``: a learned query over the item's modalities."""
    dim: int = 64
    """Fused numbers, at most; there are no more than targets."""
    strength: float = 1.0
    """Ridge penalty of the maps the experts start from, in mean variances."""
    modality_dropout: float = 0.2
    """Chance that a modality of a training item is hidden, in [0, 1)."""
    learning_rate: float = 3e-3
    """Adam's step."""
    epochs: int = 200
    """Passes at most."""
    patience: int = 15
    """Passes without a lower validation error before training stops."""
    validation: float = 0.15
    """Share of the items held out to stop by, in (0, 1)."""
    seed: int = 0
    """Decides the items held out and what is hidden."""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise unknown_name("fusion", self.kind, KINDS)
        if not 0 <= self.modality_dropout < 1 or not 0 < self.validation < 1:
            raise UsageError("modality_dropout must be in [0, 1) and validation in (0, 1).")
        if min(self.dim, self.epochs, self.patience) < 1 or not self.strength > 0:
            raise UsageError("dim, epochs and patience must be at least 1, strength above 0.")


@dataclass(frozen=True, eq=False)
class Expert:
    """What one modality says of an item.

    Attributes:
        fingerprint: The encoder whose vectors it is for.
        mean: (Dm,) subtracted first.
        scale: Multiplied next: mean squared length 1.
        value: (Dm, D) its fused numbers.
        key: (Dm, M) for gates, what it says for each modality's weight; (Dm, 1) for attention,
            what it says for its own.
    """

    fingerprint: str
    mean: FloatArray
    scale: FloatArray
    value: FloatArray
    key: FloatArray


@dataclass(frozen=True, eq=False)
class LearnedFusion:
    """A fused vector as the weighted mean of what an item's modalities say.

    Attributes:
        kind: How weights are made.
        experts: Modality to its expert, M of them.
        bias: (M,) weight logits of each modality before anything is seen.
        lacking: (M, M) what lacking modality m adds to each logit; zero for attention.
        out: (D, G) from fused numbers to standardised targets.
        report: Settings and errors of the fit.
    """

    kind: Kind
    experts: Mapping[Modality, Expert]
    bias: FloatArray
    lacking: FloatArray
    out: FloatArray
    report: Mapping[str, float | int | str]

    def weights(self, vectors: ItemVectors) -> FloatArray:
        """Return how much each modality of each item counts, (I, M); rows sum to 1, or to 0.

        Raises:
            DataError: a modality was encoded by another encoder.
        """
        return self._mix(vectors)[0]

    def transform(self, vectors: ItemVectors) -> FloatArray:
        """Return fused vectors, (I, D); an item without any known modality is a zero row.

        Raises:
            DataError: a modality was encoded by another encoder.
        """
        weights, values = self._mix(vectors)
        return np.asarray(np.einsum("im,imd->id", weights, values), np.float32)

    def _mix(self, vectors: ItemVectors) -> tuple[FloatArray, FloatArray]:
        check_encoders(vectors, self.experts)
        there, inputs = gather(vectors, self.experts)
        keys = [x @ expert.key for x, expert in zip(inputs, self.experts.values(), strict=True)]
        if self.kind == "gate":
            logits = self.bias + sum(keys) + (~there).astype(np.float32) @ self.lacking
        else:
            logits = self.bias + np.concatenate(keys, axis=1)
        logits = np.where(there, logits, -np.inf)
        top = np.where(there.any(axis=1), logits.max(axis=1, initial=-np.inf), 0.0)
        raised = np.exp(logits - top[:, None])
        weights = raised / np.maximum(raised.sum(axis=1, keepdims=True), 1e-30)
        values = [x @ e.value for x, e in zip(inputs, self.experts.values(), strict=True)]
        return weights.astype(np.float32), np.stack(values, axis=1)

    def save(self, folder: Path) -> None:
        """Write the fusion into a folder of its own: arrays as safetensors, facts as JSON."""
        from safetensors.numpy import save_file

        arrays = {"bias": self.bias, "lacking": self.lacking, "out": self.out}
        for modality, expert in self.experts.items():
            for name in _ARRAYS:
                arrays[f"{modality}.{name}"] = getattr(expert, name)
        facts = {
            "schema_version": SCHEMA_VERSION,
            "kind": self.kind,
            "fingerprints": {name: expert.fingerprint for name, expert in self.experts.items()},
            "report": dict(self.report),
        }
        with atomic_folder(folder) as target:
            save_file({k: np.ascontiguousarray(v) for k, v in arrays.items()}, target / ARRAYS_FILE)
            write_json(target / FACTS_FILE, facts)

    @classmethod
    def load(cls, folder: Path) -> "LearnedFusion":
        """Return the fusion saved in a folder.

        Raises:
            DataError: a file is missing or damaged, or of another version.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        facts = read_json(folder / FACTS_FILE)
        if not isinstance(facts, dict) or facts.get("schema_version") != SCHEMA_VERSION:
            raise DataError(f"{folder / FACTS_FILE} is not a fusion of version {SCHEMA_VERSION}.")
        try:
            arrays = load_file(folder / ARRAYS_FILE)
            experts = {
                modality: Expert(
                    facts["fingerprints"][modality],
                    **{name: arrays[f"{modality}.{name}"] for name in _ARRAYS},
                )
                for modality in MODALITIES
                if modality in facts["fingerprints"]
            }
            shared = (arrays["bias"], arrays["lacking"], arrays["out"])
        except (OSError, SafetensorError, KeyError) as error:
            raise DataError(
                f"{folder / ARRAYS_FILE} is missing or damaged ({error}); fit the fusion again."
            ) from None
        return cls(facts["kind"], experts, *shared, facts["report"])


_ARRAYS = ("mean", "scale", "value", "key")


def gather(
    vectors: ItemVectors, experts: Mapping[Modality, Expert]
) -> tuple[npt.NDArray[np.bool_], list[FloatArray]]:
    """Return which modalities items have, (I, M), and their scaled vectors, M of (I, Dm)."""
    count = len(vectors)
    there = np.zeros((count, len(experts)), np.bool_)
    inputs = []
    for number, (modality, expert) in enumerate(experts.items()):
        rows = np.zeros((count, len(expert.mean)), np.float32)
        if modality in vectors.vectors:
            there[:, number] = vectors.present[modality]
            own = vectors.vectors[modality][there[:, number]]
            rows[there[:, number]] = (own - expert.mean) * expert.scale
        inputs.append(rows)
    return there, inputs


def fit_fusion(
    vectors: ItemVectors,
    targets: npt.ArrayLike,
    config: FusionConfig | None = None,
    *,
    importance: npt.ArrayLike | None = None,
    rows: npt.ArrayLike | None = None,
) -> LearnedFusion:
    """Return the fusion whose vectors tell the targets best, under a squared error.

    Each modality's expert starts as its own ridge map to the main directions of the targets, all
    weights equal; then experts and weights are trained together, modalities hidden at random.
    Where training gains nothing on the held-out items, the start is returned.

    Args:
        vectors: The items.
        targets: (I, G) what vectors should tell: factors of a log, or indicators of classes.
        config: The settings.
        importance: (I,) weights of items; all alike by default.
        rows: Items to fit on, by position or mask (I,); all by default.

    Raises:
        DataError: targets do not fit the items, or fewer than 20 items have a vector.
    """
    from slategym.encoders.gate_train import train_fusion

    wanted = np.asarray(targets, np.float32)
    if wanted.ndim != 2 or len(wanted) != len(vectors) or not np.isfinite(wanted).all():
        raise DataError(f"targets must be finite of shape ({len(vectors)}, G), not {wanted.shape}.")
    chosen = np.arange(len(vectors))[slice(None) if rows is None else np.asarray(rows)]
    some = np.any([vectors.present[modality][chosen] for modality in vectors.present], axis=0)
    chosen = chosen[some]
    if len(chosen) < 20:
        raise DataError(f"learned fusion needs 20 items with a vector; {len(chosen)} have one.")
    weight = np.ones(len(vectors)) if importance is None else np.asarray(importance, np.float64)
    return train_fusion(vectors, wanted, weight, chosen, config or FusionConfig())
