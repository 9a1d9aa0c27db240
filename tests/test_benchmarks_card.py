"""The card's page and the stability of rankings under other dynamics."""

import json
from functools import lru_cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from slategym.benchmarks.card_page import render_card, write_card
from slategym.benchmarks.card_sensitivity import BASE, GRID, kendall_tau, rank_stability
from slategym.benchmarks.card_svg import gap, histogram, reliability
from slategym.envs.card import world_card
from slategym.envs.card_findings import findings
from slategym.envs.registry import get_variant
from slategym.envs.tiny import tiny_world
from slategym.errors import UsageError

VOID = {"meta", "path", "circle", "rect"}


class Page(HTMLParser):
    """Refuses a page whose tags do not nest; remembers texts, tags and where they point."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.links: list[str] = []
        self.said = ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take in a tag."""
        self.tags.append(tag)
        self.links += [str(value) for name, value in attrs if name in {"src", "href"}]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Refuse a tag that closes another one."""
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Take in a text."""
        self.said += data


@lru_cache(maxsize=1)
def ranked() -> dict[str, Any]:
    grid = {name: GRID[name] for name in (BASE, "no satiation", "half the patience")}
    return rank_stability(
        tiny_world(), policies=("random", "popularity", "cf-greedy"), grid=grid, users=64, draws=200
    )


@lru_cache(maxsize=1)
def whole_card() -> dict[str, Any]:
    card = world_card(tiny_world(), draws=100, sessions=100)
    return {**card, "policy_ranking": ranked()}


# --- rankings ------------------------------------------------------------------------------------


def test_kendall_agrees_with_scipy_ties_included() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        a, b = rng.integers(0, 4, 7).astype(float), rng.integers(0, 4, 7).astype(float)
        assert kendall_tau(a, b) == pytest.approx(stats.kendalltau(a, b).statistic)
    table = rng.normal(size=(5, 6))
    assert kendall_tau(table, table).tolist() == [1.0] * 5
    assert kendall_tau(table, -table).tolist() == [-1.0] * 5
    assert np.isnan(kendall_tau(np.ones(3), np.arange(3.0)))


def test_rankings_are_compared_with_the_assumed_setting() -> None:
    said = ranked()
    base = said["settings"][0]
    assert base["name"] == BASE
    assert base["tau"] == {"estimate": 1.0, "low": 1.0, "high": 1.0}
    names = [entry["name"] for entry in said["settings"]]
    assert names == [BASE, "no satiation", "half the patience"]
    for entry in said["settings"]:
        order = [entry["returns"][name] for name in said["policies"]]
        first = [base["returns"][name] for name in said["policies"]]
        assert entry["tau"]["estimate"] == pytest.approx(stats.kendalltau(first, order).statistic)
        assert entry["tau"]["low"] <= entry["tau"]["estimate"] <= entry["tau"]["high"]
        assert entry["best"] == max(entry["returns"], key=entry["returns"].__getitem__)
    # Users who leave sooner give less; users who do not tire give more.
    returns = {entry["name"]: entry["returns"]["cf-greedy"] for entry in said["settings"]}
    assert returns["half the patience"] < returns[BASE] < returns["no satiation"]
    assert said["least"] == min(entry["tau"]["estimate"] for entry in said["settings"][1:])
    json.dumps(said, allow_nan=False)


def test_settings_the_variant_does_not_know_are_left_out_and_named() -> None:
    grid = {BASE: {}, "another": {"gravity": 2.0}}
    said = rank_stability(
        tiny_world(), policies=("random", "popularity"), grid=grid, users=8, draws=100
    )
    assert said["left_out"] == ["another"]
    assert said["least"] is None


def test_an_oracle_that_reads_more_than_the_click_logit_can_be_ranked() -> None:
    said = rank_stability(
        tiny_world(), policies=("random", "oracle-reward"), grid={BASE: {}}, users=64, draws=100
    )
    returns = said["settings"][0]["returns"]
    assert returns["oracle-reward"] > returns["random"]


def test_the_grid_is_known_to_the_default_environment_and_changes_it() -> None:
    known = get_variant("slategym/World-v0").parameters
    for name, change in GRID.items():
        assert change.keys() <= known.keys(), name
        assert (name == BASE) == (not change)
        assert all(known[key] != value for key, value in change.items()), name
    with pytest.raises(UsageError, match="two policies or more"):
        rank_stability(tiny_world(), policies=("random",))
    with pytest.raises(UsageError, match=BASE):
        rank_stability(tiny_world(), grid={"other": {}})


# --- the page ------------------------------------------------------------------------------------


def test_the_page_is_whole_small_and_asks_for_nothing(tmp_path: Path) -> None:
    page, numbers = write_card(whole_card(), tmp_path / "new" / "card")
    text = page.read_text()
    found = Page(text)
    assert len(text) < 100_000
    assert found.links == []
    assert not {"script", "img", "link", "iframe"} & set(found.tags)
    assert "prefers-color-scheme: dark" in text
    assert "http" not in text.replace("http-equiv", "")
    card = json.loads(numbers.read_text())
    for one in card["findings"]:
        assert one["about"] in found.said
        assert one["says"] in found.said
    for sentence in [*card["statements"]["not_learned"], card["statements"]["selection_bias"]]:
        assert sentence in found.said
    for entry in card["policy_ranking"]["settings"]:
        assert entry["name"] in found.said
    losses = card["held_out_rows"]["ways"]["model"]["log_loss"]
    assert f"{losses['estimate']:.3f}" in found.said


def test_names_from_the_data_are_escaped() -> None:
    card = json.loads(json.dumps(whole_card()))
    evil = "<script>alert(1)</script> & co"
    card["world"]["name"] = card["world"]["source"] = evil
    for part in card["held_out_rows"]["slices"].values():
        for entry in part:
            entry["name"] = evil
    card["sequences"]["topics"]["shares"][0]["name"] = evil
    text = render_card(card | {"findings": findings(card)})
    assert "<script>" not in text
    assert evil in Page(text).said


def test_a_card_with_missing_sections_is_a_page_too() -> None:
    card = json.loads(json.dumps(whole_card()))
    why = {"missing": "there is nothing <here>"}
    for key in ("held_out_rows", "held_out_users", "values", "sequences", "transitions"):
        card[key] = why
    card["two_sample"] = {"responses": why, "sequences": why}
    card["selection"] = card["policy_ranking"] = why
    said = Page(render_card(card | {"findings": findings(card)})).said
    assert said.count("Not judged: there is nothing <here>.") >= 5


def test_drawings_stay_within_their_frames() -> None:
    curve = [{"predicted": p, "observed": {"estimate": p, "low": 0, "high": 1}} for p in (0, 1)]
    levels = [round(1 + 0.2 * n, 1) for n in range(20)]
    drawings = [
        reliability(curve, "a & b"),
        histogram(levels, {"log": [0.05] * 20, "a long name of a series": [1.0] * 20}, "h"),
        histogram([0, 1], {"log": [0.0, 0.0]}, "empty"),
        gap({"estimate": 9.0, "low": -9.0, "high": 9.0}, 0.1),
        gap({"estimate": None, "low": None, "high": None}, 0.1),
    ]
    for drawing in drawings:
        Page(drawing)
        width, height = map(float, drawing.split('viewBox="0 0 ')[1].split('"')[0].split())
        for axis, limit in (("x", width), ("cx", width), ("y", height), ("cy", height)):
            places = [float(part.split('"')[0]) for part in drawing.split(f' {axis}="')[1:]]
            assert all(-1 <= place <= limit + 1 for place in places), axis
