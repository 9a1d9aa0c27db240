"""What a training run is asked to do, as frozen data."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, Self

from slategym.agents.aux_losses import AUX_LOSSES
from slategym.envs.protocol import AnyVariant
from slategym.envs.registry import get_variant
from slategym.envs.vector import SlateVectorEnv
from slategym.envs.world import World
from slategym.errors import UsageError, nearest

# Field -> (smallest, largest) allowed value.
RANGES: dict[str, tuple[float, float]] = {
    "frames": (1, 1e12),
    "seed": (0, 2**31 - 1),
    "slate_size": (1, 1000),
    "num_candidates": (1, 1e6),
    "horizon": (1, 1e6),
    "num_envs": (1, 1e6),
    "n_steps": (2, 1e6),
    "batch_size": (2, 1e9),
    "epochs": (1, 1000),
    "learning_rate": (1e-9, 1),
    "gamma": (0, 1),
    "gae_lambda": (0, 1),
    "entropy": (0, 10),
    "value": (0, 100),
    "clip_range": (1e-3, 10),
    "max_grad_norm": (1e-6, 1e6),
    "width": (1, 1e5),
    "embedding": (1, 1e5),
    "rating": (0, 1e6),
    "item_features": (0, 1e6),
    "recommendation_features": (0, 1e6),
    "evaluations": (0, 1e4),
    "evaluation_users": (1, 1e6),
    "checkpoint_every": (1, 1e6),
    "gradients_every": (0, 1e6),
    "threads": (1, 1024),
}
CHOICES = {"observation": ("ids", "features"), "rank_by": ("policy", "response")}


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides the weights a training run ends with, and how it is watched.

    Raises:
        UsageError: a value of the wrong type or out of range; the message names the field.
    """

    frames: int = 300_000
    """User-steps to train for, rounded up to whole rollouts."""
    seed: int = 0
    """Decides initial weights, users, luck and exploration."""
    variant: str = "slategym/World-v0"
    """Registered id of the environment."""
    observation: Literal["ids", "features"] = "ids"
    """Encoding used in training; the weights serve both."""
    slate_size: int | None = None
    """K; None = the variant's own."""
    num_candidates: int | None = None
    """C; None = the variant's own."""
    horizon: int | None = None
    """Most steps of an episode; None = the variant's own."""
    num_envs: int = 256
    """Users stepped together."""
    n_steps: int = 32
    """Steps of each of them per rollout."""
    batch_size: int = 2048
    """Transitions per gradient step."""
    epochs: int = 6
    """Passes over a rollout."""
    learning_rate: float = 1e-3
    """Of Adam."""
    gamma: float = 0.97
    """Discount per step."""
    gae_lambda: float = 0.95
    """Of generalised advantage estimation."""
    entropy: float = 0.003
    """Weight of the entropy bonus."""
    value: float = 0.1
    """Weight of the value loss."""
    clip_range: float = 0.2
    """Of the PPO ratio."""
    max_grad_norm: float = 0.5
    """One clip over all losses together."""
    width: int = 64
    """W, width of the trunk."""
    embedding: int = 32
    """E, width of the item embedding."""
    rating: float = 1.0
    """Weight of the rating loss; 0 = off."""
    item_features: float = 0.05
    """Weight of the item-feature loss; 0 = off."""
    recommendation_features: float = 0.05
    """Weight of the recommendation-feature loss; 0 = off."""
    rank_by: Literal["policy", "response"] = "policy"
    """"response": rank by the predicted click, no policy gradient (the supervised control)."""
    evaluations: int = 10
    """Points of the learning curve measured on fixed training users, besides the first."""
    evaluation_users: int = 256
    """Users per such point, one episode each, deterministic slates."""
    checkpoint_every: int = 2
    """Rollouts between checkpoints; a killed run loses at most that many."""
    gradients_every: int = 10
    """Rollouts between measurements of each task's gradient norm; 0 = never."""
    threads: int = 1
    """CPU threads of torch while training; results repeat bit for bit only at the same number."""

    def __post_init__(self) -> None:
        for entry in fields(self):
            _check(entry.name, getattr(self, entry.name), type(entry.default))
        if self.rank_by == "response" and self.rating == 0:
            raise UsageError("rank_by='response' needs rating > 0: it ranks by what that learns.")

    @property
    def aux(self) -> dict[str, float]:
        """Weight of each auxiliary loss."""
        return {name: float(getattr(self, name)) for name in AUX_LOSSES}

    @property
    def rollout_frames(self) -> int:
        """Frames of one rollout."""
        return self.num_envs * self.n_steps

    @property
    def rollouts(self) -> int:
        """Rollouts of the whole run."""
        return math.ceil(self.frames / self.rollout_frames)

    def task(self) -> AnyVariant:
        """Return the registered variant with the sizes asked for.

        Raises:
            UsageError: an unknown variant, or sizes it cannot have.
        """
        sizes = {name: getattr(self, name) for name in ("slate_size", "num_candidates", "horizon")}
        asked = {name: size for name, size in sizes.items() if size is not None}
        return get_variant(self.variant).override(**asked)

    def make_env(self, world: World, num_envs: int, observation: str) -> SlateVectorEnv:
        """Return a batched environment of the task over the world's training users.

        Raises:
            UsageError: see `task`; or more candidates than the world has items.
        """
        return SlateVectorEnv(
            num_envs, variant=self.task(), world=world, users="train", observation=observation
        )

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Return the configuration of some fields; the others keep their defaults.

        Raises:
            UsageError: an unknown key, with the nearest known one, or a bad value.
        """
        known = [entry.name for entry in fields(cls)]
        for key in values:
            if key not in known:
                raise UsageError(
                    f"unknown training option {key!r}.{nearest(key, known)} "
                    f"Known: {', '.join(known)}."
                )
        return cls(**values)


def _check(name: str, value: object, kind: type) -> None:
    """Refuse a value of the wrong type or outside its range."""
    if name in CHOICES:
        if value not in CHOICES[name]:
            listed = " or ".join(repr(choice) for choice in CHOICES[name])
            raise UsageError(f"{name} is {value!r}; it must be {listed}.")
        return
    if name not in RANGES:
        if not isinstance(value, str):
            raise UsageError(f"{name} is {value!r}; it must be text.")
        return
    if value is None and kind is type(None):
        return
    whole = kind is not float
    allowed = (int,) if whole else (int, float)
    low, high = RANGES[name]
    if isinstance(value, bool) or not isinstance(value, allowed) or not low <= value <= high:
        what = "a whole number" if whole else "a number"
        raise UsageError(f"{name} is {value!r}; it must be {what} from {low:g} to {high:g}.")
