"""PPO on slates in one file: what the agent costs where no library stands around it.

The loop is that of CleanRL's ``ppo.py`` (Huang et al. 2022) over a batched environment, with the
network, the distribution, the losses and the options of `SlatePPO`. It exists to be measured
against (`slategym.benchmarks.throughput_agents`), and keeps no statistics, checkpoints or curves.

Letters: T steps of a rollout, B users stepped together, N = T * B transitions.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray

from slategym.agents.aux_buffers import TARGETS, step_targets
from slategym.agents.features import Inputs
from slategym.agents.item_tables import Tables
from slategym.agents.slate_policy import SlatePolicy
from slategym.agents.train_config import TrainConfig
from slategym.envs.vector import SlateVectorEnv

Tensors = dict[str, torch.Tensor]


class BarePPO:
    """One training run of PPO.

    Args:
        venv: the environment, reset here.
        tables: of the world or the classic.
        config: options; the learning rate stays as it begins.
        reward_scale: multiplies the rewards learned from.
        shuffle: returns the order of N transitions in an epoch.

    Attributes:
        policy: the network.
        seconds_of: called around each step of the environment, if set.
    """

    def __init__(
        self,
        venv: SlateVectorEnv,
        tables: Tables,
        config: TrainConfig,
        *,
        reward_scale: float = 1.0,
        shuffle: Callable[[int], torch.Tensor] = torch.randperm,
    ) -> None:
        self.venv, self.config = venv, config
        self.reward_scale, self.shuffle = reward_scale, shuffle
        self.policy = SlatePolicy(
            venv.single_observation_space,
            venv.single_action_space,
            lambda _: config.learning_rate,
            **config.network(tables),
        )
        self.observation, _ = venv.reset(seed=config.seed)
        self.start: NDArray[np.bool_] = np.ones(venv.num_envs, bool)
        self.rows: Tensors = {}

    def iterate(self) -> dict[str, float]:
        """Collect one rollout and learn from it; return the figures of its last minibatch."""
        reward, value, start, last = self._collect()
        advantage = self._advantages(reward, value, start, last)
        flat = {name: rows.flatten(0, 1) for name, rows in self.rows.items()}  # (N, ...)
        flat["advantage"] = torch.from_numpy(advantage).flatten()
        flat["return"] = torch.from_numpy(advantage + value).flatten()
        figures: list[tuple[float, ...]] = []
        batch, count = min(self.config.batch_size, len(flat["return"])), len(flat["return"])
        for _ in range(self.config.epochs):
            order = self.shuffle(count)
            for begin in range(0, count, batch):
                index = order[begin : begin + batch]
                rows = {name: whole.index_select(0, index) for name, whole in flat.items()}
                loss, said = self.loss(rows)
                self.policy.optimizer.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(self.policy.parameters(), self.config.max_grad_norm)
                self.policy.optimizer.step()
                figures.append(said)
        names = ("policy_loss", "value_loss", "entropy", "approx_kl", "clip_fraction")
        return dict(zip(names, np.mean(figures, axis=0).tolist(), strict=True))

    def _collect(self) -> tuple[NDArray[Any], ...]:
        """Play T steps into `rows`; return rewards, values and starts (T, B), and last values."""
        steps, users = self.config.n_steps, self.venv.num_envs
        reward = np.zeros((steps, users), np.float32)
        value, start = np.zeros_like(reward), np.zeros_like(reward)
        for t in range(steps):
            start[t] = self.start
            seen = {key: torch.from_numpy(array) for key, array in self.observation.items()}
            with torch.no_grad():
                read = self.policy.features(seen)
                core = self.policy.core(seen, read)
                law = self.policy.slate.proba_distribution(core.scores)
                slate = law.sample()
                log_prob = law.log_prob(slate)
            value[t] = core.value.flatten().numpy()
            action = slate.numpy().reshape(self.venv.action_space.shape)
            self.observation, gained, ended, cut, info = self.venv.step(action)
            reward[t] = gained * self.reward_scale + self._beyond(cut & ~ended, info)
            self.start = ended | cut
            kept = {"state": read.state, "match": read.match, "candidates": seen["candidates"]}
            kept |= {"slate": slate, "log_prob": log_prob}
            if core.response is not None:
                kept["response"] = core.response
            if len(self.policy.aux_losses):
                told = step_targets(info)
                kept |= {f"target_{name}": torch.from_numpy(told[name]) for name in TARGETS}
            self._keep(t, kept)
        with torch.no_grad():
            seen = {key: torch.from_numpy(array) for key, array in self.observation.items()}
            last = self.policy.core(seen).value.flatten().numpy()
        return reward, value, start, last

    def _keep(self, t: int, kept: Tensors) -> None:
        """Write one step into the rows of the rollout."""
        for name, tensor in kept.items():
            if name not in self.rows:
                shape = (self.config.n_steps, *tensor.shape)
                self.rows[name] = torch.zeros(shape, dtype=tensor.dtype)
            self.rows[name][t] = tensor

    def _beyond(self, cut: NDArray[np.bool_], info: dict[str, Any]) -> NDArray[Any] | float:
        """Return what rows that the horizon cut would still have earned ``(B,)``."""
        if not cut.any():
            return 0.0
        last = {key: torch.from_numpy(rows[cut]) for key, rows in info["final_obs"].items()}
        bonus = np.zeros(len(cut), np.float32)
        with torch.no_grad():
            bonus[cut] = self.config.gamma * self.policy.core(last).value.flatten().numpy()
        return bonus

    def _advantages(
        self,
        reward: NDArray[Any],
        value: NDArray[Any],
        start: NDArray[Any],
        last: NDArray[Any],
    ) -> NDArray[np.float32]:
        """Return generalised advantages ``(T, B)`` (Schulman et al. 2016, eq. 16)."""
        gamma, decay = self.config.gamma, self.config.gae_lambda
        advantage, running = np.zeros_like(reward), np.zeros_like(last)
        for t in reversed(range(len(reward))):
            after = self.start if t == len(reward) - 1 else start[t + 1]
            following = last if t == len(reward) - 1 else value[t + 1]
            going = 1.0 - np.asarray(after, np.float32)
            error = reward[t] + gamma * following * going - value[t]
            running = error + gamma * decay * going * running
            advantage[t] = running
        return advantage

    def loss(self, rows: Tensors) -> tuple[torch.Tensor, tuple[float, ...]]:
        """Return the loss of a minibatch with its auxiliary losses, and five figures."""
        config, policy = self.config, self.policy
        core = policy.core(rows, Inputs(rows["state"], rows["match"], rows.get("response")))
        law = policy.slate.proba_distribution(core.scores)
        log_ratio = law.log_prob(rows["slate"]) - rows["log_prob"]
        ratio = log_ratio.exp()
        advantage = rows["advantage"]
        advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
        clipped = torch.clamp(ratio, 1 - config.clip_range, 1 + config.clip_range)
        policy_loss = -torch.min(advantage * ratio, advantage * clipped).mean()
        value_loss = F.mse_loss(core.value.flatten(), rows["return"])
        entropy = law.entropy().mean()
        loss = policy_loss - config.entropy * entropy + config.value * value_loss
        if len(policy.aux_losses):
            targets = {name: rows[f"target_{name}"] for name in TARGETS}
            loss = loss + policy.weighted(policy.aux_terms(core.shown(rows["slate"]), targets))
        with torch.no_grad():
            kl = ((ratio - 1) - log_ratio).mean().item()
            fraction = ((ratio - 1).abs() > config.clip_range).float().mean().item()
        return loss, (policy_loss.item(), value_loss.item(), entropy.item(), kl, fraction)
