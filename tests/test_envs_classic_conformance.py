"""The classics against statistics and exact values measured on RecSim itself."""

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from slategym.envs import conformance
from slategym.envs.classic_constants import EvolutionConstants
from slategym.envs.classic_exact import exact_errors, probabilities
from slategym.envs.classic_statistics import Statistic, mean_of, ratio_of
from slategym.envs.classic_variant import ClassicVariant
from slategym.errors import DataError, UsageError

# Six of the configurations that RecSim 0.2.4 was measured in, with three exact cases of each kind.
REFERENCE = Path(__file__).parent / "golden" / "classic_recsim.json"


@pytest.fixture
def reference() -> dict[str, Any]:
    given: dict[str, Any] = json.loads(REFERENCE.read_text())
    return given


def test_exact_values_are_those_of_recsim(reference: dict[str, Any]) -> None:
    errors = dict(exact_errors(reference["exact_cases"]))
    assert len(errors) > 40
    assert max(errors.values()) < 1e-12


def _compare(entry: dict[str, Any], episodes: int) -> list[conformance.Comparison]:
    """Compare with few episodes, that the tests be quick."""
    return list(conformance.compare({**entry, "episodes": 1}, least=episodes))


def test_statistics_are_those_of_recsim(reference: dict[str, Any]) -> None:
    for entry in reference["configs"]:
        found = _compare(entry, 1500)
        assert len(found) == len(entry["stats"])
        worst = max(found, key=lambda one: abs(one.z))
        assert abs(worst.z) <= conformance.MOST_Z, worst


@pytest.mark.parametrize(
    ("config", "change"),
    [
        (0, {"no_click_mass": 1.1}),
        (0, {"alpha_y_intercept": 0.4}),
        (0, {"step_penalty": 0.6}),
        (1, {"user_update_alpha": 0.3}),
        (3, {"no_click_mass": 5.1}),
        (3, {"topic_quality_mean": [0.8, 0.25]}),
        (5, {"memory_discount": 0.72}),
        (5, {"innovation_stddev": 0.3}),
        (5, {"sensitivity": 0.48}),
    ],
)
def test_a_small_change_of_a_constant_is_found(
    reference: dict[str, Any], config: int, change: dict[str, Any]
) -> None:
    entry = copy.deepcopy(reference["configs"][config])
    entry["config"] |= change
    assert max(abs(one.z) for one in _compare(entry, 2000)) > conformance.MOST_Z


def _write(folder: Path, reference: dict[str, Any]) -> Path:
    path = folder / "reference.json"
    path.write_text(json.dumps(reference))
    return path


def test_the_command_says_what_it_found(
    reference: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    entry = reference["configs"][3] | {"episodes": 1}
    reference["configs"] = [entry]
    path = _write(tmp_path, reference)
    assert conformance.main([str(path), "--episodes", "1500"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sum(entry["name"] in line for line in lines) >= len(entry["stats"])
    assert lines[-1].startswith("worst |z| ")
    assert "worst error" in lines[-2]
    entry["stats"]["episode_return"]["mean"] += 5
    assert conformance.main([str(_write(tmp_path, reference)), "--episodes", "1500"]) == 1
    assert "episode_return" in capsys.readouterr().out.splitlines()[-1]


def test_an_exact_value_that_is_off_fails(reference: dict[str, Any], tmp_path: Path) -> None:
    reference["configs"] = []
    assert conformance.main([str(_write(tmp_path, reference))]) == 0
    reference["exact_cases"]["iev_update"][0]["budget_after"] += 2e-9
    assert conformance.main([str(_write(tmp_path, reference))]) == 1


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        (("env",), "interest_evolutoin", "Did you mean 'interest_evolution'"),
        (("policy",), "top_qualty", "Did you mean 'top_quality'"),
        (("policy",), "min_clickbait", "unknown interest_evolution policy"),
        (("config", "no_clik_mass"), 1.0, "Did you mean 'no_click_mass'"),
        (("config", "slate_size"), 0, "slate_size is 0"),
        (("config", "choice_model"), "softmax", "choice_model is 'softmax'"),
        (("stats", "episode_retrun"), {"mean": 0, "se": 1, "n": 9}, "'episode_return'"),
    ],
)
def test_what_is_not_known_is_told_in_one_sentence(
    reference: dict[str, Any],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    path: tuple[str, ...],
    value: Any,  # noqa: ANN401
    told: str,
) -> None:
    reference["configs"] = [reference["configs"][0] | {"episodes": 1}]
    place = reference["configs"][0]
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    assert conformance.main([str(_write(tmp_path, reference)), "--episodes", "100"]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"configs": [{}]}', '{"configs": 3}', "{"])
def test_a_file_of_another_form_is_refused(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "other.json"
    path.write_text(text)
    assert conformance.main([str(path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert conformance.main([str(tmp_path / "absent.json")]) == 2


def test_it_runs_as_a_module(tmp_path: Path) -> None:
    path = _write(tmp_path, {"configs": []})
    command = [sys.executable, "-m", "slategym.envs.conformance", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr


def test_unknown_exact_cases_are_refused() -> None:
    with pytest.raises(UsageError, match="kind of exact case 'iev_updates'"):
        list(exact_errors({"iev_updates": []}))
    with pytest.raises(UsageError, match="choice model"):
        list(exact_errors({"choice_probabilities": [{"model": "probit"}]}))
    with pytest.raises(DataError, match="lacks 'scores'"):
        list(exact_errors({"choice_probabilities": [{"model": "multinomial_logit"}]}))
    with pytest.raises(UsageError, match="no_click_mas"):
        probabilities("logit", [1.0], {"no_click_mas": 1.0})


def test_standard_errors() -> None:
    mean = mean_of([1.0, 2.0, 3.0, 6.0])
    assert (mean.mean, mean.n) == (3.0, 4)
    assert mean.se == pytest.approx(1.0801234497346435)
    ratio = ratio_of([1.0, 0.0, 3.0], [2.0, 1.0, 3.0])
    assert ratio is not None
    assert ratio.mean == pytest.approx(4 / 6)
    assert ratio.se == pytest.approx(0.25458753860865774)
    assert ratio_of([0.0], [0.0]) is None


def test_rare_events_do_not_raise_alarm() -> None:
    """No click in 900 episodes of theirs, and one in 2,000 of mine, is no contradiction."""
    given = {"kind": "ratio", "mean": 0.0, "se": 0.0, "n_episodes": 900}
    one = conformance._compared("here", "share", given, Statistic(1e-5, 4e-6, 20_000), 900)
    assert one.rare
    assert abs(one.z) < 1
    usual = {"kind": "mean", "mean": 1.0, "se": 0.1, "n": 900}
    assert not conformance._compared("here", "x", usual, Statistic(1.0, 0.02, 20_000), 900).rare
    same = conformance._compared("here", "x", {"mean": 60, "se": 0}, Statistic(60, 0, 9), 9)
    assert same.z == 0
    other = conformance._compared("here", "x", {"mean": 61, "se": 0}, Statistic(60, 0, 9), 9)
    assert other.z == -float("inf")


def test_an_outcome_does_not_hang_on_the_batch() -> None:
    variant = ClassicVariant("a/B-v0", constants=EvolutionConstants(time_budget=20.0))
    found = conformance.simulate(variant, "first_k", 5000)
    again = conformance.simulate(variant, "first_k", 5000)
    assert found == again
    assert found["episode_return"].n == 5000
