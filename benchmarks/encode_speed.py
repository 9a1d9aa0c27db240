"""How many items per CPU-second the encoders turn into vectors, against peers in one run.

Run as ``python -m slategym.benchmarks.encode_speed --data DIR --peers PYTHON``, DIR the folder
that holds ``ml-100k`` and ``clothing_cc0``, PYTHON one with sentence-transformers (its own
environment). Rounds of peer and ours alternate, so that what else runs on the machine slows both;
each row is the median over rounds. Threads are what OMP_NUM_THREADS says, for both.
"""

import argparse
import csv
import gzip
import json
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from slategym.encoders.base import FloatArray
from slategym.encoders.cpu import cpu_flags, threads
from slategym.encoders.image import EfficientNetLite0
from slategym.encoders.static import static_minilm
from slategym.encoders.text import minilm
from slategym.encoders.weights import ensure_weights
from slategym.errors import DataError

_PEER = """
import json, sys, time
import numpy as np
import torch
from sentence_transformers import SentenceTransformer
folder, texts, out, threads = sys.argv[1:]
torch.set_num_threads(int(threads))
texts = json.load(open(texts, encoding="utf-8"))
model = SentenceTransformer(folder, local_files_only=True, device="cpu")
model.max_seq_length = 256
model.encode(texts[:32])
begin = time.process_time()
vectors = model.encode(texts)
print(json.dumps({"cpu": time.process_time() - begin}))
np.save(out, vectors)
"""


def main(arguments: list[str] | None = None) -> int:
    """Measure, and print one table and one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--peers", help="a python that has sentence-transformers")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--items", type=int, help="at most so many texts and pictures")
    given = parser.parse_args(arguments)
    plots, titles = _texts(given.data, given.items)
    print(f"{threads()} thread(s); the processor has: {_known_flags()}")
    rows = {
        **_show(_text_rows(plots, given.peers, given.rounds)),
        **_show(_title_rows(titles, given.rounds)),
        **_show(_picture_rows(given.data, given.items, given.rounds)),
    }
    ratios = {name: {"rate": rate, "ratio": rate / base} for name, (rate, base, _) in rows.items()}
    print(json.dumps({"threads": threads(), "rows": ratios}))
    return 0


Rows = dict[str, tuple[float, float, float]]  # items per CPU-second, of the yardstick, cosine


def _show(rows: Rows) -> Rows:
    """Print rows as soon as they are there, and return them."""
    for name, (rate, base, cosine) in rows.items():
        ratio = f"{rate / base:>5.2f}x  cosine {cosine:.4f}"
        print(f"{name:<52} {rate:>9,.1f} /CPU-s  {ratio}", flush=True)
    return rows


def _text_rows(plots: list[str], peers: str | None, rounds: int) -> Rows:
    exact, ours = minilm(precision="float32"), minilm()
    by_length = sorted(plots, key=len)
    ways: dict[str, Callable[[], FloatArray]] = {
        "plots: float32, batches of 32 in the order given": lambda: np.concatenate(
            [exact.encode_texts(plots[at : at + 32]) for at in range(0, len(plots), 32)]
        ),
        "plots: float32, like lengths in a batch": lambda: exact.encode_texts(plots),
        f"plots: {ours.arithmetic} (auto), without padding": lambda: ours.encode_texts(plots),
    }
    for encoder in (exact, ours):
        encoder.encode_texts(by_length[-4:])  # loads, and compiles
    times: dict[str, list[float]] = {name: [] for name in ways}
    peer: list[float] = []
    found: dict[str, FloatArray] = {}
    peer_vectors: FloatArray | None = None
    for _ in range(rounds):
        if peers:
            seconds, peer_vectors = _peer(peers, plots)
            peer.append(seconds)
        for name, way in ways.items():
            seconds, found[name] = _timed(way)
            times[name].append(seconds)
    first = next(iter(found.values()))
    against = float(np.median(peer)) if peer else float(np.median(times[next(iter(times))]))
    rows: Rows = {}
    if peer_vectors is not None:
        name = "plots: sentence-transformers, encode() as it comes"
        rows[name] = (len(plots) / against, len(plots) / against, _cosine(peer_vectors, first))
    for name, seconds_all in times.items():
        rate = len(plots) / float(np.median(seconds_all))
        rows[name] = (rate, len(plots) / against, _cosine(found[name], first))
    return rows


def _title_rows(titles: list[str], rounds: int) -> Rows:
    encoder = static_minilm()
    encoder.encode_texts(titles[:10])
    many = titles * max(1, 20_000 // len(titles))
    seconds = float(
        np.median([_timed(lambda: encoder.encode_texts(many))[0] for _ in range(rounds)])
    )
    rate = len(many) / seconds
    return {"titles: static vectors distilled from MiniLM": (rate, rate, 1.0)}


def _picture_rows(data: Path, items: int | None, rounds: int) -> Rows:
    """Return the rows of pictures, decoding and resizing included."""
    import torch

    from slategym.encoders.image import prepare
    from slategym.encoders.media import read_picture

    archive = data / "clothing_cc0" / "images.zip"
    if not archive.is_file():
        raise DataError(f"{archive} does not exist; give --data a folder with clothing_cc0.")
    with tempfile.TemporaryDirectory() as scratch, zipfile.ZipFile(archive) as stored:
        names = [name for name in sorted(stored.namelist()) if name.endswith(".jpg")][
            : items or 160
        ]
        files = [Path(stored.extract(name, scratch)) for name in names]
        encoder, plain = EfficientNetLite0(), EfficientNetLite0().network

        def plainly() -> FloatArray:
            parts = []
            for at in range(0, len(files), 16):
                pixels = [prepare(read_picture(file), encoder.size) for file in files[at : at + 16]]
                with torch.inference_mode():
                    parts.append(plain(torch.from_numpy(np.stack(pixels))).numpy())
            return np.concatenate(parts)

        def ours() -> FloatArray:
            step = encoder.batch
            parts = [
                encoder.encode_files(files[at : at + step]) for at in range(0, len(files), step)
            ]
            return np.concatenate(parts)

        ours()
        pairs = [(_timed(plainly), _timed(ours)) for _ in range(rounds)]
    base, rate = (len(files) / float(np.median([pair[way][0] for pair in pairs])) for way in (0, 1))
    return {
        "pictures: EfficientNet-Lite0, plain float32 forward": (base, base, 1.0),
        "pictures: EfficientNet-Lite0, ours": (rate, base, _cosine(pairs[0][1][1], pairs[0][0][1])),
    }


def _peer(python: str, texts: list[str]) -> tuple[float, FloatArray]:
    """Return CPU-seconds and vectors of sentence-transformers in another environment."""
    with tempfile.TemporaryDirectory() as scratch:
        held, out = Path(scratch) / "texts.json", Path(scratch) / "vectors.npy"
        held.write_text(json.dumps(texts), encoding="utf-8")
        folder = str(ensure_weights("minilm"))
        command = [python, "-c", _PEER, folder, str(held), str(out), str(threads())]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        if run.returncode:
            raise DataError(f"the peer failed: {run.stderr.strip().splitlines()[-1]}")
        vectors: npt.NDArray[np.float32] = np.load(out)
        return float(json.loads(run.stdout.splitlines()[-1])["cpu"]), vectors


def _timed(way: Callable[[], FloatArray]) -> tuple[float, FloatArray]:
    begin = time.process_time()
    vectors = way()
    return time.process_time() - begin, vectors


def _cosine(some: FloatArray, others: FloatArray) -> float:
    lengths = np.linalg.norm(some, axis=1) * np.linalg.norm(others, axis=1)
    return float(((some * others).sum(axis=1) / lengths).mean())


def _texts(data: Path, items: int | None) -> tuple[list[str], list[str]]:
    """Return the plots and titles (without the year) of MovieLens 100K."""
    path = data / "ml-100k" / "item_text.csv.gz"
    if not path.is_file():
        raise DataError(f"{path} does not exist; give --data a folder with ml-100k.")
    with gzip.open(path, "rt", encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))[:items]
    return [row["plot"] for row in rows], [row["title"].rsplit(" (", 1)[0] for row in rows]


def _known_flags() -> str:
    telling = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_bf16")
    return ", ".join(flag for flag in telling if flag in cpu_flags()) or "nothing we use"


if __name__ == "__main__":
    sys.exit(main())
