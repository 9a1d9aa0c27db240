"""Learning algorithms by name, and what training asks of one."""

import importlib
from typing import Any, ClassVar, Protocol, Self, cast

from gymnasium import spaces

from slategym.agents.checkpoint import Arrays
from slategym.agents.constraint import Constraint
from slategym.agents.gradients import Gradients
from slategym.agents.item_tables import Tables
from slategym.agents.sb3_env import SB3VecEnv
from slategym.agents.slate_policy import SlatePolicy
from slategym.agents.train_config import TrainConfig
from slategym.errors import unknown_name

# Strings, so that naming an algorithm imports none.
ALGORITHMS: dict[str, str] = {
    "ppo": "slategym.agents.slate_ppo:SlatePPO",
    "a2c": "slategym.agents.slate_a2c:SlateA2C",
    "slate_q": "slategym.agents.slate_q:SlateQ",
    "slate_q_full": "slategym.agents.slate_full_q:FullSlateQ",
    "proto_sac": "slategym.agents.proto_item:ProtoSAC",
    "proto_td3": "slategym.agents.proto_item:ProtoTD3",
}
"""Name -> ``module:Class``; the class is an `Algorithm`."""


class Algorithm(Protocol):
    """What training asks of an algorithm; `SlatePPO` is the model of one."""

    policy_class: ClassVar[type[SlatePolicy]]
    """Its network; made anew to serve, so all that must be known is a `TrainConfig`."""
    policy: SlatePolicy
    num_timesteps: int
    """Frames so far."""

    @classmethod
    def from_config(cls, env: SB3VecEnv, tables: Tables, config: TrainConfig) -> Self:
        """Return an untrained agent; its weights depend on the seed of the configuration."""

    @classmethod
    def network(
        cls,
        observation_space: spaces.Dict,
        action_space: spaces.Space[Any],
        tables: Tables,
        config: TrainConfig,
    ) -> SlatePolicy:
        """Return an untrained network, as `from_config` makes it, to load weights into."""

    def begin(self, total_timesteps: int) -> None:
        """Get ready for `iterate`."""

    def iterate(self) -> None:
        """Collect ``rollout_frames`` of the configuration and learn."""

    def figures(self) -> dict[str, float]:
        """Return what the last iteration logged, by name; numbers that are not finite stop it."""

    def constrain(self, constraint: Constraint) -> None:
        """Let a constraint add its part to the rewards; before `begin`."""

    def gradients(self) -> Gradients:
        """Return each task's gradient on what all tasks share, beside the policy's."""

    def get_state(self) -> tuple[Arrays, dict[str, Any]]:
        """Return arrays and facts that `set_state` continues from."""

    def set_state(self, arrays: Arrays, facts: dict[str, Any]) -> None:
        """Continue from `get_state`; call after `begin`."""


def algorithm(name: str) -> type[Algorithm]:
    """Return the class of an algorithm.

    Raises:
        UsageError: no such name; the message gives the nearest known one.
    """
    if name not in ALGORITHMS:
        raise unknown_name("algorithm", name, ALGORITHMS)
    module, _, attribute = ALGORITHMS[name].partition(":")
    return cast("type[Algorithm]", getattr(importlib.import_module(module), attribute))
