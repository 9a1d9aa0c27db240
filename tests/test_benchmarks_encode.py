"""The measures of the encoder tables are right where the answer is known."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from slategym.benchmarks.encode_cold import ndcg
from slategym.benchmarks.encode_finetune import table
from slategym.benchmarks.encode_probes import (
    concatenated,
    neighbour_accuracy,
    neighbour_hits,
    probe_accuracy,
    stratified,
)
from slategym.encoders import musicnn
from slategym.encoders.audio import Musicnn
from slategym.encoders.audio_loop import LoopedMusicnn


def groups(count: int = 60, noise: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = np.arange(count) % 3
    return np.eye(3)[labels] + noise * rng.standard_normal((count, 3)), labels


def test_neighbours_vote_and_an_item_is_not_its_own_neighbour() -> None:
    rows, labels = groups()
    assert neighbour_hits(rows, labels).all()
    # One item of a class of its own can never be right.
    alone = np.concatenate([labels, [3]])
    hits = neighbour_hits(np.concatenate([rows, [[5.0, 5, 5]]]), alone)
    assert not hits[-1]


def test_a_table_is_chosen_where_it_is_not_judged() -> None:
    rows, labels = groups()
    noise = np.random.default_rng(1).standard_normal((60, 3))
    assert neighbour_accuracy([noise, rows], labels) == 1.0
    assert probe_accuracy({"a": noise, "b": rows}, labels, folds=3, seeds=[0]) == 1.0
    assert probe_accuracy({"a": noise}, labels, folds=3, seeds=range(4)) < 0.6


def test_folds_hold_every_class() -> None:
    labels = np.repeat([0, 1], [8, 12])
    part = stratified(labels, 4, 0)
    assert [np.bincount(part[labels == label]).tolist() for label in (0, 1)] == [[2] * 4, [3] * 4]


def test_modalities_weigh_what_they_are_given() -> None:
    both = concatenated(([[3.0, 4.0]], [[0.0, 2.0]]), (1, 0.5))
    np.testing.assert_allclose(both, [[0.6, 0.8, 0, 0.5]], atol=1e-6)
    assert concatenated(([[3.0, 4.0]], [[0.0, 2.0]]), (1, 0)).shape == (1, 2)


def test_ndcg_is_its_formula() -> None:
    scores = np.array([[3.0, 2.0, 1.0], [3.0, 2.0, 1.0], [0.0, 0.0, 0.0]])
    liked = np.array([[True, False, True], [False, True, False], [False] * 3])
    expected = [(1 + 0.5) / (1 + 1 / np.log2(3)), 1 / np.log2(3)]
    np.testing.assert_allclose(ndcg(scores, liked), expected)


def test_the_study_pairs_seeds() -> None:
    rows = [{"rmse": 0.9 + 0.01 * seed, "ndcg": 0.2} for seed in range(3)]
    worse = [{"rmse": row["rmse"] + 0.005, "ndcg": 0.1} for row in rows]
    said = table({"T1 alone": worse, "all three": rows})
    assert "| 0.0050 +- 0.0000 | -0.1000 +- 0.0000 |" in said


def test_a_short_sound_is_heard_once_and_looped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    network = musicnn.build().requires_grad_(False)
    for kind in (Musicnn, LoopedMusicnn):
        monkeypatch.setitem(kind.__dict__["_network"].__dict__, "func", lambda _self: network)
    tone = np.sin(np.arange(16_000) * 0.1).astype(np.float32)
    short, long = tmp_path / "short.wav", tmp_path / "long.wav"
    soundfile.write(short, tone, musicnn.RATE)
    soundfile.write(long, np.tile(tone, 4), musicnn.RATE)
    found = LoopedMusicnn().encode_files([short, long])
    assert found.shape == (2, 2 * musicnn.DIM)
    np.testing.assert_array_equal(found[1, : musicnn.DIM], found[1, musicnn.DIM :])
    assert np.abs(found[0, : musicnn.DIM] - found[0, musicnn.DIM :]).max() > 1e-3
