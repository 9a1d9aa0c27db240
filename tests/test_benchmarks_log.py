"""Logs: what is written is what happened, it comes back the same, and damage is said."""

import json
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from slategym.agents.classic_rules import make_classic_policy
from slategym.agents.policy import make_policy
from slategym.agents.stochastic import StochasticPolicy, with_propensities
from slategym.benchmarks import log_writer
from slategym.benchmarks.log_reader import read_info, read_log
from slategym.benchmarks.log_schema import COLUMNS, METADATA_KEY, Log, env_hash
from slategym.benchmarks.log_writer import save_log, write_log
from slategym.benchmarks.rollout import rollout
from slategym.envs.classic_variant import ClassicVariant
from slategym.envs.protocol import AnyVariant
from slategym.envs.registry import get_variant
from slategym.envs.tiny import tiny_world
from slategym.errors import DataError, UsageError

WORLD = "slategym/World-v0"


def task(name: str = WORLD, **changes: object) -> AnyVariant:
    """Return a variant with short episodes."""
    return get_variant(name).override(horizon=6, **changes)


def softened(temperature: float = 0.3) -> StochasticPolicy:
    """Return a policy with probabilities."""
    return with_propensities(make_policy("cf-greedy", tiny_world(), 5), temperature=temperature)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a log of 24 episodes."""
    path = tmp_path_factory.mktemp("logs") / "a.parquet"
    write_log(softened(), task(), path, world=tiny_world(), users=24, seed=3)
    return path


def equal(one: Log, other: Log) -> None:
    """Assert that two logs hold the same."""
    for entry in fields(Log):
        if entry.name == "info":
            continue
        a, b = getattr(one, entry.name), getattr(other, entry.name)
        if isinstance(a, np.ndarray):
            np.testing.assert_array_equal(a, b, err_msg=entry.name)
        else:
            assert set(a) == set(b)
            for name in a:
                np.testing.assert_array_equal(a[name], b[name], err_msg=name)


def test_the_same_seed_gives_the_same_bytes(file: Path, tmp_path: Path) -> None:
    write_log(softened(), task(), tmp_path / "b.parquet", world=tiny_world(), users=24, seed=3)
    assert (tmp_path / "b.parquet").read_bytes() == file.read_bytes()
    write_log(softened(), task(), tmp_path / "c.parquet", world=tiny_world(), users=24, seed=4)
    assert (tmp_path / "c.parquet").read_bytes() != file.read_bytes()


def test_a_log_has_its_columns_and_says_where_it_is_from(file: Path) -> None:
    names = pq.read_schema(file).names
    assert set(COLUMNS) <= set(names)
    assert {"response_click", "response_watch", "observation_history"} <= set(names)
    info = read_info(file)
    assert info.env_hash == env_hash(task().override(observation="ids"), tiny_world().hash)
    assert (info.seed, info.slate_size, info.num_candidates) == (3, 5, 20)
    assert info.policies == ("cf-greedy, temperature 0.3",)
    assert info.propensities == "logged"


def test_a_log_comes_back_as_it_was(file: Path, tmp_path: Path) -> None:
    log = read_log(file)
    assert log.episode.max() == 23
    assert log.first.sum() == 24
    save_log(log, tmp_path / "again.parquet")
    equal(log, read_log(tmp_path / "again.parquet"))


def test_the_probabilities_are_those_of_the_policy(file: Path) -> None:
    log = read_log(file)
    law = softened().law(log.observed)
    np.testing.assert_allclose(law.log_slots(log.positions), log.logp_slot, atol=1e-9)
    np.testing.assert_allclose(law.log_positions(log.positions), log.logp_position, atol=1e-9)
    np.testing.assert_allclose(log.logp_slot.sum(1), log.logp_slate, atol=1e-12)


@pytest.mark.parametrize(
    "name", [WORLD, "slategym/Video-v0", "slategym/Music-v0", "slategym/Shop-v0"]
)
def test_the_log_is_what_a_rollout_sees(name: str, tmp_path: Path) -> None:
    world = tiny_world()
    policy = make_policy("cf-greedy", world, get_variant(name).slate_size)
    path = tmp_path / "greedy.parquet"
    sure = with_propensities(policy, epsilon=0.0)
    write_log(sure, task(name), path, world=world, users=16, seed=5, split="train")
    log = read_log(path)
    seen = rollout(policy, world, users=16, seed=5, horizon=6, split="train", variant=name)
    totals = np.bincount(log.episode, weights=log.reward)
    np.testing.assert_allclose(totals, seen.returns, rtol=1e-5)
    np.testing.assert_array_equal(np.bincount(log.episode), seen.length)
    np.testing.assert_array_equal(log.user[log.first], seen.users)
    np.testing.assert_array_equal(log.items[log.episode == 7], seen.shown[: seen.length[7], 7])
    np.testing.assert_allclose(log.reward_slot.sum(1), log.reward, atol=1e-9)
    ended = log.terminated | log.truncated
    np.testing.assert_array_equal(ended, np.append(log.first[1:], True))
    assert not (log.terminated & log.truncated).any()


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("slategym/InterestEvolution-v0", "ratio"),
        ("slategym/InterestExploration-v0", "bayes"),
        ("slategym/LongTermSatisfaction-v0", "kale"),
    ],
)
def test_classics_are_logged_too(name: str, rule: str, tmp_path: Path) -> None:
    variant = cast("ClassicVariant", get_variant(name))
    for policy, epsilon in ((rule, 0.25), ("random", None)):
        path = tmp_path / f"{policy}.parquet"
        chosen = with_propensities(make_classic_policy(policy, variant), epsilon=epsilon)
        write_log(chosen, variant, path, users=6, seed=2)
        log = read_log(path)
        assert log.info.world is None
        assert log.first.sum() == 6
        law = chosen.for_variant(variant).law(log.observed)  # type: ignore[attr-defined]
        np.testing.assert_allclose(law.log_slots(log.positions), log.logp_slot, atol=1e-12)
        np.testing.assert_allclose(log.reward_slot.sum(1), log.reward, atol=1e-9)
        clicked = log.responses["click"] > 0
        assert (log.reward_slot[:, :-1][~clicked[:, :-1]] == 0).all()


def test_what_is_paid_per_item_goes_to_its_slot(file: Path, tmp_path: Path) -> None:
    log = read_log(file)
    np.testing.assert_allclose(log.reward_slot, log.responses["watch"], atol=1e-6)
    shop = tmp_path / "shop.parquet"
    policy = with_propensities(make_policy("random", tiny_world(), 5))
    write_log(policy, task("slategym/Shop-v0"), shop, world=tiny_world(), users=24, seed=1)
    sold = read_log(shop)
    bought = sold.responses["purchase"] > 0
    assert bought.any()
    assert (sold.reward_slot[:, :-1][~bought[:, :-1]] == 0).all()
    assert (sold.reward_slot[bought] > 0).all()


def test_blocks_do_not_change_what_happens(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    sure = with_propensities(make_policy("cf-greedy", tiny_world(), 5), epsilon=0.0)
    whole, parts = tmp_path / "whole.parquet", tmp_path / "parts.parquet"
    write_log(sure, task(), whole, world=tiny_world(), users=10)
    monkeypatch.setattr(log_writer, "BLOCK", 4)
    write_log(sure, task(), parts, world=tiny_world(), users=10)
    equal(read_log(whole), read_log(parts))


def test_two_logs_are_read_as_one(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "random.parquet"
    random = with_propensities(make_policy("random", tiny_world(), 5))
    write_log(random, task(), other, world=tiny_world(), users=8, seed=9)
    log = read_log([file, other])
    assert log.first.sum() == 32
    assert log.episode.max() == 31
    assert log.info.policies == ("cf-greedy, temperature 0.3", "random")
    assert log.info.seed is None
    assert (log.policy[log.episode >= 24] == 1).all()


def test_many_candidates_leave_marginals_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(log_writer, "MOST_CANDIDATES", 10)
    write_log(softened(), task(), tmp_path / "many.parquet", world=tiny_world(), users=4)
    log = read_log(tmp_path / "many.parquet")
    assert np.isnan(log.logp_position).all()
    assert np.isfinite(log.logp_slot).all()


# What is done to a sound table, and what is said of it.
DAMAGE: dict[str, tuple[Callable[[pa.Table], pa.Table], str]] = {
    "columns": (
        lambda t: t.drop_columns(["reward", "candidates"]),
        "lacks columns candidates, rew",
    ),
    "zero": (lambda t: put(t, "behavior_logp_slot", -np.inf), "of probability 0"),
    "above one": (lambda t: put(t, "behavior_logp_slot", 0.5), "of a probability above 1"),
    "nan": (lambda t: put(t, "behavior_logp_slot", np.nan), "that are NaN"),
    "uneven": (lambda t: put(t, "reward", 7.0), "slates whose slots differ in reward"),
    "nan reward": (lambda t: put(t, "reward_slot", np.nan), "reward_slot that are NaN"),
    "slot": (lambda t: t.slice(1), "without all of their 5 slots"),
    "twice": (lambda t: pa.concat_tables([t, t]), "slots twice"),
    "position": (lambda t: put(t, "position", 99), "outside \\[0, 20\\)"),
    "item": (lambda t: put(t, "item_id", 10**6), "not the candidate at their position"),
    "sum": (lambda t: put(t, "behavior_logp_slot", -9.5), "not the sum"),
    "empty": (lambda t: t.slice(0, 0), "holds no rows"),
    "version": (lambda t: told(t, schema_version=2), "schema version 2"),
    "keys": (lambda t: told(t, colour="red"), "unknown keys: colour"),
    "metadata": (lambda t: t.replace_schema_metadata({}), "no log of slategym"),
}


def put(table: pa.Table, name: str, value: float) -> pa.Table:
    """Return a table with one value of a column changed."""
    kind = table.schema.field(name).type
    values = table.column(name).to_pylist()
    values[7] = value
    return table.set_column(table.column_names.index(name), name, pa.array(values, kind))


def told(table: pa.Table, **changes: object) -> pa.Table:
    """Return a table with other metadata."""
    value = json.loads(table.schema.metadata[METADATA_KEY]) | changes
    return table.replace_schema_metadata({METADATA_KEY: json.dumps(value).encode()})


@pytest.mark.parametrize("name", sorted(DAMAGE))
def test_damage_is_one_sentence(name: str, file: Path, tmp_path: Path) -> None:
    change, said = DAMAGE[name]
    damaged = tmp_path / "damaged.parquet"
    pq.write_table(change(pq.read_table(file)), damaged)
    with pytest.raises(DataError, match=said) as caught:
        read_log(damaged)
    assert "\n" not in str(caught.value)


def test_files_of_two_schema_versions_are_refused(file: Path, tmp_path: Path) -> None:
    newer = tmp_path / "newer.parquet"
    pq.write_table(told(pq.read_table(file), schema_version=2), newer)
    with pytest.raises(DataError, match=r"newer\.parquet has log schema version 2"):
        read_log([file, newer])


def test_a_file_cut_short_is_refused(file: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.parquet"
    cut.write_bytes(file.read_bytes()[:-200])
    with pytest.raises(DataError, match="not a whole Parquet file"):
        read_log(cut)
    with pytest.raises(DataError, match="does not exist"):
        read_log(tmp_path / "absent.parquet")


def test_a_log_of_another_environment_is_refused(file: Path, tmp_path: Path) -> None:
    here = read_info(file).env_hash
    assert len(read_log(file, expect_env=here)) > 24
    with pytest.raises(DataError, match="was written in environment"):
        read_log(file, expect_env="0" * 16)
    other = tmp_path / "other.parquet"
    write_log(softened(), task(patience=9.0), other, world=tiny_world(), users=4)
    with pytest.raises(DataError, match="env_hash is"):
        read_log([file, other])


def test_a_policy_that_shows_what_it_excludes_leaves_no_file(tmp_path: Path) -> None:
    liar = _Liar()
    with pytest.raises(UsageError, match="whose probability it gives as 0"):
        write_log(liar, task(), tmp_path / "lie.parquet", world=tiny_world(), users=4)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(UsageError, match="at least 1"):
        write_log(softened(), task(), tmp_path / "none.parquet", world=tiny_world(), users=0)


def test_a_log_without_observations_says_what_it_lacks(file: Path) -> None:
    with pytest.raises(DataError, match="keeps no observations"):
        _ = replace(read_log(file), observation={}).observed


def test_a_policy_that_learns_is_logged_as_it_was_at_each_step(tmp_path: Path) -> None:
    learner = _Learner()
    wrapped = with_propensities(learner, epsilon=0.3)
    write_log(wrapped, task(), tmp_path / "l.parquet", world=tiny_world(), users=8, seed=1)
    log = read_log(tmp_path / "l.parquet")
    assert learner.lessons == [int((log.step == step).sum()) for step in range(log.step.max() + 1)]
    # Its slate moves by one place with each step, and so does what is likely.
    likely = log.positions[:, 0] == log.step % 16
    assert (np.exp(log.logp_position[:, 0]) > 0.7)[likely].all()
    assert (np.exp(log.logp_position[:, 0]) < 0.1)[~likely].all()
    assert likely.mean() > 0.5


class _Learner:
    """Shows five neighbours, from one place further on after each lesson."""

    name = "learner"

    def __init__(self) -> None:
        self.lessons: list[int] = []

    def reset(self) -> None:
        """Forget."""
        self.lessons = []

    def act(self, observation: dict[str, np.ndarray], _: object) -> np.ndarray:
        """Return the same slate for all."""
        batch = len(observation["candidates"])
        return np.tile(len(self.lessons) % 16 + np.arange(5), (batch, 1))

    def update(self, _: object, slate: np.ndarray, response: dict[str, np.ndarray]) -> None:
        """Count the rows."""
        assert response["click"].shape == slate.shape
        self.lessons.append(len(response["reward"]))


class _Liar:
    """Shows the first five and says that it cannot."""

    name = "liar"

    def act(self, *_: object) -> np.ndarray:
        """Return nothing of use."""
        raise AssertionError

    def law(self, observation: dict[str, np.ndarray]) -> "_Lie":
        """Return its law."""
        return _Lie(len(observation["candidates"]))


class _Lie:
    def __init__(self, batch: int) -> None:
        self.batch = batch

    def sample(self, _: object) -> np.ndarray:
        """Return the first five."""
        return np.tile(np.arange(5), (self.batch, 1))

    def log_slots(self, slates: np.ndarray) -> np.ndarray:
        """Return that the slates cannot be."""
        return np.full(slates.shape, -np.inf)

    log_positions = log_slots
