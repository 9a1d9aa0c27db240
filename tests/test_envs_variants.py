"""Variants are data: registered once, overridden by keyword, refused with the nearest name."""

import json
import subprocess
import sys
import uuid

import gymnasium
import numpy as np
import pytest

from slategym.envs.parts_change import Mood
from slategym.envs.parts_choice import LogitChoice, PositionChoice
from slategym.envs.parts_leaving import Patience
from slategym.envs.registry import (
    get_variant,
    list_variants,
    register_variant,
    variant_from_json,
)
from slategym.envs.single import SlateEnv
from slategym.envs.tiny import tiny_world
from slategym.envs.variant import Variant
from slategym.envs.vector import SlateVectorEnv
from slategym.envs.world import World
from slategym.envs.worlds import as_world
from slategym.errors import DataError, UsageError


def fresh_id() -> str:
    """An id no other test has registered: the registry lives as long as the process."""
    return f"test/V{uuid.uuid4().hex}-v0"


@pytest.mark.parametrize("variant_id", list_variants())
def test_every_variant_survives_json(variant_id: str) -> None:
    variant = get_variant(variant_id)
    assert variant_from_json(json.loads(json.dumps(variant.to_json()))) == variant


def test_one_call_registers_both_faces() -> None:
    name = fresh_id()
    easy = Patience(patience=1e6, boredom=0)
    register_variant(Variant.standard(name, easy, slate_size=2, horizon=7))
    assert name in list_variants()
    env = gymnasium.make(name, num_candidates=9)
    assert env.action_space.nvec.tolist() == [9, 9]
    envs = gymnasium.make_vec(name, num_envs=3, num_candidates=9, observation="ids")
    assert isinstance(envs, SlateVectorEnv)
    observation, _ = envs.reset(seed=1)
    assert observation["candidates"].shape == (3, 9)


def test_a_taken_id_is_refused() -> None:
    with pytest.raises(UsageError, match=r"'slategym/World-v0' is taken"):
        register_variant(Variant(id="slategym/World-v0"))


@pytest.mark.parametrize("bad", ["World-v0", "me/World", "me/World-v", "/World-v0", "me/a b-v0", 3])
def test_a_malformed_id_is_refused(bad: object) -> None:
    with pytest.raises(UsageError, match="malformed"):
        Variant(id=bad)  # type: ignore[arg-type]


def test_an_unknown_id_gives_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"Did you mean 'slategym/World-v0'"):
        get_variant("slategym/Wrold-v0")


def test_an_unknown_keyword_gives_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"no parameter 'bordom'. Did you mean 'boredom'"):
        gymnasium.make("slategym/World-v0", bordom=1)
    with pytest.raises(UsageError, match="Did you mean 'num_candidates'"):
        gymnasium.make_vec("slategym/World-v0", num_envs=2, num_candidate=5)
    with pytest.raises(UsageError, match="no parameter 'satiation'"):
        Variant.from_json({"id": "a/B-v0", "parts": [{"part": "satiation", "satiation": 1}]})
    with pytest.raises(UsageError, match=r"no parameter 'part'. Did you mean 'parts'"):
        Variant.from_json({"id": "a/B-v0", "part": []})
    with pytest.raises(UsageError, match=r"unknown part 'satition'. Did you mean 'satiation'"):
        Variant.from_json({"id": "a/B-v0", "parts": ["satition"]})
    with pytest.raises(UsageError, match=r"unknown family 'wrld'. Did you mean 'world'"):
        variant_from_json({"id": "a/B-v0", "family": "wrld"})


OTHER = {
    "observation": "ids", "user_state": "language", "action": "discrete", "search": "approximate",
    "drift": "both", "cold_start": (0.25, 0.5), "modalities": ("text",), "no_click_logit": 1.5,
    "slate_size": 3, "num_candidates": 30, "horizon": 10, "candidates": "popular",
    "choice": "prop_cascade", "response": "taste", "reward": "reward",
}  # fmt: skip


@pytest.mark.parametrize("name", Variant(id="a/B-v0").parameters)
def test_every_parameter_can_be_overridden_by_its_own_name(name: str) -> None:
    variant = Variant(id="a/B-v0")
    value = variant.parameters[name]
    changed = OTHER.get(name, 0.25 if value != 0.25 else 0.5)
    assert variant.override(**{name: changed}).parameters[name] == changed
    assert variant.parameters[name] == value


def test_parts_are_added_replaced_and_left_out() -> None:
    variant = Variant(id="a/B-v0")
    more = variant.override(parts=["mood", Patience(patience=1.0)], without=["interest_drift"])
    assert more.find("mood") is not None
    assert more.find("interest_drift") is None
    assert more.parameters["patience"] == 1.0
    assert more.override(mood_spread=2.0).parameters["mood_spread"] == 2.0
    with pytest.raises(UsageError, match="needs part 'satiation'"):
        more.override(parts=["boredom"], without=["satiation"])
    with pytest.raises(UsageError, match="part 'mood' twice"):
        Variant(id="a/B-v0", parts=(Mood(), Mood()))
    with pytest.raises(UsageError, match="2 parts for choice"):
        Variant(id="a/B-v0", parts=(LogitChoice(), PositionChoice()))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"slate_size": 0}, "slate_size is 0; it must be a whole number"),
        ({"horizon": 2.5}, "horizon is 2.5"),
        ({"num_candidates": True}, "num_candidates is True"),
        ({"slate_size": 21}, "larger than num_candidates 20"),
        ({"observation": "feature"}, "Did you mean 'features'"),
        ({"num_candidates": 61}, "larger than the 60 items of world"),
        ({"users": "heldout"}, "Did you mean 'held_out'"),
        ({"render_mode": "human"}, "render_mode is 'human'"),
    ],
)
def test_bad_values_say_what_is_allowed(changes: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        SlateEnv(**changes)


def test_worlds_by_object_folder_name_and_call(tmp_path_factory: pytest.TempPathFactory) -> None:
    world = tiny_world(items=30, users=10)
    folder = world.save(tmp_path_factory.mktemp("worlds") / "w")
    assert as_world(world) is world
    assert as_world(folder).hash == world.hash
    assert as_world(str(folder)) is as_world(folder)
    assert as_world(None) is as_world("tiny")
    assert isinstance(as_world("slategym.envs.tiny:tiny_world"), World)
    with pytest.raises(DataError, match="does not exist"):
        as_world(folder / "no")
    with pytest.raises(UsageError, match="cannot be loaded"):
        as_world("slategym.envs.tiny:huge_world")
    envs = gymnasium.make_vec("slategym/World-v0", num_envs=2, world=folder, users="held_out")
    envs.reset(seed=0)
    assert set(envs.simulation.state.user.tolist()) <= {4, 9}


def test_a_rebuilt_world_is_opened_anew(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("worlds") / "w"
    tiny_world(items=30, users=10).save(folder)
    before = as_world(folder).hash
    tiny_world(items=30, users=10, seed=4).save(folder)
    assert as_world(folder).hash != before


def test_a_worker_process_needs_no_registration() -> None:
    name = fresh_id()
    register_variant(Variant(id=name, horizon=4, slate_size=2))
    envs = gymnasium.make_vec(
        name,
        num_envs=2,
        vectorization_mode="async",
        vector_kwargs={"context": "spawn"},
        observation="ids",
    )
    try:
        observation, _ = envs.reset(seed=0)
        assert observation["candidates"].shape == (2, 20)
        envs.step(envs.action_space.sample())
    finally:
        envs.close()


def test_importing_envs_does_not_import_torch() -> None:
    code = (
        "import sys, slategym.envs, gymnasium; "
        "gymnasium.make('slategym/World-v0').reset(seed=0); "
        "assert not {'torch', 'transformers', 'stable_baselines3'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=120)


def test_slates_of_one_are_discrete() -> None:
    env = SlateEnv(slate_size=1)
    assert isinstance(env.action_space, gymnasium.spaces.Discrete)
    env.reset(seed=0)
    _, _, _, _, info = env.step(np.int64(3))
    assert info["slate"].shape == (1,)
