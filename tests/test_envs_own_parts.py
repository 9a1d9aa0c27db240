"""Parts of one's own: the examples of the document, every hook, and what is refused."""

import ast
import importlib.util
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

from slategym.envs.arrays import AnyArray, BoolArray, DoubleArray, IntArray, LongArray
from slategym.envs.checks import check_variant
from slategym.envs.own_parts import BASES, OwnPartsSimulation
from slategym.envs.part import PART_TYPES, SLOTS, Part, number, register_part
from slategym.envs.parts import BUILT_IN, LogitChoice, Mood, Patience, Returning, Satiation
from slategym.envs.parts_candidates import Candidates, PopularCandidates
from slategym.envs.parts_change import Change
from slategym.envs.parts_choice import Choice, Response, TasteResponse
from slategym.envs.parts_feedback import Feedback
from slategym.envs.parts_leaving import Leaving
from slategym.envs.parts_reward import Reward
from slategym.envs.reference_scene import Scene, purpose_number
from slategym.envs.registry import get_variant, list_variants, register_variant
from slategym.envs.simulation import WorldSimulation
from slategym.envs.tiny import tiny_world
from slategym.envs.variant import Variant
from slategym.errors import UsageError

DOCS = Path(__file__).resolve().parent.parent / "docs"


@pytest.fixture(scope="module")
def page() -> dict[str, Any]:
    """What the Python of the document defines; its variant is registered."""
    text = (DOCS / "parts.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)
    told: dict[str, Any] = {}
    if "acme/Overlooked-v0" not in list_variants():
        for block in blocks:
            exec(compile(block, "parts.md", "exec"), told)
    nodes = [node for block in blocks for node in ast.parse(block).body]
    classes = [node for node in nodes if isinstance(node, ast.ClassDef)]
    told["lines"] = [(node.end_lineno or 0) - node.lineno + 3 for node in classes]
    return told | {name: PART_TYPES[name] for name in ("satisficing", "overlooking")}


@register_part
@dataclass(frozen=True)
class Nearby(Candidates):
    """Items after the user's number, wherever they exist."""

    name = "test_nearby"

    def propose(self, scene: Scene, attempts: LongArray) -> LongArray:
        """Return the next items of the catalogue."""
        return (scene.state.user[:, None] + attempts) % scene.world.n_items


@register_part
@dataclass(frozen=True)
class Flat(Response):
    """All items please alike."""

    name = "test_flat"
    flat_logit: float = number(0.0, -9.0, 9.0, "taste of every item")

    def attract(self, scene: Scene) -> DoubleArray:
        """Return one number."""
        return np.full(scene.items.shape, self.flat_logit)


@register_part
@dataclass(frozen=True)
class Save(Feedback):
    """An item taken is saved for later half of the time."""

    name = "test_save"
    test_save_weight: float = number(0.0, -9.0, 9.0, "per item saved")
    save_rate: float = number(0.5, 0.0, 1.0, "probability")

    def give(self, scene: Scene) -> DoubleArray:
        """Return 1 where saved."""
        return (scene.uniform(self.name, scene.items) < self.save_rate).astype(np.float64)

    def expected(self, scene: Scene) -> DoubleArray:
        """Return the rate."""
        return np.full(scene.items.shape, self.save_rate)


@register_part
@dataclass(frozen=True)
class Diary(Change):
    """Counts what happens to a user, keeps odd items away, and changes nothing else."""

    name = "test_diary"

    def arrays(self, scene: Scene) -> dict[str, AnyArray]:
        """Return one count per hook, and a draw."""
        names = ("begun", "visits", "steps", "days", "luck")
        return {name: np.zeros(scene.batch, np.float64) for name in names}

    def available(self, scene: Scene, items: IntArray | LongArray) -> BoolArray:  # noqa: ARG002
        """Return True for even item rows."""
        return np.asarray(items % 2 == 0)

    def begin(self, scene: Scene, rows: BoolArray) -> None:
        """Count, and draw."""
        scene.own[self.name]["begun"][rows] += 1
        scene.own[self.name]["luck"][rows] = scene.uniform(self.name, 0)[rows]

    def visit(self, scene: Scene, rows: BoolArray) -> None:
        """Count."""
        scene.own[self.name]["visits"][rows] += 1

    def after(self, scene: Scene) -> None:
        """Count."""
        scene.own[self.name]["steps"] += 1

    def away(self, scene: Scene, days: DoubleArray) -> None:
        """Add the days."""
        scene.own[self.name]["days"] += days


@register_part
@dataclass(frozen=True)
class Curfew(Leaving):
    """The session is over after some steps of the episode."""

    name = "test_curfew"
    curfew: float = number(3.0, 1.0, 99.0, "steps")

    def ends(self, scene: Scene) -> BoolArray:
        """Return True from that step on."""
        return np.asarray(scene.state.step >= self.curfew)


@register_part
@dataclass(frozen=True)
class Capped(Reward):
    """The reward of clicks and watching, at most one per step."""

    name = "test_capped"

    def settle(self, scene: Scene) -> dict[str, DoubleArray]:
        """Return the usual terms, and what is cut off."""
        terms = super().settle(scene)
        total = np.sum(list(terms.values()), axis=0)
        return terms | {"cap": np.minimum(1.0 - total, 0.0)}


def simulation(*parts: Part, batch: int = 16, **own: Any) -> OwnPartsSimulation:  # noqa: ANN401
    """World-v0 with parts, begun."""
    made = Variant.standard("test/Own-v0", *parts, **own).simulation(batch)
    assert isinstance(made, OwnPartsSimulation)
    made.begin(np.full(batch, 5, np.uint64), np.arange(batch, dtype=np.uint64))
    return made


def walk(made: OwnPartsSimulation, steps: int) -> Iterator[Any]:
    """Steps under fixed slates, new episodes begun."""
    size = made.variant.slate_size
    for step in range(steps):
        slates = (np.arange(made.batch)[:, None] + step + np.arange(size)) % 20
        done = made.step(slates)
        yield done
        made.next_episode(done.terminated | done.truncated)


# --- the document ------------------------------------------------------------------------------


def test_the_examples_are_short_and_keep_every_promise(page: dict[str, Any]) -> None:
    assert len(page["lines"]) == 2
    assert max(page["lines"]) <= 30  # with the decorators
    for name in ("satisficing", "overlooking"):
        assert issubclass(page[name], BASES[page[name].slot])
    assert check_variant("acme/Overlooked-v0") == []
    assert check_variant("acme/Overlooked-v0", observation="ids", choice="logit") == []


def test_an_aspiration_without_spread_is_a_threshold(page: dict[str, Any]) -> None:
    part = page["satisficing"](aspiration=0.3, aspiration_spread=0.0)
    made = simulation(part, batch=200, slate_size=4)
    utility = made.privileged()["utility"][:, :4]
    click = made.step(np.tile(np.arange(4), (200, 1))).info["response"]["click"] > 0
    good = utility >= 0.3
    first = np.where(good.any(axis=1), good.argmax(axis=1), -1)
    np.testing.assert_array_equal(np.where(click.any(axis=1), click.argmax(axis=1), -1), first)
    assert (first >= 0).any()
    assert (first < 0).any()


def test_what_is_shown_in_vain_is_overlooked_until_it_is_new(page: dict[str, Any]) -> None:
    part = page["overlooking"](overlook_weight=2.0, overlook_memory=1.0)
    made = simulation(part, LogitChoice(no_click_logit=50.0), Satiation(expose_gain=0.0))
    assert not made.own["overlooking"]["level"].any()
    before = made.privileged()["utility"]
    list(walk(made, 3))
    level = made.own["overlooking"]["level"]
    np.testing.assert_allclose(level.sum(axis=1), 3.0, rtol=1e-5)  # three slates, no click
    assert made.privileged()["utility"].mean() < before.mean() - 1
    told = made.privileged()["overlooking.level"]
    assert told is not level
    np.testing.assert_array_equal(told, level)


def test_every_built_in_part_is_in_the_table() -> None:
    spec = importlib.util.spec_from_file_location("table", DOCS / "make_parts_table.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    text = (DOCS / "parts.md").read_text(encoding="utf-8")
    assert module.page(text) == text, "run python docs/make_parts_table.py"
    assert all(f"| `{cls.name}` |" in text for cls in BUILT_IN)


# --- the hooks ---------------------------------------------------------------------------------


def test_a_variant_with_every_kind_of_part_keeps_the_contract() -> None:
    parts = (Nearby(), Flat(), Save(test_save_weight=0.5), Diary(), Curfew(), Capped())
    variant = Variant.standard("testown/All-v0", *parts, Returning(), horizon=12)
    register_variant(variant)
    assert Variant.from_json(get_variant("testown/All-v0").to_json()) == variant
    assert check_variant("testown/All-v0", horizon=12, flat_logit=1.0, curfew=4) == []
    env = gymnasium.make("testown/All-v0", save_rate=1.0)
    env.reset(seed=0)
    info = env.step(env.action_space.sample())[4]
    assert (info["response"]["test_save"] == info["response"]["click"]).all()


def test_a_hook_of_each_kind_is_asked_at_its_time() -> None:
    made = simulation(
        Diary(), Curfew(curfew=2), Returning(days=1e4, churn_intercept=-50), horizon=9
    )
    kept = made.own["test_diary"]
    np.testing.assert_array_equal(kept["begun"], 1)
    np.testing.assert_array_equal(kept["visits"], 1)
    away = np.zeros(made.batch)
    for step, done in enumerate(walk(made, 8)):
        away += done.info["session"]["days_away"]
        np.testing.assert_array_equal(kept["steps"], step + 1)
        np.testing.assert_array_equal(kept["visits"], 1 + max(step, 0))
        np.testing.assert_allclose(kept["days"], away, rtol=1e-5)
    luck = kept["luck"].copy()
    made.next_episode(np.arange(made.batch) < 4)
    np.testing.assert_array_equal(kept["steps"], np.where(np.arange(made.batch) < 4, 0, 8))
    assert (kept["luck"][:4] != luck[:4]).all()
    assert (kept["luck"][4:] == luck[4:]).all()


def test_candidates_are_those_proposed_that_may_be_shown() -> None:
    made = simulation(Nearby(), Diary())
    user = made.state.user.astype(int)
    first = user + user % 2
    expected = (first[:, None] + 2 * np.arange(20)) % made.world.n_items
    np.testing.assert_array_equal(made.state.candidates, expected)
    assert (made.step(np.zeros((16, 5), int)).info["slate"][:, 1:] == -1).all()


def test_a_response_a_feedback_and_its_weight() -> None:
    made = simulation(Flat(flat_logit=5.0), Save(test_save_weight=3.0), Capped(watch_weight=0.0))
    assert np.ptp(made.privileged()["utility"]) == 0
    np.testing.assert_allclose(made.privileged()["worth"], 1.5)
    saved = 0.0
    for done in walk(made, 6):
        signal, terms = done.info["response"]["test_save"], done.info["reward_terms"]
        assert (signal <= done.info["response"]["click"]).all()
        np.testing.assert_allclose(terms["test_save"], 3 * signal.sum(axis=1))
        np.testing.assert_allclose(sum(terms.values()), done.reward, atol=1e-6)
        saved += signal.sum()
    assert saved > 10


def test_a_reward_and_an_end_of_ones_own() -> None:
    made = simulation(Capped(click_weight=5.0), Curfew(curfew=2))
    seen = list(walk(made, 2))
    assert all((done.reward <= 1 + 1e-6).all() for done in seen)
    assert (seen[0].reward > 0.99).any()
    assert not seen[0].terminated.any()
    assert seen[1].terminated.all()


def test_a_subclass_that_changes_nothing_runs_as_the_compiled_step_does() -> None:
    @dataclass(frozen=True)
    class SameCandidates(PopularCandidates):
        name = "test_same_candidates"

    @dataclass(frozen=True)
    class SameTaste(TasteResponse):
        name = "test_same_taste"

    @dataclass(frozen=True)
    class SameChoice(LogitChoice):
        name = "test_same_choice"

    made = simulation(SameCandidates(), SameTaste(), SameChoice())
    plain = Variant.standard("test/Own-v0", PopularCandidates()).simulation(16)
    assert isinstance(plain, WorldSimulation)
    plain.begin(np.full(16, 5, np.uint64), np.arange(16, dtype=np.uint64))
    for done in walk(made, 20):
        size = made.variant.slate_size
        step = int(made.state.step[0]) - 1
        slates = (np.arange(16)[:, None] + step + np.arange(size)) % 20
        if (made.state.step != step + 1).any():
            break
        other = plain.step(slates)
        np.testing.assert_array_equal(done.info["slate"], other.info["slate"])
        np.testing.assert_allclose(done.reward, other.reward, rtol=1e-5, atol=1e-6)
    assert step > 2


def test_draws_by_name_are_the_same_everywhere_and_differ_by_name() -> None:
    assert purpose_number("decoy") == 850547  # kept: another number would be another luck
    numbers = {purpose_number(f"part {n}") for n in range(2000)}
    assert len(numbers) == 2000
    assert min(numbers) >= 2**16
    assert max(numbers) < 2**24
    made = simulation(Diary())
    scene = Scene(made.setting, made.state, made.own)
    begun = Scene(made.setting, made.state, made.own, beginning=True)
    one, other = scene.uniform("a", np.arange(4)), scene.uniform("b", np.arange(4))
    assert one.shape == (16, 4)
    assert scene.uniform("a", 2).shape == (16,)
    np.testing.assert_array_equal(scene.uniform("a", 2), one[:, 2])
    assert not (one == other).any()
    assert not (one == begun.uniform("a", np.arange(4))).any()


# --- what is refused ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Mute(Choice):
    """States no hook."""

    name = "test_mute"


@dataclass(frozen=True)
class Loose(Part):
    """Is no `Change`."""

    name, slot = "test_loose", "change"


@dataclass(frozen=True)
class Deeper(Mood):
    """Is known by another name."""

    name = "test_deeper"


@dataclass(frozen=True)
class Thin(Feedback):
    """Returns one number per user."""

    name = "test_thin"

    def give(self, scene: Scene) -> DoubleArray:
        """Return the wrong shape."""
        return np.zeros(scene.batch)


@dataclass(frozen=True)
class Share2(Feedback):
    """Has the name of a signal that exists."""

    name = "minutes"

    def give(self, scene: Scene) -> DoubleArray:
        """Return zeros."""
        return np.zeros(scene.items.shape)


@dataclass(frozen=True)
class Headless(Change):
    """Keeps an array that does not begin with users."""

    name = "test_headless"

    def arrays(self, scene: Scene) -> dict[str, AnyArray]:
        """Return the wrong shape."""
        return {"level": np.zeros(scene.world.n_topics)}


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (Mute(), r"'test_mute' must state choose\(self, scene\)"),
        (Loose(), r"'test_loose' is for slot 'change' but Loose is no Change; subclass"),
        (Deeper(), r"'test_deeper' subclasses Mood.*subclass Change instead"),
        (Thin(), r"'test_thin': give returned shape \(16,\); it must be \(16, 5\)"),
        (Share2(), r"part name 'minutes' is the name of a signal"),
        (Headless(), r"'test_headless.level' has shape \(6,\).*one entry per user, here 16"),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_a_part_that_cannot_be_run_is_refused_in_a_sentence(part: Part, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        simulation(part)


def test_a_choice_that_only_draws_is_refused_by_who_plans_with_its_probabilities() -> None:
    with pytest.raises(UsageError, match=r"'test_mute' states no probabilities.*another policy"):
        Mute().probabilities(np.zeros((2, 3)), np.ones((2, 3), bool), 0.0)


def test_there_is_a_class_to_subclass_for_every_slot() -> None:
    assert set(BASES) == set(SLOTS)
    assert all(issubclass(cls, BASES[cls.slot]) for cls in BUILT_IN)


def test_a_snapshot_holds_the_state_of_ones_own_parts() -> None:
    made, other = simulation(Diary(), Patience(patience=50)), simulation(Diary(), Patience())
    list(walk(made, 4))
    other.set_state(made.get_state())
    for name, array in made.get_state().items():
        np.testing.assert_array_equal(other.get_state()[name], array)
    assert made.get_state()["test_diary.steps"].tolist() == [4.0] * 16
    broken = made.get_state()
    del broken["test_diary.luck"]
    with pytest.raises(UsageError, match=r"state array 'test_diary.luck' does not fit"):
        made.set_state(broken)


@pytest.mark.slow
def test_stable_baselines3_trains_on_a_part_of_ones_own(page: dict[str, Any]) -> None:
    from stable_baselines3 import PPO

    assert page
    env = gymnasium.make("acme/Overlooked-v0", world=tiny_world())
    model = PPO("MultiInputPolicy", env, n_steps=64, batch_size=64, n_epochs=1, seed=0)
    assert model.learn(128).num_timesteps == 128
