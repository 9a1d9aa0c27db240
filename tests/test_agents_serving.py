"""A trained agent serves from its folder: arrays in, slates out, and so does what it exports."""

from pathlib import Path

import numpy as np
import pytest
import torch

from slategym.agents.presets import preset_config
from slategym.agents.serving import load_agent
from slategym.agents.train_config import TrainConfig
from slategym.agents.trained import TrainedPolicy
from slategym.agents.trained import load_agent as load_policy
from slategym.agents.training import train
from slategym.envs.tiny import tiny_world
from slategym.envs.vector import SlateVectorEnv
from slategym.errors import DataError, UsageError

SMALL = {
    "frames": 256,
    "num_envs": 16,
    "n_steps": 8,
    "batch_size": 64,
    "epochs": 1,
    "evaluations": 0,
    "gradients_every": 0,
    "warm_start": None,
}
Served = tuple[Path, dict[str, np.ndarray], TrainedPolicy]
CLASSICS = ("slategym/InterestEvolution-v0", "slategym/LongTermSatisfactionHard-v0")


@pytest.fixture(scope="module", params=["world", *CLASSICS])
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Served:
    """A run folder, observations of its task, and the policy that benchmarks load."""
    run = tmp_path_factory.mktemp("serving") / "run"
    if request.param == "world":
        world = tiny_world()
        train(world, run, TrainConfig(**SMALL))
        env = SlateVectorEnv(6, world=world, observation="ids")
    else:
        world = None
        config = preset_config(request.param, **SMALL)
        train(None, run, config)
        env = config.make_env(None, 6, "ids")
    observation, _ = env.reset(seed=5)
    return run, observation, load_policy(run, world)


def test_it_chooses_what_the_policy_of_the_benchmarks_chooses(served: Served) -> None:
    run, observation, policy = served
    agent = load_agent(run)
    slates = agent.act(observation)
    np.testing.assert_array_equal(slates, policy.act(observation, np.random.default_rng(0)))
    alone = agent.act({name: array[2] for name, array in observation.items()})
    np.testing.assert_array_equal(alone, slates[2])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("batch", [1, 6])
def test_the_exported_agent_agrees(served: Served, tmp_path: Path, batch: int) -> None:
    run, observation, _ = served
    agent = load_agent(run)
    module = torch.jit.load(str(agent.export(tmp_path / "agent.pt", batch)))
    seen = {name: array[:batch] for name, array in observation.items()}
    found = module({name: torch.from_numpy(np.array(array)) for name, array in seen.items()})
    np.testing.assert_array_equal(found.numpy(), agent.act(seen))


def test_observations_of_another_task_are_refused(served: Served) -> None:
    run, observation, _ = served
    agent = load_agent(run)
    lacking = {name: array for name, array in observation.items() if name != "context"}
    with pytest.raises(UsageError, match="the observation lacks context"):
        agent.act(lacking)
    wider = observation | {"user": np.zeros((6, 999), np.float32)}
    with pytest.raises(UsageError, match=r"observation\['user'\] has shape \(6, 999\)"):
        agent.act(wider)


def test_a_folder_that_cannot_serve_says_why(served: Served, tmp_path: Path) -> None:
    run, _, _ = served
    for name in ("agent.json", "policy.safetensors", "serving.json", "tables.safetensors"):
        (tmp_path / name).write_bytes((run / name).read_bytes())
    weights = (tmp_path / "policy.safetensors").read_bytes()
    (tmp_path / "policy.safetensors").write_bytes(weights[: len(weights) // 2])
    with pytest.raises(DataError, match="is damaged"):
        load_agent(tmp_path)
    (tmp_path / "policy.safetensors").unlink()
    with pytest.raises(DataError, match="is not finished"):
        load_agent(tmp_path)
    (tmp_path / "policy.safetensors").write_bytes(weights)
    (tmp_path / "serving.json").unlink()
    with pytest.raises(DataError, match="older version"):
        load_agent(tmp_path)
