"""What the tables of models say of content: gains beside a control, films and people as vectors."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from slategym.benchmarks.cf_bench import run_bench
from slategym.benchmarks.cf_fusion import film_vectors, profile_vectors, user_lines
from slategym.errors import DataError, UsageError


def tiktok_like(folder: Path) -> Path:
    """Write a log in the form of the TikTok split where tastes follow the audio vectors."""
    rng = np.random.default_rng(0)
    n_users, n_items = 120, 80
    kind = np.arange(n_items) % 4
    parts: dict[str, list[tuple[int, int]]] = {"trn": [], "val": [], "tst": []}
    for user in range(n_users):
        chosen = rng.permutation(np.flatnonzero(kind == user % 4))[:7]
        parts["trn"] += [(user, int(item)) for item in chosen[:3]]
        parts["val"] += [(user, int(item)) for item in chosen[3:5]]
        parts["tst"] += [(user, int(item)) for item in chosen[5:]]
    pairs = {name: np.array(rows).T for name, rows in parts.items()}
    np.savez(
        folder / "interactions.npz",
        shape=np.array([n_users, n_items]),
        **{f"{name}_user": rows[0] for name, rows in pairs.items()},
        **{f"{name}_item": rows[1] for name, rows in pairs.items()},
    )
    audio = np.eye(4)[kind] + 0.1 * rng.normal(size=(n_items, 4))
    np.save(folder / "audio_feat.npy", audio.astype(np.float16))
    np.save(folder / "image_feat.npy", rng.normal(size=(n_items, 4)).astype(np.float16))
    return folder


def test_content_is_shown_beside_the_same_shuffled(tmp_path: Path) -> None:
    (table,) = run_bench(tiktok_like(tmp_path), ["graph-walk"], content=True)
    rows = {row.model: row for row in table.rows}
    assert list(rows) == ["graph-walk", "graph-walk + content", "graph-walk + shuffled content"]
    with_content, control = (
        rows[f"graph-walk + {name}"] for name in ("content", "shuffled content")
    )
    assert with_content.values["recall@20"] > control.values["recall@20"]
    assert with_content.settings == control.settings
    assert all(math.isfinite(row.cpu_seconds) for row in table.rows)
    again = run_bench(tmp_path, ["graph-walk"], content=True)[0]
    assert [row.values for row in again.rows] == [row.values for row in table.rows]


def test_content_that_is_not_there_or_not_used_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="leave --content out"):
        run_bench(tiktok_like(tmp_path), ["item-knn"], content=True)
    rows = [
        f"u{user},i{(user + place) % 9},{place % 5 + 1},{place + 1}"
        for user in range(9)
        for place in range(6)
    ]
    log = tmp_path / "log.csv"
    log.write_text("user_id,item_id,rating,timestamp\n" + "\n".join(rows) + "\n")
    with pytest.raises(DataError, match="no content of items"):
        run_bench(log, ["graph-walk"], content=True)


def test_profiles_become_age_bands_and_words() -> None:
    out = profile_vectors(("24 year old man, technician", "61 year old woman, writer", ""))
    assert out.sum(axis=1).tolist() == [3, 3, 0]
    assert not (out[0] * out[1]).any()
    same = profile_vectors(("24 year old man", "23 year old man"))
    assert np.array_equal(same[0], same[1])


def test_films_become_genres_and_bands_of_years(data_dir: Callable[[str], Path]) -> None:
    out = film_vectors(data_dir("ml-100k"))
    assert len(out) == 1682
    squares = (out**2).sum(axis=1)
    assert squares.max() == pytest.approx(2, abs=1e-5)  # genres together 1, the year 1
    assert (squares > 1.5).mean() > 0.99


@pytest.mark.slow
def test_profiles_help_where_there_is_no_history(data_dir: Callable[[str], Path]) -> None:
    lines = {line.model: line for line in user_lines(data_dir("ml-100k"))}
    popular, control = lines["popularity"], lines["als + shuffled profiles"]
    assert lines["als + profiles"].value > popular.value + 0.005
    assert control.value < popular.value
