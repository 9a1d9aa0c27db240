"""Curves reach TensorBoard and Weights & Biases, each step once."""

import struct
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from slategym.errors import UsageError
from slategym.event_file import EventFile, remove_events
from slategym.trackers import trackers


def read(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard itself reads."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    found = accumulator.EventAccumulator(str(folder))
    found.Reload()
    return {
        tag: [(event.step, event.value) for event in found.Scalars(tag)]
        for tag in found.Tags()["scalars"]
    }


@pytest.mark.filterwarnings("ignore")
def test_tensorboard_reads_what_was_written(tmp_path: Path) -> None:
    with EventFile(tmp_path) as file:
        file.scalars(0, {"train/return": 1.5})
        file.scalars(300, {"train/return": -2.25, "aux/rating": 0.1 * 2**40})
        file.scalars(2**40, {})
    assert read(tmp_path) == {
        "train/return": [(0, 1.5), (300, -2.25)],
        "aux/rating": [(300, pytest.approx(0.1 * 2**40))],
    }


def test_a_record_is_framed_with_lengths_and_checksums(tmp_path: Path) -> None:
    with EventFile(tmp_path) as file:
        path = file.path
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    assert data[12 : 12 + length].endswith(b"brain.Event:2")
    # The length of the record that every such file begins with, and its well-known checksum.
    assert data[:12].hex() == "180000000000000" + "0a37f4b22"


@pytest.mark.filterwarnings("ignore")
def test_a_run_that_goes_on_shows_each_step_once(tmp_path: Path) -> None:
    (tmp_path / "events.out.tfevents.1.other").write_bytes(b"")
    with trackers(tmp_path) as tell:
        tell(1, {"loss": 3.0})
        tell(2, {"loss": 2.0})
        tell(3, {"loss": 9.0})  # after the checkpoint, lost with the process
    with trackers(tmp_path, again=[(1, {"loss": 3.0}), (2, {"loss": 2.0})]) as tell:
        tell(3, {"loss": 1.0})
    assert read(tmp_path) == {"loss": [(1, 3.0), (2, 2.0), (3, 1.0)]}
    remove_events(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["events.out.tfevents.1.other"]


def test_weights_and_biases_needs_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(UsageError, match=r"pip install 'slategym\[wandb\]'"), trackers(wandb="p"):
        pass


def test_curves_reach_weights_and_biases(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[object] = []
    project = SimpleNamespace(
        log=lambda measures, step: told.append((measures, step)), finish=lambda: told.append("end")
    )
    stand_in = SimpleNamespace(init=lambda **settings: told.append(settings) or project)
    monkeypatch.setitem(sys.modules, "wandb", stand_in)
    with trackers(wandb="p", settings={"width": 3}) as tell:
        tell(1, {"loss": 0.5})
    assert told == [{"project": "p", "config": {"width": 3}}, ({"loss": 0.5}, 1), "end"]
    told.clear()
    with trackers(wandb="p", name="run-1"):
        pass
    assert told[0] == {"project": "p", "config": {}, "id": "run-1", "resume": "allow"}
