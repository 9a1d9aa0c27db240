"""An agent that goes on learning: the same where nothing changes, other where something does."""

import numpy as np
import pytest

from slategym.agents.adaptive import AdaptivePolicy
from slategym.agents.train_config import TrainConfig
from slategym.agents.trained import TrainedPolicy, load_agent
from slategym.agents.training import train
from slategym.benchmarks.rollout import rollout
from slategym.envs.tiny import tiny_world
from slategym.envs.vector import SlateVectorEnv
from slategym.envs.world import World
from slategym.errors import UsageError


@pytest.fixture(scope="module")
def world() -> World:
    return tiny_world()


@pytest.fixture(scope="module")
def agent(world: World, tmp_path_factory: pytest.TempPathFactory) -> TrainedPolicy:
    run = tmp_path_factory.mktemp("adaptive") / "run"
    config = TrainConfig(frames=2048, num_envs=64, n_steps=8, batch_size=256, evaluations=0)
    train(world, run, config)
    return load_agent(run, world)


def calm(world: World) -> SlateVectorEnv:
    return SlateVectorEnv(64, world=world, observation="ids", users="train")


def test_without_a_lesson_it_is_the_frozen_agent(agent: TrainedPolicy, world: World) -> None:
    adapting = AdaptivePolicy(agent, world).warm_up(calm(world), seed=1, steps=10)
    observation, _ = calm(world).reset(seed=5)
    rng = np.random.default_rng(0)
    np.testing.assert_array_equal(
        adapting.act(observation, rng), agent.act(observation, np.random.default_rng(0))
    )


def test_strength_zero_never_leaves_the_frozen_agent(agent: TrainedPolicy, world: World) -> None:
    adapting = AdaptivePolicy(agent, world, strength=0.0).warm_up(calm(world), seed=1, steps=5)
    served = rollout(adapting, world, users=32)
    frozen = rollout(agent, world, users=32)
    np.testing.assert_array_equal(served.returns, frozen.returns)


def test_what_is_taken_again_and_again_comes_to_the_front(
    agent: TrainedPolicy, world: World
) -> None:
    """Users who suddenly take one item only teach the head that item."""
    adapting = AdaptivePolicy(agent, world, strength=20.0).warm_up(calm(world), seed=1, steps=10)
    observation, _ = calm(world).reset(seed=3)
    loved = int(observation["candidates"][0, -1])
    before = adapting.act(observation, np.random.default_rng(0))
    for step in range(30):
        env = calm(world)
        seen, _ = env.reset(seed=100 + step)
        slate = np.argsort(seen["candidates"] != loved, axis=1, kind="stable")[:, :5]
        click = np.take_along_axis(seen["candidates"], slate, axis=1) == loved
        adapting.update(seen, slate, {"click": click, "reward": click.any(axis=1) * 1.0})
    after = adapting.act(observation, np.random.default_rng(0))
    has = observation["candidates"] == loved

    def share(slates: np.ndarray) -> float:
        return float(np.take_along_axis(has, slates, axis=1).any(axis=1)[has.any(axis=1)].mean())

    assert share(after) > share(before) or share(after) == 1.0


def test_served_twice_it_does_the_same(agent: TrainedPolicy, world: World) -> None:
    first, second = (
        rollout(AdaptivePolicy(agent, world).warm_up(calm(world), seed=1, steps=8), world, users=48)
        for _ in range(2)
    )
    np.testing.assert_array_equal(first.shown, second.shown)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"memory": 0.0}, "memory is 0.0"),
        ({"strength": -1.0}, "strength is -1.0"),
        ({"ridge": 0.0}, "ridge is 0.0"),
    ],
)
def test_options_out_of_range_are_named(
    options: dict[str, float], said: str, agent: TrainedPolicy, world: World
) -> None:
    with pytest.raises(UsageError, match=said):
        AdaptivePolicy(agent, world, **options)


def test_a_warm_up_of_no_steps_is_refused(agent: TrainedPolicy, world: World) -> None:
    with pytest.raises(UsageError, match="needs at least 1"):
        AdaptivePolicy(agent, world).warm_up(calm(world), seed=1, steps=0)


def test_the_network_stays_frozen(agent: TrainedPolicy, world: World) -> None:
    weights = {name: value.clone() for name, value in agent.network.state_dict().items()}
    adapting = AdaptivePolicy(agent, world).warm_up(calm(world), seed=1, steps=3)
    rollout(adapting, world, users=16)
    assert all((weights[name] == value).all() for name, value in agent.network.state_dict().items())
