"""What a training run is asked to do, as frozen data."""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, Self

from slategym.agents.aux_losses import AUX_LOSSES
from slategym.agents.aux_weights import WEIGHTINGS, AuxWeighting
from slategym.agents.held_out import TRAIN, HeldItems, check_items
from slategym.agents.item_tables import Tables
from slategym.envs.classic_variant import ClassicVariant
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
    "final_rate": (0, 1),
    "warm_frames": (1024, 1e9),
    "gamma": (0, 1),
    "gae_lambda": (0, 1),
    "entropy": (0, 10),
    "final_entropy": (0, 1),
    "reward_scale": (0, 1e9),
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
    "aux_final": (0, 1000),
    "response_weight": (0, 100),
    "floor": (-1e6, 1e6),
    "multiplier_rate": (0, 1e6),
    "multiplier_limit": (0, 1e9),
    "patience": (0, 1e4),
    "validation_users": (0, 0.9),
    "validation_items": (0, 0.9),
}
CHOICES = {
    "observation": ("ids", "features"),
    "rank_by": ("policy", "response"),
    "scorer": ("product", "joint"),
    "aux_targets": ("true", "shuffled"),
    "aux_weighting": WEIGHTINGS,
    "keep": ("last", "best"),
}
OPTIONS = ("env", "algo_options")
"""Fields that hold options of others, checked where they are used."""


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
    algo: str = "ppo"
    """One of `slategym.agents.algorithms.ALGORITHMS`."""
    algo_options: Mapping[str, Any] = field(default_factory=dict)
    """Keywords of that algorithm's constructor that are no field here."""
    env: Mapping[str, Any] = field(default_factory=dict)
    """Parameters of the variant to override, beside the three sizes below."""
    observation: Literal["ids", "features"] = "ids"
    """Encoding used in training; the weights serve both. A classic without ids uses "features"."""
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
    final_rate: float = 1.0
    """Share of the learning rate that is left at the end; it falls in a line."""
    gamma: float = 0.97
    """Discount per step."""
    gae_lambda: float = 0.95
    """Of generalised advantage estimation."""
    entropy: float = 0.003
    """Weight of the entropy bonus."""
    final_entropy: float = 1.0
    """Share of the entropy bonus that is left at the end; it falls in a line."""
    reward_scale: float = 1.0
    """Rewards are multiplied by it in learning; 0 = so that a random episode is worth 1."""
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
    scorer: Literal["product", "joint"] = "product"
    """"joint": adds a network over user, item and the other candidates to the product's score."""
    rating: float = 1.0
    """Weight of the rating loss; 0 = off."""
    item_features: float = 0.05
    """Weight of the item-feature loss; 0 = off."""
    recommendation_features: float = 0.05
    """Weight of the recommendation-feature loss; 0 = off."""
    aux_weighting: AuxWeighting = "fixed"
    """The weights above stay, fall in a line ("scheduled") or are learned; see `AuxWeights`."""
    aux_final: float = 0.0
    """Share of the weights that is left at the end where they are scheduled."""
    aux_targets: Literal["true", "shuffled"] = "true"
    """"shuffled": targets of other rows of the minibatch, a control."""
    rank_by: Literal["policy", "response"] = "policy"
    """"response": rank by the predicted click, no policy gradient (the supervised control)."""
    response_weight: float = 1.0
    """Of the predicted click logit in the scores, at the start; see `SlatePolicy`."""
    warm_start: str | None = None
    """A rule of the task to be cloned first; see `slategym.agents.warm_start`."""
    warm_frames: int = 32_768
    """Frames of that rule; they do not count as frames of training."""
    constraint: str | None = None
    """A signal whose mean per slate must reach `floor`: "diversity" or "response_..."."""
    floor: float = 0.0
    """Of that signal, in its own unit."""
    multiplier_rate: float = 5.0
    """Step of the constraint's multiplier per rollout; see `slategym.agents.constraint`."""
    multiplier_limit: float = 100.0
    """Most the multiplier may be."""
    evaluations: int = 10
    """Points of the learning curve measured on fixed training users, besides the first."""
    evaluation_users: int = 256
    """Users per such point, one episode each, deterministic slates."""
    validation_users: float = 0.0
    """Share of the training users set aside; each point is then measured on them too."""
    validation_items: float = 0.0
    """Share of the items never shown in training; each point then has their return too."""
    patience: int = 0
    """Stop after so many evaluations without a better one; 0 = never."""
    keep: Literal["last", "best"] = "last"
    """Which weights the run ends with: the last, or those of the best evaluation."""
    checkpoint_every: int = 2
    """Rollouts between checkpoints; a killed run loses at most that many."""
    gradients_every: int = 10
    """Rollouts between measurements of each task's gradient norm; 0 = never."""
    threads: int = 1
    """CPU threads of torch while training; results repeat bit for bit only at the same number."""

    def __post_init__(self) -> None:
        for entry in fields(self):
            value = getattr(self, entry.name)
            if entry.name in OPTIONS:
                object.__setattr__(self, entry.name, _plain(entry.name, value))
            else:
                _check(entry.name, value, type(entry.default))
        if self.rank_by == "response" and self.rating == 0:
            raise UsageError("rank_by='response' needs rating > 0: it ranks by what that learns.")
        if self.evaluations == 0 and (self.patience > 0 or self.keep == "best"):
            raise UsageError("patience and keep='best' go by evaluations; set evaluations > 0.")

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
        twice = next((name for name in asked if name in self.env), None)
        if twice is not None:
            raise UsageError(f"{twice} is given both by itself and in env; give it once.")
        return get_variant(self.variant).override(**asked, **self.env)

    def make_env(
        self,
        world: World | None,
        num_envs: int,
        observation: str,
        *,
        held: bool | None = None,
    ) -> SlateVectorEnv:
        """Return a batched environment of the task, over the world's training users if it has one.

        Args:
            world: None: a classic's users have none, another variant's live in its own world.
            num_envs: B.
            observation: "ids" or "features"; a classic without ids gives features.
            held: True: only items that training holds out are candidates, False: only others,
                as in training; None: all items.

        Raises:
            UsageError: see `task`; or more candidates than the world has items.
        """
        task = self.task()
        if not isinstance(task, ClassicVariant):
            if held is not None and self.validation_items > 0:
                if world is not None:
                    check_items(world.n_items, self.validation_items, task.num_candidates)
                task = task.override(parts=[HeldItems(self.validation_items, float(held))])
            return SlateVectorEnv(
                num_envs, variant=task, world=world, users=TRAIN, observation=observation
            )
        encoding = observation if observation in task.constants.observations else "features"
        return SlateVectorEnv(num_envs, variant=task, world=world, observation=encoding)

    def aux_share(self, left: float) -> float:
        """Return what scheduled weights are multiplied by when a share of training remains."""
        return self.aux_final + (1.0 - self.aux_final) * left

    def schedule(self) -> Callable[[float], float]:
        """Return the learning rate over the share of training that remains."""
        full, final = self.learning_rate, self.final_rate
        return lambda left: full * (final + (1.0 - final) * left)

    def network(self, tables: Tables) -> dict[str, Any]:
        """Return the arguments of `SlatePolicy` beside its spaces.

        Args:
            tables: of the world or the classic.
        """
        return {
            "tables": tables,
            "aux": self.aux,
            "aux_weighting": self.aux_weighting,
            "rank_by": self.rank_by,
            "width": self.width,
            "embedding": self.embedding,
            "scorer": self.scorer,
            "aux_targets": self.aux_targets,
            "response_weight": self.response_weight,
        }

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


def _plain(name: str, value: object) -> dict[str, Any]:
    """Return options as plain JSON values, or refuse them."""
    if not isinstance(value, Mapping):
        raise UsageError(f"{name} is {value!r}; it must be a mapping of names to values.")
    try:
        return dict(json.loads(json.dumps(dict(value), allow_nan=False)))
    except (TypeError, ValueError) as error:
        raise UsageError(f"{name} is {value!r}; its values must be plain ({error}).") from None


def _check(name: str, value: object, kind: type) -> None:
    """Refuse a value of the wrong type or outside its range."""
    if name in CHOICES:
        if value not in CHOICES[name]:
            listed = " or ".join(repr(choice) for choice in CHOICES[name])
            raise UsageError(f"{name} is {value!r}; it must be {listed}.")
        return
    if name not in RANGES:
        if not isinstance(value, str) and not (value is None and kind is type(None)):
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
