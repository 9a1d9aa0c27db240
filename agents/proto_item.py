"""SAC and TD3 whose action is a proto-item: a point in item space, answered by what is near it."""

from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from stable_baselines3 import SAC, TD3
from stable_baselines3.common.vec_env.base_vec_env import VecEnv

from slategym.agents.proto_policy import ProtoCritic, ProtoPolicy, proto_box
from slategym.agents.replay_aux import AuxReplayBuffer
from slategym.agents.slate_off_policy import SlateOffPolicy
from slategym.agents.slate_policy import SlatePolicy

# Share of the rows whose stored action is where the items shown lie.
SHOWN = 0.5


class ProtoItem(SlateOffPolicy):
    """What SAC and TD3 of proto-items share.

    What is stored as action is the proto-item. With neighbours ranked by value, it is for some
    rows the mean of the items shown: values are then also learned where items lie. Storing only
    that (Dulac-Arnold et al. 2015) lets the values of points that no item lies at grow
    without bound, storing it never leaves the ranking to chance.
    """

    policy_class: ClassVar[type[SlatePolicy]] = ProtoPolicy
    policy_options: ClassVar[tuple[str, ...]] = (
        "dims", "metric", "search", "neighbours", "matched", "horizon",
    )  # fmt: skip
    policy: ProtoPolicy
    critic_target: ProtoCritic
    policy_kwargs: dict[str, Any]

    def prepare(self, env: VecEnv) -> None:
        """Set up over an environment that acts on slates."""
        self.policy_kwargs = self.policy_kwargs | {"slate_space": env.action_space}
        self.enter(env)
        self.action_space = proto_box(self.policy.proto_dims)

    def _create_aliases(self) -> None:
        self.actor, self.critic = self.policy.actor, self.policy.critic
        self.critic_target = self.critic.target()
        self.replay_buffer.reader = self.policy
        self.policy.memory = self.replay_buffer

    def explore(self, obs: dict[str, torch.Tensor]) -> torch.Tensor:
        """Return proto-items ``(B, E)`` to try."""
        raise NotImplementedError

    def _sample_action(
        self,
        learning_starts: int,
        action_noise: object = None,  # noqa: ARG002
        n_envs: int = 1,
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return slates ``(B, K)`` and the proto-items to remember ``(B, E)``."""
        obs, policy = self._tensors(), self.policy
        with torch.no_grad():
            if self.num_timesteps < learning_starts:
                drawn = self._rng.uniform(-1.0, 1.0, (n_envs, policy.proto_dims))
                actions = torch.from_numpy(drawn.astype(np.float32))
            else:
                actions = self.explore(obs)
            slate = policy.answer(obs, actions)
            policy.last_read = policy.read(obs, slate)
            if policy.neighbours > policy.slate.slate_size:
                shown = policy.space.as_actions(policy.places(policy.last_read).mean(1))
                other = torch.from_numpy(self._rng.random((n_envs, 1)) < SHOWN)
                actions = torch.where(other, shown, actions)
        return slate.numpy().reshape(n_envs, *self.env.action_space.shape), actions.numpy()

    def modules(self) -> dict[str, torch.nn.Module]:
        """Return the networks to save, by prefix."""
        return super().modules() | {"target.": self.critic_target}

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """Return the optimisers to save, by prefix."""
        return {
            "optimizer.": self.policy.critic.optimizer,
            "actor_optimizer.": self.policy.actor_optimizer,
        }

    def losses_of(self, rows: int) -> dict[str, torch.Tensor]:
        """Return the value loss and the auxiliary losses."""
        memory = self.replay_buffer
        data = memory.sample(rows)
        with torch.no_grad():
            following = self.actor(data.next_observations)
            both = torch.cat(self.critic_target(data.next_observations, following), 1)
            goal = data.rewards + (1 - data.dones) * data.discounts * both.amin(1, keepdim=True)
        hidden = self.policy.trunk(self.policy.state_of(data.observations))
        found = self.critic.values(hidden, data.actions)
        losses = {"value": sum(F.mse_loss(value, goal) for value in found)}
        if len(self.policy.aux_losses):
            losses |= self.policy.shown_terms(memory)[1]
        return losses


class ProtoSAC(ProtoItem, SAC):
    """Soft actor-critic (Haarnoja et al. 2018) of proto-items, on an untouched ``SAC.train()``.

    Args:
        policy: `ProtoPolicy` or a subclass.
        env: made by `as_sb3`; it acts on slates.
        iteration_steps: steps of all rows per `iterate`.
        auto_scale: bring rewards to unit deviation.
        return_steps: rewards summed before the value of what follows; more carry credit past what
            the observation does not show, at the price of noise.
        learning_rate: of Adam.
        buffer_size: transitions kept.
        learning_starts: frames of random proto-items before learning begins.
        batch_size: transitions per gradient step.
        tau: share of the critics that their target takes in after each gradient step.
        gamma: discount per step.
        train_freq: steps of all rows between updates.
        gradient_steps: gradient steps per update.
        ent_coef: weight of the actor's entropy, in scaled rewards; "auto" learns it.
        **options: further arguments of `SAC`.
    """

    def __init__(
        self,
        policy: type[ProtoPolicy],
        env: VecEnv,
        *,
        iteration_steps: int = 32,
        auto_scale: bool = True,
        return_steps: int = 1,
        learning_rate: float = 1e-3,
        buffer_size: int = 100_000,
        learning_starts: int = 4096,
        batch_size: int = 512,
        tau: float = 0.01,
        gamma: float = 0.97,
        train_freq: int = 1,
        gradient_steps: int = 2,
        ent_coef: str | float = "auto_0.1",
        **options: Any,  # noqa: ANN401
    ) -> None:
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
            ent_coef=ent_coef,
            **({"device": "cpu", "replay_buffer_class": AuxReplayBuffer} | options),
            _init_setup_model=False,
        )
        self.prepare(env)

    target_entropy: float | str

    def _setup_model(self) -> None:
        automatic = self.target_entropy == "auto"
        super()._setup_model()
        if automatic:
            # Stable-Baselines3 counted the slots of the environment's action space.
            self.target_entropy = -float(self.policy.proto_dims)

    def explore(self, obs: dict[str, torch.Tensor]) -> torch.Tensor:
        """Return proto-items drawn from the actor's law."""
        noise = torch.from_numpy(self._rng.standard_normal((self.n_envs, self.policy.proto_dims)))
        return self.actor.draw(obs, noise.float())

    def modules(self) -> dict[str, torch.nn.Module]:
        """Return the networks to save, by prefix."""
        weight = {} if self.log_ent_coef is None else {"temperature.": _Held(self.log_ent_coef)}
        return super().modules() | weight

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """Return the optimisers to save, by prefix."""
        made = super().optimizers()
        if self.ent_coef_optimizer is not None:
            made["temperature_optimizer."] = self.ent_coef_optimizer
        return made


class _Held(torch.nn.Module):
    """Shows a lone tensor as a module, so that it is saved and loaded like one."""

    def __init__(self, value: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("value", value.detach())


class ProtoTD3(ProtoItem, TD3):
    """TD3 (Fujimoto et al. 2018) of proto-items, on an untouched ``TD3.train()``.

    Args:
        policy: `ProtoPolicy` or a subclass.
        env: made by `as_sb3`; it acts on slates.
        iteration_steps: steps of all rows per `iterate`.
        auto_scale: bring rewards to unit deviation.
        return_steps: rewards summed before the value of what follows; more carry credit past what
            the observation does not show, at the price of noise.
        exploration: deviation of the noise on proto-items.
        learning_rate: of Adam.
        buffer_size: transitions kept.
        learning_starts: frames of random proto-items before learning begins.
        batch_size: transitions per gradient step.
        tau: share that the targets take in at each update of the actor.
        gamma: discount per step.
        train_freq: steps of all rows between updates.
        gradient_steps: gradient steps per update.
        **options: further arguments of `TD3`.
    """

    def __init__(
        self,
        policy: type[ProtoPolicy],
        env: VecEnv,
        *,
        iteration_steps: int = 32,
        auto_scale: bool = True,
        return_steps: int = 1,
        exploration: float = 0.2,
        learning_rate: float = 1e-3,
        buffer_size: int = 100_000,
        learning_starts: int = 4096,
        batch_size: int = 512,
        tau: float = 0.01,
        gamma: float = 0.97,
        train_freq: int = 1,
        gradient_steps: int = 2,
        **options: Any,  # noqa: ANN401
    ) -> None:
        self.iteration_steps, self.auto_scale = iteration_steps, auto_scale
        self.return_steps = return_steps
        self.exploration = exploration
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
            **({"device": "cpu", "replay_buffer_class": AuxReplayBuffer} | options),
            _init_setup_model=False,
        )
        self.prepare(env)

    def _create_aliases(self) -> None:
        super()._create_aliases()
        self.actor_target = self.actor.target()

    def explore(self, obs: dict[str, torch.Tensor]) -> torch.Tensor:
        """Return the actor's proto-items with noise."""
        noise = self._rng.normal(0.0, self.exploration, (self.n_envs, self.policy.proto_dims))
        return (self.actor(obs) + torch.from_numpy(noise.astype(np.float32))).clamp(-1.0, 1.0)

    def modules(self) -> dict[str, torch.nn.Module]:
        """Return the networks to save, by prefix."""
        return super().modules() | {"actor_target.": self.actor_target}
