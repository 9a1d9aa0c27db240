"""Training options that were found good for a variant, as data.

Tuned on seeds from 1000 on, on users that reports do not use; see docs/training.md.
"""

from collections.abc import Mapping
from typing import Any

from slategym.agents.train_config import TrainConfig
from slategym.envs.classic_variant import ClassicVariant
from slategym.envs.registry import get_variant

# A classic has no public factors, so of the auxiliary losses only the rating can be.
_CLASSIC: dict[str, Any] = {
    "item_features": 0.0,
    "recommendation_features": 0.0,
    "reward_scale": 0.0,
    "evaluations": 2,
    "evaluation_users": 1024,
    "gradients_every": 0,
    "checkpoint_every": 10,
}
# Learning rate and entropy bonus fall to nearly nothing, so that the last policy is a settled one.
_PPO: dict[str, Any] = {
    "learning_rate": 3e-3,
    "final_rate": 0.05,
    "final_entropy": 0.0,
    "value": 0.5,
    "scorer": "joint",
}
FAMILIES: Mapping[str, Mapping[str, Any]] = {
    "interest_evolution": _CLASSIC
    | _PPO
    | {
        "rating": 0.0,
        "env": {"history_length": 100},
        "frames": 65_536,
        "num_envs": 256,
        "n_steps": 64,
        "batch_size": 4096,
        "epochs": 4,
        "learning_rate": 5e-4,
        "gamma": 0.999,
        "gae_lambda": 0.97,
        "entropy": 0.0,
        "warm_start": "ratio",
        "warm_frames": 65_536,
    },
    "interest_exploration": _CLASSIC
    | _PPO
    | {
        "width": 32,
        "embedding": 16,
        "frames": 65_536,
        "n_steps": 32,
        "batch_size": 2048,
        "epochs": 4,
        "gamma": 0.0,
        "gae_lambda": 0.0,
    },
    "long_term_satisfaction": _CLASSIC
    | _PPO
    | {
        "rating": 0.0,
        "width": 32,
        "embedding": 16,
        "env": {"history_length": 20},
        "frames": 38_400,
        "n_steps": 30,
        "batch_size": 1920,
        "epochs": 4,
        "gamma": 0.9,
        "gae_lambda": 0.9,
        "entropy": 0.0,
    },
}
"""Family of the variant -> fields of `TrainConfig` that differ from their defaults."""

VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "slategym/LongTermSatisfactionHard-v0": {
        "frames": 307_200,
        "num_envs": 512,
        "batch_size": 3840,
    },
    "slategym/LongTermSatisfactionExtreme-v0": {"frames": 115_200, "entropy": 0.01},
    "slategym/NicheExploration-v0": {"frames": 131_072},
}
"""Id of the variant -> fields that differ from those of its family."""

# The time budget is hidden, and what a click does to it shows at the end of the visit: one reward
# and the value of the next state carry nothing of that, a hundred rewards do.
_LONG = {"gamma": 1.0, "frames": 196_608, "final_rate": 0.1, "rating": 0.0}
ALGORITHMS: Mapping[tuple[str, str], Mapping[str, Any]] = {
    ("interest_evolution", "slate_q"): _LONG
    | {
        "frames": 589_824,
        "algo_options": {"return_steps": 100, "target": "sarsa", "exploration_final_eps": 0.02},
    },
    ("interest_evolution", "slate_q_full"): _LONG
    | {"algo_options": {"return_steps": 100, "exploration_final_eps": 0.02}},
    ("interest_evolution", "proto_sac"): _LONG
    | {"algo_options": {"return_steps": 100, "matched": False}},
    ("interest_evolution", "proto_td3"): _LONG
    | {"algo_options": {"return_steps": 100, "matched": False}},
}
"""Family and algorithm -> fields that differ from those that describe the task."""

WORLDS: Mapping[str, Mapping[str, Any]] = {
    # What a slate does to trust, fatigue and moods shows over some twenty slates.
    "slate_q": {"final_rate": 0.1, "algo_options": {"return_steps": 20, "target": "sarsa"}},
}
"""Algorithm -> fields that differ from their defaults on every variant over a world."""

# Where a click now is not what pays in the end, a policy that begins as the ranking by clicks
# must unlearn it first (docs/results.md).
_FROM_NOTHING = {"response_weight": 0.0}
PLANNED: Mapping[str, Mapping[str, Any]] = {
    "slategym/Video-v0": _FROM_NOTHING,
    "slategym/News-v0": _FROM_NOTHING,
    "slategym/Shop-v0": _FROM_NOTHING,
}
"""Id of a variant over a world -> what its preset for policy gradients changes."""


_GRADIENT = ("ppo", "a2c")


def preset(variant: str, algo: str = "ppo") -> dict[str, Any]:
    """Return the fields of `TrainConfig` that a variant's preset sets; few for worlds.

    Those of the algorithm's learning were tuned for ``ppo``; another algorithm gets what
    describes the task and, where there is one, its entry of `ALGORITHMS`.

    Args:
        variant: a registered id.
        algo: an algorithm.

    Raises:
        UsageError: an unknown variant.
    """
    task = get_variant(variant)
    if not isinstance(task, ClassicVariant):
        return {**WORLDS.get(algo, {}), **(PLANNED.get(variant, {}) if algo in _GRADIENT else {})}
    found = {**FAMILIES[task.family], **VARIANTS.get(variant, {})}
    if algo != "ppo":
        found = {
            name: found[name] for name in (*_CLASSIC, "rating", "env", "gamma") if name in found
        }
    return {**found, **ALGORITHMS.get((task.family, algo), {})}


def preset_config(variant: str, **given: Any) -> TrainConfig:  # noqa: ANN401
    """Return the training options of a variant: its preset, and over it what is given.

    Args:
        variant: a registered id.
        **given: fields of `TrainConfig`; ``env`` and ``algo_options`` are merged into the
            preset's, name by name.

    Example:
        >>> from slategym.agents.presets import preset_config
        >>> preset_config("slategym/InterestEvolution-v0", seed=3).seed
        3

    Raises:
        UsageError: an unknown variant or field, or a bad value.
    """
    found = preset(variant, given.get("algo", "ppo"))
    for name in ("env", "algo_options"):
        if name in given:
            given = {**given, name: {**found.get(name, {}), **given[name]}}
    return TrainConfig.from_json({"variant": variant, **found, **given})
