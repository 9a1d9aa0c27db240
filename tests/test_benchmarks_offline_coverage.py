"""Coverage on our own environments, and agents of d3rlpy judged both ways."""

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from slategym.agents.policy import Observation
from slategym.benchmarks import offline_coverage
from slategym.benchmarks.log_d3rlpy import ItemPolicy
from slategym.benchmarks.offline_coverage import SETTINGS, coverage_world, run_own
from slategym.benchmarks.offline_d3rlpy import main as d3rlpy_main
from slategym.envs.registry import get_variant
from slategym.envs.tiny import tiny_world
from slategym.envs.vector import SlateVectorEnv


def test_a_classic_is_drawn_again_and_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["--variant", "slategym/LongTermSatisfaction-v0", "--logs", "2", "--truth-users", "64"]
    offline_coverage.main([*asked, "--resamples", "40", "--json", str(tmp_path / "c.json")])
    text = capsys.readouterr().out
    assert "LongTermSatisfaction-v0, kale, epsilon 0.75 | snipw" in text
    lines = json.loads((tmp_path / "c.json").read_text())["lines"]
    assert len(lines) == 18
    assert all(0 <= share <= 1 for line in lines for share in line["coverage"].values())
    assert all(line["share"] > 0.2 for line in lines if line["estimator"] == "ipw")
    assert all(set(one["coverage"]) == {"bootstrap"} for one in lines if one["estimator"] == "fqe")


@pytest.mark.slow
def test_intervals_cover_in_a_world() -> None:
    lines = run_own(SETTINGS[0], coverage_world(), logs=40, truth_users=4096, resamples=200)
    told = {(one.setting.split(", ")[1], one.estimator): one for one in lines}
    # 40 logs: a coverage of 0.95 stays above 0.85 but once in two hundred times.
    for name in ("ipw", "snipw", "dr", "sndr"):
        assert told["cf-greedy", name].coverage["bootstrap-t"] >= 0.85
    assert told["cf-greedy", "snmips"].share > told["cf-greedy", "snrips"].share


def test_items_of_the_highest_value_are_shown() -> None:
    class Numbers:
        """Values items by their number."""

        def predict_value(self, states: np.ndarray, items: np.ndarray) -> np.ndarray:
            """Return values."""
            assert len(states) == len(items)
            return items.astype(np.float32)

    variant = get_variant("slategym/World-v0").override(slate_size=1, observation="ids")
    env = SlateVectorEnv(3, variant=variant, world=tiny_world(), users="train")
    observation: Observation = env.reset(seed=0)[0]
    chosen = ItemPolicy(Numbers(), tiny_world(), 1, "numbers").for_variant(variant)
    slates = chosen.act(observation, np.random.default_rng(0))
    assert (slates[:, 0] == observation["candidates"].argmax(1)).all()
    env.close()


def test_the_comparison_runs_or_names_the_extra(capsys: pytest.CaptureFixture[str]) -> None:
    few = ["--users", "16", "--steps", "2", "--algorithms", "bc"]
    code, said = d3rlpy_main(few), capsys.readouterr()
    if find_spec("d3rlpy") is None:
        assert code != 0
        assert "slategym[d3rlpy]" in said.err
        assert said.err.count("\n") == 1
    else:
        assert code == 0
        assert "| d3rlpy-bc |" in said.out
