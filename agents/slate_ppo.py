"""PPO for slates, with defaults for batches of users."""

from typing import Any

from stable_baselines3 import PPO
from stable_baselines3.common.vec_env.base_vec_env import VecEnv

from slategym.agents.aux_buffers import AuxRolloutBuffer
from slategym.agents.slate_on_policy import SlateOnPolicy
from slategym.agents.slate_policy import SlatePolicy
from slategym.agents.train_config import TrainConfig


class SlatePPO(SlateOnPolicy, PPO):
    """Stable-Baselines3 PPO with defaults for batched slate worlds.

    What it adds is in `SlateOnPolicy`; ``train()`` is untouched.

    The defaults are tuned for 256 rows; with Stable-Baselines3's own (batch 64, 10 epochs) the
    same frames cost about 20 times the CPU.

    Args:
        policy: `SlatePolicy` or a subclass.
        env: made by `as_sb3`.
        n_steps: T, steps per rollout of each row.
        batch_size: transitions per minibatch.
        n_epochs: passes over a rollout.
        learning_rate: of Adam.
        gamma: discount per step.
        gae_lambda: of generalised advantage estimation.
        ent_coef: weight of the entropy bonus.
        max_grad_norm: one clip for all losses together.
        **options: further arguments of `PPO`.
    """

    def __init__(
        self,
        policy: type[SlatePolicy],
        env: VecEnv | None,
        *,
        n_steps: int = 32,
        batch_size: int = 2048,
        n_epochs: int = 6,
        learning_rate: float = 1e-3,
        gamma: float = 0.97,
        gae_lambda: float = 0.95,
        ent_coef: float = 0.003,
        max_grad_norm: float = 0.5,
        **options: Any,  # noqa: ANN401
    ) -> None:
        super().__init__(
            policy,
            env,
            n_steps=n_steps,
            batch_size=batch_size,
            n_epochs=n_epochs,
            learning_rate=learning_rate,
            gamma=gamma,
            gae_lambda=gae_lambda,
            ent_coef=ent_coef,
            max_grad_norm=max_grad_norm,
            **({"device": "cpu", "rollout_buffer_class": AuxRolloutBuffer} | options),
        )

    @classmethod
    def own_options(cls, config: TrainConfig) -> dict[str, Any]:
        """Return what the constructor takes beyond what all on-policy algorithms share."""
        return {
            "batch_size": min(config.batch_size, config.rollout_frames),
            "n_epochs": config.epochs,
            "clip_range": config.clip_range,
        } | dict(config.algo_options)
