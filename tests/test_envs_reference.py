"""The compiled step does what the NumPy statement of it says, for every part and every variant.

The statement is written from the parts' docstrings. Whole numbers and truths must be equal, other
numbers to 2e-5, over free-running episodes: one wrong draw, and the two part for good.
"""

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
import pytest

from slategym.envs.part import Part
from slategym.envs.parts import (
    BUILT_IN,
    Ageing,
    Boredom,
    Budget,
    Bursts,
    Creators,
    Familiarity,
    InterestDrift,
    Like,
    Mood,
    Needs,
    Patience,
    Purchase,
    Rating,
    Returning,
    Reward,
    Satiation,
    Satisfaction,
    Share,
    Skip,
    TasteShift,
    Watch,
)
from slategym.envs.parts_reward import REWARD_TERMS
from slategym.envs.reference import ReferenceSimulation
from slategym.envs.registry import get_variant, list_variants
from slategym.envs.simulation import WorldSimulation
from slategym.envs.tiny import tiny_world
from slategym.envs.variant import Variant
from slategym.envs.world import World
from slategym.envs.worlds import as_world

PAID = Reward(**{f"{term}_weight": 0.1 * (1 + n) for n, term in enumerate(REWARD_TERMS)})
SHELF = Ageing(calendar=37, lifetime=28)
CHANGES = (
    InterestDrift(interest_drift=0.3), TasteShift(shock_rate=0.1), Satiation(),
    Boredom(bored_at=0.8, rested_at=0.3), Satisfaction(satisfaction_sensitivity=3), Familiarity(),
    Mood(), SHELF, Bursts(burst_rate=0.8), Needs(), Creators(creators=7, creator_decay=0.93),
)  # fmt: skip
LEAVING = (
    Returning(days=20, churn_intercept=-1, gap_mean=3),
    Budget(minute_budget=30, browse_minutes=0.7),
    Patience(skip_annoyance=0.3),
)
EVERYTHING = (
    PAID, *CHANGES, *LEAVING, Watch(watch_clickbait=1), Rating(), Like(), Skip(), Share(),
    Purchase(),
)  # fmt: skip
CHOICES = ("logit", "proportional", "exp_cascade", "prop_cascade", "position")
SOURCES = ("uniform", "popular", "retrieved", "fixed", "catalogue")


def standard(*parts: Part, **changes: Any) -> Variant:  # noqa: ANN401
    """World-v0 with other parts, all terms paid, and some parameters changed."""
    if changes.get("candidates") == "retrieved":
        changes["candidates"] = {"part": "retrieved", "revisit": 0.3}
    return Variant.standard("test/Case-v0", PAID, *parts).override(**changes)


def flat(value: object, path: str = "") -> Iterator[tuple[str, np.ndarray]]:
    """Every array of nested dicts, with the way to it."""
    if isinstance(value, dict):
        for key, entry in value.items():
            yield from flat(entry, f"{path}/{key}")
    else:
        yield path, np.asarray(value)


def differences(compiled: object, stated: object) -> list[str]:
    """Ways to the arrays in which two nested dicts differ, and how."""
    left, right = dict(flat(compiled)), dict(flat(stated))
    found = [f"{path}: only in one" for path in left.keys() ^ right.keys()]
    for path in left.keys() & right.keys():
        a, b = left[path], right[path]
        if (a.shape, a.dtype) != (b.shape, b.dtype):
            found.append(f"{path}: {a.dtype} {a.shape} against {b.dtype} {b.shape}")
        elif a.dtype.kind == "f":
            if not np.allclose(a, b, rtol=2e-5, atol=2e-5, equal_nan=True):
                found.append(f"{path}: off by {np.abs(a - b).max():g}")
        elif not np.array_equal(a, b):
            found.append(f"{path}: {np.sum(a != b)} entries differ")
    return sorted(found)


def slates(simulation: WorldSimulation, rng: np.random.Generator) -> np.ndarray:
    """Slates for every user: half of them distinct, half with repeats."""
    space, batch, variant = simulation.action_space, simulation.batch, simulation.variant
    if variant.action != "slate":
        space.seed(int(rng.integers(2**31)))
        return np.stack([space.sample() for _ in range(batch)])
    count, size = variant.num_candidates, variant.slate_size
    drawn = rng.integers(0, count, (batch, size))
    each = np.tile(np.arange(count), (batch // 2, 1))
    drawn[: batch // 2] = rng.permuted(each, axis=1)[:, :size]
    return drawn


def parted(
    variant: Variant, world: World | None = None, *, batch: int = 64, steps: int = 40
) -> list[str]:
    """Walk both through the same episodes; where what they tell or keep first differs."""
    opened = tiny_world() if world is None else world
    compiled = WorldSimulation(opened, variant, batch)
    stated = ReferenceSimulation(opened, variant, batch)
    assert compiled.observation_space == stated.observation_space
    assert compiled.action_space == stated.action_space
    rng = np.random.default_rng(1)
    for each in (compiled, stated):
        each.begin(np.full(batch, 3, np.uint64), np.arange(batch, dtype=np.uint64))
    for step in range(steps):
        pairs = {"state before": (compiled.get_state(), stated.get_state())}
        if step % 4 == 0:
            pairs["observation"] = (compiled.observe(), stated.observe())
            pairs["privileged"] = (compiled.privileged(), stated.privileged())
        actions = slates(compiled, rng)
        a, b = compiled.step(actions), stated.step(actions)
        pairs["step"] = (a._asdict(), b._asdict())
        done = a.terminated | a.truncated
        if done.any():
            pairs["last observation"] = (compiled.observe(done), stated.observe(done))
        found = [
            f"{what} {step}{entry}"
            for what, (ours, theirs) in pairs.items()
            for entry in differences(ours, theirs)
        ]
        if found:
            return found
        compiled.next_episode(done)
        stated.next_episode(done)
    return []


@pytest.mark.parametrize("choice", CHOICES)
def test_every_choice(choice: str) -> None:
    assert parted(standard(Like(), Skip(), Share(), choice=choice), batch=32) == []


@pytest.mark.parametrize("count", [8, 45])
@pytest.mark.parametrize("source", SOURCES)
def test_every_source_of_candidates(source: str, count: int) -> None:
    assert parted(standard(candidates=source, num_candidates=count), batch=16) == []


@pytest.mark.parametrize("part", CHANGES, ids=lambda part: part.name)
def test_every_change_where_several_items_are_taken(part: Part) -> None:
    company = [SHELF] if part.name == "bursts" else []
    assert parted(standard(Purchase(), part, *company, choice="position"), batch=32) == []


@pytest.mark.parametrize("part", [Like(), Skip(), Share(), Purchase(), *LEAVING], ids=str)
def test_every_feedback_and_way_to_leave_alone(part: Part) -> None:
    assert parted(standard(part), batch=32) == []


@pytest.mark.parametrize("pair", list(zip(CHOICES, SOURCES, strict=True)), ids="-".join)
def test_all_parts_at_once(pair: tuple[str, str]) -> None:
    choice, source = pair
    size = 45 if source == "fixed" else 12
    kind = "ids" if source in ("popular", "catalogue") else "features"
    variant = standard(*EVERYTHING, choice=choice, candidates=source, slate_size=3)
    assert parted(variant.override(num_candidates=size, observation=kind)) == []


@pytest.mark.slow
@pytest.mark.parametrize("count", [12, 45])
@pytest.mark.parametrize("pair", list(product(CHOICES, SOURCES)), ids="-".join)
def test_all_parts_under_every_choice_and_source(pair: tuple[str, str], count: int) -> None:
    choice, source = pair
    variant = standard(*EVERYTHING, choice=choice, candidates=source, slate_size=3)
    assert parted(variant.override(num_candidates=count), steps=60) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"observation": "latent"},
        {"user_state": "language"},
        {"action": "discrete", "slate_size": 2},
        {"action": "proto"},
        {"drift": "both"},
        {"without": ["watch"]},
        {"without": ["satiation", "patience", "budget", "interest_drift", "watch", "rating"]},
    ],
    ids=str,
)
def test_every_way_to_observe_and_to_act(changes: dict[str, Any]) -> None:
    parts = () if "without" in changes else EVERYTHING
    assert parted(standard(*parts, **changes), batch=16, steps=20) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"burst_window": 20, "calendar": 15, "lifetime": 9},  # one window, cut short
        {"burst_window": 20, "calendar": 30, "lifetime": 9},  # two, of which one is cut short
        {"skip_below": 1.0},
        {"skip_below": 0.0},
        {"watch_noise": 0.0},
        {"patience": 9.0, "patience_cap": 2.0},  # the cap is raised
        {"creator_decay": 0.0},  # soon less is left than there are candidates
        {"creator_decay": 0.0, "num_candidates": 45},
        {"taste_spread": 0.0, "interest_drift": 1.0, "taste_walk": 1.0},
        {"rest_per_day": 0.0, "gap_min": 0.0, "days": 2},
        {"wallet_median": 0.01, "wallet_spread": 2.0},
    ],
    ids=str,
)
def test_numbers_at_the_edge(changes: dict[str, float]) -> None:
    assert parted(standard(*EVERYTHING, **changes), batch=16, steps=20) == []


def test_a_world_whose_items_have_no_times_creators_or_topics() -> None:
    world = tiny_world(items=50, users=20, seed=5)
    fields = {name: getattr(world, name) for name in world.__dataclass_fields__}
    topics = world.item_topics.copy()
    topics[::3] = 0
    fields |= {"item_time": None, "item_creator": None, "item_price": None, "item_topics": topics}
    assert parted(standard(*EVERYTHING), type(world)(**fields), batch=16, steps=20) == []


@pytest.mark.parametrize(
    "variant_id", [name for name in list_variants() if get_variant(name).family == "world"]
)
def test_every_registered_world_variant(variant_id: str) -> None:
    variant = get_variant(variant_id)
    assert isinstance(variant, Variant)
    if not all(type(part) in BUILT_IN for part in variant.parts):
        pytest.skip("it has a part of its own, which is not compiled")
    assert parted(variant, as_world(variant.world)) == []


def test_a_snapshot_of_one_is_a_snapshot_of_the_other() -> None:
    world, variant, rng = tiny_world(), standard(*EVERYTHING), np.random.default_rng(0)
    compiled = WorldSimulation(world, variant, 16)
    stated = ReferenceSimulation(world, variant, 16)
    compiled.begin(np.full(16, 9, np.uint64), np.arange(16, dtype=np.uint64))
    for _ in range(7):
        compiled.step(slates(compiled, rng))
    stated.set_state(compiled.get_state())
    actions = slates(compiled, rng)
    assert differences(compiled.step(actions)._asdict(), stated.step(actions)._asdict()) == []


def test_a_difference_is_found_and_named() -> None:
    ours = {"a": np.zeros(2), "b": {"c": np.arange(3)}, "d": np.zeros(1)}
    theirs = {"a": np.full(2, 1e-3), "b": {"c": np.array([0, 1, 3])}, "e": np.zeros(1)}
    assert differences(ours, ours) == []
    assert differences(ours, theirs) == [
        "/a: off by 0.001",
        "/b/c: 1 entries differ",
        "/d: only in one",
        "/e: only in one",
    ]
    wide = {**ours, "a": np.zeros(2, np.float32)}
    assert differences(ours, wide) == ["/a: float64 (2,) against float32 (2,)"]


def test_every_part_was_put_to_the_test() -> None:
    asked = {part.name for part in EVERYTHING} | set(CHOICES) | set(SOURCES) | {"taste"}
    assert asked == {part.name for part in BUILT_IN}
