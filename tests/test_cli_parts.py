"""The small pieces of the command line: progress lines, name=value options, a user's own code."""

import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from slategym.cli import run
from slategym.cli_build import columns_by_file
from slategym.cli_common import check_output, import_user_code, pairs
from slategym.cli_train import value_of
from slategym.console import LineProgress, duration, to_json
from slategym.errors import DataError, UsageError
from slategym.progress import stage
from slategym.user_table import load_profiles


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


def test_lines_come_at_the_start_the_end_and_every_few_seconds() -> None:
    clock, stream = Clock(), io.StringIO()
    progress = LineProgress(stream, every=5.0, clock=clock)
    with stage(progress, "train", 1000):
        for _ in range(10):
            clock.now += 2.0
            progress.advance("train", 100)
    assert stream.getvalue().splitlines() == [
        "train: 1,000 to do",
        "train: 300 of 1,000 (30 %), about 14.0 s left",
        "train: 600 of 1,000 (60 %), about 8.0 s left",
        "train: 900 of 1,000 (90 %), about 2.0 s left",
        "train: done in 20.0 s",
    ]


def test_a_stage_of_unknown_length_counts() -> None:
    clock, stream = Clock(), io.StringIO()
    progress = LineProgress(stream, clock=clock)
    with stage(progress, "fit"):
        clock.now += 6.0
        progress.advance("fit", 3)
    said = stream.getvalue().splitlines()
    assert said == ["fit ...", "fit: 3 after 6.0 s", "fit: done in 6.0 s"]


def test_a_stage_that_fails_is_not_called_done() -> None:
    stream = io.StringIO()
    with pytest.raises(KeyboardInterrupt), stage(LineProgress(stream), "fit"):
        raise KeyboardInterrupt
    assert stream.getvalue().splitlines()[-1] == "fit: stopped after 0.0 s"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (59.94, "59.9 s"), (125.4, "2 min 05 s"), (3840.0, "1 h 04 min")],
)
def test_durations_read_well(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_json_has_no_nan_and_no_arrays() -> None:
    value = {"a": np.float32("nan"), "b": np.arange(2), 3: (1.5, float("inf")), "p": Path("x")}
    plain = to_json(value)
    assert plain == {"a": None, "b": [0, 1], "3": [1.5, None], "p": "x"}
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain


def test_pairs_may_be_repeated_or_joined_by_commas() -> None:
    assert pairs(["a=1,b=x", "c="], "-s", "") == {"a": "1", "b": "x", "c": ""}
    with pytest.raises(UsageError, match="twice"):
        pairs(["a=1", "a=2"], "-s", "-s a=1")


@pytest.mark.parametrize(
    ("text", "value"),
    [("3", 3), ("0.5", 0.5), ("1e-3", 1e-3), ("True", True), ("none", None), ("ids", "ids")],
)
def test_values_take_their_own_type(text: str, value: object) -> None:
    assert value_of(text) == value
    assert type(value_of(text)) is type(value)


def test_columns_go_to_every_file_with_that_role_unless_one_is_named() -> None:
    roles = {"items": ["item_id", "title"], "log": ["item_id", "user_id"]}
    given = {"item_id": "asin", "log.item_id": "product", "title": "name"}
    assert columns_by_file(given, roles) == {
        "items": {"item_id": "asin", "title": "name"},
        "log": {"item_id": "product"},
    }
    with pytest.raises(UsageError, match="Did you mean 'title'"):
        columns_by_file({"titel": "x"}, roles)
    with pytest.raises(UsageError, match="Did you mean 'items'"):
        columns_by_file({"item.title": "x"}, roles)


def test_an_output_folder_with_other_things_is_refused(tmp_path: Path) -> None:
    check_output(tmp_path / "new", "world.json", "a world")
    check_output(tmp_path, "world.json", "a world")
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(UsageError, match="is not a world"):
        check_output(tmp_path, "world.json", "a world")
    with pytest.raises(UsageError, match="is a file"):
        check_output(tmp_path / "thesis.txt", "world.json", "a world")
    (tmp_path / "world.json").touch()
    check_output(tmp_path, "world.json", "a world")


@pytest.fixture
def clean_imports(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Forget what a test imports."""
    before = set(sys.modules)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    for name in set(sys.modules) - before:
        if name.startswith("user_code"):
            del sys.modules[name]


@pytest.mark.usefixtures("clean_imports")
def test_a_users_file_is_imported_with_what_lies_beside_it(tmp_path: Path) -> None:
    (tmp_path / "user_code_helper.py").write_text("VALUE = 41\n")
    path = tmp_path / "user_code_main.py"
    path.write_text("from user_code_helper import VALUE\nANSWER = VALUE + 1\n")
    import_user_code([str(path), str(path)])
    assert sys.modules["user_code_main"].ANSWER == 42


@pytest.mark.usefixtures("clean_imports")
@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("user_code_bad.py", "1 / 0\n", "ZeroDivisionError"),
        ("user_code_lost.py", "import nothing_of_that_name\n", "'nothing_of_that_name'"),
        ("json.py", "", "rename the file"),
    ],
)
def test_a_users_file_that_cannot_be_imported_is_one_sentence(
    tmp_path: Path, name: str, text: str, sentence: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UsageError, match=sentence):
        import_user_code([str(tmp_path / name)])


@pytest.mark.parametrize("name", ["nowhere.py", "no_such_module"])
def test_user_code_that_is_not_there_exits_2(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["envs", "list", "--import", name]) == 2
    assert "there is no such" in capsys.readouterr().err


def test_profiles_come_in_the_order_of_the_log(tmp_path: Path) -> None:
    path = tmp_path / "users.csv"
    path.write_text("user_id,age,job\nb,30,cook\na,,pilot\nz,9,\n")
    profiles, report = load_profiles(path, ["a", "b", "c"])
    assert profiles == ("job: pilot", "age: 30, job: cook", "")
    assert report.columns == {"user_id": "user_id"}
    path.write_text("user,profile\na,likes trains\n")
    assert load_profiles(path, ["a"])[0] == ("likes trains",)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("name,age\nx,1\n", "no user_id column"),
        ("user_id,age\n,1\n", "the user id is empty in row 1"),
        ("user_id,age\na,1\na,2\n", "more of a"),
        ("user_id,age\nq,1\n", "none of its users is in the log"),
    ],
)
def test_wrong_users_tables_are_named(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "users.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=sentence):
        load_profiles(path, ["a", "b"])
