"""Agents train on RecSim's tasks: from observations alone, with the same run folders as worlds."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from slategym.agents import training
from slategym.agents.checkpoint import load_arrays
from slategym.agents.classic_features import ClassicFeatures, classic_targets
from slategym.agents.classic_tables import ClassicTables
from slategym.agents.presets import preset, preset_config
from slategym.agents.seed_runs import runs_in, train_seeds
from slategym.agents.train_config import TrainConfig
from slategym.agents.trained import load_agent
from slategym.agents.training import train
from slategym.benchmarks.classic_bench import is_classic, judge_classic
from slategym.cli import run as run_command
from slategym.envs.registry import get_variant
from slategym.envs.tiny import tiny_world
from slategym.envs.vector import SlateVectorEnv
from slategym.errors import DataError, UsageError

EVOLUTION = "slategym/InterestEvolution-v0"
NICHE = "slategym/NicheExploration-v0"
SATISFACTION = "slategym/LongTermSatisfaction-v0"
SMALL = {
    "frames": 1024,
    "num_envs": 16,
    "n_steps": 8,
    "batch_size": 64,
    "epochs": 2,
    "evaluations": 1,
    "evaluation_users": 8,
    "checkpoint_every": 2,
    "gradients_every": 4,
    "warm_start": None,
}


def small(variant: str, **changes: object) -> TrainConfig:
    return preset_config(variant, **(SMALL | changes))


def tensors(observation: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(np.array(array)) for name, array in observation.items()}


@pytest.mark.parametrize("variant", [EVOLUTION, NICHE, SATISFACTION])
@pytest.mark.parametrize("algo", ["ppo", "a2c"])
def test_a_killed_run_on_a_classic_ends_with_the_same_weights(
    variant: str, algo: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small(variant, algo=algo, frames=512)
    train(None, tmp_path / "whole", config)
    original = training._Trainer._iterate

    def iterate(self: training._Trainer, iteration: int) -> None:
        if iteration == 3:
            raise KeyboardInterrupt
        original(self, iteration)

    with monkeypatch.context() as patch:
        patch.setattr(training._Trainer, "_iterate", iterate)
        with pytest.raises(KeyboardInterrupt):
            train(None, tmp_path / "killed", config)
    train(None, tmp_path / "killed", config)
    mine = load_arrays(tmp_path / "killed" / "policy.safetensors")
    other = load_arrays(tmp_path / "whole" / "policy.safetensors")
    assert mine.keys() == other.keys()
    for name, array in mine.items():
        np.testing.assert_array_equal(array, other[name])


def test_weights_serve_ids_and_features_alike(tmp_path: Path) -> None:
    train(None, tmp_path / "run", small(EVOLUTION))
    agent = load_agent(tmp_path / "run", None)
    slates = []
    for encoding in ("ids", "features"):
        env = SlateVectorEnv(6, variant=EVOLUTION, observation=encoding, history_length=9)
        observation, _ = env.reset(seed=4)
        for _ in range(5):
            slate = agent.act(observation, np.random.default_rng(0))
            observation = env.step(slate)[0]
        slates.append(slate)
    np.testing.assert_array_equal(slates[0], slates[1])


def test_ten_times_the_candidates_and_a_longer_slate_are_served(tmp_path: Path) -> None:
    train(None, tmp_path / "run", small(NICHE))
    agent = load_agent(tmp_path / "run", None, slate_size=4)
    env = SlateVectorEnv(6, variant=NICHE, num_candidates=100, slate_size=4)
    slate = agent.act(env.reset(seed=0)[0], np.random.default_rng(0))
    assert slate.shape == (6, 4)
    assert slate.max() > 9


def test_memory_traces_are_what_exposure_is_made_of() -> None:
    """Net positive exposure is a discounted sum of 1 - 2 c; the trace of that discount is it."""
    variant = get_variant(SATISFACTION).override(history_length=30, innovation_stddev=0.0)
    env = SlateVectorEnv(5, variant=variant, privileged=True)
    observation, info = env.reset(seed=0)
    start = info["privileged"]["npe"].copy()
    for _ in range(12):
        observation, _, _, _, info = env.step(env.action_space.sample())
    reader = ClassicFeatures(ClassicTables.from_variant(variant), env.single_observation_space)
    traces = reader._traces(tensors(observation)).numpy()
    exposure = -2 * traces[:, 1, 0] / 0.3 + 0.7**12 * start  # of the second decay, 0.7
    np.testing.assert_allclose(exposure, info["privileged"]["npe"], atol=1e-5)


def test_clicks_of_clusters_are_counted_from_either_encoding() -> None:
    found = []
    for encoding in ("ids", "features"):
        env = SlateVectorEnv(5, variant=EVOLUTION, observation=encoding, history_length=40)
        observation, _ = env.reset(seed=0)
        clicks = np.zeros(5)
        for _ in range(9):
            observation, _, _, _, info = env.step(np.tile(np.arange(3), (5, 1)))
            clicks += info["response"]["click"].sum(1)
        tables = ClassicTables.from_variant(env.variant)
        reader = ClassicFeatures(tables, env.single_observation_space)
        counts = reader._clicked(tensors(observation)).numpy()
        np.testing.assert_array_equal(counts.sum(1), clicks)
        found.append(reader(tensors(observation)))
    torch.testing.assert_close(found[0].state, found[1].state)
    torch.testing.assert_close(found[0].match, found[1].match)


def test_the_targets_of_a_classic_have_the_names_of_a_worlds() -> None:
    env = SlateVectorEnv(4, variant=SATISFACTION)
    env.reset(seed=0)
    info = env.step(np.zeros(4, np.int64))[4]
    targets = classic_targets(info)
    np.testing.assert_allclose(
        targets["rating"], np.log1p(info["response"]["engagement"]) / 12, rtol=1e-6
    )
    assert targets["slate"].shape == targets["click"].shape == (4, 1)


def test_losses_without_a_target_are_refused_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"item_features has weight 0.05, but a classic has no"):
        train(None, tmp_path / "run", TrainConfig(variant=EVOLUTION))
    assert not (tmp_path / "run").exists()


def test_a_classic_has_no_world_and_a_world_is_needed_elsewhere(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="lives in no world"):
        train(tiny_world(), tmp_path / "run", small(EVOLUTION))
    with pytest.raises(UsageError, match="needs a world"):
        train(None, tmp_path / "run", TrainConfig())
    train(None, tmp_path / "run", small(SATISFACTION, frames=128))
    with pytest.raises(UsageError, match="pass None"):
        load_agent(tmp_path / "run", tiny_world())
    with pytest.raises(UsageError, match="holds a run with variant"):
        train(None, tmp_path / "run", small(NICHE, frames=128))


def test_a_clone_starts_above_chance(tmp_path: Path) -> None:
    cold = train(None, tmp_path / "cold", small(EVOLUTION, frames=128, evaluation_users=256))
    warm = train(
        None,
        tmp_path / "warm",
        small(EVOLUTION, frames=128, evaluation_users=256, warm_start="quality", warm_frames=8192),
    )
    assert warm.evaluations[0]["return"] > cold.evaluations[0]["return"] + 40
    with pytest.raises(UsageError, match="Known: myopic, quality, random, ratio"):
        train(None, tmp_path / "bad", small(EVOLUTION, warm_start="quolity"))


def test_a_set_of_seeds_is_trained_continued_and_judged(tmp_path: Path) -> None:
    config = small(SATISFACTION, frames=256)
    results = train_seeds(None, tmp_path / "set", config, 2)
    assert [result.seed for result in results] == [0, 1]
    assert [run.name for run in runs_in(tmp_path / "set")] == ["seed-0", "seed-1"]
    assert len(train_seeds(None, tmp_path / "set", config, 3)) == 3
    assert is_classic(tmp_path / "set")
    results = judge_classic([tmp_path / "set"], tmp_path / "bench", users=64)
    rows = {row["name"]: row for row in results["rows"]}
    assert len(rows["set"]["seeds"]) == 3
    assert rows["random"]["score"] == 0.0
    assert rows["optimal"]["score"] == 1.0
    assert rows["optimal"]["return"]["estimate"] > rows["kale"]["return"]["estimate"]
    assert (tmp_path / "bench" / "results.json").exists()
    with pytest.raises(UsageError, match="is a single run"):
        train_seeds(None, tmp_path / "set" / "seed-0", config, 2)
    with pytest.raises(DataError, match="holds no training run"):
        runs_in(tmp_path / "bench")


def test_runs_of_different_tasks_are_not_judged_together(tmp_path: Path) -> None:
    train(None, tmp_path / "a", small(SATISFACTION, frames=128))
    train(None, tmp_path / "b", small(SATISFACTION, frames=128, env={"sensitivity": 0.5}))
    with pytest.raises(UsageError, match="different tasks"):
        judge_classic([tmp_path / "a", tmp_path / "b"], users=8)


def test_a_preset_is_taken_where_nothing_else_is_said() -> None:
    assert preset("slategym/World-v0") == {}
    assert preset("slategym/Video-v0") == {"response_weight": 0.0}
    assert "response_weight" not in preset("slategym/Video-v0", "slate_q")
    config = preset_config(EVOLUTION, env={"slate_size": 2}, gamma=0.5)
    assert config.task().slate_size == 2
    assert config.gamma == 0.5
    assert config.env["history_length"] == preset(EVOLUTION)["env"]["history_length"]
    with pytest.raises(UsageError, match="slate_size is given both"):
        TrainConfig(variant=EVOLUTION, slate_size=2, env={"slate_size": 3}).task()


def test_a_reward_that_is_no_number_stops_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = SlateVectorEnv.step

    def step(self: SlateVectorEnv, actions: np.ndarray) -> tuple[object, ...]:
        observation, reward, *rest = original(self, actions)
        return observation, np.full_like(reward, np.nan), *rest

    monkeypatch.setattr(SlateVectorEnv, "step", step)
    with pytest.raises(DataError, match="16 rewards that are not finite in step 1"):
        train(None, tmp_path / "run", small(SATISFACTION, evaluations=0, reward_scale=1.0))


def test_a_diverged_run_stops_with_the_frame_and_the_figure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = training._Trainer._iterate

    def iterate(self: training._Trainer, iteration: int) -> None:
        if iteration == 2:
            next(iter(self.model.policy.value_net.parameters())).data.fill_(float("nan"))
        original(self, iteration)

    monkeypatch.setattr(training._Trainer, "_iterate", iterate)
    with pytest.raises(DataError, match=r"diverged at frame 384: \w+ is nan"):
        train(None, tmp_path / "run", small(EVOLUTION, evaluations=0, gradients_every=0))


def test_the_command_line_trains_seeds_and_judges_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "set")
    options = "num_envs=16,n_steps=8,batch_size=64,epochs=1,evaluation_users=8,evaluations=1"
    train_them = ["train", "--env", SATISFACTION, "-s", "env.num_candidates=7", "-s", options]
    train_them += ["--algo", "ppo", "--seeds", "2", "--frames", "128", "--out", out, "--json"]
    assert run_command(train_them) == 0
    told = json.loads(capsys.readouterr().out)
    assert [run["config"]["seed"] for run in told["seeds"]] == [0, 1]
    assert told["final_return"]["estimate"] > 0
    assert run_command(["bench", "--run", out, "--users", "16", "--json"]) == 0
    judged = json.loads(capsys.readouterr().out)
    assert judged["variant"]["num_candidates"] == 7
    assert {row["name"] for row in judged["rows"]} >= {"set", "random", "optimal"}
    assert run_command(["train", "--env", SATISFACTION, "--algo", "pqo", "--out", out]) == 2
    assert "Did you mean 'ppo'?" in capsys.readouterr().err


def test_in_a_world_too_a_clone_starts_as_its_rule(tmp_path: Path) -> None:
    options = {"frames": 128, "num_envs": 64, "n_steps": 2, "batch_size": 64, "evaluations": 1}
    cold = train(tiny_world(), tmp_path / "cold", TrainConfig(**options))
    rule = {"warm_start": "cf-rested", "warm_frames": 8192}
    warm = train(tiny_world(), tmp_path / "warm", TrainConfig(**options, **rule))
    assert warm.evaluations[0]["return"] > cold.evaluations[0]["return"] + 1.0
    refused = {
        "oracle-myopic": "sees what is hidden",
        "linucb": "learns as it goes",
        "cf-rest": "Did you mean 'cf-rested'",
    }
    for name, why in refused.items():
        with pytest.raises(UsageError, match=why):
            train(tiny_world(), tmp_path / name, TrainConfig(**options, warm_start=name))
    config = TrainConfig(**options, warm_start="cf-rested", algo="slate_q")
    with pytest.raises(UsageError, match="that is for ppo and a2c"):
        train(tiny_world(), tmp_path / "q", config)
