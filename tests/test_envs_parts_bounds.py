"""Every part keeps its bounds, treats users alike, and changes nothing that it has handed out."""

import math
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from slategym.envs.checks import leaves
from slategym.envs.part import Part
from slategym.envs.parts import (
    BUILT_IN,
    Ageing,
    Budget,
    Bursts,
    Creators,
    Like,
    Purchase,
    Returning,
    Skip,
    Watch,
)
from slategym.envs.reference import ReferenceSimulation
from slategym.envs.reference_scene import Scene
from slategym.envs.simulation import WorldSimulation
from slategym.envs.tiny import tiny_world
from slategym.envs.variant import Variant

# A part whose defaults do nothing is given numbers under which it does.
ACTIVE = {
    "budget": Budget(minute_budget=30, browse_minutes=0.7),
    "returning": Returning(days=8, churn_intercept=-1.0),
    "creators": Creators(creators=7, creator_decay=0.9),
    "ageing": Ageing(calendar=37, lifetime=28),
}
PARTS = [ACTIVE.get(cls.name, cls()) for cls in BUILT_IN if cls.slot != "reward"]
each_part = pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
SMALL = hnp.arrays(np.float64, 5, elements=st.floats(-6, 6))
SHARE = hnp.arrays(np.float64, 5, elements=st.floats(0, 1))
# Words for what may be told of an item taken, and what may be kept of a user.
BINARY = ("click", "like", "skip", "share", "cart", "purchase")
SHARES = ("watch", "rating", "need", "vigour")
POSITIVE = ("minutes", "satiation", "money")
STEPS = 30


def simulation(part: Part, streams: np.ndarray) -> WorldSimulation:
    """World-v0 with one more part, or another in its place, begun for some user streams."""
    company = [ACTIVE["ageing"]] if part.name == "bursts" else []
    variant = Variant.standard("test/Bounds-v0", Purchase(), *company, part, slate_size=3)
    made = WorldSimulation(tiny_world(), variant, len(streams))
    made.begin(np.full(len(streams), 6, np.uint64), streams.astype(np.uint64))
    return made


def walk(
    made: WorldSimulation, streams: np.ndarray, copies: list[Any] | None = None
) -> list[dict[str, Any]]:
    """Everything handed out over some steps, episodes included; copies of it as it was then."""
    told, size = [], made.variant.slate_size
    for step in range(STEPS):
        slates = (streams[:, None] * 5 + step + np.arange(size)) % made.action_space.nvec[0]
        given_back = made.step(slates)
        made.next_episode(given_back.terminated | given_back.truncated)
        told.append({**given_back._asdict(), **made.observe(), "hidden": made.privileged()})
        if copies is not None:
            copies.append(deepcopy(told[-1]))
    return told


def out_of_bounds(arrays: dict[str, np.ndarray]) -> list[str]:
    """Names of quantities that are not what they may be."""
    wrong = [name for name, array in arrays.items() if not np.isfinite(array).all()]
    for name, array in arrays.items():
        low, high = array.min(initial=0), array.max(initial=0)
        if name in BINARY and not np.isin(array, (0, 1)).all():
            wrong.append(name)
        if name in SHARES and (low < 0 or high > 1 + 1e-6):
            wrong.append(name)
        if name in POSITIVE and low < -1e-5:
            wrong.append(name)
    return wrong


@each_part
def test_signals_and_states_keep_their_bounds(part: Part) -> None:
    streams = np.arange(48)
    made = simulation(part, streams)
    for step in walk(made, streams):
        response = step["info"]["response"]
        assert out_of_bounds(response) == []
        assert np.isfinite(step["reward"]).all()
        assert not any(response[name][response["click"] == 0].any() for name in response)
    named = {name: getattr(made.state, name) for name in ("satiation", "need", "vigour", "money")}
    assert out_of_bounds(named) == []


@each_part
def test_users_in_another_order_get_the_same(part: Part) -> None:
    streams, order = np.arange(12), np.random.default_rng(0).permutation(12)
    whole = walk(simulation(part, streams), streams)
    turned = walk(simulation(part, streams[order]), streams[order])
    for one, other in zip(whole, turned, strict=True):
        for a, b in zip(leaves(one), leaves(other), strict=True):
            np.testing.assert_array_equal(a[order], b)


@each_part
def test_nothing_handed_out_is_changed_later(part: Part) -> None:
    streams = np.arange(12)
    copies: list[Any] = []
    told = walk(simulation(part, streams), streams, copies)
    for one, copy in zip(told, copies, strict=True):
        for a, b in zip(leaves(one), leaves(copy), strict=True):
            np.testing.assert_array_equal(a, b)


def test_a_quantity_out_of_its_bounds_is_named() -> None:
    good = {"click": np.ones(2), "watch": np.full(2, 0.5), "money": np.zeros(2)}
    assert out_of_bounds(good) == []
    bad = {"click": np.full(2, 0.5), "watch": np.full(2, 1.5), "money": np.full(2, -1.0)}
    assert out_of_bounds(bad | {"rating": np.full(2, np.nan)}) == [
        "rating", "click", "watch", "money",
    ]  # fmt: skip


# --- feedback ----------------------------------------------------------------------------------


@given(taste=SMALL, clickbait=SHARE, more=st.floats(0.1, 3))
def test_a_like_is_likelier_for_what_pleases_and_rarer_for_what_lured(
    taste: np.ndarray, clickbait: np.ndarray, more: float
) -> None:
    part = Like(like_clickbait=2.0)
    chance = part.probability(taste, clickbait)
    assert ((chance > 0) & (chance < 1)).all()
    assert (part.probability(taste + more, clickbait) > chance).all()
    assert (part.probability(taste, clickbait + more) < chance).all()


@given(edge=st.floats(0.05, 0.95), shift=st.floats(0.1, 2))
def test_a_skip_is_rarer_for_what_pleases(edge: float, shift: float) -> None:
    chances = []
    for intercept in (0.0, shift):
        watch = Watch(watch_intercept=intercept, watch_noise=1.0)
        scene = _scene(watch, Skip(skip_below=edge))
        skip = scene.find("skip")
        assert isinstance(skip, Skip)
        chances.append(skip.expected(scene))
    assert all(((chance >= 0) & (chance <= 1)).all() for chance in chances)
    assert (chances[1] < chances[0]).all()


@given(taste=SMALL, need=SHARE, log_price=SMALL, more=st.floats(0.1, 2))
def test_a_cart_fills_with_taste_and_need_and_not_with_price(
    taste: np.ndarray, need: np.ndarray, log_price: np.ndarray, more: float
) -> None:
    part = Purchase()
    chance = part.cart(taste, need, log_price)
    assert ((chance > 0) & (chance < 1)).all()
    assert (part.cart(taste + more, need, log_price) > chance).all()
    assert (part.cart(taste, need + more, log_price) > chance).all()
    assert (part.cart(taste, need, log_price + more) < chance).all()


# --- the catalogue -----------------------------------------------------------------------------


def _scene(*parts: Part) -> Scene:
    """Users at their first slate."""
    variant = Variant.standard("test/Scene-v0", *parts)
    made = ReferenceSimulation(tiny_world(), variant, 16)
    made.begin(np.full(16, 8, np.uint64), np.arange(16, dtype=np.uint64))
    scene = Scene(made.setting, made.state, made.own)
    scene.show(made.state.candidates[:, :4])
    scene.look()
    scene.taste = np.tile(np.linspace(-2.0, 2.0, 4), (16, 1))
    return scene


@given(rate=st.floats(0.05, 1.0), half_life=st.floats(1.0, 40.0))
def test_bursts_are_never_negative_and_at_most_two_overlap(rate: float, half_life: float) -> None:
    scene = _scene(ACTIVE["ageing"], Bursts(burst_rate=rate, burst_half_life=half_life))
    part = scene.find("bursts")
    assert isinstance(part, Bursts)
    intensity = part.intensity(scene)
    assert intensity.shape == (16, scene.world.n_topics)
    assert (intensity >= 0).all()
    # The older of two events lies at least no step, and at most two windows, back.
    assert (intensity <= 2.0).all()
    assert math.isclose(Bursts(burst_rate=0.0).intensity(scene).max(), 0.0)
