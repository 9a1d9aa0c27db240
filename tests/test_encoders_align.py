"""Modalities meet in the aligned space, gates know what is missing, and both survive a disk."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from slategym.encoders.align import Alignment, fit_cca, recall_at, unit
from slategym.encoders.align_train import ContrastConfig, fit_contrastive
from slategym.encoders.gate import FusionConfig, LearnedFusion, fit_fusion
from slategym.encoders.pipeline import ItemVectors
from slategym.errors import DataError, UsageError

WIDTHS = {"text": 12, "image": 30, "audio": 20}


def items(count: int = 240, *, names: tuple[str, ...] = ("text", "image"), noise: float = 0.5,
          lacking: float = 0.0, seed: int = 0) -> ItemVectors:  # fmt: skip
    """Modalities that see the same six hidden numbers, each through a map of its own."""
    rng = np.random.default_rng(seed)
    hidden = rng.standard_normal((count, 6))
    vectors, present = {}, {}
    for name in names:
        mixing = np.random.default_rng(WIDTHS[name]).standard_normal((6, WIDTHS[name]))
        rows = hidden @ mixing + noise * rng.standard_normal((count, WIDTHS[name])) + 3
        there = rng.random(count) >= (lacking if name != names[0] else 0)
        present[name] = there
        vectors[name] = np.where(there[:, None], rows, 0).astype(np.float32)
    return ItemVectors(vectors, present, {name: f"{name}-1" for name in names})


def recall(alignment: Alignment, vectors: ItemVectors, rows: slice) -> float:
    text = alignment.project("text", vectors.vectors["text"][rows])
    return recall_at(text, alignment.project("image", vectors.vectors["image"][rows]), 5)


def test_items_never_seen_find_their_own_picture() -> None:
    vectors = items()
    alignment = fit_cca(vectors, dim=8, strength=0.1, rows=np.arange(160))
    assert recall(alignment, vectors, slice(160, None)) > 0.9
    mixed = replace(vectors, vectors={**vectors.vectors, "image": vectors.vectors["image"][::-1]})
    assert recall(fit_cca(mixed, dim=8, rows=np.arange(160)), vectors, slice(160, None)) < 0.5


def test_recall_counts_the_right_answers_among_the_nearest() -> None:
    queries = np.eye(4)
    assert recall_at(queries, np.eye(4), 1) == 1.0
    assert recall_at(queries, np.eye(4)[[1, 0, 2, 3]], 1) == 0.5


@pytest.mark.parametrize("loss", ["infonce", "siglip"])
def test_training_does_not_lose_to_its_start_and_is_the_same_twice(loss: str) -> None:
    vectors = items(noise=1.0)
    config = ContrastConfig(loss=loss, dim=8, hidden=8, epochs=15, batch=64, strength=3.0)  # type: ignore[arg-type]
    first, again = (fit_contrastive(vectors, config) for _ in range(2))
    assert first.report["held_out_loss"] <= first.report["held_out_loss_at_start"]
    np.testing.assert_array_equal(first.heads["text"].weight, again.heads["text"].weight)


def test_training_improves_a_start_that_is_far_too_stiff() -> None:
    vectors = items(400, noise=1.0)
    config = ContrastConfig(dim=8, strength=100.0, epochs=60, learning_rate=1e-2, dropout=0.0)
    found = fit_contrastive(vectors, config)
    assert float(found.report["held_out_loss"]) < 0.9 * float(
        found.report["held_out_loss_at_start"]
    )


def test_three_modalities_with_gaps_share_a_space() -> None:
    vectors = items(300, names=("text", "image", "audio"), lacking=0.3)
    config = ContrastConfig(dim=8, epochs=5, strength=0.3)
    for alignment in (fit_cca(vectors, dim=8, strength=0.3), fit_contrastive(vectors, config)):
        both = vectors.present["audio"] & vectors.present["image"]
        sound = alignment.project("audio", vectors.vectors["audio"][both])
        picture = alignment.project("image", vectors.vectors["image"][both])
        assert recall_at(sound, picture, 5) > 0.6
        shared = alignment.project_items(vectors)
        np.testing.assert_allclose(np.linalg.norm(shared, axis=1), 1, atol=1e-5)


def test_an_alignment_survives_a_disk_and_refuses_other_encoders(tmp_path: Path) -> None:
    vectors = items()
    alignment = fit_contrastive(vectors, ContrastConfig(dim=6, hidden=4, epochs=2))
    alignment.save(tmp_path / "a")
    loaded = Alignment.load(tmp_path / "a")
    np.testing.assert_array_equal(loaded.project_items(vectors), alignment.project_items(vectors))
    assert loaded.report == alignment.report
    with pytest.raises(DataError, match="made by text-2"):
        loaded.project_items(replace(vectors, fingerprints={"text": "text-2", "image": "image-1"}))
    (tmp_path / "a" / "alignment.safetensors").write_bytes(b"nothing")
    with pytest.raises(DataError, match="missing or damaged"):
        Alignment.load(tmp_path / "a")


def test_an_alignment_can_be_cut() -> None:
    vectors = items()
    cut = fit_cca(vectors, dim=8).truncated(3)
    assert cut.dim == 3
    assert cut.project("text", vectors.vectors["text"]).shape == (240, 3)
    with pytest.raises(UsageError, match="cannot be cut to 9"):
        cut.truncated(9)


def test_what_cannot_be_aligned_is_said() -> None:
    with pytest.raises(DataError, match="two modalities"):
        fit_cca(items(names=("text",)))
    with pytest.raises(UsageError, match="strength"):
        fit_cca(items(), strength=0)
    with pytest.raises(UsageError, match="Known: image, text"):
        fit_cca(items()).project("audio", np.zeros((1, 20)))
    with pytest.raises(DataError, match=r"\(N, 12\)"):
        fit_cca(items()).project("text", np.zeros((1, 13)))
    with pytest.raises(UsageError, match="modality_dropout"):
        ContrastConfig(modality_dropout=1.0)


def fusion_case(lacking: float = 0.3) -> tuple[ItemVectors, np.ndarray]:
    """Targets that pictures tell well and texts badly; some items have no picture."""
    vectors = items(400, noise=0.1, lacking=lacking)
    rng = np.random.default_rng(1)
    noisy = vectors.vectors["text"] + 6 * rng.standard_normal((400, 12)).astype(np.float32)
    clean = items(400, noise=0.0).vectors["text"]
    return replace(vectors, vectors={**vectors.vectors, "text": noisy}), clean[:, :6]


@pytest.mark.parametrize("kind", ["gate", "attention"])
def test_fusion_trusts_the_modality_that_tells_more_and_the_other_where_it_is_alone(
    kind: str,
) -> None:
    vectors, targets = fusion_case()
    fusion = fit_fusion(vectors, targets, FusionConfig(kind=kind, dim=6, seed=1))  # type: ignore[arg-type]
    weights = fusion.weights(vectors)
    there = vectors.present["image"]
    assert weights[there, 1].mean() > 0.6
    np.testing.assert_array_equal(weights[~there], [[1.0, 0.0]] * int((~there).sum()))
    assert fusion.report["held_out_error"] < fusion.report["held_out_error_at_start"]


def test_a_fusion_survives_a_disk_and_gives_nothing_for_nothing(tmp_path: Path) -> None:
    vectors, targets = fusion_case()
    fusion = fit_fusion(vectors, targets, FusionConfig(dim=4, epochs=5))
    fusion.save(tmp_path / "f")
    loaded = LearnedFusion.load(tmp_path / "f")
    np.testing.assert_array_equal(loaded.transform(vectors), fusion.transform(vectors))
    nobody = np.zeros(400, np.bool_)
    empty = replace(vectors, present={"text": nobody, "image": nobody})
    assert not fusion.transform(empty).any()
    with pytest.raises(DataError, match="targets must be finite"):
        fit_fusion(vectors, targets[:5])


def test_a_zero_row_stays_zero() -> None:
    np.testing.assert_allclose(unit([[3.0, 4.0], [0.0, 0.0]]), [[0.6, 0.8], [0, 0]], atol=1e-6)
