"""A training run can be killed at any moment and ends with the same weights."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from slategym.agents import training
from slategym.agents.checkpoint import load_arrays
from slategym.agents.evaluation import evaluate
from slategym.agents.policy import make_policy
from slategym.agents.run_folder import RunFolder
from slategym.agents.train_config import TrainConfig
from slategym.agents.trained import load_agent
from slategym.agents.training import EVALUATION_SEED, train
from slategym.envs import registry
from slategym.envs.registry import get_variant
from slategym.envs.tiny import tiny_world
from slategym.envs.vector import SlateVectorEnv
from slategym.envs.world import World
from slategym.errors import DataError, SlateGymError, UsageError
from slategym.files import read_json, write_json
from slategym.progress import Silent

SMALL = TrainConfig(
    frames=1024,
    num_envs=16,
    n_steps=8,
    batch_size=64,
    epochs=2,
    evaluations=2,
    evaluation_users=8,
    checkpoint_every=2,
    gradients_every=4,
)


class KilledError(Exception):
    """Stands for SIGKILL: nothing after it is written."""


def stop_after(monkeypatch: pytest.MonkeyPatch, rollouts: int) -> None:
    """Let a run die in the middle of a rollout."""
    original, done = training._Trainer._iterate, []

    def iterate(self: training._Trainer, iteration: int) -> None:
        if len(done) == rollouts:
            self.model.collect_rollouts(
                self.env, self.model._callback, self.model.rollout_buffer, 3
            )
            raise KilledError
        done.append(iteration)
        original(self, iteration)

    monkeypatch.setattr(training._Trainer, "_iterate", iterate)


def without_time(run: Path) -> list[dict[str, object]]:
    lines = RunFolder(run).read_curve()
    return [{k: v for k, v in line.items() if k != "cpu_seconds"} for line in lines]


def same_weights(first: Path, second: Path) -> bool:
    mine = load_arrays(first / "policy.safetensors")
    other = load_arrays(second / "policy.safetensors")
    return mine.keys() == other.keys() and all(
        np.array_equal(array, other[name]) for name, array in mine.items()
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run nobody disturbed."""
    run = tmp_path_factory.mktemp("runs") / "whole"
    train(tiny_world(), run, SMALL)
    return run


@pytest.mark.parametrize("rollouts", [0, 1, 3, 7])
def test_a_killed_run_continues_to_the_same_weights_and_curve(
    rollouts: int, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        stop_after(patch, rollouts)
        with pytest.raises(KilledError):
            train(tiny_world(), tmp_path / "run", SMALL)
    np.random.seed(99)  # noqa: NPY002 - whatever the next process starts from must not matter
    torch.manual_seed(99)
    train(tiny_world(), tmp_path / "run", SMALL)
    assert same_weights(whole, tmp_path / "run")
    assert without_time(tmp_path / "run") == without_time(whole)


def test_another_seed_ends_elsewhere(whole: Path, tmp_path: Path) -> None:
    train(tiny_world(), tmp_path / "run", TrainConfig.from_json(SMALL.to_json() | {"seed": 1}))
    assert not same_weights(whole, tmp_path / "run")


def test_training_leaves_the_global_generators_and_threads_alone(tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    expected = torch.rand(3), np.random.rand(3)  # noqa: NPY002
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    train(tiny_world(), tmp_path / "run", TrainConfig.from_json(SMALL.to_json() | {"frames": 1}))
    assert torch.equal(torch.rand(3), expected[0])
    np.testing.assert_array_equal(np.random.rand(3), expected[1])  # noqa: NPY002
    assert torch.get_num_threads() == threads


def test_the_curve_says_how_learning_went(whole: Path) -> None:
    result = training.read_result(whole)
    assert result.frames == 1024
    assert [point["frames"] for point in result.evaluations] == [0, 512, 1024]
    assert result.final_return == result.evaluations[-1]["return"]
    lines = RunFolder(whole).read_curve()
    rollouts = [line for line in lines if line["kind"] == "rollout"]
    assert [line["frames"] for line in rollouts] == list(range(128, 1025, 128))
    for line in rollouts:
        assert {"rating", "item_features/relative", "recommendation_features"} <= set(line["aux"])
        assert line["entropy"] > 0
    assert [i for i, line in enumerate(rollouts) if "gradient_norms" in line] == [0, 4]


def test_a_finished_run_returns_at_once(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "_Trainer", None)  # would fail if anything were trained
    assert train(tiny_world(), whole, SMALL).frames == 1024


def test_a_folder_of_another_run_is_refused(whole: Path, tmp_path: Path) -> None:
    other = TrainConfig.from_json(SMALL.to_json() | {"gamma": 0.9})
    with pytest.raises(UsageError, match=r"holds a run with gamma = 0.97, not 0.9"):
        train(tiny_world(), whole, other)
    with pytest.raises(UsageError, match="was trained on world 'tiny-60x40-s0'"):
        train(tiny_world(seed=1), whole, SMALL)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="is no training run"):
        train(tiny_world(), tmp_path, SMALL)


def test_a_variant_changed_under_its_id_is_noticed(
    whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = get_variant(SMALL.variant).override(boredom=0.7, observation="ids")
    monkeypatch.setitem(registry._VARIANTS, SMALL.variant, changed)
    with pytest.raises(UsageError, match=r"boredom is 0.5 there and 0.7 now; give another"):
        train(tiny_world(), whole, SMALL)


def test_a_run_continued_by_other_versions_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        stop_after(patch, 1)
        with pytest.raises(KilledError):
            train(tiny_world(), tmp_path, SMALL)
    record = read_json(tmp_path / "agent.json")
    record["versions"]["torch"] = "1.0"
    write_json(tmp_path / "agent.json", record)
    told: list[str] = []

    class Notes(Silent):
        def note(self, message: str) -> None:
            told.append(message)

    train(tiny_world(), tmp_path, SMALL, Notes())
    assert told[0].startswith("torch 1.0 then, ")


def test_a_bad_configuration_leaves_no_folder_behind(tmp_path: Path) -> None:
    config = TrainConfig.from_json(SMALL.to_json() | {"variant": "slategym/Wrld-v0"})
    with pytest.raises(UsageError, match="slategym/World-v0"):
        train(tiny_world(), tmp_path / "run", config)
    assert not (tmp_path / "run").exists()


def test_a_damaged_checkpoint_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        stop_after(patch, 3)
        with pytest.raises(KilledError):
            train(tiny_world(), tmp_path / "run", SMALL)
    (state,) = (tmp_path / "run" / "checkpoint").glob("*.safetensors")
    damaged = bytearray(state.read_bytes())
    damaged[-1] ^= 1
    state.write_bytes(bytes(damaged))
    with pytest.raises(DataError, match="missing or changed"):
        train(tiny_world(), tmp_path / "run", SMALL)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"gama": 0.9}, "unknown training option 'gama'. Did you mean 'gamma'"),
        ({"gamma": 1.5}, "gamma is 1.5; it must be a number from 0 to 1"),
        ({"frames": 10.5}, "frames is 10.5; it must be a whole number"),
        ({"epochs": True}, "epochs is True"),
        ({"learning_rate": float("nan")}, "learning_rate is nan"),
        ({"observation": "pixels"}, "observation is 'pixels'; it must be 'ids' or 'features'"),
        ({"rank_by": "response", "rating": 0}, "needs rating > 0"),
        ({"variant": 3}, "variant is 3; it must be text"),
    ],
)
def test_a_configuration_names_what_is_wrong(values: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        TrainConfig.from_json(values)
    assert message in str(caught.value)


def test_a_configuration_survives_json() -> None:
    assert TrainConfig.from_json(json.loads(json.dumps(SMALL.to_json()))) == SMALL


def observed(world: World) -> dict[str, np.ndarray]:
    venv = SlateVectorEnv(8, world=world, observation="ids")
    return venv.reset(seed=0)[0]


def test_a_trained_agent_is_a_policy(whole: Path) -> None:
    world = tiny_world()
    agent = load_agent(whole, world)
    seen = observed(world)
    slate = agent.act(seen, np.random.default_rng(0))
    assert slate.shape == (8, 5)
    assert all(len(set(row)) == 5 for row in slate.tolist())
    np.testing.assert_array_equal(slate, agent.act(seen, np.random.default_rng(1)))
    alone = agent.act({k: v[2:3] for k, v in seen.items()}, np.random.default_rng(0))
    np.testing.assert_array_equal(alone[0], slate[2])
    assert load_agent(whole, world, slate_size=3).act(seen, np.random.default_rng(0)).shape == (
        8,
        3,
    )


def test_a_sampling_agent_draws_from_the_callers_generator_alone(whole: Path) -> None:
    agent, seen = load_agent(whole, tiny_world(), sample=True), observed(tiny_world())
    first = agent.act(seen, np.random.default_rng(1))
    assert not np.array_equal(first, agent.act(seen, np.random.default_rng(2)))
    np.testing.assert_array_equal(first, agent.act(seen, np.random.default_rng(1)))


def test_an_agent_serves_another_world_only_when_told_to(whole: Path) -> None:
    other = tiny_world(items=90, users=30, seed=4)
    with pytest.raises(UsageError, match="pass transfer=True"):
        load_agent(whole, other)
    slate = load_agent(whole, other, transfer=True).act(observed(other), np.random.default_rng(0))
    assert slate.max() < 20
    wider = tiny_world(content=20)
    with pytest.raises(DataError, match="item vectors have another width"):
        load_agent(whole, wider, transfer=True)


def test_an_unfinished_run_is_not_an_agent(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.begin(tiny_world(), SMALL, None)
    with pytest.raises(DataError, match="is not finished"):
        load_agent(folder.path, tiny_world())
    with pytest.raises(SlateGymError, match="does not exist"):
        load_agent(tmp_path / "nothing", tiny_world())


def test_training_on_vectors_inline_gives_an_agent_that_acts_on_ids(tmp_path: Path) -> None:
    config = TrainConfig.from_json(SMALL.to_json() | {"observation": "features", "frames": 256})
    train(tiny_world(), tmp_path / "run", config)
    agent = load_agent(tmp_path / "run", tiny_world())
    assert agent.act(observed(tiny_world()), np.random.default_rng(0)).shape == (8, 5)


SCRIPT = """
import sys
from slategym.agents.train_config import TrainConfig
from slategym.agents.training import train
from slategym.envs.tiny import tiny_world
train(tiny_world(), sys.argv[1], TrainConfig.from_json({config!r}))
"""


@pytest.mark.slow
def test_a_run_killed_by_the_system_again_and_again_ends_the_same(tmp_path: Path) -> None:
    config = SMALL.to_json() | {"frames": 6400, "checkpoint_every": 1}
    script = SCRIPT.format(config=config)
    run = tmp_path / "killed"
    command = [sys.executable, "-c", script, str(run)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    killed = 0
    for lines in (1, 9, 20, 41):
        process = subprocess.Popen(command, env=environment)
        while process.poll() is None:
            curve = run / "progress.jsonl"
            if curve.exists() and curve.read_bytes().count(b"\n") >= lines:
                process.send_signal(signal.SIGKILL)
                killed += 1
                break
            time.sleep(0.01)
        process.wait()
    assert killed == 4
    subprocess.run(command, env=environment, check=True)
    train(tiny_world(), tmp_path / "whole", TrainConfig.from_json(config))
    assert same_weights(run, tmp_path / "whole")
    assert without_time(run) == without_time(tmp_path / "whole")


@pytest.mark.slow
def test_a_short_training_beats_random_and_popularity_on_users_it_never_met(
    tmp_path: Path,
) -> None:
    world = tiny_world()
    train(world, tmp_path / "run", TrainConfig(frames=65_536))
    venv = SlateVectorEnv(512, world=world, observation="ids", users="held_out")
    agent = evaluate(load_agent(tmp_path / "run", world), venv, EVALUATION_SEED)
    for name in ("random", "popularity"):
        baseline = evaluate(make_policy(name, world, 5), venv, EVALUATION_SEED)
        assert agent["return"] > 1.5 * baseline["return"], name
