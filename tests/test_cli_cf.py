"""`slategym cf`: a table of models and a score explained, from the command line."""

import json
from pathlib import Path

import numpy as np
import pytest

from slategym.cli import run


@pytest.fixture
def log_file(tmp_path: Path) -> Path:
    """Return a log where even users like even items."""
    rng = np.random.default_rng(0)
    rows = ["user_id,item_id,rating,timestamp"]
    for user in range(30):
        for item in rng.permutation(16)[:12].tolist():
            stars = 5 if (user + item) % 2 == 0 else 1
            rows.append(f"u{user},Film {item:02d},{stars},{rng.integers(1, 10**6)}")
    path = tmp_path / "films.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


def test_bench_prints_measures_settings_and_seconds(
    log_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = ["--model", "popularity", "--model", "ease"]
    assert run(["cf", "bench", str(log_file), *models]) == 0
    text = capsys.readouterr().out
    assert "NDCG@10" in text
    assert "ease: penalty" in text
    assert run(["cf", "bench", str(log_file), *models, "--json"]) == 0
    table = json.loads(capsys.readouterr().out)["tables"][0]
    values = {row["model"]: row["values"]["ndcg@10"] for row in table["rows"]}
    assert values["ease"] > values["popularity"]
    assert "newest 20 %" in table["protocol"]
    assert all(row["cpu_seconds"] >= 0 for row in table["rows"])


def test_explain_names_what_was_chosen_and_adds_up(
    log_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["cf", "explain", str(log_file), "--user", "u2", "--item", "film 04"]
    assert run(asked) == 0
    text = capsys.readouterr().out
    assert "Film 04" in text
    assert "this person chose Film" in text
    assert "%" in text
    assert run([*asked, "--model", "item-knn", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert sum(part["share"] for part in found["parts"]) == pytest.approx(found["score"], abs=1e-5)
    named = {part["title"] for part in found["parts"] if part["kind"] == "history"}
    assert named <= {f"Film {n:02d}" for n in range(0, 16, 2)}


@pytest.mark.parametrize(
    ("arguments", "said", "code"),
    [
        (["--user", "u99", "--item", "Film 04"], "no such user", 2),
        (["--user", "u2", "--item", "Filmm 04"], "Did you mean 'Film 04'", 2),
        (["--user", "u2", "--item", "Film 04", "--model", "eas"], "Did you mean 'ease'", 2),
    ],
)
def test_what_is_not_there_is_told_with_the_nearest(
    log_file: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    said: str,
    code: int,
) -> None:
    assert run(["cf", "explain", str(log_file), *arguments]) == code
    assert said in capsys.readouterr().err


def test_an_unknown_model_or_folder_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["cf", "bench", str(tmp_path / "none")]) == 3
    assert "does not exist" in capsys.readouterr().err
    assert run(["cf", "bench", str(tmp_path), "--model", "slin"]) == 2
    assert "Did you mean 'slim'" in capsys.readouterr().err
