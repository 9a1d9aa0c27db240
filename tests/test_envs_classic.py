"""The classic environments: what they promise as environments, and what their states mean."""

import hashlib
import json
import os
import pickle
import subprocess
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from stable_baselines3.common.env_checker import check_env as sb3_check_env

from slategym.envs.checks import actions_for, check_variant, leaves, rollout
from slategym.envs.classic_constants import (
    CHOICE_MODELS,
    EvolutionConstants,
    ExplorationConstants,
    SatisfactionConstants,
)
from slategym.envs.classic_late import LateObservation
from slategym.envs.classic_tasks import CLASSICS
from slategym.envs.classic_variant import ClassicVariant
from slategym.envs.protocol import Simulation
from slategym.envs.registry import get_variant, variant_from_json
from slategym.envs.single import SlateEnv
from slategym.envs.vector import SlateVectorEnv
from slategym.errors import UsageError

IDS = [variant.id for variant in CLASSICS]
EVOLUTION, EXPLORATION, SATISFACTION = (
    f"slategym/{name}-v0"
    for name in ("InterestEvolution", "InterestExploration", "LongTermSatisfaction")
)
GOLDEN = Path(__file__).parent / "golden" / "classic_rollouts.json"
REWRITE = "SLATEGYM_REWRITE_GOLDEN"


def envs(name: str, batch: int, **changes: Any) -> SlateVectorEnv:  # noqa: ANN401
    return SlateVectorEnv(batch, variant=name, **changes)


# --- promises ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", IDS)
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"privileged": True, "slate_size": 1},
        {"horizon": 3, "history_length": 4, "slate_size": 4, "num_candidates": 5},
        {"resample_documents": False, "num_candidates": 7},
    ],
    ids=["default", "one", "short", "static"],
)
def test_every_classic_keeps_its_promises(name: str, changes: dict[str, Any]) -> None:
    assert check_variant(name, **changes) == []


@pytest.mark.parametrize("model", CHOICE_MODELS)
def test_every_choice_model_keeps_the_promises(model: str) -> None:
    assert check_variant(EVOLUTION, choice_model=model, user_quality_factor=0.1) == []
    assert check_variant(EXPLORATION, choice_model=model) == []


def test_cluster_numbers_keep_the_promises() -> None:
    assert check_variant(EVOLUTION, observation="ids", history_length=3) == []


@pytest.mark.parametrize("name", IDS)
def test_stable_baselines_finds_nothing_to_warn_about(name: str) -> None:
    # pytest turns every warning into an error.
    sb3_check_env(gymnasium.make(name, render_mode="ansi"), warn=True)


@pytest.mark.parametrize("name", IDS)
def test_gymnasium_makes_both_faces(name: str) -> None:
    many = gymnasium.make_vec(name, num_envs=3)
    observation, _ = many.reset(seed=1)
    assert many.observation_space.contains(observation)
    one = gymnasium.make(name)
    alone, _ = one.reset(seed=1)
    assert all(alone[key].tobytes() == observation[key][0].tobytes() for key in alone)


def test_a_simulation_follows_the_protocol() -> None:
    assert all(isinstance(variant.simulation(2), Simulation) for variant in CLASSICS)


@pytest.mark.parametrize("name", IDS)
def test_a_large_batch_hands_out_what_a_small_one_does_and_keeps_it(name: str) -> None:
    """At this size buffers are used again, unless somebody holds on to any part of them."""
    large, small = envs(name, 4096, horizon=7), envs(name, 5, horizon=7)
    streams = np.arange(4096)
    large.reset(seed=3)
    small.reset(seed=3)
    held, copies = [], []
    for step in range(16):
        given = large.step(actions_for(large, step, streams))
        few = small.step(actions_for(small, step, streams[:5]))
        for key in few[0]:
            assert given[0][key][:5].tobytes() == few[0][key].tobytes()
        assert ("final_obs" in given[4]) == ("final_obs" in few[4])
        if "final_obs" in few[4]:
            for key, array in few[4]["final_obs"].items():
                assert given[4]["final_obs"][key][:5].tobytes() == array.tobytes()
        if step % 3 == 0:
            held.append((given[0]["context"][17:19], given[4]["response"]["click"]))
            copies.append(deepcopy(held[-1]))
    for one, other in zip(held, copies, strict=True):
        assert all(a.tobytes() == b.tobytes() for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("name", IDS)
def test_the_single_face_shows_row_0(name: str) -> None:
    batch, one = envs(name, 1, privileged=True), SlateEnv(variant=name, privileged=True)
    batch.reset(seed=4)
    one.reset(seed=4)
    for step in range(20):
        action = actions_for(batch, step, np.zeros(1, np.int64))
        _, rewards, *_, info = batch.step(action)
        _, reward, *_, told = one.step(action[0])
        assert reward == float(rewards[0])
        for row, alone in zip(leaves(info), leaves(told), strict=True):
            assert row[0].tobytes() == np.asarray(alone).tobytes()


# --- golden rollouts ---------------------------------------------------------------------------


def _digest(name: str, **changes: Any) -> str:  # noqa: ANN401
    digest = hashlib.sha256()
    for array in leaves(rollout(envs(name, 5, **changes), np.arange(5), steps=40)):
        digest.update(array.tobytes())
    return digest.hexdigest()


def test_rollouts_have_the_bits_they_had() -> None:
    """The bits of a variant's rollouts; a change of them is a new version of the variant."""
    found = {name: _digest(name) for name in IDS}
    if os.environ.get(REWRITE):
        GOLDEN.write_text(json.dumps(found, indent=1) + "\n")
    assert found == json.loads(GOLDEN.read_text())


def test_another_process_has_the_same_luck() -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from test_envs_classic import EVOLUTION, _digest\n"
        "print(_digest(EVOLUTION))"
    )
    command = [sys.executable, "-c", code, str(Path(__file__).parent)]
    run = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert run.stdout.strip() == _digest(EVOLUTION)


# --- variants as data --------------------------------------------------------------------------


@pytest.mark.parametrize("name", IDS)
def test_a_classic_survives_json(name: str) -> None:
    variant = get_variant(name)
    assert variant_from_json(json.loads(json.dumps(variant.to_json()))) == variant
    assert variant.override() is variant
    changed = variant.override(horizon=5)
    assert changed.horizon == 5
    assert changed.parameters == {**variant.parameters, "horizon": 5}


def test_defaults_are_those_of_recsim() -> None:
    evolution, exploration = EvolutionConstants(), ExplorationConstants()
    satisfaction = SatisfactionConstants()
    assert (evolution.time_budget, evolution.step_penalty, evolution.no_click_mass) == (200, 0.5, 1)
    assert evolution.user_update_alpha == pytest.approx(0.26470588)
    assert evolution.cluster_means[0] == -3
    assert evolution.cluster_means[13] == evolution.cluster_means[14] == 0
    assert evolution.cluster_means[19] == 3
    assert exploration.topic_quality_mean == (0.8, 0.2)
    assert exploration.no_click_mass == 5
    assert (satisfaction.memory_discount, satisfaction.sensitivity) == (0.7, 0.01)
    assert satisfaction.time_budget == 60


@pytest.mark.parametrize(
    ("name", "changes", "told"),
    [
        (EVOLUTION, {"step_penalti": 1}, "Did you mean 'step_penalty'"),
        (EVOLUTION, {"slate_size": 11}, "larger than num_candidates"),
        (EVOLUTION, {"slate_size": 2.5}, "whole number"),
        (EVOLUTION, {"time_budget": 0}, "time_budget is 0"),
        (EVOLUTION, {"time_budget": "long"}, "time_budget is 'long'"),
        (EVOLUTION, {"choice_model": "logits"}, "Did you mean 'logit'"),
        (EVOLUTION, {"min_normalizer": 0.5}, "at most -1"),
        (EVOLUTION, {"no_click_mass": -2.0}, "at most -2"),
        (EVOLUTION, {"choice_model": "exp_cascade", "score_scaling": 0.5}, "at most 0.367879"),
        (EVOLUTION, {"choice_model": "prop_cascade", "min_normalizer": 0}, "at most -1"),
        (EVOLUTION, {"resample_documents": 1}, "True or False"),
        (EVOLUTION, {"world": "tiny"}, "lives in no world"),
        (EVOLUTION, {"users": "train"}, "must be 'all'"),
        (EXPLORATION, {"observation": "ids"}, "use 'features'"),
        (EXPLORATION, {"topic_distribution": [0.5, 0.4]}, "sums to 0.9"),
        (EXPLORATION, {"topic_quality_mean": [0.5]}, "has 1 entries"),
        (EXPLORATION, {"topic_quality_mean": 3}, "list of numbers"),
        (EXPLORATION, {"user_document_mean_affinity_matrix": [[1, 2]]}, "2 rows"),
        (EXPLORATION, {"user_type_distribution": [0.5, "x"]}, "entries must be numbers"),
        (EXPLORATION, {"choice_model": "proportional", "no_click_mass": -1}, "at least"),
        (SATISFACTION, {"memory_discount": 1.0}, "memory_discount is 1.0"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_sentence(
    name: str, changes: dict[str, Any], told: str
) -> None:
    with pytest.raises(UsageError, match=told) as error:
        envs(name, 2, **changes)
    assert "\n" not in str(error.value)


def test_bad_variants_are_refused() -> None:
    with pytest.raises(UsageError, match="malformed"):
        ClassicVariant("Evolution")
    with pytest.raises(UsageError, match="constants are 3"):
        ClassicVariant("a/B-v0", constants=3)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="needs an 'id'"):
        ClassicVariant.from_json({"family": "interest_evolution"})
    with pytest.raises(UsageError, match="Did you mean 'interest_evolution'"):
        ClassicVariant.from_json({"id": "a/B-v0", "family": "interest_evolutions"})
    with pytest.raises(UsageError, match="horizont"):
        ClassicVariant.from_json({"id": "a/B-v0", "family": "interest_evolution", "horizont": 3})


@pytest.mark.parametrize("actions", [[[0, 1, 10]], [[0, 1, -1]], [[0, 1]], [[0.0, 1.0, 2.0]]])
def test_bad_slates_change_nothing(actions: list[list[float]]) -> None:
    env = envs(EVOLUTION, 1)
    env.reset(seed=0)
    before = env.get_state()
    with pytest.raises(UsageError):
        env.step(np.array(actions))
    after = env.get_state()
    assert all(before[key].tobytes() == after[key].tobytes() for key in before)


# --- what is observed --------------------------------------------------------------------------


def test_evolution_observes_interests_clusters_and_clicks() -> None:
    env = envs(EVOLUTION, 300, privileged=True, history_length=2)
    observation, info = env.reset(seed=1)
    seen: list[list[tuple[int, float]]] = [[] for _ in range(300)]
    for step in range(30):
        known = info["privileged"]
        np.testing.assert_allclose(observation["user"], known["interest"], atol=1e-6)
        candidates = observation["candidates"].reshape(300, 10, 20)
        assert (candidates.argmax(axis=2) == known["cluster_id"]).all()
        assert (candidates.sum(axis=2) == 1).all()
        slates = actions_for(env, step, np.arange(300))
        observation, reward, terminated, _, info = env.step(slates)
        response = info["response"]
        shown = np.take_along_axis(known["cluster_id"], slates, axis=1)
        assert (response["cluster_id"] == shown).all()
        np.testing.assert_allclose(
            response["quality"], np.take_along_axis(known["quality"], slates, axis=1), rtol=1e-6
        )
        assert (info["slate"] == slates).all()
        assert (response["liked"] == 0).all()
        assert (response["click"].sum(axis=1) <= 1).all()
        np.testing.assert_array_equal(response["watch_time"].sum(axis=1), reward)
        for b in range(300):
            if response["click"][b].any():
                slot = response["click"][b].argmax()
                seen[b].append((int(shown[b, slot]), float(reward[b]) / 4))
            if terminated[b]:
                seen[b] = []
        history = observation["history"].reshape(300, 2, 20)
        feedback = observation["history_feedback"].reshape(300, 2, 3)
        for b in range(300):
            last = seen[b][-2:]
            for place, (cluster, value) in zip(range(2)[2 - len(last) :], last, strict=True):
                assert history[b, place].argmax() == cluster
                assert feedback[b, place] == pytest.approx([1, value, 0.9 ** (1 - place)])
            assert (history[b, : 2 - len(last)] == 0).all()
            assert (feedback[b, : 2 - len(last)] == 0).all()
    assert max(len(clicks) for clicks in seen) > 2


def test_exploration_shows_shares_of_topics() -> None:
    env = envs(EXPLORATION, 100, privileged=True)
    observation, info = env.reset(seed=1)
    shown, clicked, clicks = np.zeros((100, 2)), np.zeros((100, 2)), np.zeros(100)
    for step in range(1, 40):
        known = info["privileged"]
        documents = observation["candidates"].reshape(100, 10, 3)
        assert (documents[:, :, 0] == known["quality"]).all()
        assert (documents[:, :, 1:].argmax(axis=2) == known["cluster_id"]).all()
        slates = actions_for(env, step, np.arange(100))
        observation, reward, *_, info = env.step(slates)
        topics = np.eye(2)[info["response"]["cluster_id"]]
        shown += topics.sum(axis=1)
        clicked += (topics * info["response"]["click"][:, :, None]).sum(axis=1)
        clicks += reward
        context = observation["context"]
        np.testing.assert_allclose(context[:, 0], step / 100, rtol=1e-6)
        np.testing.assert_allclose(context[:, 1], reward)
        np.testing.assert_allclose(context[:, 3], clicks / step, rtol=1e-5)
        share = clicked / np.maximum(clicks, 1)[:, None]
        np.testing.assert_allclose(context[:, 5:7], share, rtol=1e-5)
        np.testing.assert_allclose(context[:, 7:], shown / (3 * step), rtol=1e-5)


def test_satisfaction_lets_the_exposure_be_estimated() -> None:
    """From the clickbait of what was consumed; the rest was forgotten or is noise."""
    env = envs(SATISFACTION, 400, privileged=True, history_length=12)
    _, info = env.reset(seed=1)
    for step in range(30):
        observation, reward, *_, info = env.step(actions_for(env, step, np.arange(400)))
    consumed = observation["history"]  # (B, 12) clickbait, newest last
    weight = 0.7 ** np.arange(11, -1, -1)
    estimate = -2 * (consumed - 0.5) @ weight
    assert np.corrcoef(estimate, info["privileged"]["npe"])[0, 1] > 0.99
    value = observation["history_feedback"].reshape(400, 12, 3)[:, -1, 1]
    engagement = info["response"]["engagement"][:, 0]
    expected = np.clip(np.log(engagement) / np.log(100), 0, 1)
    np.testing.assert_allclose(value, expected, atol=1e-6)
    np.testing.assert_allclose(engagement, np.minimum(reward, 100))


def test_static_candidates_stay_for_every_episode_of_a_stream() -> None:
    for name in (EVOLUTION, EXPLORATION, SATISFACTION):
        env = envs(name, 20, resample_documents=False, horizon=3, privileged=True)
        observation, info = env.reset(seed=5)
        first = observation["candidates"]
        known = info["privileged"]
        for step in range(8):
            observation, *_, info = env.step(actions_for(env, step, np.arange(20)))
            assert (observation["candidates"] == first).all()
        assert len(np.unique(first, axis=0)) == 20
        if "quality" in known:
            np.testing.assert_array_equal(info["privileged"]["quality"], known["quality"])
        other, _ = env.reset(seed=6)
        assert (other["candidates"] != first).any()


def test_a_document_shown_twice_is_clicked_more() -> None:
    env = envs(EVOLUTION, 20_000, privileged=True, slate_size=2)
    _, info = env.reset(seed=2)
    score = np.take_along_axis(
        info["privileged"]["interest"], info["privileged"]["cluster_id"].astype(np.int64), axis=1
    )[:, 0]
    *_, info = env.step(np.zeros((20_000, 2), dtype=np.int64))
    clicked = info["response"]["click"].sum(axis=1)
    twice = 2 * (score + 1) / (2 + 2 * (score + 1))
    assert abs(clicked.mean() - twice.mean()) < 4 * 0.5 / np.sqrt(20_000)
    # Both places of it are clicked as often.
    places = info["response"]["click"].mean(axis=0)
    assert abs(places[0] - places[1]) < 4 * np.sqrt(clicked.mean() / 20_000)


def test_the_budget_ends_an_episode_and_the_last_video_is_cut() -> None:
    env = envs(EVOLUTION, 500, privileged=True, time_budget=9.0)
    _, info = env.reset(seed=3)
    left = info["privileged"]["time_budget"]
    for step in range(40):
        _, reward, terminated, truncated, info = env.step(actions_for(env, step, np.arange(500)))
        clicked = info["response"]["click"].any(axis=1)
        np.testing.assert_allclose(reward[clicked], np.minimum(left, 4)[clicked], rtol=1e-6)
        last = info.get("final_info", info)["privileged"]["time_budget"]
        assert ((last <= 0) == terminated).all()
        assert not truncated.any()
        left = info["privileged"]["time_budget"]
    assert (left > 0).all()


def test_text_and_picture_of_a_step() -> None:
    for name in (EVOLUTION, EXPLORATION, SATISFACTION):
        env = gymnasium.make(name, render_mode="ansi")
        env.reset(seed=0)
        assert "no slate was shown yet" in env.render()
        for _ in range(5):
            env.step(env.action_space.sample())
        assert "document" in env.render()
        env = gymnasium.make(name, render_mode="rgb_array")
        env.reset(seed=0)
        env.step(env.action_space.sample())
        assert env.render().dtype == np.uint8


def test_a_late_observation_is_a_dictionary() -> None:
    calls = []

    def make() -> dict[str, Any]:
        calls.append(1)
        return {"user": np.zeros(2), "context": np.ones(3)}

    late = LateObservation(make)
    assert calls == []
    assert isinstance(late, dict)
    assert list(late) == ["user", "context"]
    assert len(calls) == 1
    views = [lambda d: dict(d), lambda d: {**d}, lambda d: d.copy(), lambda d: d | {}]
    for view in (*views, deepcopy, lambda d: pickle.loads(pickle.dumps(d))):
        got = view(LateObservation(make))
        assert type(got) is dict
        assert sorted(got) == ["context", "user"]
    assert "user" in LateObservation(make)
    assert len(LateObservation(make)) == 2
    assert LateObservation(make)["context"].sum() == 3
    assert LateObservation(make).get("nothing") is None
    assert sorted(LateObservation(make).keys()) == ["context", "user"]
    assert "user" in repr(LateObservation(make))
