"""What every registered environment promises, and that the checks can fail."""

import logging
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest
from stable_baselines3.common.env_checker import check_env as sb3_check_env

from slategym.envs import checks, kernels
from slategym.envs.checks import actions_for, check_variant, differs, leaves, rollout
from slategym.envs.parts_reward import REWARD_TERMS
from slategym.envs.registry import get_variant, list_variants
from slategym.envs.single import SlateEnv
from slategym.envs.tiny import tiny_world
from slategym.envs.vector import SlateVectorEnv
from slategym.errors import UsageError


@pytest.mark.parametrize("variant_id", list_variants())
@pytest.mark.parametrize(
    "changes",
    [{}, {"observation": "ids", "privileged": True}, {"slate_size": 1}, {"horizon": 3}],
    ids=["default", "ids", "one", "short"],
)
def test_every_variant_keeps_its_promises(variant_id: str, changes: dict[str, Any]) -> None:
    if get_variant(variant_id).family in ("interest_exploration", "long_term_satisfaction"):
        # Their documents are made anew at each step, and have no number in a table.
        changes = {name: value for name, value in changes.items() if name != "observation"}
    assert check_variant(variant_id, **changes) == []


@pytest.mark.parametrize("variant_id", list_variants())
def test_stable_baselines_finds_nothing_to_warn_about(variant_id: str) -> None:
    # pytest turns every warning into an error.
    sb3_check_env(gymnasium.make(variant_id, render_mode="ansi"), warn=True)


# --- the checks can fail -----------------------------------------------------------------------


class _Sabotaged(SlateVectorEnv):
    """An environment with one fault, by name."""

    fault = ""

    def reset(self, **keywords: Any) -> Any:  # noqa: ANN401
        observation, info = super().reset(**keywords)
        self.kept = observation["context"]
        return observation, info

    def step(self, actions: np.ndarray) -> Any:  # noqa: ANN401
        if self.fault == "alias":
            self.kept += 1
        result = super().step(actions)
        if self.fault == "batch":
            result[0]["context"][:, 1] = result[0]["context"][:, 1].mean()
        if self.fault == "nan":
            result[1][0] = np.nan
        if self.fault == "random":
            result[1][:] += np.random.default_rng().random()
        if self.fault == "bounds":
            result[0]["context"][:, 0] = 1e9
        if self.fault == "no reset":
            done = result[2] | result[3]
            result[0]["context"][done, 0] = 1
        return result

    def set_state(self, state: Any) -> None:  # noqa: ANN401
        if self.fault == "state":
            state = {**state, "step": state["step"] + 1}
        super().set_state(state)


@pytest.mark.parametrize(
    ("fault", "check"),
    [
        ("alias", checks._check_aliasing),
        ("batch", checks._check_batch_size),
        ("nan", checks._check_spaces),
        ("bounds", checks._check_spaces),
        ("random", checks._check_same_seed),
        ("random", checks._check_terms),
        ("random", checks._check_single),
        ("no reset", checks._check_autoreset),
        ("state", checks._check_snapshot),
    ],
)
def test_a_broken_environment_is_caught(fault: str, check: Callable[..., Any]) -> None:
    def make(batch: int) -> SlateVectorEnv:
        env = _Sabotaged(batch)
        env.fault = fault
        return env

    assert list(check(make))
    assert not list(check(SlateVectorEnv))


# --- luck --------------------------------------------------------------------------------------


def test_permuting_users_permutes_results() -> None:
    order = np.random.default_rng(0).permutation(64)
    straight, mixed = rollout(SlateVectorEnv(64), np.arange(64)), rollout(SlateVectorEnv(64), order)
    for a, b in zip(straight, mixed, strict=True):
        for key in a[0]:
            assert a[0][key][order].tobytes() == b[0][key].tobytes()
        if len(a) == 5:
            assert a[1][order].tobytes() == b[1].tobytes()


def test_a_seed_a_row_equals_single_environments_with_these_seeds() -> None:
    envs, seeds = SlateVectorEnv(3), [5, 11, 5]
    observation, _ = envs.reset(seed=seeds)
    for row, seed in enumerate(seeds):
        alone, _ = SlateEnv().reset(seed=seed)
        assert all(observation[key][row].tobytes() == alone[key].tobytes() for key in alone)


def test_another_process_has_the_same_luck() -> None:
    code = (
        "import hashlib, numpy as np\n"
        "from slategym.envs.checks import leaves, rollout\n"
        "from slategym.envs.vector import SlateVectorEnv\n"
        "digest = hashlib.sha256()\n"
        "for array in leaves(rollout(SlateVectorEnv(5), np.arange(5))):\n"
        "    digest.update(array.tobytes())\n"
        "print(digest.hexdigest())"
    )
    import hashlib

    digest = hashlib.sha256()
    for array in leaves(rollout(SlateVectorEnv(5), np.arange(5))):
        digest.update(array.tobytes())
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert run.stdout.strip() == digest.hexdigest()


def test_two_policies_meet_the_same_users_candidates_and_item_luck() -> None:
    first, second = SlateVectorEnv(50, observation="ids"), SlateVectorEnv(50, observation="ids")
    a, b = first.reset(seed=2)[0], second.reset(seed=2)[0]
    for step in range(4):
        np.testing.assert_array_equal(a["candidates"], b["candidates"])
        slates = actions_for(first, step, np.arange(50))
        a, *_, seen = first.step(slates)
        b, *_, other = second.step(slates[:, ::-1].copy())
        if step == 0:
            # The same items in another order: who clicks the same item watches as long.
            for row in range(50):
                watched = dict(zip(seen["slate"][row], seen["response"]["watch"][row], strict=True))
                again = dict(zip(other["slate"][row], other["response"]["watch"][row], strict=True))
                both = [i for i in watched if watched[i] > 0 and again.get(i, 0) > 0]
                assert all(watched[i] == again[i] for i in both)


# --- episodes ----------------------------------------------------------------------------------


def test_the_single_face_ends_and_must_be_reset() -> None:
    env = gymnasium.make("slategym/World-v0", horizon=3, patience=1e6, patience_cap=1e6)
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.unwrapped.step([0, 1, 2, 3, 4])
    env.reset(seed=0)
    ends = [env.step([0, 1, 2, 3, 4])[2:4] for _ in range(3)]
    assert ends == [(False, False), (False, False), (False, True)]
    with pytest.raises(gymnasium.error.ResetNeeded, match="the episode is over"):
        env.step([0, 1, 2, 3, 4])
    env.reset()
    env.step([0, 1, 2, 3, 4])


def test_leaving_terminates_and_the_horizon_truncates() -> None:
    impatient = SlateVectorEnv(200, patience=1, patience_gain=0, no_click_logit=50)
    impatient.reset(seed=0)
    _, _, terminated, truncated, info = impatient.step(np.tile(np.arange(5), (200, 1)))
    assert terminated.all()
    assert not truncated.any()
    assert info["response"]["click"].sum() == 0
    assert info["_final_obs"].all()


def test_each_row_goes_through_new_users_episode_by_episode() -> None:
    env = SlateVectorEnv(1, horizon=1, patience=100, patience_cap=100)
    env.reset(seed=0)
    users = [int(env.step(np.arange(5)[None])[4]["user"][0]) for _ in range(40)]
    assert len(set(users)) > 10
    env.reset(seed=0)
    assert [int(env.step(np.arange(5)[None])[4]["user"][0]) for _ in range(40)] == users


def test_a_repeated_position_is_an_empty_slot() -> None:
    env = SlateVectorEnv(300, no_click_logit=-50)
    env.reset(seed=0)
    _, _, _, _, info = env.step(np.tile([4, 4, 7, 4, 7], (300, 1)))
    assert (info["slate"][:, [1, 3, 4]] == -1).all()
    assert (info["slate"][:, [0, 2]] >= 0).all()
    assert (info["response"]["click"].sum(axis=0)[[1, 3, 4]] == 0).all()
    assert info["response"]["click"].sum() == 300


def test_what_is_observed_follows_what_was_done() -> None:
    env = SlateVectorEnv(100, observation="ids", no_click_logit=-50)
    world = env.world
    before, _ = env.reset(seed=4)
    padding = before["history_feedback"][..., 0] == 0
    assert (before["history"][padding] == world.n_items).all()
    after, _, _, _, info = env.step(actions_for(env, 0, np.arange(100)))
    slot = info["response"]["click"].argmax(axis=1)
    item = info["slate"][np.arange(100), slot]
    watch = info["response"]["watch"][np.arange(100), slot]
    minutes = info["response"]["minutes"][np.arange(100), slot]
    np.testing.assert_array_equal(after["history"][:, -1], item)
    np.testing.assert_array_equal(after["history"][:, :-1], before["history"][:, 1:])
    np.testing.assert_array_equal(after["history_feedback"][:, -1, 1], watch)
    topics = world.n_topics
    np.testing.assert_allclose(after["context"][:, 0], 1 / env.variant.horizon)
    np.testing.assert_array_equal(after["context"][:, 1], 1)
    np.testing.assert_array_equal(after["context"][:, 2], watch)
    np.testing.assert_allclose(after["context"][:, 3], 1 / 20)
    np.testing.assert_allclose(after["context"][:, 4], minutes / 100, rtol=1e-6)
    np.testing.assert_allclose(after["context"][:, 6 : 6 + topics], world.item_topics[item])
    shown = world.item_topics[info["slate"]].mean(axis=1)
    np.testing.assert_allclose(after["context"][:, 6 + topics :], shown, rtol=1e-5)


def test_features_are_the_table_rows_of_the_ids() -> None:
    flat, ids = SlateVectorEnv(20), SlateVectorEnv(20, observation="ids")
    table = np.concatenate([flat.item_vectors, np.zeros((1, flat.item_vectors.shape[1]))])
    a, b = flat.reset(seed=9)[0], ids.reset(seed=9)[0]
    for key in ("candidates", "history"):
        np.testing.assert_array_equal(a[key], table[b[key]].reshape(20, -1))
    np.testing.assert_array_equal(a["history_feedback"], b["history_feedback"].reshape(20, -1))


def test_nothing_hidden_is_observed_unless_asked_for() -> None:
    env = SlateVectorEnv(30)
    observation, info = env.reset(seed=0)
    assert info == {}
    assert set(observation) == {"user", "history", "history_feedback", "candidates", "context"}
    told = SlateVectorEnv(30, privileged=True)
    _, info = told.reset(seed=0)
    assert info["privileged"]["click_logit"].shape == (30, 20)
    # The oracle's logits are those that decide: the favourite is clicked far above its share.
    favourite = info["privileged"]["click_logit"].argsort(axis=1)[:, ::-1][:, :5]
    _, _, _, _, after = told.step(favourite)
    assert after["privileged"]["satiation"].shape == (30, told.world.n_topics)


def test_bad_actions_say_what_is_allowed() -> None:
    env = SlateVectorEnv(2)
    with pytest.raises(UsageError, match="before reset"):
        env.step(np.zeros((2, 5), dtype=int))
    env.reset(seed=0)
    for bad, message in (
        (np.zeros((2, 4), dtype=int), r"shape \(2, 4\); they must be \(2, 5\)"),
        (np.zeros((2, 5)), "integer positions"),
        (np.full((2, 5), 20), r"positions must be in \[0, 20\)"),
        (np.full((2, 5), -1), "positions must be"),
    ):
        with pytest.raises(UsageError, match=message):
            env.step(bad)
    with pytest.raises(UsageError, match="3 seeds were given for 2"):
        env.reset(seed=[1, 2, 3])
    with pytest.raises(UsageError, match="does not fit"):
        env.set_state(SlateVectorEnv(3).get_state())


def test_ansi_shows_titles_and_the_click() -> None:
    env = SlateEnv(render_mode="ansi", no_click_logit=-50)
    assert env.render() is None or "no slate" in env.render()
    env.reset(seed=0)
    *_, info = env.step([3, 3, 0, 1, 2])
    text = env.render()
    assert text is not None
    title = env.world.items["title"].iloc[info["slate"][info["response"]["click"].argmax()]]
    marked = next(line for line in text.splitlines() if line.startswith(">"))
    assert title in marked
    assert "watched" in marked
    assert "(empty)" in text


# --- the world is worth planning in ------------------------------------------------------------


def greedy(env: SlateVectorEnv, info: dict[str, Any], rest: float) -> np.ndarray:
    """The K best candidates by click logit, less ``rest`` times what the user is tired of."""
    topics = env.world.item_topics[env.simulation.state.candidates]
    tired = np.einsum("bz,bcz->bc", info["privileged"]["satiation"], topics)
    score = info["privileged"]["click_logit"] - rest * tired
    return np.argsort(-score, axis=1, kind="stable")[:, : env.variant.slate_size]


def mean_return(choose: Callable[..., np.ndarray], batch: int = 400) -> tuple[float, float]:
    """Mean return and length of one episode per user stream."""
    env = SlateVectorEnv(batch, observation="ids", privileged=True)
    _, info = env.reset(seed=1)
    alive, total, length = np.ones(batch, bool), np.zeros(batch), np.zeros(batch)
    for step in range(env.variant.horizon):
        _, reward, terminated, truncated, info = env.step(choose(env, info, step))
        total += alive * reward
        length += alive
        alive &= ~(terminated | truncated)
    return float(total.mean()), float(length.mean())


def test_a_ranker_that_lets_topics_rest_beats_one_that_does_not() -> None:
    myopic, _ = mean_return(lambda env, info, _: greedy(env, info, 0.0))
    rested, _ = mean_return(lambda env, info, _: greedy(env, info, 2.0))
    chance, length = mean_return(
        lambda env, _, step: np.random.default_rng(step).permuted(
            np.tile(np.arange(20), (env.num_envs, 1)), axis=1
        )[:, :5]
    )
    assert chance < myopic
    assert rested > 1.15 * myopic
    assert 7 < length < 30


# --- compiling ---------------------------------------------------------------------------------


def test_a_slow_first_call_is_told_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import time

    slow = kernels.KERNELS._replace(begin=lambda *_: time.sleep(0.05))
    monkeypatch.setattr(kernels, "KERNELS", slow)
    monkeypatch.setattr(kernels, "_CALLED", set())
    monkeypatch.setattr(kernels, "_PATIENCE", 0.005)
    with caplog.at_level(logging.WARNING, logger="slategym"):
        kernels.run("begin")
        kernels.run("begin")
    assert [record.message for record in caplog.records if "compiling" in record.message] == [
        "slategym: compiling the simulation kernel, once; this takes some seconds"
    ]


def test_compiled_code_comes_from_the_disk_cache() -> None:
    SlateVectorEnv(2).reset(seed=0)
    code = (
        "from slategym.envs.kernels import KERNELS\n"
        "from slategym.envs.vector import SlateVectorEnv\n"
        "SlateVectorEnv(2).reset(seed=0)\n"
        "stats = KERNELS.begin.stats\n"
        "assert stats.cache_hits and not stats.cache_misses, stats"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_a_change_of_a_formula_changes_the_key_of_the_cache() -> None:
    # numba alone would not see it: the loops close over a hash of the files they are built from.
    cells = [cell.cell_contents for cell in kernels.KERNELS.step.py_func.__closure__]
    assert kernels._sources() in cells


def test_tiny_world_is_what_world_v0_runs_on_by_default() -> None:
    env = gymnasium.make("slategym/World-v0")
    assert env.unwrapped.world is tiny_world()
    env.reset(seed=0)
    told = env.step([0, 1, 2, 3, 4])[4]["reward_terms"]
    assert set(told) == {"click", "watch", "minutes", "rating", "leave", "diversity"}
    assert set(told) < set(REWARD_TERMS)
    assert not differs(env.unwrapped.world.item_bias, tiny_world().item_bias)
