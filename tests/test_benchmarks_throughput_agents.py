"""The bare loop that the agent is timed against does the agent's work, and no other."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from slategym.agents.item_tables import PublicTables
from slategym.agents.presets import preset_config
from slategym.agents.sb3_env import as_sb3
from slategym.agents.slate_ppo import SlatePPO
from slategym.agents.train_config import TrainConfig
from slategym.agents.trained import tables_of
from slategym.agents.training import private_torch, seed_rollout
from slategym.benchmarks.throughput_agents import Contestant, configuration
from slategym.benchmarks.throughput_bare import BarePPO
from slategym.envs.tiny import tiny_world

SMALL: dict[str, Any] = {"num_envs": 16, "n_steps": 8, "batch_size": 64, "epochs": 2, "seed": 4}


@pytest.fixture(autouse=True)
def _own_generators() -> Iterator[None]:
    with private_torch(1):
        yield


def both(config: TrainConfig, *, classic: bool = False) -> tuple[SlatePPO, BarePPO]:
    """The agent and the bare loop, with the same weights."""
    world = None if classic else tiny_world()
    env = as_sb3(config.make_env(world, config.num_envs, config.observation))
    tables = tables_of(env.venv) if classic else PublicTables.from_world(tiny_world())
    agent = SlatePPO.from_config(env, tables, config)
    agent.begin(10**6)
    steps, users = config.n_steps, config.num_envs

    def shuffle(count: int) -> torch.Tensor:
        # The agent numbers transitions row by row, the loop step by step.
        order = np.random.permutation(count)  # noqa: NPY002 - the agent's draws
        return torch.from_numpy(order % steps * users + order // steps)

    venv = config.make_env(world, config.num_envs, config.observation)
    loop = BarePPO(venv, tables, config, shuffle=shuffle)
    loop.policy.load_state_dict(agent.policy.state_dict())
    return agent, loop


@pytest.mark.parametrize("aux", [False, True])
def test_two_rollouts_end_with_the_weights_of_the_agent(aux: bool) -> None:
    weights = {} if aux else {"rating": 0, "item_features": 0, "recommendation_features": 0}
    agent, loop = both(TrainConfig(horizon=5, **SMALL, **weights))
    for number in range(2):
        seed_rollout(0, number)
        agent.iterate()
        seed_rollout(0, number)
        said = loop.iterate()
    for name, ours in agent.policy.state_dict().items():
        theirs = loop.policy.state_dict()[name]
        torch.testing.assert_close(theirs, ours, atol=2e-5, rtol=1e-4, msg=name)
    figures = agent.figures()
    for name in ("policy_loss", "value_loss", "entropy", "clip_fraction"):
        assert said[name] == pytest.approx(figures[name], rel=1e-3, abs=1e-5), name


def test_a_minibatch_costs_the_agent_and_the_loop_the_same_loss() -> None:
    config = preset_config("slategym/InterestEvolution-v0", warm_start=None, **SMALL)
    agent, loop = both(config, classic=True)
    for model in (agent, loop):
        seed_rollout(0, 0)
        model.iterate()
    buffer = agent.rollout_buffer
    batch = next(buffer.get(64))
    rows = {
        "state": buffer.inputs.state,
        "match": buffer.inputs.match,
        "candidates": batch.observations["candidates"],
        "slate": batch.actions,
        "log_prob": batch.old_log_prob,
        "advantage": batch.advantages,
        "return": batch.returns,
    }
    loop.policy.load_state_dict(agent.policy.state_dict())
    loss, (policy_loss, value_loss, entropy, *_) = loop.loss(rows)
    values, log_prob, spread = agent.policy.evaluate_actions(batch.observations, batch.actions)
    ratio = torch.exp(log_prob - batch.old_log_prob)
    advantage = (batch.advantages - batch.advantages.mean()) / (batch.advantages.std() + 1e-8)
    surrogate = torch.min(advantage * ratio, advantage * ratio.clamp(0.8, 1.2))
    error = (values.flatten() - batch.returns).square().mean()
    expected = -surrogate.mean() - config.entropy * spread.mean() + config.value * error
    torch.testing.assert_close(loss, expected)
    assert policy_loss == pytest.approx(-surrogate.mean().item(), abs=1e-6)
    assert value_loss == pytest.approx(error.item(), rel=1e-5)
    assert entropy == pytest.approx(spread.mean().item(), rel=1e-5)


def test_rates_and_shares_leave_the_first_rollouts_out() -> None:
    spent = iter([0.0, 0.0, 0.0, 0.0])
    contestant = Contestant("none", lambda _: sum(range(100_000)), 100, lambda: next(spent))
    contestant.run(0)
    contestant.run(1)
    assert len(contestant.seconds) == 2
    contestant.seconds, contestant.shares = [0.1, 0.1, 2.0, 4.0], [0.9, 0.9, 0.25, 0.25]
    assert contestant.rate == 50.0
    assert contestant.share == 0.25
    slower = Contestant("slow", lambda _: None, 100)
    slower.seconds = [9.0, 9.0, 4.0, 8.0]
    assert contestant.against(slower) == 2.0


@pytest.mark.parametrize("task", ["tiny", "interest-evolution"])
def test_without_auxiliary_losses_none_has_a_weight(task: str) -> None:
    assert not any(configuration(task, aux=False).aux.values())
    assert configuration(task, aux=True).aux["rating"] == 1.0
