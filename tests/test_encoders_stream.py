"""A catalogue goes through in pieces; bad items are named, and the rest is unharmed."""

import csv
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from slategym.cli import run
from slategym.encoders.base import make_encoder
from slategym.encoders.catalog import Catalog, load_catalog
from slategym.encoders.file_index import FileIndex
from slategym.encoders.pipeline import Problem, encode_catalog
from slategym.encoders.stream import encode_stream, open_encoded
from slategym.errors import DataError, UsageError

CLASSICAL = {"text": "hashed-ngrams", "image": "hsv-hog", "audio": "mfcc"}


def write(path: Path, header: str, *rows: str) -> Path:
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8", errors="surrogateescape")
    return path


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    """A catalogue in which most things that can be wrong are."""
    Image.effect_noise((64, 64), 50).convert("RGB").save(tmp_path / "good.jpg")
    whole = (tmp_path / "good.jpg").read_bytes()
    (tmp_path / "short.jpg").write_bytes(whole[: len(whole) // 2])
    huge = Image.new("1", (40_000, 40_000))
    huge.save(tmp_path / "bomb.png")
    soundfile.write(tmp_path / "none.wav", np.zeros(0), 8000)
    (tmp_path / "empty.wav").touch()
    soundfile.write(tmp_path / "good.wav", np.sin(np.arange(8000)), 8000)
    soundfile.write(tmp_path / "long.wav", np.zeros(8000 * 40, np.int16), 8000)
    return write(
        tmp_path / "items.csv",
        "id,title,image,audio",
        "a,a fine film,good.jpg,good.wav",
        "b,cut short,short.jpg,none.wav",
        "c,a bomb,bomb.png,empty.wav",
        "d,half a \udcff pair,,long.wav",
        ",no id,,",
        "a,the id again,,",
        "e,a fine film,good.jpg,good.wav",
        "f,no such file,nowhere.png,",
    )


def test_what_is_bad_is_said_in_one_sentence_and_the_rest_is_encoded(
    bad: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    summary = encode_stream(bad, out, encoders=CLASSICAL, cache=tmp_path / "cache", chunk=3)
    said = {(item, modality): message for item, modality, message in summary.problems}
    for key, words in {
        ("b", "image"): "short.jpg cannot be read: it is damaged",
        ("c", "image"): "bomb.png has more than 64,000,000 pixels",
        ("b", "audio"): "none.wav is a sound without a single sample",
        ("c", "audio"): "empty.wav is empty",
        ("d", "text"): "holds half of a surrogate pair at character 8",
        ("", "text"): "row 5 of",
        ("a", "text"): "row 6 of",
        ("f", "image"): "nowhere.png does not exist",
    }.items():
        assert words in said[key]
        assert said[key].endswith((".", "remove it."))
        assert "\n" not in said[key]
    assert summary.failed == len(said) == 8
    assert summary.items == 6
    assert summary.present == {"text": 5, "image": 2, "audio": 3}
    assert summary.cut == {"text": 0, "image": 0, "audio": 1}
    assert (summary.duplicates, summary.same) == (1, [("e", "a")])
    ids, vectors = open_encoded(out)
    assert ids == ("a", "b", "c", "d", "e", "f")
    assert vectors.present["image"].tolist() == [True, False, False, False, True, False]
    np.testing.assert_array_equal(vectors.vectors["audio"][0], vectors.vectors["audio"][4])
    assert not vectors.vectors["text"][3].any()
    assert np.isfinite(vectors.vectors["image"]).all()


def test_the_command_goes_on_and_its_exit_code_says_that_something_failed(
    bad: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["encode", str(bad), "--out", str(tmp_path / "out"), "--text", "hashed-ngrams"]
    arguments += ["--image", "hsv-hog", "--audio", "", "--cache", str(tmp_path / "cache")]
    assert run([*arguments, "--problems", "2"]) == 3
    shown = capsys.readouterr().out
    assert "6 items, 1 with the content of another, 6 failed" in shown
    assert "... and 4 more" in shown
    good = write(tmp_path / "good.csv", "id,title", "a,one", "b,two")
    assert run(["encode", str(good), "--out", str(tmp_path / "out"), *arguments[4:]]) == 0
    assert "2 items" in capsys.readouterr().out


def test_pieces_give_what_the_whole_gives(tmp_path: Path) -> None:
    rows = [f"{row},film number {row % 17},about {row} ships" for row in range(100)]
    path = write(tmp_path / "items.csv", "id,title,description", *rows)
    catalog, _ = load_catalog(path)
    whole = encode_catalog(catalog, encoders={"text": "hashed-ngrams"}, cache=tmp_path / "a")
    only = {"text": "hashed-ngrams", "image": "", "audio": ""}
    encode_stream(path, tmp_path / "out", encoders=only, cache=tmp_path / "b", chunk=7)
    ids, vectors = open_encoded(tmp_path / "out")
    assert ids == catalog.item_ids
    np.testing.assert_array_equal(vectors.vectors["text"], whole.vectors["text"])


def test_a_modality_that_comes_late_gets_zeros_before(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8), "red").save(tmp_path / "r.png")
    path = write(tmp_path / "items.csv", "id,title,image", "a,x,", "b,y,", "c,z,r.png")
    only = {**CLASSICAL, "audio": ""}
    encode_stream(path, tmp_path / "out", encoders=only, cache=tmp_path / "cache", chunk=2)
    _, vectors = open_encoded(tmp_path / "out")
    assert vectors.vectors["image"].shape == (3, 704)
    assert vectors.present["image"].tolist() == [False, False, True]


def test_what_was_written_stays_until_all_is_written_anew(tmp_path: Path) -> None:
    only = {"text": "hashed-ngrams", "image": "", "audio": ""}
    out, cache = tmp_path / "out", tmp_path / "cache"
    encode_stream(write(tmp_path / "a.csv", "id,title", "a,one"), out, encoders=only, cache=cache)
    with pytest.raises(DataError, match="nothing that could be encoded"):
        encode_stream(write(tmp_path / "b.csv", "id,title", "b,"), out, encoders=only, cache=cache)
    assert open_encoded(out)[0] == ("a",)
    assert {path.name for path in tmp_path.iterdir()} == {"a.csv", "b.csv", "out", "cache"}
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "notes.txt").write_text("keep me")
    with pytest.raises(DataError, match="is not a folder of vectors"):
        encode_stream(tmp_path / "a.csv", mine, encoders=only, cache=cache)
    assert (mine / "notes.txt").read_text() == "keep me"


def test_an_encoder_of_another_modality_is_refused_in_a_stream_too(tmp_path: Path) -> None:
    items = write(tmp_path / "items.csv", "id,title", "a,one")
    with pytest.raises(UsageError, match="the encoder given for text encodes image"):
        encode_stream(items, tmp_path / "out", encoders={"text": make_encoder("hsv-hog")})


def test_an_empty_catalogue_or_one_with_nothing_in_it_is_refused(tmp_path: Path) -> None:
    empty = write(tmp_path / "items.csv", "id,title")
    with pytest.raises(DataError, match="has no rows of data"):
        encode_stream(empty, tmp_path / "out", encoders=CLASSICAL, cache=tmp_path / "cache")
    blank = write(tmp_path / "blank.csv", "id,title", "1,", "2,")
    with pytest.raises(DataError, match=r"nothing that could be encoded \(2 items\)"):
        encode_stream(blank, tmp_path / "out", encoders=CLASSICAL, cache=tmp_path / "cache")
    with pytest.raises(DataError, match="does not exist"):
        encode_stream(tmp_path / "no.csv", tmp_path / "out", encoders=CLASSICAL)
    with pytest.raises(UsageError, match="every modality was left out"):
        encode_stream(blank, tmp_path / "out", encoders={"text": "", "image": "", "audio": ""})
    with pytest.raises(UsageError, match="unknown modality 'txt'"):
        encode_stream(blank, tmp_path / "out", encoders={"txt": ""})


def test_in_memory_too_a_bad_item_is_an_error_or_a_problem(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no picture")
    none = (None, None)
    items = Catalog(
        "two",
        ("1", "2"),
        ("1", "2"),
        ("fine", "\ud800"),
        (tmp_path / "a.png", None),
        none,
        ((), ()),
    )
    with pytest.raises(DataError, match="half of a surrogate pair"):
        encode_catalog(items, encoders=CLASSICAL, cache=tmp_path / "cache")
    problems: list[Problem] = []
    made = encode_catalog(items, encoders=CLASSICAL, cache=tmp_path / "cache", problems=problems)
    assert [(p.item_id, p.modality) for p in problems] == [("2", "text"), ("1", "image")]
    assert made.present["text"].tolist() == [True, False]
    assert made.vectors["image"].shape == (2, 704)


def test_files_that_did_not_change_are_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    old = time.time() - 60
    file = tmp_path / "a.bin"
    file.write_bytes(b"one")
    os.utime(file, (old, old))
    index = FileIndex(tmp_path / "cache")
    first = index.hash(file)
    read: list[Path] = []

    def counted(path: Path) -> str:
        read.append(path)
        return "0" * 64

    monkeypatch.setattr("slategym.encoders.file_index.file_hash", counted)
    assert index.hash(file) == first
    assert not read
    file.write_bytes(b"four")
    assert index.hash(file) == "0" * 64
    assert read
    monkeypatch.undo()
    file.write_bytes(b"two")
    os.utime(file, (old, old))
    assert index.hash(file) == first  # the same size and time: only `verify` can tell
    assert index.stale() == [str(file)]
    assert index.hash(file) != first
    file.unlink()
    assert index.forget_missing() == 1


def test_a_damaged_index_of_files_is_made_anew(tmp_path: Path) -> None:
    file = tmp_path / "a.bin"
    file.write_bytes(b"one")
    (tmp_path / "files.sqlite").write_bytes(b"this is no database, and long enough" * 40)
    index = FileIndex(tmp_path)
    assert index.hash(file) == index.hash(file)


def test_two_processes_may_encode_the_same_catalogue_at_once(tmp_path: Path) -> None:
    rows = [f"{row},film {row}" for row in range(400)]
    path = write(tmp_path / "items.csv", "id,title", *rows)
    program = (
        "import sys; from pathlib import Path; from slategym.encoders.stream import encode_stream;"
        "encode_stream(sys.argv[1], Path(sys.argv[2]), cache=Path(sys.argv[3]),"
        "encoders={'text': 'hashed-ngrams', 'image': '', 'audio': ''})"
    )
    both = [
        subprocess.Popen(
            [sys.executable, "-c", program, path, tmp_path / name, tmp_path / "cache"],
            stderr=subprocess.PIPE,
        )
        for name in ("one", "two")
    ]
    for process in both:
        assert process.communicate()[1] == b""
        assert process.returncode == 0
    first, second = (open_encoded(tmp_path / name)[1].vectors["text"] for name in ("one", "two"))
    np.testing.assert_array_equal(first, second)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_a_hundred_thousand_items_stay_under_two_gigabytes(tmp_path: Path) -> None:
    path = tmp_path / "items.csv"
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["id", "title", "description"])
        words = [f"word{number}" for number in range(5000)]
        rng = np.random.default_rng(0)
        for row in range(100_000):
            picked = rng.integers(0, len(words), 12)
            writer.writerow([row, f"item {row}", " ".join(words[at] for at in picked)])
    program = (
        "import re, sys; from pathlib import Path;"
        "from slategym.encoders.stream import encode_stream;"
        "s = encode_stream(sys.argv[1], Path(sys.argv[2]), cache=Path(sys.argv[3]),"
        "encoders={'text': 'hashed-ngrams', 'image': '', 'audio': ''});"
        "print(s.items, re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1])"
    )
    command = [sys.executable, "-c", program, path, tmp_path / "out", tmp_path / "cache"]
    run_ = subprocess.run(command, capture_output=True, text=True, check=True)
    items, kilobytes = map(int, run_.stdout.split())
    assert items == 100_000
    assert kilobytes < 2_000_000
