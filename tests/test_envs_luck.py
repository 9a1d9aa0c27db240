"""A user's luck is the user's own: alone, among thousands, in any order and in any process.

And policies that meet the same users with the same luck differ by little else than themselves.
"""

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from typing import Any

import gymnasium
import numpy as np
import pytest

from slategym.envs.arrays import AnyArray, DoubleArray, FloatArray
from slategym.envs.checks import actions_for, differs_in_row, leaves
from slategym.envs.parts import (
    Ageing,
    Boredom,
    Budget,
    Bursts,
    Creators,
    Familiarity,
    Like,
    Mood,
    Needs,
    Patience,
    PositionChoice,
    Purchase,
    Returning,
    Reward,
    Satisfaction,
    Share,
    Skip,
    TasteShift,
)
from slategym.envs.parts_reward import REWARD_TERMS
from slategym.envs.reference import ReferenceSimulation
from slategym.envs.tiny import tiny_world
from slategym.envs.variant import Variant
from slategym.envs.vector import SlateVectorEnv

STEPS = 12
EVERYTHING = Variant.standard(
    "test/Everything-v0", PositionChoice(), Like(), Skip(), Share(), Purchase(),
    TasteShift(shock_rate=0.1), Boredom(bored_at=0.8), Satisfaction(), Familiarity(), Mood(),
    Ageing(calendar=40, lifetime=25), Bursts(), Needs(), Creators(creators=8, creator_decay=0.93),
    Patience(patience=2), Budget(minute_budget=40, browse_minutes=1), Returning(days=6),
    Reward(**{f"{term}_weight": 1.0 for term in REWARD_TERMS}),
    horizon=9,
)  # fmt: skip
TASKS = {"world": Variant("test/World-v0"), "everything": EVERYTHING}
each_task = pytest.mark.parametrize("task", TASKS)


def trajectory(env: SlateVectorEnv, streams: AnyArray, seed: int = 11) -> list[Any]:
    """Everything handed out to user streams, new episodes included."""
    seen: list[Any] = [env.reset(seed=seed, options={"streams": streams})]
    return seen + [env.step(actions_for(env, step, streams)) for step in range(STEPS)]


def run(task: str, streams: AnyArray) -> list[Any]:
    """The same in a new environment."""
    return trajectory(SlateVectorEnv(len(streams), variant=TASKS[task], privileged=True), streams)


@cache
def among_thousands(task: str) -> list[Any]:
    """Streams 0 to 4095 together."""
    return run(task, np.arange(4096))


@each_task
def test_a_user_alone_is_the_same_among_seven_and_among_thousands(task: str) -> None:
    crowd, seven = among_thousands(task), run(task, np.arange(7))
    alone = {row: run(task, np.array([row])) for row in (0, 3, 6)}
    for step, given in enumerate(crowd):
        for row in range(7):
            assert not differs_in_row(seven[step], given, row, row), f"row {row}, step {step}"
        for row, one in alone.items():
            assert not differs_in_row(one[step], given, 0, row), f"row {row}, step {step}"


@each_task
def test_a_user_is_the_same_in_another_order(task: str) -> None:
    crowd = among_thousands(task)
    order = np.random.default_rng(0).permutation(4096)
    shuffled = run(task, order)
    for row in (0, 1, 127, 128, 2048, 4095):
        for step, given in enumerate(shuffled):
            assert not differs_in_row(given, crowd[step], row, int(order[row])), f"step {step}"
    rewards = np.stack([given[1] for given in crowd[1:]])
    other = np.stack([given[1] for given in shuffled[1:]])
    np.testing.assert_array_equal(other, rewards[:, order])


def digest(task: str) -> str:
    """A hash of everything handed out to seven streams."""
    found = hashlib.sha256()
    for given in run(task, np.arange(7)):
        for array in leaves(given):
            found.update(array.tobytes())
    return found.hexdigest()


@each_task
def test_a_user_is_the_same_in_another_process(task: str) -> None:
    code = (
        "import importlib.util, sys\n"
        f"spec = importlib.util.spec_from_file_location('luck', {__file__!r})\n"
        "luck = importlib.util.module_from_spec(spec); spec.loader.exec_module(luck)\n"
        f"print(luck.digest({task!r}))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout.strip() == digest(task)


@each_task
def test_the_same_luck_without_a_compiler(task: str) -> None:
    """Rows of the NumPy step do not depend on each other either, bit for bit."""

    def walk(streams: AnyArray) -> list[Any]:
        made = ReferenceSimulation(tiny_world(), TASKS[task], len(streams))
        made.begin(np.full(len(streams), 11, np.uint64), streams.astype(np.uint64))
        seen: list[Any] = [made.observe()]
        for step in range(STEPS):
            slot = np.arange(made.variant.slate_size)
            done = made.step((streams[:, None] * 7 + step * 3 + slot) % 20)
            made.next_episode(done.terminated | done.truncated)
            seen.append([done, made.observe(), made.get_state(), made.privileged()])
        return seen

    crowd, alone = walk(np.arange(97)[::-1].copy()), walk(np.array([5]))
    for step, (one, given) in enumerate(zip(alone, crowd, strict=True)):
        assert not differs_in_row(one, given, 0, 91), f"step {step}"


def test_another_seed_is_other_luck_and_other_users() -> None:
    env = SlateVectorEnv(64, variant=EVERYTHING)
    one, other = trajectory(env, np.arange(64)), trajectory(env, np.arange(64), seed=12)
    rewards, others = (np.stack([given[1] for given in seen[1:]]) for seen in (one, other))
    assert (rewards != others).mean() > 0.9
    shifted = trajectory(env, np.arange(1, 65))
    # Stream i in row i and in row i - 1 shows the same, under the actions of the stream.
    np.testing.assert_array_equal(
        np.stack([given[1] for given in shifted[1:]])[:, :-1], rewards[:, 1:]
    )


# --- two policies on the same users ------------------------------------------------------------

Ranker = Callable[[dict[str, FloatArray], AnyArray], FloatArray]


def perturbed(strength: float) -> Ranker:
    """Rank by the click logit and a fixed error of each item: an imperfect oracle."""
    error = np.random.default_rng(1).normal(size=1000)
    return lambda told, items: told["click_logit"] + strength * error[items]


def returns(variant: Variant, ranker: Ranker, seed: int, users: int = 600) -> DoubleArray:
    """The return of each user's first episode."""
    env = SlateVectorEnv(users, variant=variant, privileged=True, observation="ids")
    observation, info = env.reset(seed=seed)
    total, there = np.zeros(users), np.ones(users, dtype=np.bool_)
    while there.any():
        score = ranker(info["privileged"], observation["candidates"])
        slate = np.argsort(-score, axis=1, kind="stable")[:, : variant.slate_size]
        observation, reward, terminated, truncated, info = env.step(slate)
        total += reward * there
        there &= ~(terminated | truncated)
    return total


PAIRED = {
    "world": Variant("test/World-v0"),
    "several clicks": Variant.standard("test/Several-v0", PositionChoice()),
    "sessions": Variant.standard("test/Sessions-v0", Satisfaction(), Returning()),
    "moods": Variant.standard("test/Moods-v0", Mood(), Familiarity()),
}


@pytest.mark.parametrize("task", PAIRED)
def test_paired_differences_vary_at_least_five_times_less(task: str) -> None:
    good, worse = (returns(PAIRED[task], perturbed(s), seed=1) for s in (0.1, 0.4))
    elsewhere = returns(PAIRED[task], perturbed(0.4), seed=2)
    paired = np.var(good - worse, ddof=1)
    assert np.var(good - elsewhere, ddof=1) > 5 * paired
    assert np.var(good, ddof=1) + np.var(worse, ddof=1) > 5 * paired
    assert paired > 0


def test_a_policy_differs_from_itself_by_nothing() -> None:
    one, again = (returns(PAIRED["world"], perturbed(0.3), seed=1, users=50) for _ in range(2))
    np.testing.assert_array_equal(one, again)


def test_the_luck_that_two_policies_share_is_known_exactly() -> None:
    """One item each, all as attractive as nothing: both click, or neither, two times in three.

    A user clicks where the item's Gumbel number beats that of nothing. Two items share the
    latter: P(both) = P(nothing is least of three) = 1/3, so P(they differ) = 1 - 2/3, against 1/2
    with luck of their own.
    """
    users = 30_000
    env = gymnasium.make_vec(
        "slategym/World-v0", num_envs=users, slate_size=1, taste_scale=0, satiation_weight=0,
        no_click_logit=0, observation="ids",
    )  # fmt: skip
    env.reset(seed=1)
    first = env.step(np.zeros(users, int))[4]["response"]["click"][:, 0]
    env.reset(seed=1)
    second = env.step(np.ones(users, int))[4]["response"]["click"][:, 0]
    error = 4.5 * np.sqrt(0.25 / users)
    assert abs(first.mean() - 1 / 2) < error
    assert abs((first != second).mean() - 1 / 3) < error
    assert np.var(first - second) == pytest.approx(1 / 3, abs=0.02)
    env.reset(seed=2)
    elsewhere = env.step(np.ones(users, int))[4]["response"]["click"][:, 0]
    assert abs((first != elsewhere).mean() - 1 / 2) < error
