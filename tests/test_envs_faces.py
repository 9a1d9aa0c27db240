"""What can be observed and how one can act: whole catalogues, numbered slates, points."""

from itertools import combinations
from typing import Any

import gymnasium
import numpy as np
import pytest

from slategym.envs.actions import proto_scale
from slategym.envs.checks import actions_for, check_variant
from slategym.envs.nearest import NearestItems, nearest_of
from slategym.envs.tiny import tiny_world
from slategym.envs.vector import SlateVectorEnv
from slategym.errors import UsageError

FACES: dict[str, dict[str, Any]] = {
    "latent": {"observation": "latent"},
    "whole catalogue": {"candidates": "catalogue"},
    "whole catalogue, ids": {"candidates": "catalogue", "observation": "ids", "slate_size": 2},
    "numbered slates": {"action": "discrete", "slate_size": 2, "num_candidates": 8},
    "points": {"action": "proto"},
    "points in the catalogue": {"action": "proto", "candidates": "catalogue"},
    "fixed candidates": {"candidates": "fixed"},
    "retrieved candidates": {"candidates": {"part": "retrieved", "revisit": 0.3}},
    "popular candidates": {"candidates": "popular"},
    "several clicks": {"choice": "position"},
    "cascade": {"choice": "exp_cascade"},
    "proportional": {"choice": "proportional"},
    "drift": {"drift": "both"},
}


@pytest.mark.parametrize("face", FACES)
def test_every_face_keeps_the_promises_of_the_environment(face: str) -> None:
    assert check_variant("slategym/World-v0", **FACES[face]) == []


def test_latent_shows_the_hidden_model() -> None:
    env = SlateVectorEnv(6, observation="latent", num_candidates=9)
    world, state = env.world, env.simulation.state
    observation, _ = env.reset(seed=1)
    np.testing.assert_array_equal(observation["user"][:, 0], state.bias)
    np.testing.assert_array_equal(observation["user"][:, 1:9], state.taste)
    np.testing.assert_array_equal(observation["user"][:, 9:], state.satiation)
    shown = observation["candidates"].reshape(6, 9, -1)
    np.testing.assert_array_equal(shown[..., 0], world.item_bias[state.candidates])
    np.testing.assert_array_equal(shown[..., 1:], world.item_factors[state.candidates])


def test_over_a_whole_catalogue_a_position_is_an_item() -> None:
    env = SlateVectorEnv(4, candidates="catalogue", slate_size=3)
    observation, _ = env.reset(seed=0)
    assert "candidates" not in observation
    assert env.single_action_space.nvec.tolist() == [60, 60, 60]
    items = np.array([[5, 59, 0], [1, 2, 3], [7, 7, 8], [9, 10, 11]])
    *_, info = env.step(items)
    assert info["slate"].tolist() == [[5, 59, 0], [1, 2, 3], [7, -1, 8], [9, 10, 11]]


def test_a_number_names_a_set_of_candidates() -> None:
    env = SlateVectorEnv(28, action="discrete", slate_size=2, num_candidates=8)
    assert env.single_action_space == gymnasium.spaces.Discrete(28)
    env.reset(seed=3)
    candidates = env.simulation.state.candidates.copy()
    *_, info = env.step(np.arange(28))
    for row, chosen in enumerate(combinations(range(8), 2)):
        assert info["slate"][row].tolist() == candidates[row, list(chosen)].tolist()
    with pytest.raises(UsageError, match=r"would number 15,504 slates|at most 100,000"):
        SlateVectorEnv(2, action="discrete", slate_size=10, num_candidates=30)


@pytest.mark.parametrize("candidates", ["uniform", "catalogue"])
def test_a_point_shows_the_items_nearest_to_it(candidates: str) -> None:
    env = SlateVectorEnv(5, action="proto", candidates=candidates, slate_size=3)
    env.reset(seed=0)
    among = np.tile(np.arange(60), (5, 1))
    if candidates == "uniform":
        among = env.simulation.state.candidates.copy()
    points = np.random.default_rng(0).normal(size=(5, env.item_vectors.shape[1]))
    *_, info = env.step((points / proto_scale(env.item_vectors)).astype(np.float32))
    far = np.linalg.norm(env.item_vectors[among] - points[:, None], axis=2)
    expected = np.take_along_axis(among, np.argsort(far, axis=1)[:, :3], axis=1)
    assert info["slate"].tolist() == expected.tolist()


def test_a_point_that_is_an_item_shows_that_item_first() -> None:
    env = SlateVectorEnv(60, action="proto", candidates="catalogue")
    env.reset(seed=0)
    *_, info = env.step(env.item_vectors / proto_scale(env.item_vectors))
    assert info["slate"][:, 0].tolist() == list(range(60))


def test_bad_points_are_refused() -> None:
    env = SlateVectorEnv(2, action="proto")
    env.reset(seed=0)
    width = env.item_vectors.shape[1]
    with pytest.raises(UsageError, match=rf"a proto-item is \(2, {width}\) numbers"):
        env.step(np.zeros((2, 3)))
    with pytest.raises(UsageError, match="not finite"):
        env.step(np.full((2, width), np.nan))


def test_approximate_search_finds_most_of_what_exact_search_finds() -> None:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(40, 16))
    vectors = (centres[rng.integers(0, 40, 5000)] + 0.4 * rng.normal(size=(5000, 16))).astype("f4")
    points = vectors[:200] + 0.1 * rng.normal(size=(200, 16)).astype("f4")
    exact = NearestItems(vectors).search(points, 10)
    near = NearestItems(vectors, approximate=True).search(points, 10)
    found = [len(set(a) & set(b)) / 10 for a, b in zip(exact, near, strict=True)]
    assert np.mean(found) > 0.9
    far = np.linalg.norm(vectors[None] - points[:3, None], axis=2)
    assert exact[:3].tolist() == np.argsort(far, axis=1, kind="stable")[:, :10].tolist()


def test_equal_distances_keep_their_order() -> None:
    vectors = np.zeros((50, 2), np.float32)
    points = np.ones((3, 2), np.float32)
    assert NearestItems(vectors).search(points, 4).tolist() == [[0, 1, 2, 3]] * 3
    candidates = np.array([[9, 4, 7]], np.int32)
    assert nearest_of(points[:1], vectors, candidates, 2).tolist() == [[0, 1]]


def test_fixed_candidates_stay_for_ever() -> None:
    env = SlateVectorEnv(8, candidates="fixed", observation="ids", horizon=3)
    first, _ = env.reset(seed=4)
    for step in range(8):
        observation, *_ = env.step(actions_for(env, step, np.arange(8)))
        np.testing.assert_array_equal(observation["candidates"], first["candidates"])
    assert len({tuple(row) for row in first["candidates"].tolist()}) == 8


def test_the_language_state_is_the_mean_of_profile_and_history() -> None:
    world = tiny_world()
    if world.item_text is None:
        with pytest.raises(UsageError, match="has no text encodings"):
            SlateVectorEnv(2, user_state="language")
        return
    env = SlateVectorEnv(30, user_state="language", observation="ids", no_click_logit=-50)
    views, state = env.simulation.views, env.simulation.state
    env.reset(seed=0)
    for step in range(4):
        observation, *_ = env.step(actions_for(env, step, np.arange(30)))
    told = views.profile[state.user].astype(np.float64)
    weight = state.history_value * env.simulation.people.recency * (state.history >= 0)
    total = weight.sum(axis=1, keepdims=True) + 2.0 * (told != 0).any(axis=1, keepdims=True)
    heard = np.einsum("bh,bhd->bd", weight, views.language[state.history])
    np.testing.assert_allclose(observation["user"], (2 * told + heard) / total, atol=1e-4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"observation": "latnt"}, "Did you mean 'latent'"),
        ({"action": "dicrete"}, "Did you mean 'discrete'"),
        ({"candidates": "catalog"}, "Did you mean 'catalogue'"),
        ({"slate_size": 61, "candidates": "catalogue"}, "larger than the 60 items"),
        ({"drift": "fast"}, "drift is 'fast'"),
        ({"sparse": 1.5}, r"sparse is 1.5; it must be a number in \[0, 1\]"),
        ({"cold_start": (0.1, 0.2, 0.3)}, "a pair"),
    ],
)
def test_bad_words_say_what_is_allowed(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        SlateVectorEnv(2, **changes)


def test_drift_moves_tastes_and_only_then() -> None:
    calm = SlateVectorEnv(50, without=["interest_drift"])
    for drift, moved in (("none", 0.0), ("gradual", 0.1), ("sudden", 0.05)):
        env = SlateVectorEnv(50, drift=drift, without=["interest_drift"], patience=1e5,
                             patience_cap=1e5, boredom=0.0)  # fmt: skip
        env.reset(seed=0)
        before = env.simulation.state.taste.copy()
        for step in range(10):
            env.step(actions_for(env, step, np.arange(50)))
        change = np.linalg.norm(env.simulation.state.taste - before, axis=1)
        size = np.linalg.norm(before, axis=1)
        assert (change == 0).all() if drift == "none" else (change / size).mean() > moved
        if drift == "gradual":
            after = np.linalg.norm(env.simulation.state.taste, axis=1)
            assert 0.8 < (after / size).mean() < 1.2
    assert calm.variant.find("taste_shift") is None
