"""`slategym log`: a file of what a policy shows, from the command line."""

import json
from pathlib import Path

import pytest

from slategym.benchmarks.log_reader import read_log
from slategym.cli import run


def test_log_writes_a_file_and_says_what_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "logs" / "a.parquet"
    asked = ["log", "--policy", "cf-greedy", "--temperature", "0.3", "--users", "12"]
    assert run([*asked, "--out", str(out), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    log = read_log(out)
    assert told["policies"] == ["cf-greedy, temperature 0.3"]
    assert told["env_hash"] == log.info.env_hash
    assert log.first.sum() == 12
    assert run([*asked, "--out", str(tmp_path / "b.parquet")]) == 0
    assert "12 episodes of slategym/World-v0" in capsys.readouterr().out
    assert (tmp_path / "b.parquet").read_bytes() == out.read_bytes()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--policy", "cf-greedy"], "always shows the same slate"),
        (["--policy", "cf-greedi", "--epsilon", "0.1"], "Did you mean 'cf-greedy'"),
        (["--policy", "cf-greedy", "--epsilon", "1.5"], "epsilon is 1.5"),
        (["--policy", "cf-greedy", "--temperature", "0"], "temperature is 0"),
        (["--policy", "random", "--variant", "slategym/Wold-v0"], "Did you mean"),
        (["--policy", "random", "--split", "tset"], "tset"),
    ],
)
def test_wrong_use_is_said_and_leaves_nothing(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["log", *arguments, "--out", str(tmp_path / "x.parquet")]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.splitlines()[-1].startswith("error: ")
    assert list(tmp_path.iterdir()) == []


def test_an_agent_is_trained_on_a_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, out = str(tmp_path / "a.parquet"), str(tmp_path / "run")
    assert run(["log", "--policy", "random", "--users", "16", "--out", file]) == 0
    asked = ["train-offline", "--log", file, "--out", out]
    few = ["-s", "epochs=2", "-s", "warm=1"]
    assert run([*asked, *few]) == 0
    assert "held-out users of the log" in capsys.readouterr().out
    again = [*asked[:-1], str(tmp_path / "again"), *few, "--json"]
    assert run(again) == 0
    told = json.loads(capsys.readouterr().out)
    assert len(told["curve"]) == 2
    assert told["config"]["method"] == "reinforce"
    for wrong, said in (
        (["-s", "epoch=2"], "Did you mean 'epochs'"),
        (["-s", "seed=2"], "is an option of its own: --seed"),
        (["--method", "cql"], "Known: cloning, reinforce"),
        ([], "is not empty"),
    ):
        assert run([*asked, *wrong]) == 2
        assert said in capsys.readouterr().err


def test_policies_are_judged_from_a_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = str(tmp_path / "a.parquet")
    soft = ["--policy", "cf-greedy", "--temperature", "0.7"]
    assert run(["log", *soft, "--users", "64", "--out", file]) == 0
    capsys.readouterr()
    assert run(["ope", "--log", file, *soft, "--estimators", "all"]) == 0
    text = capsys.readouterr().out
    assert "judged from 64 episodes under cf-greedy, temperature 0.7" in text
    assert "verdict" in text
    assert "Go by" in text
    assert run(["ope", "--log", file, "--policy", "cf-mmr", "--policy", "random", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    sure, random = told["policies"]
    assert (sure["policy"], random["policy"]) == ("cf-mmr, epsilon 0", "random")
    assert {row["verdict"] for row in sure["slate"]} <= {"weak", "do not use"}
    assert {row["estimator"] for row in random["episode"]} == {"fqe", "snpdis", "seq_dr"}
    guess = ["ope", "--log", file, "--policy", "random", "--estimate-propensities"]
    assert run(guess) == 0
    assert "estimated, not logged" in capsys.readouterr().out


def test_items_are_pooled_and_networks_fitted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = str(tmp_path / "a.parquet")
    soft = ["--policy", "cf-greedy", "--temperature", "0.7"]
    assert run(["log", *soft, "--users", "24", "--out", file]) == 0
    capsys.readouterr()
    named = ["--estimators", "mips,offcem", "--neural", "--json"]
    asked = ["ope", "--log", file, "--policy", "random", *named]
    assert run(asked) == 0
    (told,) = json.loads(capsys.readouterr().out)["policies"]
    assert [row["estimator"] for row in told["slate"]] == ["mips", "offcem"]
    assert [row["estimator"] for row in told["episode"]] == ["fqe_neural"]
    assert run([*asked, "--wrote", "popularity"]) == 2
    assert "mips, snmips, offcem cannot be computed" in capsys.readouterr().err
    classic = str(tmp_path / "b.parquet")
    lts = ["--variant", "slategym/LongTermSatisfaction-v0", "--policy", "random"]
    assert run(["log", *lts, "--users", "8", "--out", classic]) == 0
    judged = ["ope", "--log", classic, "--policy", "random"]
    assert run([*judged, "--estimators", "mips"]) == 2
    assert "a classic has no item vectors" in capsys.readouterr().err
    assert run(judged) == 0
    assert "offcem" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said", "code"),
    [
        (["--policy", "cf-greedi"], "Did you mean 'cf-greedy'", 2),
        (["--policy", "oracle-reward"], "which no log holds", 2),
        (["--policy", "random", "--estimators", "snipz"], "Did you mean 'snipw'", 2),
        (["--policy", "random", "--gamma", "1.5"], "1.5", 2),
        (["--policy", "random", "--world", "absent"], "absent", 3),
    ],
)
def test_what_cannot_be_judged_is_said(
    arguments: list[str], said: str, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = str(tmp_path / "a.parquet")
    assert run(["log", "--policy", "random", "--users", "8", "--out", file]) == 0
    assert run(["ope", "--log", file, *arguments]) == code
    assert said in capsys.readouterr().err
    assert run(["ope", "--log", str(tmp_path / "no.parquet"), "--policy", "random"]) == 3


@pytest.mark.slow
def test_an_agent_of_a_classic_writes_logs_and_is_judged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    task, agent = "slategym/LongTermSatisfaction-v0", str(tmp_path / "agent")
    options = "num_envs=16,n_steps=8,batch_size=64,epochs=1,evaluation_users=8,evaluations=1"
    trained = ["train", "--env", task, "--algo", "ppo", "-s", options, "--frames", "128"]
    assert run([*trained, "--out", agent]) == 0
    file = str(tmp_path / "a.parquet")
    drawn = ["--policy", agent, "--temperature", "1"]
    assert run(["log", "--variant", task, *drawn, "--users", "8", "--out", file]) == 0
    assert read_log(file).info.policies == ("agent, temperature 1",)
    capsys.readouterr()
    assert run(["ope", "--log", file, *drawn, "--estimators", "snipw", "--json"]) == 0
    (told,) = json.loads(capsys.readouterr().out)["policies"]
    assert told["slate"][0]["mean_weight"] == pytest.approx(1.0)
