"""The auxiliary-loss study: its arms, its arithmetic, and that it resumes."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from slategym.agents.train_config import TrainConfig
from slategym.benchmarks import aux_study
from slategym.benchmarks.aux_study import ARMS, OFF, StudySettings, arm_options, main, run_study
from slategym.benchmarks.aux_summary import (
    REFERENCES,
    at_frame,
    first_frame,
    markdown,
    summarise,
)
from slategym.benchmarks.throughput import table
from slategym.benchmarks.throughput_world import Row, floor_seconds, step_rate, user_bytes
from slategym.envs.tiny import tiny_world
from slategym.envs.vector import SlateVectorEnv
from slategym.errors import UsageError


def test_each_arm_has_its_losses_and_no_other() -> None:
    on = {arm: {name for name in OFF if arm_options(arm)[name] > 0} for arm in ARMS}
    assert on["none"] == set()
    assert on["rating"] == on["supervised"] == {"rating"}
    assert on["all"] == on["shuffled"] == {"rating", "item_features", "recommendation_features"}
    assert arm_options("all")["rating"] == TrainConfig().rating
    assert arm_options("supervised")["rank_by"] == "response"
    assert arm_options("shuffled")["aux_targets"] == "shuffled"
    for arm in ARMS:
        TrainConfig(**arm_options(arm))


def test_an_unknown_arm_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(UsageError, match="Did you mean 'rating'"):
        arm_options("ratings")


def test_a_learning_curve_is_read_between_its_points() -> None:
    frames, curve = [0, 100, 200], [0.0, 4.0, 3.0]
    assert at_frame(frames, curve, 50) == 2.0
    assert first_frame(frames, curve, 3.0) == 75.0
    assert first_frame(frames, curve, 4.0) == 100.0
    assert first_frame(frames, curve, -1.0) == 0.0
    assert first_frame(frames, curve, 4.1) is None


SETTINGS = asdict(StudySettings("0" * 64, 100, 3, env={"sparse": 0.1}))


def line(arm: str, seed: int, final: float) -> dict[str, Any]:
    """A finished cell whose curve rises evenly to its final return."""
    return {
        "cell": {"arm": arm, "seed": seed},
        "return": final,
        "frames": [0, 50, 100],
        "curve": [0.0, final / 2, final],
        "cpu_seconds": 2.0,
    }


def reference(name: str) -> dict[str, Any]:
    """A finished cell of a policy that is not trained."""
    return {"cell": {"policy": name}, "returns": [1.0, 2.0, 3.0], "users": [0, 1, 2]}


def made_up() -> dict[str, Any]:
    """A study in which one arm helps, one does not, and seeds differ more than arms do."""
    lines = [reference("random"), reference("cf-greedy")]
    for seed in range(8):
        base = 10.0 + seed
        lines += [
            line("none", seed, base),
            line("rating", seed, base + 2.0 + 0.01 * seed),
            line("item_features", seed, base + (0.3 if seed % 2 else -0.3)),
            line("all", seed, base + 2.0),
        ]
    return summarise(lines, 100) | {
        "settings": SETTINGS,
        "world_name": "made up",
        "synthetic": True,
    }


def test_arms_are_compared_seed_by_seed() -> None:
    rows = {row["arm"]: row for row in made_up()["arms"]}
    assert rows["rating"]["minus_none"]["low"] > 1.9, "pairing removes what seeds share"
    assert (
        rows["item_features"]["minus_none"]["low"] < 0 < rows["item_features"]["minus_none"]["high"]
    )
    assert rows["none"]["final"]["estimate"] == pytest.approx(13.5)
    assert rows["rating"]["early"]["estimate"] == pytest.approx(
        rows["rating"]["final"]["estimate"] / 4
    )
    assert "minus_none" not in rows["none"]


def test_a_run_that_never_gets_there_counts_as_the_whole_budget_and_is_marked() -> None:
    study = made_up()
    rows = {row["arm"]: row for row in study["arms"]}
    assert study["target"] == pytest.approx(0.9 * 13.5)
    assert rows["none"]["reached"] == 5, "10, 11 and 12 stay below 12.15"
    assert "(5 of 8 got there)" in markdown(study)


def test_the_verdict_says_which_arms_differ_and_which_do_not() -> None:
    text = markdown(made_up())
    verdict = text.splitlines()[2]
    assert verdict.startswith(
        "Final return differs from that of `none` beyond chance: `rating` (+2"
    )
    assert verdict.endswith("It cannot be told from that of `none` for `item_features`.")
    assert "(synthetic)" in text
    assert "- all minus rating: -0.0" in text
    nothing = [line("none", seed, 9.0 + seed) for seed in range(4)]
    nothing += [line("all", seed, 9.0 + seed + (-1) ** seed) for seed in range(4)]
    facts = {"settings": SETTINGS, "world_name": "w", "synthetic": False}
    flat = markdown(summarise(nothing, 100) | facts)
    assert "Final return cannot be told from that of `none` for `all`." in flat
    assert "| random (not trained) | | 2.00 [" in text
    assert "`slategym/World-v0` with sparse=0.1 over the world `w`" in flat


def test_a_study_without_none_compares_nothing() -> None:
    lines = [line("rating", seed, 1.0) for seed in range(3)]
    study = summarise(lines, 100) | {"settings": SETTINGS, "world_name": "w", "synthetic": True}
    assert "Nothing is compared" in markdown(study)


def test_a_study_resumes_and_refuses_other_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = tmp_path / "world"
    tiny_world().save(world)
    ran: list[str] = []
    real = aux_study.run_cell

    def counted(job: tuple[dict[str, Any], str, str]) -> dict[str, Any]:
        ran.append(job[0].get("arm", job[0].get("policy")))
        return real(job)

    monkeypatch.setattr(aux_study, "run_cell", counted)
    options: dict[str, Any] = {
        "seeds": 1, "frames": 64, "arms": ("none",), "users": 8, "workers": 1,
    }  # fmt: skip
    first = run_study(world, tmp_path / "out", **options)
    assert ran == ["none", *REFERENCES]
    ran.clear()
    assert run_study(world, tmp_path / "out", **options) == first
    assert ran == []
    run_study(world, tmp_path / "out", **(options | {"arms": ("none", "supervised")}))
    assert ran == ["supervised"]
    with pytest.raises(UsageError, match="frames is 64 there, 65 now"):
        run_study(world, tmp_path / "out", **(options | {"frames": 65}))
    saved = json.loads((tmp_path / "out" / "aux_study.json").read_text())
    assert {row["policy"] for row in saved["references"]} >= {"random", "oracle-myopic"}


@pytest.mark.slow
def test_two_processes_give_what_one_gives(tmp_path: Path) -> None:
    world = tmp_path / "world"
    tiny_world().save(world)
    common = ["--world", str(world), "--seeds", "2", "--frames", "9000", "--users", "32"]
    for workers in ("1", "2"):
        out = str(tmp_path / workers)
        main([*common, "--out", out, "--workers", workers, "--arms", "none", "rating"])
    one, two = (json.loads((tmp_path / w / "aux_study.json").read_text()) for w in ("1", "2"))
    assert [row["finals"] for row in one["arms"]] == [row["finals"] for row in two["arms"]]


def test_a_study_may_be_of_any_variant_in_any_scenario(tmp_path: Path) -> None:
    tiny_world().save(tmp_path / "world")
    options = ["--frames", "64", "--users", "8", "--workers", "1", "--seeds", "1", "--arms", "all"]
    shared = ["--env", "slategym/Music-v0", "-s", "env.cold_start=[0.3, 0]", "-s", "num_envs=32"]
    shared += ["-s", "n_steps=2", "-s", "batch_size=32", "-s", "evaluations=1"]
    out = tmp_path / "out"
    main(["--world", str(tmp_path / "world"), "--out", str(out), *options, *shared])
    study = json.loads((out / "aux_study.json").read_text())
    assert study["settings"]["env"] == {"cold_start": [0.3, 0]}
    assert study["settings"]["train"]["num_envs"] == 32
    run = json.loads((out / "runs" / "all-s0" / "agent.json").read_text())
    assert run["config"]["variant"] == "slategym/Music-v0"
    assert run["config"]["env"] == {"cold_start": [0.3, 0]}


def test_a_wrong_call_ends_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--world", str(tmp_path), "--out", str(tmp_path / "o"), "--arms", "nine"])
    assert caught.value.code == 2
    assert capsys.readouterr().err.startswith("unknown arm 'nine'.")


def test_throughput_counts_user_steps() -> None:
    envs = [SlateVectorEnv(batch, observation="ids") for batch in (1, 64)]
    one, many = (step_rate(env, seconds=0.1, tries=1) for env in envs)
    assert many > 3 * one, "the call itself is the cost of a batch of one"
    assert 0 < floor_seconds(envs[1]) * many < 1, "nothing is faster than its floor"
    apart, history = user_bytes(envs[1])
    assert 0 < apart < 1024
    assert history == 10 * 8  # ten places of four bytes of item and four of value


def test_the_table_leaves_out_what_was_not_compared() -> None:
    text = table([Row("a", 1234567.0), Row("b", 10.0, 1500.4, 0.25, "note")])
    assert "| a | 1,234,567 |  |  |  |" in text
    assert "| b | 10 | 1,500 | 0.25 | note |" in text
