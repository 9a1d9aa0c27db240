"""SlateQ on Stable-Baselines3's DQN: the value of a slate from the values of its items."""

from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3 import DQN
from stable_baselines3.common.type_aliases import DictReplayBufferSamples
from stable_baselines3.common.vec_env.base_vec_env import VecEnv

from slategym.agents.checkpoint import Arrays
from slategym.agents.replay_aux import AuxReplayBuffer
from slategym.agents.slate_off_policy import SlateOffPolicy
from slategym.agents.slate_policy import SlatePolicy
from slategym.agents.slate_q_policy import SlateQPolicy, SlateQTarget
from slategym.errors import UsageError


class SlateReplayBuffer(AuxReplayBuffer):
    """Keeps slates of positions; to the loss, the action is the item taken, or nothing."""

    def _get_samples(self, batch_inds: NDArray[Any], env: Any = None) -> DictReplayBufferSamples:  # noqa: ANN401
        samples = super()._get_samples(batch_inds, env)
        self.minibatch["position"] = self._tensor("action", batch_inds, env)
        return samples

    def actions_of(self, step: NDArray[Any], row: NDArray[Any]) -> torch.Tensor:
        """Return the position taken ``(B, 1)``; C where nothing was.

        Raises:
            UsageError: a user took more than one item of a slate.
        """
        slate, click = self._rows["action"][step, row], self._rows["click"][step, row] > 0
        if (click.sum(1) > 1).any():
            raise UsageError(
                "a user took several items of one slate, and SlateQ values slates of which at most "
                "one is taken: use a variant with another choice part, or another algorithm."
            )
        first = np.take_along_axis(slate, click.argmax(1)[:, None], 1)
        taken = np.where(click.any(1, keepdims=True), first, self._nothing())
        return torch.from_numpy(taken.astype(np.int64))

    def _nothing(self) -> int:
        space = self.action_space
        return int(space.n if isinstance(space, spaces.Discrete) else space.nvec[0])


class SlateQ(SlateOffPolicy, DQN):
    """SlateQ (Ie et al. 2019) with a learned choice model, on an untouched ``DQN.train()``.

    The value of the item taken, or of taking nothing, moves towards ``r + gamma V(s')``; V is the
    value of the next state's slate among the next state's candidates, by choice probabilities and
    target values. "q": of the best slate; "sarsa": of the slate shown.

    Args:
        policy: `SlateQPolicy` or a subclass.
        env: made by `as_sb3`.
        target: "q" or "sarsa".
        double: find the next slate by the online network.
        iteration_steps: steps of all rows per `iterate`.
        auto_scale: bring rewards to unit deviation.
        return_steps: rewards summed before the value of what follows; more carry credit past what
            the observation does not show, at the price of noise.
        learning_rate: of Adam.
        buffer_size: transitions kept.
        learning_starts: frames of random slates before learning begins.
        batch_size: transitions per gradient step.
        tau: share of the online network that the target takes in after each step.
        gamma: discount per step.
        train_freq: steps of all rows between updates.
        gradient_steps: gradient steps per update.
        exploration_fraction: share of training after which exploration stays.
        exploration_final_eps: probability of a random slate from then on, per row.
        max_grad_norm: one clip for all losses together.
        **options: further arguments of `DQN`.

    Raises:
        UsageError: an unknown target.
    """

    policy_class: ClassVar[type[SlatePolicy]] = SlateQPolicy
    policy_options: ClassVar[tuple[str, ...]] = ("optimiser", "choice", "horizon")
    policy: SlateQPolicy
    q_net_target: SlateQTarget

    def __init__(
        self,
        policy: type[SlateQPolicy],
        env: VecEnv,
        *,
        target: str = "q",
        double: bool = True,
        iteration_steps: int = 32,
        auto_scale: bool = True,
        return_steps: int = 1,
        learning_rate: float = 1e-3,
        buffer_size: int = 100_000,
        learning_starts: int = 4096,
        batch_size: int = 512,
        tau: float = 0.02,
        gamma: float = 0.97,
        train_freq: int = 1,
        gradient_steps: int = 2,
        exploration_fraction: float = 0.3,
        exploration_final_eps: float = 0.05,
        max_grad_norm: float = 1.0,
        **options: Any,  # noqa: ANN401
    ) -> None:
        if target not in ("q", "sarsa"):
            raise UsageError(f"the target of SlateQ is {target!r}; it must be 'q' or 'sarsa'.")
        self.sarsa, self.double = target == "sarsa", double
        self.iteration_steps, self.auto_scale = iteration_steps, auto_scale
        self.return_steps = return_steps
        super().__init__(
            policy,
            None,
            learning_rate=learning_rate,
            buffer_size=buffer_size,
            learning_starts=learning_starts,
            batch_size=batch_size,
            tau=tau,
            gamma=gamma,
            train_freq=train_freq,
            gradient_steps=gradient_steps,
            exploration_fraction=exploration_fraction,
            exploration_final_eps=exploration_final_eps,
            max_grad_norm=max_grad_norm,
            **(
                {
                    "device": "cpu",
                    "replay_buffer_class": SlateReplayBuffer,
                    "target_update_interval": env.num_envs,
                }
                | options
            ),
            _init_setup_model=False,
        )
        self.enter(env)

    def _create_aliases(self) -> None:
        self.q_net = self.policy
        self.q_net_target = SlateQTarget(self.policy, sarsa=self.sarsa, double=self.double)
        self.replay_buffer.reader = self.policy
        self.policy.memory = self.replay_buffer

    def _sample_action(
        self,
        learning_starts: int,
        action_noise: object = None,  # noqa: ARG002
        n_envs: int = 1,
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return slates ``(B, K)``: the best ones, each row's replaced by chance."""
        best = self.policy.slates(self._tensors()).numpy()
        eager = self.num_timesteps < learning_starts
        chance = 1.0 if eager else self.exploration_rate
        explored = self._rng.random(n_envs) < chance
        slates = np.where(explored[:, None], self.random_slates(n_envs), best)
        return slates.reshape(n_envs, *self.env.action_space.shape), slates

    def predict(self, observation: Any, *args: Any, **options: Any) -> Any:  # noqa: ANN401
        """Return the best slates; exploration belongs to training."""
        return self.policy.predict(observation, *args, **options)

    def modules(self) -> dict[str, torch.nn.Module]:
        """Return the networks to save, by prefix."""
        return super().modules() | {"target.": self.q_net_target.net}

    def set_state(self, arrays: Arrays, facts: dict[str, Any]) -> None:
        """Continue from `get_state`; call after `begin`."""
        super().set_state(arrays, facts)
        self.replay_buffer.reader = self.policy

    def _facts(self) -> tuple[str, ...]:
        return (*super()._facts(), "_n_calls", "exploration_rate")

    def losses_of(self, rows: int) -> dict[str, torch.Tensor]:
        """Return the value loss, the choice loss and the auxiliary losses."""
        memory = self.replay_buffer
        data = memory.sample(rows)
        goal = data.rewards + (1 - data.dones) * data.discounts * self.q_net_target(
            data.next_observations
        )
        found = self.policy.values(data.observations, memory.inputs_of(data.observations))
        current = found.values.gather(1, data.actions)
        return {"value": F.smooth_l1_loss(current, goal)} | self.policy.extra_terms(found, memory)
