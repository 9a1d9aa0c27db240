"""Training as a product: what is watched, when it stops, who judges it, and what bounds it."""

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from slategym.agents import training
from slategym.agents.algorithms import algorithm
from slategym.agents.aux_weights import AuxWeights
from slategym.agents.checkpoint import load_arrays
from slategym.agents.constraint import Constraint, signal_of
from slategym.agents.gradients import compare
from slategym.agents.held_out import held_items, set_aside
from slategym.agents.judging import Judges
from slategym.agents.run_folder import RunFolder
from slategym.agents.run_watch import Watch
from slategym.agents.sb3_env import as_sb3
from slategym.agents.stopping import best_of, is_over
from slategym.agents.train_config import TrainConfig
from slategym.agents.trained import TrainedPolicy, tables_of
from slategym.agents.training import train
from slategym.benchmarks.metrics import intra_list_diversity
from slategym.cli import run as command
from slategym.envs.tiny import tiny_world
from slategym.envs.vector import SlateVectorEnv
from slategym.errors import DataError, UsageError

SMALL: dict[str, Any] = {
    "frames": 512,
    "num_envs": 16,
    "n_steps": 8,
    "batch_size": 64,
    "epochs": 1,
    "evaluations": 2,
    "evaluation_users": 8,
    "checkpoint_every": 1,
    "gradients_every": 2,
    "horizon": 8,
}
EVERYTHING: dict[str, Any] = {
    "constraint": "diversity",
    "floor": 0.9,
    "aux_weighting": "learned",
    "keep": "best",
    "patience": 9,
    "validation_users": 0.25,
    "validation_items": 0.4,
}


def config(**values: Any) -> TrainConfig:  # noqa: ANN401
    return TrainConfig.from_json({**SMALL, **values})


class KilledError(Exception):
    """Stands for SIGKILL."""


def killed(config: TrainConfig, run: Path, rollouts: int, watch: Watch | None = None) -> None:
    """Train until so many rollouts are done and on disk."""
    original = training._Trainer._iterate

    def iterate(self: training._Trainer, iteration: int) -> None:
        original(self, iteration)
        if iteration == rollouts:  # its line is in the curve, its checkpoint is not written
            raise KilledError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training._Trainer, "_iterate", iterate)
        with pytest.raises(KilledError):
            train(tiny_world(), run, config, watch=watch)


def curve(run: Path) -> list[dict[str, Any]]:
    lines = RunFolder(run).read_curve()
    return [{k: v for k, v in line.items() if k != "cpu_seconds"} for line in lines]


def weights(run: Path) -> dict[str, np.ndarray]:
    return load_arrays(run / "policy.safetensors")


@pytest.mark.parametrize("algo", ["ppo", "slate_q"])
@pytest.mark.filterwarnings("ignore:.*protobuf.*")
def test_with_everything_on_a_killed_run_ends_the_same_and_shows_each_step_once(
    algo: str, tmp_path: Path
) -> None:
    whole = config(algo=algo, **EVERYTHING)
    train(tiny_world(), tmp_path / "whole", whole)
    killed(whole, tmp_path / "killed", 2, Watch(tensorboard=True))
    result = train(tiny_world(), tmp_path / "killed", whole, watch=Watch(tensorboard=True))
    assert curve(tmp_path / "killed") == curve(tmp_path / "whole")
    mine, other = weights(tmp_path / "killed"), weights(tmp_path / "whole")
    assert mine.keys() == other.keys()
    assert all(np.array_equal(array, other[name]) for name, array in mine.items())
    assert any(name.startswith("weigh.log_variance") for name in mine)
    lines = curve(tmp_path / "killed")
    rollouts = [line for line in lines if line["kind"] == "rollout"]
    assert all(line["constraint"]["multiplier"] > 0 for line in rollouts)
    assert all(set(line["aux_weights"]) == set(whole.aux) for line in rollouts)
    assert {"validation_return", "new_items_return", "signal"} <= set(result.evaluations[0])
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    found = events.EventAccumulator(str(tmp_path / "killed" / "tensorboard"))
    found.Reload()
    steps = [event.step for event in found.Scalars("constraint/multiplier")]
    assert steps == [line["frames"] for line in rollouts]
    assert [e.step for e in found.Scalars("evaluation/return")] == [0, 256, 512]


def test_training_leaves_nothing_outside_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    for algo in ("ppo", "slate_q"):
        train(tiny_world(), tmp_path / algo, config(algo=algo, frames=128))
    assert list((tmp_path / "tmp").iterdir()) == []
    assert not (tmp_path / "ppo" / "tensorboard").exists()


def test_a_run_stops_for_want_of_a_better_evaluation_and_keeps_the_best(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    returns, seen = iter([1.0, 5.0, 3.0, 4.0, 9.0]), []

    def point(self: Judges, agent: TrainedPolicy) -> Mapping[str, float]:  # noqa: ARG001
        seen.append({k: v.clone() for k, v in agent.network.state_dict().items()})
        return {"return": next(returns), "length": 1.0, "clicks": 1.0}

    monkeypatch.setattr(Judges, "point", point)
    run = tmp_path / "run"
    result = train(tiny_world(), run, config(evaluations=4, patience=2, keep="best"))
    assert result.stopped
    assert result.frames == 384
    assert result.kept_frames == 128
    assert result.final_return == 5.0
    assert curve(run)[-1] == {
        "kind": "end", "frames": 384, "best_frames": 128, "kept_frames": 128, "stopped": True,
    }  # fmt: skip
    for name, array in weights(run).items():
        np.testing.assert_array_equal(array, seen[1][name].numpy())
    assert train(tiny_world(), run, config(evaluations=4, patience=2, keep="best")) == result


def test_the_best_evaluation_is_the_first_of_the_highest_that_meet_the_floor() -> None:
    points = [{"return": earned} for earned in (1.0, 3.0, 3.0, 2.0)]
    assert best_of(points) == 1
    assert not is_over(points, 0)
    assert not is_over(points, 3)
    assert is_over(points, 2)
    held = [{"return": 9.0, "validation_return": earned} for earned in (1.0, 0.0)]
    assert best_of(held) == 0
    bounded = [{"return": r, "signal": s} for r, s in ((9.0, 0.1), (1.0, 0.6), (2.0, 0.5))]
    assert best_of(bounded, 0.5) == 2
    assert best_of(bounded, 0.9) == 1


def test_weights_are_fixed_scheduled_or_learned() -> None:
    losses = {"a": torch.tensor(3.0, requires_grad=True), "b": torch.tensor(5.0)}
    fixed = AuxWeights({"a": 0.5, "b": 2.0})
    assert float(fixed(losses).detach()) == 11.5
    assert list(fixed.parameters()) == []
    scheduled = AuxWeights({"a": 0.5, "b": 2.0}, "scheduled")
    scheduled.share = 0.25
    assert float(scheduled(losses).detach()) == 11.5 / 4
    learned = AuxWeights({"a": 0.5, "b": 2.0}, "learned")
    assert learned.now() == pytest.approx({"a": 0.5, "b": 2.0})
    total = learned(losses)
    # Beside the weighted losses stands ln sigma of each: half of -ln w.
    assert float(total.detach()) == pytest.approx(11.5 - (np.log(0.5) + np.log(2.0)) / 2, abs=1e-6)
    total.backward()
    assert float(losses["a"].grad) == pytest.approx(0.5)
    assert float(learned.log_variance["a"].grad) == pytest.approx(0.5 - 0.5 * 3.0)
    assert float(learned.log_variance["b"].grad) == pytest.approx(0.5 - 2.0 * 5.0)
    with pytest.raises(UsageError, match="Did you mean 'learned'"):
        AuxWeights({"a": 1.0}, "learnt")  # type: ignore[arg-type]


def test_a_schedule_falls_in_a_line_over_the_run(tmp_path: Path) -> None:
    made = config(aux_weighting="scheduled", aux_final=0.5, rating=2.0)
    train(tiny_world(), tmp_path / "run", made)
    rollouts = [line for line in curve(tmp_path / "run") if line["kind"] == "rollout"]
    assert [line["aux_weights"]["rating"] for line in rollouts] == [2.0, 1.75, 1.5, 1.25]
    cosines = rollouts[0]["cosine_with_policy"]
    assert set(cosines) == {"value", *made.aux}
    assert all(-1.0 <= cosine <= 1.0 for cosine in cosines.values())


def test_gradients_are_compared_with_the_policys() -> None:
    x = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
    losses = {"policy": 2 * x[0], "with": 3 * x[0], "against": x[1] - x[0], "apart": x[1].square()}
    found = compare({**losses, "none": torch.tensor(1.0)}, [x])
    norms = {"policy": 2.0, "with": 3.0, "against": 2**0.5, "apart": 4.0, "none": 0.0}
    assert found.norms == pytest.approx(norms)
    assert found.reference == "policy"
    assert found.cosines == pytest.approx({"with": 1.0, "against": -(2**-0.5), "apart": 0.0})


def test_the_multiplier_rises_below_the_floor_and_falls_to_zero_above_it() -> None:
    made = Constraint(lambda info: info["x"], floor=0.5, rate=2.0, limit=0.7)
    reward = made.reward(np.ones(2), {"x": np.array([0.2, 0.6])})
    np.testing.assert_array_equal(reward, [1.0, 1.0])
    assert made.update() == pytest.approx({"signal": 0.4, "multiplier": 0.2})
    np.testing.assert_allclose(made.reward(np.ones(2), {"x": np.array([0.2, 0.6])}), [0.94, 1.02])
    made.update()
    made.reward(np.ones(1), {"x": np.zeros(1)})
    assert made.update()["multiplier"] == 0.7  # the limit
    made.reward(np.ones(1), {"x": np.ones(1)})
    assert made.update()["multiplier"] == 0.0


def test_memory_is_judged_by_the_multiplier_of_today() -> None:
    made = config(algo="slate_q", constraint="diversity", floor=0.9)
    env = as_sb3(made.make_env(tiny_world(), 16, "ids"))
    env.reward_scale = 0.5
    model: Any = algorithm("slate_q").from_config(env, tables_of(env.venv), made)
    bound = Constraint(signal_of("diversity", env.venv), 0.9, 1.0, 10.0)
    model.constrain(bound)
    model.begin(128)
    model.iterate()
    buffer, step = model.replay_buffer, np.arange(5)
    row = np.arange(5)
    before = buffer._get_samples(step, row).rewards[:, 0]
    bound.multiplier = 2.0
    after = buffer._get_samples(step, row).rewards[:, 0]
    slates = buffer._rows["slate"][step, row]
    gap = intra_list_diversity(slates, tiny_world().directions) - 0.9
    expected = 2.0 * 0.5 * gap * buffer.reward_scale
    np.testing.assert_allclose((after - before).numpy(), expected, atol=1e-5)


def test_signals_are_read_from_the_slate_or_the_response(rng: np.random.Generator) -> None:
    world = tiny_world()
    venv = SlateVectorEnv(6, world=world, observation="ids")
    slate = rng.permuted(np.tile(np.arange(60), (6, 1)), axis=1)[:, :5]
    slate[0, 3:] = -1
    slate[1, 1:] = -1
    info = {"slate": slate, "response": {"click": np.eye(6)[:, :5]}}
    found = signal_of("diversity", venv)(info)
    expected = intra_list_diversity(slate, world.directions)
    np.testing.assert_allclose(found[[0, 2, 3, 4, 5]], expected[[0, 2, 3, 4, 5]], atol=1e-6)
    assert found[1] == 0.0
    np.testing.assert_array_equal(signal_of("response_click", venv)(info), [1, 1, 1, 1, 1, 0])
    with pytest.raises(UsageError, match="Did you mean 'response_click'"):
        signal_of("response_clik", venv)
    classic = SlateVectorEnv(2, variant="slategym/InterestExploration-v0")
    with pytest.raises(UsageError, match="needs a catalogue of items"):
        signal_of("diversity", classic)
    assert signal_of("response_click", classic)(info).shape == (6,)


def test_held_out_users_and_items_are_never_met_in_training() -> None:
    made, world = config(validation_users=0.25, validation_items=0.4), tiny_world()
    judges = Judges(world, made)
    train_rows = set(world.user_rows("train").tolist())
    mine, apart = (set(one.user_rows("train").tolist()) for one in set_aside(world, 0.25))
    assert mine | apart == train_rows
    assert not mine & apart
    held = held_items(world.n_items, 0.4)
    assert held.sum() == 24
    for venv, users, allowed in (
        (made.make_env(judges.world, 64, "ids", held=False), mine, ~held),
        (judges.watched, mine, ~held),
        (judges.others["validation"], apart, ~held),
        (judges.others["new_items"], apart, held),
    ):
        observation, _ = venv.reset(seed=3)
        for _ in range(4):
            assert allowed[observation["candidates"]].all()
            observation, _, _, _, info = venv.step(np.tile(np.arange(5), (venv.num_envs, 1)))
            assert set(info["user"].tolist()) <= users


def test_a_benchmark_prints_the_items_that_training_never_showed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world = str(tiny_world().save(tmp_path / "world"))
    made = config(validation_items=0.4, frames=128, evaluations=0)
    train(world, tmp_path / "run", made)
    task = ["bench", "--world", world, "--run", str(tmp_path / "run"), "--users", "8", "--json"]
    assert command([*task, "--out", str(tmp_path / "bench"), "--policies", "random"]) == 0
    told = json.loads(capsys.readouterr().out)
    for part in (told, told["held_out_items"]):
        assert {row["kind"] for row in part["policies"]} == {"agent", "baseline"}
    whole, held = (
        {row["kind"]: row["metrics"]["coverage"]["estimate"] for row in part["policies"]}
        for part in (told, told["held_out_items"])
    )
    assert max(held.values()) <= 24 / 60 < whole["baseline"]


@pytest.mark.parametrize(
    ("values", "kind", "message"),
    [
        ({"validation_items": 0.2}, UsageError, "holds out 12 of 60 items; 20 candidates need"),
        ({"validation_users": 0.01}, DataError, "both groups need at least one"),
        ({"constraint": "divrsity"}, UsageError, "Did you mean 'diversity'"),
    ],
)
def test_what_cannot_be_judged_is_refused_before_a_folder_is_made(
    values: dict[str, Any], kind: type[Exception], message: str, tmp_path: Path
) -> None:
    with pytest.raises(kind, match=message):
        train(tiny_world(), tmp_path / "run", config(**values))
    assert not (tmp_path / "run").exists()


def test_contradictions_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="set evaluations > 0"):
        config(evaluations=0, patience=3)
    with pytest.raises(UsageError, match="keep is 'first'; it must be 'last' or 'best'"):
        config(keep="first")
    classic = {"variant": "slategym/InterestExploration-v0", "validation_users": 0.2}
    off = {"item_features": 0.0, "recommendation_features": 0.0}
    with pytest.raises(UsageError, match="is a classic: it draws users and documents"):
        train(None, tmp_path / "run", config(**classic, **off))


def test_the_command_writes_events_unless_told_not_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["-s", "num_envs=16", "-s", "n_steps=8", "-s", "evaluation_users=8"]
    task = ["train", "--env", "slategym/InterestExploration-v0", "--frames", "128", *options]
    assert command([*task, "--out", str(tmp_path / "a"), "-s", "keep=best"]) == 0
    assert "frames kept" in capsys.readouterr().out
    assert len(list((tmp_path / "a" / "tensorboard").iterdir())) == 1
    assert command([*task, "--out", str(tmp_path / "b"), "--no-tensorboard"]) == 0
    assert not (tmp_path / "b" / "tensorboard").exists()


BOUND: dict[str, Any] = {
    "frames": 61_440,
    "num_envs": 256,
    "n_steps": 8,
    "batch_size": 1024,
    "slate_size": 2,
    "evaluations": 1,
    "gradients_every": 0,
    "constraint": "diversity",
}


@pytest.mark.slow
@pytest.mark.parametrize("algo", ["ppo", "slate_q_full"])
def test_a_floor_that_binds_is_met_and_costs_return_and_another_is_free(
    algo: str, tmp_path: Path
) -> None:
    sizes = {"num_candidates": 8, "algo": algo}
    found = {}
    for floor in (0.3, 1.0):
        made = TrainConfig.from_json({**BOUND, **sizes, "floor": floor})
        result = train(tiny_world(), tmp_path / str(floor), made)
        rollouts = [line for line in curve(tmp_path / str(floor)) if line["kind"] == "rollout"]
        found[floor] = result.evaluations[-1], rollouts
    free, bound = found[0.3], found[1.0]
    assert all(line["constraint"]["multiplier"] == 0.0 for line in free[1])
    assert free[0]["signal"] < 0.9
    assert np.mean([line["constraint"]["signal"] for line in bound[1][-5:]]) > 0.95
    assert bound[0]["return"] < free[0]["return"]
