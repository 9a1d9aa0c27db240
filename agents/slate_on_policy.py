"""What the on-policy slate agents share: batched bookkeeping around an untouched ``train()``."""

from collections.abc import Mapping
from typing import Any, ClassVar, Self, cast

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm

from slategym.agents.aux_buffers import AuxRolloutBuffer
from slategym.agents.checkpoint import (
    Arrays,
    load_module,
    load_optimizer,
    module_arrays,
    optimizer_arrays,
)
from slategym.agents.constraint import Constraint
from slategym.agents.gradients import Gradients, compare
from slategym.agents.item_tables import Tables
from slategym.agents.sb3_env import SB3VecEnv
from slategym.agents.slate_policy import SlatePolicy
from slategym.agents.train_config import TrainConfig

# Name in a curve -> name under which Stable-Baselines3 logs it; each algorithm logs some.
LOGGED = {
    "policy_loss": ("policy_gradient_loss", "policy_loss"),
    "value_loss": ("value_loss",),
    "entropy": ("entropy_loss",),
    "approx_kl": ("approx_kl",),
    "clip_fraction": ("clip_fraction",),
    "explained_variance": ("explained_variance",),
}


class SlateOnPolicy(OnPolicyAlgorithm):
    """Stands before `PPO` or `A2C` in a subclass and gives them what batched slate worlds need.

    The buffer carries auxiliary targets, rows cut by the horizon are bootstrapped in one forward
    pass, and episode statistics cost Python work only for rows that finished. Neither ``train()``
    nor the rollout loop is touched.
    """

    policy_class: ClassVar[type[SlatePolicy]] = SlatePolicy
    policy: SlatePolicy
    rollout_buffer: AuxRolloutBuffer
    ent_coef: float
    final_entropy: float = 1.0
    """Share of the entropy bonus that is left at the end; it falls in a line."""

    @classmethod
    def from_config(cls, env: SB3VecEnv, tables: Tables, config: TrainConfig) -> Self:
        """Return an untrained agent; its weights depend on the seed of the configuration."""
        model = cls(
            cls.policy_class,
            env,
            n_steps=config.n_steps,
            learning_rate=config.schedule(),
            gamma=config.gamma,
            gae_lambda=config.gae_lambda,
            ent_coef=config.entropy,
            vf_coef=config.value,
            max_grad_norm=config.max_grad_norm,
            seed=config.seed,
            policy_kwargs=config.network(tables),
            **cls.own_options(config),
        )
        model.final_entropy = config.final_entropy
        return model

    @classmethod
    def own_options(cls, config: TrainConfig) -> dict[str, Any]:
        """Return what the constructor takes beyond what all on-policy algorithms share."""
        return dict(config.algo_options)

    @classmethod
    def network(
        cls,
        observation_space: spaces.Dict,
        action_space: spaces.Space[Any],
        tables: Tables,
        config: TrainConfig,
    ) -> SlatePolicy:
        """Return an untrained network, as `from_config` makes it, to load weights into."""
        options = config.network(tables)
        rate = config.learning_rate
        return cls.policy_class(observation_space, action_space, lambda _: rate, **options)

    def _setup_model(self) -> None:
        super()._setup_model()
        self._adapter().brief = True
        self.rollout_buffer.source = self.env
        self.rollout_buffer.reader = self.policy
        self.policy.targets = self.rollout_buffer

    def _update_info_buffer(
        self, infos: list[dict[str, Any]], dones: NDArray[np.bool_] | None = None
    ) -> None:
        """Take in finished episodes, and bootstrap those that the horizon cut short."""
        rows = np.flatnonzero(dones) if dones is not None else np.arange(len(infos))
        finished = [infos[row] for row in rows.tolist()]
        self.ep_info_buffer.extend(info["episode"] for info in finished if "episode" in info)
        cut = [row for row in rows.tolist() if infos[row].get("TimeLimit.truncated", False)]
        if cut:
            self.rollout_buffer.bootstrap = self._bootstrap(infos, cut)

    def _bootstrap(self, infos: list[dict[str, Any]], cut: list[int]) -> NDArray[np.float32]:
        """Return what the cut rows would still have earned ``(B,)``, in one forward pass."""
        last = [infos[row]["terminal_observation"] for row in cut]
        batch = {key: np.stack([one[key] for one in last]) for key in last[0]}
        observation, _ = self.policy.obs_to_tensor(batch)
        with torch.no_grad():
            values = self.policy.predict_values(observation).flatten().cpu().numpy()
        bonus = np.zeros(len(infos), np.float32)
        bonus[cut] = self.gamma * values
        for row in cut:
            # Done here; else the rollout loop would do it again, one forward pass per row.
            infos[row]["TimeLimit.truncated"] = False
        return bonus

    def begin(self, total_timesteps: int) -> None:
        """Get ready for `iterate`, as ``learn`` does before its loop."""
        self.set_logger(Logger(folder=None, output_formats=[]))  # its own would leave a folder
        self._total_timesteps, self._callback = self._setup_learn(total_timesteps)

    def iterate(self) -> None:
        """Collect one rollout and learn from it; ``learn`` is a loop of this."""
        self.collect_rollouts(
            self.env, self._callback, self.rollout_buffer, n_rollout_steps=self.n_steps
        )
        self._update_current_progress_remaining(self.num_timesteps, self._total_timesteps)
        full = self.ent_coef
        left = self._current_progress_remaining
        self.ent_coef = full * (self.final_entropy + (1.0 - self.final_entropy) * left)
        self.train()
        self.ent_coef = full

    def figures(self) -> dict[str, float]:
        """Return what the last iteration logged, by name."""
        logged: Mapping[str, Any] = self.logger.name_to_value
        found = {
            name: float(logged[f"train/{key}"])
            for name, keys in LOGGED.items()
            for key in keys
            if f"train/{key}" in logged
        }
        return found | {"entropy": -found["entropy"]}

    def get_state(self) -> tuple[Arrays, dict[str, Any]]:
        """Return arrays and facts that `set_state` continues from, between two iterations.

        Together with seeded generators the continuation is exact to the last bit.
        """
        arrays = module_arrays(self.policy, "policy.") | optimizer_arrays(self.policy.optimizer)
        arrays |= {f"env.{name}": array for name, array in self._adapter().get_state().items()}
        arrays |= {f"last_obs.{name}": np.array(array) for name, array in self._last_obs.items()}
        arrays["episode_starts"] = np.array(self._last_episode_starts)
        return arrays, {"num_timesteps": self.num_timesteps, "n_updates": self._n_updates}

    def set_state(self, arrays: Arrays, facts: dict[str, Any]) -> None:
        """Continue from `get_state`; call after `begin`."""
        load_module(self.policy, arrays, "policy.")
        load_optimizer(self.policy.optimizer, arrays)
        self._adapter().set_state(_under(arrays, "env."))
        self._last_obs = _under(arrays, "last_obs.")
        self._last_episode_starts = arrays["episode_starts"]
        self.num_timesteps, self._n_updates = facts["num_timesteps"], facts["n_updates"]

    def _adapter(self) -> SB3VecEnv:
        return cast("SB3VecEnv", self.env)

    def constrain(self, constraint: Constraint) -> None:
        """Let a constraint add its part to the rewards, by the multiplier of the rollout."""
        self._adapter().constraint = constraint

    def gradient_norms(self, rows: int = 2048) -> dict[str, float]:
        """Return each task's gradient norm; see `gradients`."""
        return self.gradients(rows).norms

    def gradients(self, rows: int = 2048) -> Gradients:
        """Return each task's gradient on what all tasks share, the trunk and item network.

        Measured on the first rows of the rollout held, without weights, clipping or a step.

        Args:
            rows: transitions to measure on.
        """
        policy, buffer = self.policy, self.rollout_buffer
        count = min(rows, buffer.buffer_size * buffer.n_envs)
        batch = buffer._get_samples(np.arange(count))  # noqa: SLF001
        actions = batch.actions.long().reshape(count, -1)
        core = policy.core(batch.observations, buffer.inputs)
        log_prob = policy.slate.proba_distribution(core.scores).log_prob(actions)
        advantage = batch.advantages
        advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
        ratio = torch.exp(log_prob - batch.old_log_prob)
        losses = {"value": F.mse_loss(batch.returns, core.value.flatten())}
        if log_prob.requires_grad:
            losses["policy"] = -(advantage * ratio).mean()
        losses |= policy.aux_terms(core.shown(actions), buffer.minibatch)
        return compare(losses, [*policy.trunk.parameters(), *policy.item_net.parameters()])


def _under(arrays: Arrays, prefix: str) -> Arrays:
    """Return the arrays whose name starts with ``prefix``, without it."""
    return {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}
