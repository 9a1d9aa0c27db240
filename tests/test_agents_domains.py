"""The slate agent reads what each domain adds to the observation, in both encodings."""

from pathlib import Path

import numpy as np
import pytest
import torch

from slategym.agents.features import Extras, ObservationFeatures
from slategym.agents.item_tables import PublicTables
from slategym.agents.train_config import TrainConfig
from slategym.agents.trained import load_agent
from slategym.agents.training import train
from slategym.envs.checks import actions_for
from slategym.envs.registry import get_variant, list_variants
from slategym.envs.tiny import tiny_world
from slategym.envs.vector import SlateVectorEnv

DOMAINS = [name for name in list_variants() if get_variant(name).family == "world"]


@pytest.mark.parametrize("variant", DOMAINS)
def test_both_encodings_tell_the_networks_the_same(variant: str) -> None:
    tables = PublicTables.from_world(tiny_world())
    read = []
    for observation in ("ids", "features"):
        env = SlateVectorEnv(9, variant=variant, observation=observation)
        given, _ = env.reset(seed=0)
        for step in range(3):
            given, *_ = env.step(actions_for(env, step, np.arange(9)))
        extras = Extras.of(env.single_observation_space, tables)
        features = ObservationFeatures(
            tables, env.single_observation_space["user"].shape[0], extras
        )
        read.append(features({key: torch.as_tensor(value) for key, value in given.items()}))
    for name in ("state", "match"):
        first, second = getattr(read[0], name), getattr(read[1], name)
        torch.testing.assert_close(first, second, atol=2e-4, rtol=1e-3)
        assert first.shape[-1] == getattr(features, f"{name}_size")


def test_a_search_draws_the_match_towards_its_topic() -> None:
    tables = PublicTables.from_world(tiny_world())
    env = SlateVectorEnv(200, variant="slategym/Shop-v0", observation="ids", search_rate=1.0)
    given, _ = env.reset(seed=0)
    features = ObservationFeatures(
        tables, given["user"].shape[1], Extras.of(env.single_observation_space, tables)
    )
    match = features({key: torch.as_tensor(value) for key, value in given.items()}).match[..., -1]
    topics = env.world.item_topics[given["candidates"]]  # (B, C, Z)
    wanted = np.take_along_axis(topics, env.simulation.state.query[:, None, None], axis=2)[..., 0]
    near, far = match.numpy()[wanted > 0.5], match.numpy()[wanted == 0]
    assert near.mean() > far.mean() + far.std()


@pytest.mark.parametrize("variant", DOMAINS)
def test_the_agent_trains_and_serves_in_every_domain(variant: str, tmp_path: Path) -> None:
    world = tiny_world()
    config = TrainConfig(
        frames=1024, variant=variant, num_envs=64, n_steps=8, evaluations=1, evaluation_users=8,
        rating=1.0,
    )  # fmt: skip
    train(world, tmp_path / "run", config)
    env = SlateVectorEnv(5, variant=variant, observation="ids")
    slates = load_agent(tmp_path / "run", world).act(env.reset(seed=0)[0], np.random.default_rng(0))
    assert slates.shape == (5, env.variant.slate_size)
