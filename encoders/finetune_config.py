"""Settings of multi-task fine-tuning."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from slategym.errors import UsageError, unknown_name

Mode = Literal["adapter", "lora", "full"]


@dataclass(frozen=True)
class FinetuneConfig:
    """Settings of multi-task fine-tuning."""

    mode: Mode = "adapter"
    """What is trained: an adapter on frozen vectors; with it low-rank updates of the encoder's
    attention (Hu et al. 2022); or with it the whole encoder."""
    rating: float = 1.0
    """Weight of T1; 0 leaves the task out."""
    item_features: float = 2.0
    """Weight of T2."""
    recommendation_features: float = 0.1
    """Weight of T3."""
    balance: Literal["fixed", "uncertainty"] = "fixed"
    """Weights as given, or times learned precisions (Kendall, Gal and Cipolla 2018, eq. 7)."""
    width: int = 64
    """Numbers of a user's and an item's side."""
    trunk: int = 64
    """Hidden units of the shared trunk."""
    nested: tuple[int, ...] = ()
    """Further widths at which the sides must work when cut (Kusupati et al. 2022)."""
    learning_rate: float = 3e-3
    """Adam's step for sides, trunk and heads."""
    encoder_learning_rate: float = 2e-4
    """Adam's step for the encoder's parameters."""
    weight_decay: float = 2e-2
    """Decoupled decay of weights (Loshchilov and Hutter 2019)."""
    own_decay: float = 5.0
    """The same for vectors that belong to one user or item only."""
    dropout: float = 0.2
    """Share of content numbers set to 0 in training, in [0, 1)."""
    item_dropout: float = 0.5
    """Share of rows whose item is treated as cold in training, in [0, 1)."""
    batch: int = 8192
    """Ratings per step."""
    encoder_items: int = 64
    """Items per step where the encoder is trained."""
    max_tokens: int = 64
    """Tokens read of a text where the encoder is trained."""
    rank: int = 8
    """Rank of the low-rank updates."""
    epochs: int = 40
    """Passes at most."""
    patience: int = 3
    """Passes without a lower validation loss before training stops."""
    positive: float = 4.0
    """A rating from which an item counts as right where rankings are judged."""
    seed: int = 0
    """Decides the start, the batches and the dropout."""

    def __post_init__(self) -> None:
        choices = {"mode": ("adapter", "lora", "full"), "balance": ("fixed", "uncertainty")}
        for name, known in choices.items():
            if getattr(self, name) not in known:
                raise unknown_name(name, getattr(self, name), known)
        if min(self.weights.values()) < 0 or not any(self.weights.values()):
            raise UsageError(f"task weights must be >= 0 and not all 0; got {dict(self.weights)}.")
        self._check_ranges()

    def _check_ranges(self) -> None:
        for name in ("width", "trunk", "batch", "encoder_items", "rank", "epochs", "patience"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} must be at least 1, not {getattr(self, name)}.")
        for name in ("dropout", "item_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise UsageError(f"{name} must be in [0, 1), not {getattr(self, name)}.")
        if any(not 1 <= cut < self.width for cut in self.nested):
            raise UsageError(f"nested widths must be in [1, {self.width}), not {self.nested}.")

    @property
    def weights(self) -> Mapping[str, float]:
        """Task to weight."""
        return {
            "rating": self.rating,
            "item_features": self.item_features,
            "recommendation_features": self.recommendation_features,
        }

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks that are on."""
        return tuple(name for name, weight in self.weights.items() if weight > 0)

    def to_json(self) -> dict[str, Any]:
        """Return the settings as plain JSON values."""
        return {**asdict(self), "nested": list(self.nested)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "FinetuneConfig":
        """Return the settings in a mapping.

        Raises:
            UsageError: an unknown name, or a value of another type or out of range.
        """
        known = {field.name: field for field in fields(cls)}
        taken: dict[str, Any] = {}
        for name, value in values.items():
            if name not in known:
                raise unknown_name("setting of fine-tuning", name, known)
            wanted = type(known[name].default)
            number = isinstance(value, int | float) and not isinstance(value, bool)
            whole = number and float(value).is_integer()
            if wanted is tuple and isinstance(value, list | tuple):
                taken[name] = tuple(int(cut) for cut in value)
            elif (wanted is int and whole) or (wanted is float and number):
                taken[name] = wanted(value)
            elif isinstance(value, wanted):
                taken[name] = value
            else:
                raise UsageError(
                    f"fine-tuning's {name} must be a {wanted.__name__}, not {value!r}."
                )
        return cls(**taken)
