"""`slategym world`: what it prints, what it writes, and what it refuses."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from slategym.cli import run
from slategym.envs.tiny import tiny_world
from slategym.envs.world import OPTIONAL_ARRAYS


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny_world(items=30, users=20).save(tmp_path / "town")


def test_show_tells_of_the_log(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["world", "show", str(folder)]) == 0
    said = capsys.readouterr().out
    world = tiny_world(items=30, users=20)
    assert f"public rows: {len(world.public_log)}" in said
    assert "assumed: Items, users and tastes are drawn" in said
    assert run(["world", "show", str(folder), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["log"]["test_rows"] == int((world.log_split == 2).sum())
    assert document["modalities"] == {"text": 16, "image": 16}


def test_show_tells_that_an_older_world_keeps_no_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    older = dataclasses.replace(tiny_world(items=30, users=20), **dict.fromkeys(OPTIONAL_ARRAYS))
    folder = older.save(tmp_path / "old")
    assert run(["world", "show", str(folder)]) == 0
    assert "log: not kept" in capsys.readouterr().out
    assert run(["world", "card", str(folder)]) == 3
    assert "keeps no log" in capsys.readouterr().err
    assert not (tmp_path / "old-card").exists()


def test_verify_tells_sound_from_damaged(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["world", "verify", str(folder)]) == 0
    assert "whole and sound" in capsys.readouterr().out
    path = folder / "users.parquet"
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    assert run(["world", "verify", str(folder)]) == 3
    assert "users.parquet was changed or damaged" in capsys.readouterr().err


def test_verify_finds_content_that_breaks_the_rules(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world = tiny_world(items=30, users=20)
    bad = dataclasses.replace(world, item_topics=world.item_topics * np.float32(0.5))
    folder = bad.save(tmp_path / "bad")
    assert run(["world", "verify", str(folder)]) == 3
    assert "whole but not sound: rows of item_topics" in capsys.readouterr().err
    assert run(["world", "verify", str(folder), "--json"]) == 3
    document = json.loads(capsys.readouterr().out)
    assert not document["ok"]
    assert "item_topics" in document["problems"][0]


def test_card_writes_a_page_and_numbers(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["world", "card", str(folder), "--draws", "100", "--users", "0"]
    assert run(arguments) == 0
    said = capsys.readouterr().out
    assert "Likelihood on held-out rows" in said
    assert "no exposures" in said
    card = json.loads((tmp_path / "town-card" / "card.json").read_text())
    assert card["policy_ranking"] == {"missing": "it was not asked for (--users 0)"}
    assert (tmp_path / "town-card" / "card.html").read_text().startswith("<!doctype html>")
    assert run([*arguments, "--json"]) == 0  # a card is replaced
    assert json.loads(capsys.readouterr().out)["findings"]


def test_card_does_not_write_among_other_files(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "mine.txt").write_text("mine")
    assert run(["world", "card", str(folder), "--out", str(tmp_path / "thesis")]) == 2
    assert "holds files and is not a world card" in capsys.readouterr().err
    assert run(["world", "card", str(tmp_path / "nowhere")]) == 3
    assert run(["world", "cards"]) == 2
    assert "Did you mean" in capsys.readouterr().err
