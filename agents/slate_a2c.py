"""A2C for slates, with defaults for batches of users."""

from typing import Any

import torch
from stable_baselines3 import A2C
from stable_baselines3.common.vec_env.base_vec_env import VecEnv

from slategym.agents.aux_buffers import AuxRolloutBuffer
from slategym.agents.slate_on_policy import SlateOnPolicy
from slategym.agents.slate_policy import SlatePolicy


class SlateA2C(SlateOnPolicy, A2C):
    """Stable-Baselines3 A2C with the Plackett-Luce head; ``train()`` is untouched.

    One gradient step per rollout, so rollouts are short and the learning rate is high. Adam
    instead of RMSprop: weights that start at 0 (the direct inputs of the score) then move at the
    same pace as the others. Advantages are normalised, so that rewards may be of any scale.

    Args:
        policy: `SlatePolicy` or a subclass.
        env: made by `as_sb3`.
        n_steps: T, steps per rollout of each row.
        learning_rate: of Adam.
        gamma: discount per step.
        gae_lambda: of generalised advantage estimation.
        ent_coef: weight of the entropy bonus.
        max_grad_norm: one clip for all losses together.
        **options: further arguments of `A2C`.
    """

    def __init__(
        self,
        policy: type[SlatePolicy],
        env: VecEnv | None,
        *,
        n_steps: int = 4,
        learning_rate: float = 3e-3,
        gamma: float = 0.97,
        gae_lambda: float = 0.95,
        ent_coef: float = 0.003,
        max_grad_norm: float = 0.5,
        **options: Any,  # noqa: ANN401
    ) -> None:
        kwargs = {"optimizer_class": torch.optim.Adam} | (options.pop("policy_kwargs", None) or {})
        super().__init__(
            policy,
            env,
            n_steps=n_steps,
            learning_rate=learning_rate,
            gamma=gamma,
            gae_lambda=gae_lambda,
            ent_coef=ent_coef,
            max_grad_norm=max_grad_norm,
            policy_kwargs=kwargs,
            **(
                {
                    "device": "cpu",
                    "rollout_buffer_class": AuxRolloutBuffer,
                    "normalize_advantage": True,
                }
                | options
            ),
        )
