"""What the off-policy slate agents share: batched bookkeeping around an untouched ``train()``."""

import inspect
from collections.abc import Mapping
from typing import Any, ClassVar, Self, cast

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.vec_env.base_vec_env import VecEnv

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
from slategym.agents.replay_aux import AuxReplayBuffer
from slategym.agents.sb3_env import SB3VecEnv
from slategym.agents.slate_policy import SlatePolicy
from slategym.agents.train_config import TrainConfig
from slategym.errors import UsageError, unknown_name

# Name in a curve -> name under which Stable-Baselines3 logs it; each algorithm logs some.
LOGGED = {
    "value_loss": ("loss", "critic_loss"),
    "policy_loss": ("actor_loss",),
    "temperature": ("ent_coef",),
}
# Learning by value wants more and smaller steps than a policy gradient.
LARGEST_BATCH = 512
# Frames of chance before learning begins: so many, or a tenth of a short run.
CHANCE_FRAMES = 4096
# A value sums over so many steps at most before its unit stops growing.
LONGEST = 20.0


class SlateOffPolicy(OffPolicyAlgorithm):
    """Stands before `DQN`, `SAC` or `TD3` in a subclass and gives them slates.

    The environment acts on slates, while the algorithm may see another action space. The buffer
    holds what networks read and the auxiliary targets. Neither ``train()`` nor the rollout loop is
    touched.

    Attributes:
        iteration_steps: steps of all rows per `iterate`.
        auto_scale: whether rewards are brought to unit deviation when learning begins.
        return_steps: rewards summed before the value of what follows.
    """

    policy_class: ClassVar[type[SlatePolicy]]
    policy_options: ClassVar[tuple[str, ...]] = ()
    """Which options of an algorithm are the network's."""
    policy: SlatePolicy
    replay_buffer: AuxReplayBuffer
    iteration_steps: int = 32
    auto_scale: bool = True
    return_steps: int = 1
    _rng: np.random.Generator
    _last_obs: Any

    @classmethod
    def from_config(cls, env: SB3VecEnv, tables: Tables, config: TrainConfig) -> Self:
        """Return an untrained agent; its weights depend on the seed of the configuration.

        ``epochs`` is how often a transition is learned from on average; a batch has at most
        `LARGEST_BATCH` of them. What only one algorithm knows comes from ``algo_options``.

        Raises:
            UsageError: an option that the algorithm does not have.
        """
        batch = min(config.batch_size, LARGEST_BATCH)
        made: dict[str, Any] = {
            "iteration_steps": config.n_steps,
            "learning_rate": config.schedule(),
            "gamma": config.gamma,
            "batch_size": batch,
            "gradient_steps": max(round(config.epochs * config.num_envs / batch), 1),
            "learning_starts": min(CHANCE_FRAMES, config.frames // 10),
            "seed": config.seed,
        }
        if "max_grad_norm" in cls.own_options():
            made["max_grad_norm"] = config.max_grad_norm
        own = {k: v for k, v in config.algo_options.items() if k not in cls.policy_options}
        for name in own:
            if name not in cls.own_options():
                raise unknown_name("option of the algorithm", name, cls.own_options())
        network = cls.network_options(tables, config)
        return cls(cls.policy_class, env, **(made | own), policy_kwargs=network)

    @classmethod
    def own_options(cls) -> list[str]:
        """Return which keywords ``algo_options`` may hold."""
        given = inspect.signature(cls.__init__).parameters.values()
        named = [entry.name for entry in given if entry.kind is entry.KEYWORD_ONLY]
        return [*named, *cls.policy_options]

    @classmethod
    def network_options(cls, tables: Tables, config: TrainConfig) -> dict[str, Any]:
        """Return the keywords that the network is made with."""
        horizon = min(1.0 / max(1.0 - config.gamma, 1.0 / LONGEST), LONGEST)
        own = {k: v for k, v in config.algo_options.items() if k in cls.policy_options}
        return config.network(tables) | {"horizon": horizon} | own

    @classmethod
    def network(
        cls,
        observation_space: spaces.Dict,
        action_space: spaces.Space[Any],
        tables: Tables,
        config: TrainConfig,
    ) -> SlatePolicy:
        """Return an untrained network, as `from_config` makes it, to load weights into."""
        options = cls.network_options(tables, config)
        rate = config.learning_rate
        return cls.policy_class(observation_space, action_space, lambda _: rate, **options)

    def figures(self) -> dict[str, float]:
        """Return what the last iteration logged, by name; nothing before learning begins."""
        logged: Mapping[str, Any] = self.logger.name_to_value
        return {
            name: float(logged[f"train/{key}"])
            for name, keys in LOGGED.items()
            for key in keys
            if f"train/{key}" in logged
        }

    def enter(self, env: VecEnv, action_space: spaces.Space[Any] | None = None) -> None:
        """Take an environment whose action space the algorithm would not, and set up.

        Args:
            env: made by `as_sb3`.
            action_space: what the algorithm believes to act in; the environment's own if None.

        Raises:
            UsageError: the environment does not act on slates.
        """
        if not isinstance(env.action_space, spaces.MultiDiscrete | spaces.Discrete):
            raise UsageError(
                f"{type(self).__name__} chooses slates; the environment's action space is "
                f"{env.action_space}: make it with action='slate'."
            )
        self.env, self.n_envs = env, env.num_envs
        self.observation_space = env.observation_space
        self.action_space = env.action_space if action_space is None else action_space
        self._setup_model()
        self.replay_buffer.source = cast("SB3VecEnv", env)
        self._adapter().brief = True
        self.replay_buffer.n_step, self.replay_buffer.gamma = self.return_steps, self.gamma
        self._seed_draws()

    def _seed_draws(self) -> None:
        """Start the agent's own random numbers anew: a function of seed and frames alone."""
        self._rng = np.random.default_rng([self.seed or 0, self.num_timesteps])
        self.replay_buffer.rng = np.random.default_rng([self.seed or 0, self.num_timesteps, 1])

    def begin(self, total_timesteps: int) -> None:
        """Get ready for `iterate`, as ``learn`` does before its loop."""
        self.set_logger(Logger(folder=None, output_formats=[]))  # its own would leave a folder
        self._total_timesteps, self._callback = self._setup_learn(total_timesteps)

    def iterate(self) -> None:
        """Collect ``iteration_steps`` steps and learn from memory in between."""
        self._seed_draws()
        for _ in range(max(self.iteration_steps // self.train_freq.frequency, 1)):
            self.collect_rollouts(
                self.env,
                self._callback,
                train_freq=self.train_freq,
                replay_buffer=self.replay_buffer,
                action_noise=self.action_noise,
                learning_starts=self.learning_starts,
            )
            if self.num_timesteps > self.learning_starts and self.replay_buffer.steps > 1:
                self._scale_rewards()
                self.train(self.gradient_steps, self.batch_size)

    def _scale_rewards(self) -> None:
        """Bring rewards to unit deviation once, by what was seen before learning began."""
        if self.auto_scale and self._n_updates == 0:
            self.replay_buffer.reward_scale = self.replay_buffer.unit_scale()

    def _update_info_buffer(
        self, infos: list[dict[str, Any]], dones: NDArray[np.bool_] | None = None
    ) -> None:
        """Take in finished episodes."""
        rows = np.flatnonzero(dones) if dones is not None else np.arange(len(infos))
        finished = [infos[row] for row in rows.tolist()]
        self.ep_info_buffer.extend(info["episode"] for info in finished if "episode" in info)

    def _store_transition(
        self,
        replay_buffer: Any,  # noqa: ANN401
        buffer_action: NDArray[Any],
        new_obs: Any,  # noqa: ANN401
        reward: NDArray[Any],
        dones: NDArray[Any],
        infos: list[dict[str, Any]],
    ) -> None:
        """Store the step without a copy of its observations."""
        replay_buffer.add(self._last_obs, new_obs, buffer_action, reward, dones, infos)
        self._last_obs = new_obs

    def random_slates(self, count: int) -> NDArray[np.int64]:
        """Return slates ``(count, K)`` of distinct positions, all equally likely."""
        space = self.env.action_space
        total = int(space.n if isinstance(space, spaces.Discrete) else space.nvec[0])
        size = self.policy.slate.slate_size
        order = self._rng.random((count, total)).argsort(axis=1)
        return order[:, :size].astype(np.int64)

    def _tensors(self) -> dict[str, torch.Tensor]:
        """Return the last observations as tensors."""
        return {key: torch.as_tensor(np.asarray(value)) for key, value in self._last_obs.items()}

    def modules(self) -> dict[str, torch.nn.Module]:
        """Return the networks to save, by prefix."""
        return {"policy.": self.policy}

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """Return the optimisers to save, by prefix."""
        return {"optimizer.": self.policy.optimizer}

    def get_state(self) -> tuple[Arrays, dict[str, Any]]:
        """Return arrays and facts that `set_state` continues from, between two iterations.

        The replay buffer is among them. Together with seeded generators the continuation is exact
        to the last bit.
        """
        arrays: Arrays = {}
        for prefix, module in self.modules().items():
            arrays |= module_arrays(module, prefix)
        for prefix, optimizer in self.optimizers().items():
            arrays |= optimizer_arrays(optimizer, prefix)
        arrays |= {f"env.{name}": array for name, array in self._adapter().get_state().items()}
        arrays |= {f"last_obs.{name}": np.array(array) for name, array in self._last_obs.items()}
        arrays |= {f"replay.{k}": v for k, v in self.replay_buffer.get_state().items()}
        facts = {name: getattr(self, name) for name in self._facts()}
        return arrays, facts | {"reward_scale": self.replay_buffer.reward_scale}

    def set_state(self, arrays: Arrays, facts: dict[str, Any]) -> None:
        """Continue from `get_state`; call after `begin`."""
        for prefix, module in self.modules().items():
            load_module(module, arrays, prefix)
        for prefix, optimizer in self.optimizers().items():
            load_optimizer(optimizer, arrays, prefix)
        self._adapter().set_state(_under(arrays, "env."))
        self._last_obs = _under(arrays, "last_obs.")
        self.replay_buffer.set_state(_under(arrays, "replay."))
        self.replay_buffer.reward_scale = float(facts["reward_scale"])
        for name in self._facts():
            setattr(self, name, facts[name])

    def _facts(self) -> tuple[str, ...]:
        """Return the names of plain attributes that a continuation needs."""
        return ("num_timesteps", "_n_updates", "_episode_num", "_current_progress_remaining")

    def _adapter(self) -> SB3VecEnv:
        return cast("SB3VecEnv", self.env)

    def losses_of(self, rows: int) -> dict[str, torch.Tensor]:
        """Return the task losses of ``rows`` transitions from memory, unweighted, by name."""
        raise NotImplementedError

    def constrain(self, constraint: Constraint) -> None:
        """Let a constraint add its part to the rewards when they are sampled from memory.

        So all of memory is judged by today's multiplier, not by those of the days it was filled.
        """
        adapter = self._adapter()
        constraint.deferred, constraint.scale = True, adapter.reward_scale
        adapter.constraint = self.replay_buffer.constraint = constraint

    def gradient_norms(self, rows: int = 2048) -> dict[str, float]:
        """Return each task's gradient norm; see `gradients`."""
        return self.gradients(rows).norms

    def gradients(self, rows: int = 2048) -> Gradients:
        """Return each task's gradient on what all tasks share, the trunk and item network.

        Measured on transitions drawn from memory, without weights, clipping or a step; nothing
        that training draws from is used up.

        Args:
            rows: transitions to measure on.
        """
        if self.replay_buffer.steps < 2:
            return Gradients({}, None, {})
        kept = self.replay_buffer.rng
        self.replay_buffer.rng = np.random.default_rng([self.seed or 0, self.num_timesteps, 2])
        with torch.random.fork_rng(devices=[]):
            losses = self.losses_of(rows)
        self.replay_buffer.rng = kept
        policy = self.policy
        return compare(losses, [*policy.trunk.parameters(), *policy.item_net.parameters()])


def _under(arrays: Arrays, prefix: str) -> Arrays:
    """Return the arrays whose name starts with ``prefix``, without it."""
    return {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}
