"""Every policy meets the same users with the same luck, and what they did is all recorded."""

import numpy as np
import pytest

from slategym.agents.policy import Observation, Slate, make_policy
from slategym.benchmarks.rollout import Trajectories, make_env, rollout
from slategym.envs.tiny import tiny_world
from slategym.envs.world import World
from slategym.errors import UsageError


@pytest.fixture(scope="module")
def world() -> World:
    return tiny_world()


class FirstOnes:
    """Shows the first candidates, and remembers what it was given."""

    name = "first-ones"

    def __init__(self, slate_size: int = 5) -> None:
        self.slate_size = slate_size
        self.keys: set[str] = set()
        self.draws: list[float] = []

    def act(self, observation: Observation, rng: np.random.Generator) -> Slate:
        """Return positions 0 .. K-1."""
        self.keys |= set(observation)
        self.draws.append(float(rng.random()))
        rows = len(observation["candidates"])
        return np.tile(np.arange(self.slate_size), (rows, 1))


class NosyFirstOnes(FirstOnes):
    """The same slates, but it is also told the hidden click logits."""

    privileged = True


def equal(first: Trajectories, second: Trajectories) -> bool:
    """Whether two rollouts recorded the same."""
    pairs = zip(first.arrays().values(), second.arrays().values(), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


def test_the_same_seed_gives_the_same_sessions_and_another_seed_others(world: World) -> None:
    first = rollout(FirstOnes(), world, users=32, seed=3)
    assert equal(first, rollout(FirstOnes(), world, users=32, seed=3))
    assert not equal(first, rollout(FirstOnes(), world, users=32, seed=4))


def test_two_policies_meet_the_same_users(world: World) -> None:
    one = rollout(make_policy("random", world, 5), world, users=64)
    other = rollout(make_policy("popularity", world, 5), world, users=64)
    assert np.array_equal(one.users, other.users)
    assert not np.array_equal(one.shown[0], other.shown[0])
    assert set(one.users) <= set(world.user_rows("held_out"))


def test_a_user_does_not_depend_on_how_many_others_there_are(world: World) -> None:
    few, many = (rollout(FirstOnes(), world, users=users) for users in (5, 50))
    steps = len(few.shown)
    assert np.array_equal(few.returns, many.returns[:5])
    assert np.array_equal(few.shown, many.shown[:steps, :5])


def test_being_told_more_does_not_change_what_happens(world: World) -> None:
    plain, nosy = FirstOnes(), NosyFirstOnes()
    assert equal(rollout(plain, world, users=32), rollout(nosy, world, users=32))
    assert "privileged_click_logit" not in plain.keys
    assert "privileged_click_logit" in nosy.keys


def test_the_oracle_sees_logits_and_beats_chance(world: World) -> None:
    oracle = rollout(make_policy("oracle-myopic", world, 5), world, users=128)
    chance = rollout(make_policy("random", world, 5), world, users=128)
    assert oracle.returns.mean() > chance.returns.mean()


def test_nothing_is_recorded_after_a_session_has_ended(world: World) -> None:
    run = rollout(FirstOnes(), world, users=64, horizon=20)
    steps = np.arange(len(run.shown))[:, None]
    over = steps >= run.length
    assert (run.shown[over] == -1).all()
    assert (run.shown[~over] >= 0).all()
    assert run.length.min() >= 1
    assert run.length.max() == len(run.shown) <= 20
    assert run.left[run.length < 20].all(), "only a user who leaves ends before the horizon"


def test_sums_are_those_of_the_steps(world: World) -> None:
    run = rollout(FirstOnes(), world, users=32)
    assert np.array_equal(run.clicks, run.clicked.sum(axis=(0, 2)))
    assert run.minutes == pytest.approx(run.watched.sum(axis=(0, 2)), rel=1e-5)
    assert (run.watched[~run.clicked] == 0).all()
    assert run.shown.dtype == np.int32


def test_returns_are_the_rewards_of_the_first_session_only(world: World) -> None:
    run = rollout(FirstOnes(), world, users=8, seed=1)
    env = make_env(world, variant="slategym/World-v0", num_envs=8, users="held_out")
    env.reset(seed=1)
    action = np.tile(np.arange(5), (8, 1))
    rewards = np.stack([env.step(action)[1] for _ in range(len(run.shown))])
    for row, length in enumerate(run.length):
        assert run.returns[row] == pytest.approx(rewards[:length, row].sum(), rel=1e-5)


def test_the_policys_own_luck_depends_on_seed_and_step_alone(world: World) -> None:
    first, second, other = FirstOnes(), FirstOnes(), FirstOnes()
    rollout(first, world, users=4, seed=0)
    rollout(second, world, users=40, seed=0)
    rollout(other, world, users=4, seed=1)
    assert second.draws[: len(first.draws)] == first.draws
    assert len(set(first.draws)) == len(first.draws)
    assert other.draws[0] != first.draws[0]


def test_a_slate_of_one_is_an_action_without_slots(world: World) -> None:
    run = rollout(FirstOnes(1), world, users=8, slate_size=1)
    assert run.shown.shape[2] == 1
    assert run.clicked.sum() > 0


def test_sizes_are_passed_on(world: World) -> None:
    run = rollout(FirstOnes(3), world, users=8, slate_size=3, num_candidates=7, horizon=4)
    assert run.shown.shape[1:] == (8, 3)
    assert len(run.shown) <= 4


def test_no_users_is_refused(world: World) -> None:
    with pytest.raises(UsageError, match="users is 0"):
        rollout(FirstOnes(), world, users=0)


def test_an_unknown_variant_is_refused_with_the_nearest_one(world: World) -> None:
    with pytest.raises(UsageError, match="slategym/World-v0"):
        rollout(FirstOnes(), world, users=2, variant="slategym/Wrld-v0")
