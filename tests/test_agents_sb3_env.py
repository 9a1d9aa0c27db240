"""The adapter gives Stable-Baselines3 what it wants, without a loop over rows."""

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from stable_baselines3 import PPO

from slategym.agents.sb3_env import SB3VecEnv, as_sb3
from slategym.envs.tiny import tiny_world
from slategym.envs.vector import SlateVectorEnv
from slategym.errors import UsageError


def make(num_envs: int = 32, horizon: int = 6, **options: object) -> SB3VecEnv:
    venv = SlateVectorEnv(num_envs, world=tiny_world(), horizon=horizon, **options)
    env = as_sb3(venv)
    env.seed(7)
    return env


def random_slates(env: SB3VecEnv, rng: np.random.Generator) -> np.ndarray:
    return rng.random((env.num_envs, 20)).argsort(1)[:, :5]


def test_finished_rows_have_their_own_info_and_the_others_share_an_empty_one() -> None:
    env, rng = make(), np.random.default_rng(0)
    env.reset()
    for _ in range(8):
        _, _, done, infos = env.step(random_slates(env, rng))
        assert len(infos) == env.num_envs
        waiting = [infos[row] for row in np.flatnonzero(~done)]
        assert all(info is waiting[0] and info == {} for info in waiting)
        for row in np.flatnonzero(done):
            assert set(infos[row]) == {"terminal_observation", "TimeLimit.truncated", "episode"}


def test_terminal_observations_are_the_last_of_the_episode_and_not_the_first_of_the_next() -> None:
    env, rng = make(), np.random.default_rng(1)
    env.reset()
    seen = 0
    for _ in range(8):
        observation, _, done, infos = env.step(random_slates(env, rng))
        for row in np.flatnonzero(done):
            last = infos[row]["terminal_observation"]
            assert set(last) == set(observation)
            assert last["context"][0] > 0  # step / horizon
            assert observation["context"][row, 0] == 0
            seen += 1
    assert seen > 0


def test_in_brief_only_rows_cut_by_the_horizon_have_a_last_observation() -> None:
    env, full = make(horizon=12), make(horizon=12)
    env.brief = True
    rng = np.random.default_rng(4)
    env.reset()
    full.reset()
    flags: list[bool] = []
    for _ in range(14):
        slates = random_slates(env, rng)
        *_, done, infos = env.step(slates)
        *_, whole = full.step(slates)
        for row in np.flatnonzero(done):
            info, other = infos[row], dict(whole[row])
            flags.append(info["TimeLimit.truncated"])
            assert info["episode"]["r"] == other["episode"]["r"]
            if not flags[-1]:
                assert set(info) == {"TimeLimit.truncated", "episode"}
                continue
            for name, array in info["terminal_observation"].items():
                np.testing.assert_array_equal(array, other["terminal_observation"][name])
    assert set(flags) == {True, False}


def test_only_rows_cut_by_the_horizon_are_truncated() -> None:
    env, rng = make(), np.random.default_rng(2)
    env.reset()
    flags: list[bool] = []
    for _ in range(12):
        _, _, done, infos = env.step(random_slates(env, rng))
        for row in np.flatnonzero(done):
            cut = infos[row]["TimeLimit.truncated"]
            assert cut <= (infos[row]["episode"]["l"] == 6)
            flags.append(cut)
    assert True in flags
    assert False in flags


def test_episode_statistics_add_up_to_the_rewards() -> None:
    env, rng = make(), np.random.default_rng(3)
    env.reset()
    earned, episodes = np.zeros(env.num_envs), 0
    for _ in range(9):
        _, reward, done, infos = env.step(random_slates(env, rng))
        earned += reward
        for row in np.flatnonzero(done):
            assert infos[row]["episode"]["r"] == pytest.approx(earned[row], abs=1e-5)
            episodes += 1
        earned[done] = 0
    returns, lengths = env.take_finished()
    assert len(returns) == len(lengths) == episodes
    assert len(env.take_finished()[0]) == 0


def test_the_info_of_the_step_stays_batched() -> None:
    env = make()
    env.reset()
    env.step(random_slates(env, np.random.default_rng(4)))
    assert env.last_info["response"]["click"].shape == (32, 5)
    assert env.last_info["slate"].shape == (32, 5)


def test_the_same_seed_gives_the_same_episodes() -> None:
    first, second = make(), make()
    np.testing.assert_array_equal(first.reset()["candidates"], second.reset()["candidates"])


def test_a_restored_state_continues_exactly() -> None:
    env, rng = make(), np.random.default_rng(5)
    env.reset()
    actions = [random_slates(env, rng) for _ in range(10)]
    for action in actions[:4]:
        env.step(action)
    state = env.get_state()
    expected = [env.step(action) for action in actions[4:]]
    other = make()
    other.reset()
    other.set_state(state)
    for action, (_, reward, done, infos) in zip(actions[4:], expected, strict=True):
        _, found_reward, found_done, found_infos = other.step(action)
        np.testing.assert_array_equal(found_reward, reward)
        np.testing.assert_array_equal(found_done, done)
        for row in np.flatnonzero(done):
            assert found_infos[row]["episode"]["r"] == infos[row]["episode"]["r"]


def test_another_way_to_reset_is_refused() -> None:
    venv = SlateVectorEnv(2, world=tiny_world())
    venv.metadata = venv.metadata | {"autoreset_mode": AutoresetMode.NEXT_STEP}
    with pytest.raises(UsageError, match="SAME_STEP"):
        as_sb3(venv)


def test_stock_ppo_trains_on_vectors_inline() -> None:
    env = make(num_envs=16, slate_size=2, num_candidates=6, observation="features")
    model = PPO("MultiInputPolicy", env, n_steps=8, batch_size=64, n_epochs=1, device="cpu", seed=0)
    before = [p.detach().clone() for p in model.policy.parameters()]
    model.learn(256)
    assert any(
        (old != new).any() for old, new in zip(before, model.policy.parameters(), strict=True)
    )
    assert len(model.ep_info_buffer) > 0
