"""`slategym build` on plain files: what it reads, and what it says of wrong ones."""

import json
import shutil
import wave
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from slategym.cli import run
from slategym.envs.world import World

ITEMS, USERS = 24, 30
NO_WEIGHTS = ["text=hashed-ngrams", "image=hsv-hog", "audio=mfcc"]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a catalogue of 24 items (text, pictures, sounds) and a log of 30 users."""
    folder = tmp_path_factory.mktemp("shop")
    rng = np.random.default_rng(0)
    lines = ["item_id,title,description,picture,sound,category"]
    for i in range(ITEMS):
        picture, sound = f"p{i}.png", f"s{i}.wav"
        Image.fromarray(rng.integers(0, 256, (32, 24, 3), dtype=np.uint8)).save(folder / picture)
        with wave.open(str(folder / sound), "wb") as stream:
            stream.setnchannels(1)
            stream.setsampwidth(2)
            stream.setframerate(16_000)
            stream.writeframes(rng.integers(-9000, 9000, 16_000, dtype=np.int16).tobytes())
        colour = ("red", "blue", "green")[i % 3]
        lines.append(f"i{i},thing {i},a {colour} thing,{picture},{sound},{colour}")
    (folder / "items.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    taste = rng.normal(0, 1, (USERS, 3))
    rows = ["user_id,item_id,rating,timestamp"]
    for u in range(USERS):
        for i in rng.permutation(ITEMS)[:15].tolist():
            value = int(np.clip(round(3 + taste[u, i % 3] + rng.normal(0, 0.5)), 1, 5))
            rows.append(f"u{u},i{i},{value},{1_000_000 + i}")
    (folder / "log.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    people = [f"u{u},{20 + u},{'cook' if u % 2 else 'pilot'}" for u in range(USERS)]
    (folder / "users.csv").write_text("\n".join(["user_id,age,job", *people]) + "\n")
    return folder


@pytest.fixture
def copy(shop: Path, tmp_path: Path) -> Path:
    """A copy of the shop that a test may spoil."""
    return Path(shutil.copytree(shop, tmp_path / "shop"))


def build(folder: Path, out: Path, *options: str) -> int:
    """Build the shop's world with encoders that need no weights."""
    encoders = [word for name in NO_WEIGHTS for word in ("--encoder", name)]
    files = ["--log", str(folder / "log.csv"), "--items", str(folder / "items.csv")]
    return run(["build", *files, *encoders, "--factors", "4", "--out", str(out), *options])


def edit(path: Path, line: int, old: str, new: str) -> None:
    """Replace a text in one line of a file; line 0 is the header."""
    lines = path.read_text(encoding="utf-8").splitlines()
    assert old in lines[line]
    lines[line] = lines[line].replace(old, new)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_plain_files_become_a_world(
    shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "world"
    assert build(shop, out, "--users", str(shop / "users.csv"), "--json") == 0
    said = capsys.readouterr()
    summary = json.loads(said.out)
    assert (summary["users"], summary["items"]) == (USERS, ITEMS)
    assert set(summary["modalities"]) == {"text", "image", "audio"}
    assert summary["synthetic"] is False
    assert "guessed" in said.err
    items = next(each for each in summary["columns"] if each["file"].endswith("items.csv"))
    assert items["columns"]["image"] == "picture"
    assert World.open(out).hash == summary["hash"]
    assert "age: 20" in World.open(out).users["profile"].iloc[0]


def test_the_same_command_again_gives_the_same_world(
    shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "world"
    assert build(shop, out) == 0
    first = World.open(out).hash
    assert build(shop, out) == 0
    assert World.open(out).hash == first
    said = capsys.readouterr().out
    assert f"{USERS} " in said.replace(",", " ")
    assert "held-out" in said


def missing_column(folder: Path) -> None:
    """Rename the user column to something that no guess finds."""
    edit(folder / "log.csv", 0, "user_id", "who_knows")


def text_rating(folder: Path) -> None:
    """Write a rating as a word."""
    lines = (folder / "log.csv").read_text().splitlines()
    user, item, _, time = lines[3].split(",")
    lines[3] = f"{user},{item},great,{time}"
    (folder / "log.csv").write_text("\n".join(lines) + "\n")


def empty_user(folder: Path) -> None:
    """Leave a user out."""
    edit(folder / "log.csv", 5, "u0,", ",")


def unknown_item(folder: Path) -> None:
    """Rate an item that the catalogue does not hold."""
    with (folder / "log.csv").open("a") as stream:
        stream.write("u0,i999,3,1000000\n")


def duplicate_items(folder: Path) -> None:
    """Give two items the same id."""
    edit(folder / "items.csv", 4, "i3,", "i2,")


def missing_picture(folder: Path) -> None:
    """Remove a picture."""
    (folder / "p6.png").unlink()


def not_a_picture(folder: Path) -> None:
    """Write words into a picture."""
    (folder / "p6.png").write_text("this is not a picture")


def not_a_sound(folder: Path) -> None:
    """Write words into a sound."""
    (folder / "s6.wav").write_text("this is not a sound")


def empty_log(folder: Path) -> None:
    """Leave only the header of the log."""
    (folder / "log.csv").write_text("user_id,item_id,rating,timestamp\n")


@pytest.mark.parametrize(
    ("spoil", "parts"),
    [
        (missing_column, ["log.csv", "user_id", "--columns user_id="]),
        (text_rating, ["log.csv", "'rating'", "'great'", "row 3"]),
        (empty_user, ["log.csv", "'user_id'", "row 5"]),
        (unknown_item, ["i999"]),
        (duplicate_items, ["items.csv", "'i2'", "3, 4"]),
        (missing_picture, ["items.csv", "row 7", "p6.png"]),
        (not_a_picture, ["items.csv", "row 7", "p6.png"]),
        (not_a_sound, ["items.csv", "row 7", "s6.wav"]),
        (empty_log, ["log.csv", "no rows"]),
    ],
)
def test_wrong_data_is_one_sentence_with_its_place_and_exit_code_3(
    copy: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    spoil: object,
    parts: list[str],
) -> None:
    assert callable(spoil)
    spoil(copy)
    assert build(copy, tmp_path / "out" / "world") == 3
    said = capsys.readouterr()
    (sentence,) = said.err.splitlines()
    assert sentence.startswith("error: ")
    assert [part for part in parts if part not in sentence] == []
    assert said.out == ""
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ([], "needs one input"),
        (["--demo", "--movielens", "x"], "needs one input"),
        (["--log", "log.csv"], "--log needs --items FILE"),
        (["--items", "items.csv"], "--items needs --log FILE"),
        (["--demo", "--columns", "item_id=x"], "belong to --log and --items"),
        (["--demo", "--posters", "x.zip"], "--posters belongs to --movielens"),
        (["--demo", "--columns", "item_id"], "is not name=value"),
        (["--demo", "--encoder", "text=minlm"], "minilm"),
    ],
)
def test_wrong_use_exits_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], sentence: str
) -> None:
    assert run(["build", "--out", str(tmp_path / "world"), *options]) == 2
    said = capsys.readouterr()
    assert sentence in said.err.splitlines()[-1]
    assert not (tmp_path / "world").exists()


def test_a_role_that_does_not_exist_names_the_nearest(
    shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert build(shop, tmp_path / "world", "--columns", "titel=title") == 2
    assert "Did you mean 'title'?" in capsys.readouterr().err


def test_movielens_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "world"
    assert run(["build", "--movielens", str(tmp_path / "nothing"), "--out", str(out)]) == 3
    assert "nothing" in capsys.readouterr().err
    assert not out.exists()


def test_a_folder_with_other_things_is_never_replaced(
    shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    assert build(shop, tmp_path) == 2
    assert "is not a world" in capsys.readouterr().err
    assert (tmp_path / "thesis.txt").read_text() == "years of work"
