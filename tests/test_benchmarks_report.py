"""The report: one file that needs nothing else, says who won, and hides no doubt."""

import dataclasses
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.text import Text
from PIL import Image

from slategym.benchmarks.analysis import PolicyRuns, analyse
from slategym.benchmarks.drawing import canvas, house_style, place_labels, save
from slategym.benchmarks.fidelity import fidelity_rows, log_loss_table
from slategym.benchmarks.figures import leaderboard
from slategym.benchmarks.page_parts import number
from slategym.benchmarks.report import write_report
from slategym.benchmarks.rollout import Trajectories
from slategym.benchmarks.sessions import example_sessions
from slategym.envs.tiny import tiny_world
from slategym.envs.world import World
from slategym.errors import DataError
from slategym.files import write_json

_VOID = {"meta", "link", "br", "img", "input", "hr"}


def _sessions(
    name: str, quality: float, world: World, users: int = 64, steps: int = 12, seed: int = 0
) -> Trajectories:
    """Sessions of a made-up policy: ``quality`` is the chance of a click."""
    rng = np.random.default_rng([seed, *name.encode()])
    shared = np.random.default_rng(seed)
    luck = shared.normal(0, 0.1, users)
    length = shared.integers(3, steps + 1, users)
    shown = rng.integers(0, world.n_items, (steps, users, 4)).astype(np.int32)
    length[0] = steps
    shown[np.arange(steps)[:, None] >= length] = -1
    clicked = (rng.random(shown.shape) < np.clip(quality + luck, 0, 1)[:, None]) & (shown >= 0)
    watched = np.where(clicked, 7.5, 0.0).astype(np.float32)
    rows = world.user_rows("held_out")
    return Trajectories(
        policy=name,
        seed=seed,
        users=rows[np.random.default_rng(seed).integers(0, len(rows), users)],
        returns=clicked.sum(axis=(0, 2)).astype(float),
        clicks=clicked.sum(axis=(0, 2)).astype(np.int32),
        minutes=watched.sum(axis=(0, 2)).astype(float),
        length=length.astype(np.int32),
        left=length < steps,
        shown=shown,
        clicked=clicked,
        watched=watched,
    )


def _jpeg(shade: int) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (16, 16), (shade, 80, 120)).save(stream, "JPEG")
    return stream.getvalue()


Quality = dict[str, tuple[float, str]]
_QUALITY: Quality = {
    "random": (0.2, "baseline"),
    "popularity": (0.3, "baseline"),
    "cf-greedy": (0.4, "baseline"),
    "cf-mmr": (0.39, "baseline"),
    "my <agent> & co": (0.6, "agent"),
    "oracle-myopic": (0.8, "reference"),
}


@pytest.fixture(scope="module")
def world() -> World:
    plain = tiny_world()
    pictures = {row: _jpeg(4 * row) for row in range(0, plain.n_items, 2)}
    info = dataclasses.replace(
        plain.info,
        metrics={
            "click": {
                "models": {
                    "model": {"log_loss": 0.53211, "brier": 0.1801},
                    "global_rate": {"log_loss": 0.69, "brier": 0.25},
                },
                "reliability": {"predicted": [0.1, 0.5, 0.9], "observed": [0.12, 0.46, 0.88]},
            },
        },
    )
    return dataclasses.replace(plain, thumbnails=pictures, info=info)


def _results(world: World, folder: Path, quality: Quality | None = None) -> dict[str, Any]:
    chosen = quality or _QUALITY
    runs = [
        PolicyRuns(name, kind, f"test:{name}", (_sessions(name, q, world),), 1.5)
        for name, (q, kind) in chosen.items()
    ]
    results = analyse(world, runs)
    frames = list(range(0, 100_000, 10_000))
    results |= {
        "settings": {
            "schema": 1,
            "world": world.hash,
            "variant": "slategym/World-v0",
            "variant_hash": "0" * 16,
            "users": 64,
            "split": "held_out",
            "slate_size": 4,
            "num_candidates": None,
            "horizon": 12,
        },
        "seeds": [0],
        "curves": [
            {
                "name": run.name,
                "evaluation": {"frames": frames, "values": np.linspace(2, 16, 10).tolist()},
                "exploring": {"frames": frames, "values": np.linspace(1, 12, 10).tolist()},
                "losses": {
                    loss: {"frames": frames, "values": np.linspace(0.7, 0.5, 10).tolist()}
                    for loss in ("rating", "item_features", "recommendation_features")
                },
                "config": {},
            }
            for run in runs
            if run.kind == "agent"
        ],
        "sessions": example_sessions(world, runs, results, folder),
        "manifest": {
            "world_hash": world.hash,
            "policies": [run.fingerprint for run in runs],
            "versions": {"slategym": "0.1.0"},
            "python": "3.11.7",
            "platform": "Linux x86_64",
            "cpus": 2,
            "command": "slategym bench --world WORLD --run 'my <agent>' --out BENCH",
        },
    }
    write_json(folder / "results.json", results)
    return results


@pytest.fixture(scope="module")
def bench(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bench")
    _results(world, folder)
    write_report(folder)
    return folder


@pytest.fixture(scope="module")
def page(bench: Path) -> str:
    return (bench / "report.html").read_text(encoding="utf-8")


def test_the_title_names_the_winner_and_the_verdict_its_interval(bench: Path) -> None:
    results = json.loads((bench / "results.json").read_text())
    assert results["winner"] == "my <agent> & co", "the oracle is a reference, not a contender"
    assert results["title"].startswith("my <agent> & co wins")
    assert re.search(
        r"the paired 95 % interval \[\+\d.*\] excludes 0, as it does against every other "
        r"policy that a platform could run\.$",
        results["verdict"],
    )
    assert results["decided"] is True


def test_a_lead_within_chance_is_not_called_a_win(world: World, tmp_path: Path) -> None:
    near = {"popularity": (0.3, "baseline"), "cf-greedy": (0.301, "baseline")}
    results = _results(world, tmp_path, near)
    assert results["title"].startswith("No clear winner")
    assert "includes 0" in results["verdict"]
    assert results["decided"] is False


def test_one_policy_alone_has_nothing_to_be_compared_with(world: World, tmp_path: Path) -> None:
    results = _results(world, tmp_path, {"random": (0.3, "baseline")})
    assert "without a rival" in results["verdict"]


def test_a_single_user_gives_no_interval_and_no_win(world: World) -> None:
    policies = [
        PolicyRuns(name, "baseline", name, (_sessions(name, quality, world, users=1),))
        for name, quality in (("random", 0.1), ("popularity", 0.9))
    ]
    results = analyse(world, policies)
    assert results["decided"] is False
    assert "nan" not in results["title"] + results["verdict"]


def test_sessions_are_not_called_users(page: str, bench: Path) -> None:
    results = json.loads((bench / "results.json").read_text())
    users = results["distinct_users"]
    assert users < 64
    assert f"64 sessions of {users} held-out users each" in page


def test_policies_on_different_users_are_not_compared(world: World) -> None:
    first = PolicyRuns("a", "baseline", "a", (_sessions("a", 0.3, world),))
    second = PolicyRuns("b", "baseline", "b", (_sessions("b", 0.3, world, seed=1),))
    with pytest.raises(DataError, match="did not meet the same users"):
        analyse(world, [first, second])


def test_differences_are_taken_against_the_trained_agent(bench: Path) -> None:
    results = json.loads((bench / "report.json").read_text())
    assert results["reference"] == "my <agent> & co"
    pairs = {pair["policy"]: pair for pair in results["paired"]}
    assert set(pairs) == set(_QUALITY) - {"my <agent> & co"}
    assert pairs["random"]["metrics"]["return"]["high"] < 0
    assert pairs["oracle-myopic"]["metrics"]["return"]["low"] > 0


def test_survival_begins_with_everyone_and_never_rises(bench: Path) -> None:
    for share in json.loads((bench / "results.json").read_text())["survival"].values():
        assert share[0] == 1.0
        assert (np.diff(share) <= 0).all()


Attributes = list[tuple[str, str | None]]


class Reader(HTMLParser):
    """Checks that tags are closed and collects what a browser would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.wanted: list[str] = []
        self.ids: list[str] = []
        self.tags: list[str] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: Attributes) -> None:
        """Note what a tag refers to."""
        self.tags.append(tag)
        for key, given in attrs:
            value = given or ""
            if key in ("src", "href", "xlink:href") and not value.startswith(("#", "data:")):
                self.wanted.append(value)
            if key == "id":
                self.ids.append(value)
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Attributes) -> None:
        """Note a tag that closes itself."""
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        """Close the innermost open tag."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Note words that are shown."""
        if self.open and self.open[-1] != "style":
            self.words.append(data)


@pytest.fixture(scope="module")
def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    assert reader.open == []
    return reader


def test_the_page_asks_for_nothing_outside_itself(page: str, read: Reader) -> None:
    assert read.wanted == []
    assert "@import" not in page
    assert not re.search(r"url\((?!#)", page)
    assert "default-src 'none'" in page, "and the browser is told to refuse it"


def test_the_page_reads_without_scripts(read: Reader) -> None:
    assert "script" not in read.tags
    assert read.tags.count("table") >= 4


def test_ids_are_unique_although_many_drawings_share_the_page(read: Reader) -> None:
    assert len(read.ids) == len(set(read.ids))


def test_every_drawing_refers_only_to_its_own_parts(page: str, read: Reader) -> None:
    used = set(re.findall(r'href="#([^"]+)"', page)) | set(re.findall(r"url\(#([^)]+)\)", page))
    assert used <= set(read.ids)


def test_names_are_escaped(page: str, read: Reader) -> None:
    assert "<agent>" not in page
    assert any("my <agent> & co" in word for word in read.words)


def test_dark_mode_and_paper_have_their_own_colours(page: str) -> None:
    assert "prefers-color-scheme: dark" in page
    assert "@media print" in page
    assert "var(--ink)" in page
    assert "#1b1d23" not in page.split("</style>", 1)[1], "no drawing keeps its own ink"


def test_a_synthetic_world_is_called_synthetic_before_the_title(page: str) -> None:
    assert page.index("Synthetic world") < page.index("<h1>")


def test_no_number_in_a_table_is_unrounded(read: Reader) -> None:
    long = [word for word in read.words if re.fullmatch(r"\s*-?\d+\.\d{5,}\s*", word)]
    assert long == []


def test_pictures_are_inside_the_page_and_items_without_one_have_initials(page: str) -> None:
    assert "data:image/jpeg;base64," in page
    assert 'class="blank"' in page


def test_the_click_model_is_shown_against_its_baselines(page: str) -> None:
    table = page[page.index("Click model on held-out log rows") :]
    assert "0.5321" in table[:1500]
    assert table.index("Click model of this world") < table.index("Global rate"), "best first"


def test_the_same_results_give_the_same_bytes(bench: Path, page: str, tmp_path: Path) -> None:
    results = json.loads((bench / "results.json").read_text())
    with house_style():
        figure, name, title, caption = leaderboard(results)
        again = save(figure, tmp_path, name, title, caption)
    assert again.svg in page
    for ending in ("svg", "png"):
        first = (bench / "figures" / f"leaderboard.{ending}").read_bytes()
        assert (tmp_path / f"leaderboard.{ending}").read_bytes() == first


def test_figures_lie_beside_the_report(bench: Path) -> None:
    named = {entry["name"] for entry in json.loads((bench / "report.json").read_text())["figures"]}
    assert named >= {"leaderboard", "differences", "trade_off", "survival", "exposure"}
    assert named >= {"learning", "auxiliary", "reliability"}
    for name in named:
        assert (bench / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert "<svg" in (bench / "figures" / f"{name}.svg").read_text()


def test_tables_stand_by_purpose_and_leave_out_what_nobody_has(page: str, bench: Path) -> None:
    for part in ("Retention", "How varied", "Vendi score", "Who is shown", "Who beats whom"):
        assert f">{part}" in page, part
    assert "Purchases" not in page, "nothing is for sale"
    assert "Return time" not in page, "no user returns"
    compared = json.loads((bench / "results.json").read_text())["compared"]
    assert len(compared["pairs"]) == len(_QUALITY) * (len(_QUALITY) - 1) // 2


def test_an_unfinished_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no results\.json"):
        write_report(tmp_path)


@pytest.mark.parametrize("seed", range(5))
def test_labels_are_neither_clipped_nor_on_top_of_each_other(seed: int) -> None:
    rng = np.random.default_rng(seed)
    points = [tuple(p) for p in np.concatenate([rng.normal(0, 0.02, (4, 2)), rng.random((4, 2))])]
    names = [f"policy {'x' * int(n)}" for n in rng.integers(0, 9, 8)]
    with house_style():
        _, axes = canvas(5.6, 3.9)
        axes.scatter(*zip(*points, strict=True))
        axes.margins(0.18)
        labels = place_labels(axes, points, names, ["#000000"] * 8)
        axes.figure.canvas.draw()
        frame = axes.get_window_extent()
        boxes = [Text.get_window_extent(label) for label in labels]
    assert [label.get_text() for label in labels] == names
    for place, box in enumerate(boxes):
        assert frame.x0 <= box.x0
        assert box.x1 <= frame.x1
        assert frame.y0 <= box.y0
        assert box.y1 <= frame.y1
        assert not any(box.overlaps(other) for other in boxes[:place])


def test_a_world_without_measures_says_so(tmp_path: Path) -> None:
    world = tiny_world()
    _results(world, tmp_path, {"random": (0.3, "baseline")})
    page = write_report(tmp_path).read_text(encoding="utf-8")
    assert "records no held-out measure" in page
    assert not (tmp_path / "figures" / "reliability.svg").exists()
    assert not (tmp_path / "figures" / "differences.svg").exists(), "one policy, no difference"


def test_numbers_as_people_write_them() -> None:
    assert number(1234.5678, 2) == "1,234.57"
    assert number(-0.5, 1, signed=True) == "\N{MINUS SIGN}0.5"
    assert number(0.25, 1, signed=True) == "+0.2"
    assert number(None, 3) == "n/a"
    assert number(-0.001, 1, signed=True) == "0.0"


def test_click_models_stand_in_order_with_what_they_lose_to_the_world_s() -> None:
    models = {"global_rate": {"log_loss": 0.6, "auc": 0.5}, "model": {"log_loss": 0.5}}
    difference = {"global_rate": {"mean": -0.1, "low": -0.2, "high": 0}}
    measured = {"rating": {"rmse": 0.91}, "click": {"models": models, "difference": difference}}
    table = log_loss_table(measured)
    assert table is not None
    assert [row["own"] for row in table["rows"]] == [True, False]
    assert [row["values"] for row in table["rows"]] == [
        ["0.5000", "n/a", ""],
        ["0.6000", "0.5000", "\N{MINUS SIGN}0.1000 [\N{MINUS SIGN}0.2000, +0.0000]"],
    ]
    assert log_loss_table({"rating": {"rmse": 0.9}}) is None
    assert ("rating · rmse", "0.91") in fidelity_rows(measured)
