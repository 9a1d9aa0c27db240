"""A start for learning: first do as a rule does, and know what that earns.

Plain behaviour cloning: the log-likelihood of the rule's slates under the policy, and the squared
error of the value against the returns that followed, on episodes of the task itself. What is
learned afterwards may leave the rule as far as it pays.
"""

from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray

from slategym.agents.classic_rules import make_classic_policy
from slategym.agents.policy import Policy, for_variant, make_policy
from slategym.agents.slate_policy import SlatePolicy
from slategym.agents.train_config import TrainConfig
from slategym.envs.classic_variant import ClassicVariant
from slategym.envs.vector import SlateVectorEnv
from slategym.envs.world import World
from slategym.errors import UsageError

USERS = 128
BATCH = 1024
EPOCHS = 4
# Of the slate's entropy: a clone that is certain would never explore.
ENTROPY = 0.05

Arrays = dict[str, NDArray[Any]]


def clone_rule(
    policy: SlatePolicy, config: TrainConfig, reward_scale: float, world: World | None = None
) -> None:
    """Train a network to act as ``config.warm_start`` does, on ``config.warm_frames`` frames.

    Args:
        policy: changed in place, by its own optimiser.
        config: names rule, task, seed and discount.
        reward_scale: multiplies rewards, as in the learning that follows.
        world: of a variant that is no classic.

    Raises:
        UsageError: there is no such rule, it sees what is hidden, or the agent is not one of
            slates drawn from scores.
    """
    venv = config.make_env(world, USERS, config.observation, held=False)
    rule = _rule(config, venv)
    steps = -(-config.warm_frames // USERS)
    seen, slates, goals, known = _play(rule, venv, steps, config, reward_scale)
    rng = np.random.default_rng([config.seed, 1])
    rows = len(slates)
    for _ in range(EPOCHS):
        order = rng.permutation(rows)
        for first in range(0, rows, BATCH):
            picked = order[first : first + BATCH]
            obs = {name: torch.from_numpy(array[picked]) for name, array in seen.items()}
            core = policy.core(obs)
            slate = policy.slate.proba_distribution(core.scores)
            likely = slate.log_prob(torch.from_numpy(slates[picked]))
            error = F.mse_loss(
                core.value.flatten(), torch.from_numpy(goals[picked]), reduction="none"
            )
            mask = torch.from_numpy(known[picked])
            value_loss = (error * mask).sum() / mask.sum().clamp_min(1.0)
            loss = -likely.mean() - ENTROPY * slate.entropy().mean() + value_loss
            policy.optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(policy.parameters(), 1.0)
            policy.optimizer.step()


def _rule(config: TrainConfig, venv: SlateVectorEnv) -> Policy:
    """Return the rule to be cloned."""
    task, name = config.task(), config.warm_start
    if name is None or config.algo not in ("ppo", "a2c"):
        raise UsageError(
            f"warm_start is {name!r}, but {config.algo} cannot start from a rule; that is for ppo "
            "and a2c: leave it out."
        )
    if isinstance(task, ClassicVariant):
        return make_classic_policy(name, task)
    if config.observation != "ids":
        raise UsageError(
            f"warm_start is {name!r}, a rule that reads ids; set observation to 'ids' or leave "
            "warm_start out."
        )
    rule = make_policy(name, venv.world, task.slate_size)
    if getattr(rule, "privileged", False) or callable(getattr(rule, "update", None)):
        raise UsageError(
            f"warm_start is {name!r}, which sees what is hidden or learns as it goes; name a rule "
            "that stands still and sees what the agent sees, such as 'cf-rested'."
        )
    return for_variant(rule, task)


def _play(
    rule: Policy, venv: SlateVectorEnv, steps: int, config: TrainConfig, scale: float
) -> tuple[Arrays, NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
    """Return what a rule saw, did and earned from then on, and whether that is known, by frame."""
    seen: dict[str, list[NDArray[Any]]] = {}
    slates, rewards, dones = [], [], []
    # Two numbers, so that these users are none of those that learning meets.
    observation, _ = venv.reset(seed=[int(s) for s in _streams(config.seed)])
    rng = np.random.default_rng([config.seed, 0])
    for _ in range(steps):
        slate = np.asarray(rule.act(observation, rng), np.int64)
        for name, array in observation.items():
            seen.setdefault(name, []).append(np.array(array))
        observation, reward, ended, cut, _ = venv.step(slate.reshape(venv.action_space.shape))
        slates.append(slate)
        rewards.append(scale * reward)
        dones.append(ended | cut)
    goals, known = _returns(np.array(rewards), np.array(dones), config.gamma)
    flat = {name: np.concatenate(arrays) for name, arrays in seen.items()}
    return flat, np.concatenate(slates), goals, known


def _streams(seed: int) -> NDArray[np.int64]:
    """Return a seed for each user."""
    drawn = np.random.SeedSequence([seed, 2]).generate_state(USERS, np.uint32)
    return cast("NDArray[np.int64]", drawn.astype(np.int64))


def _returns(
    rewards: NDArray[np.float64], dones: NDArray[np.bool_], gamma: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return discounted returns ``(T * B,)``, and 1 where the episode's end was seen."""
    goals, known = np.zeros(rewards.shape), np.zeros(rewards.shape)
    ahead, whole = np.zeros(rewards.shape[1]), np.zeros(rewards.shape[1])
    for step in range(len(rewards) - 1, -1, -1):
        whole = np.where(dones[step], 1.0, whole)
        ahead = rewards[step] + gamma * np.where(dones[step], 0.0, ahead)
        goals[step], known[step] = ahead, whole
    return goals.reshape(-1).astype(np.float32), known.reshape(-1).astype(np.float32)
