"""Logs from elsewhere and to elsewhere, and logs without propensities."""

from collections.abc import Callable
from dataclasses import fields, replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from slategym.agents.policy import make_policy
from slategym.agents.slate_laws import PlackettLuceLaw
from slategym.agents.stochastic import with_propensities
from slategym.benchmarks.behaviour_policy import estimate_propensities, fit_behaviour, user_folds
from slategym.benchmarks.log_adapters import from_dataframe
from slategym.benchmarks.log_d3rlpy import (
    PointPolicy,
    to_d3rlpy,
    train_d3rlpy,
    transitions,
)
from slategym.benchmarks.log_features import candidate_features, state_features
from slategym.benchmarks.log_minari import from_minari, to_minari
from slategym.benchmarks.log_open_bandit import from_open_bandit, read_open_bandit, to_open_bandit
from slategym.benchmarks.log_reader import read_log
from slategym.benchmarks.log_schema import Log
from slategym.benchmarks.log_writer import save_log, write_log
from slategym.benchmarks.rollout import rollout
from slategym.envs.actions import proto_scale
from slategym.envs.registry import get_variant
from slategym.envs.tiny import tiny_world
from slategym.errors import DataError, SlateGymError, UsageError


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Log:
    """Return a log of 40 episodes of the tiny world under softened collaborative filtering."""
    path = tmp_path_factory.mktemp("logs") / "a.parquet"
    policy = with_propensities(make_policy("cf-greedy", tiny_world(), 5), temperature=0.3)
    task = get_variant("slategym/World-v0").override(horizon=6)
    write_log(policy, task, path, world=tiny_world(), users=40, seed=3)
    return read_log(path)


def visits(seed: int = 0, rows: int = 60) -> pd.DataFrame:
    """Return a table of impressions of two films each."""
    rng = np.random.default_rng(seed)
    films = np.array(["Alien", "Brazil", "Cube", "Dune"])
    shown = np.stack([rng.permutation(4)[:2] for _ in range(rows)])
    return pd.DataFrame(
        {
            "who": np.repeat([f"user {n // 3}" for n in range(rows)], 2),
            "film": films[shown].reshape(-1),
            "place": np.tile([1, 2], rows),
            "seen": rng.integers(0, 2, 2 * rows),
            "p": np.tile([1 / 4, 1 / 3], rows),
            "age": np.repeat(rng.integers(18, 80, rows), 2),
        }
    )


NAMES = {
    "user_id": "who", "episode_id": "who", "item_id": "film", "slot": "place", "reward": "seen",
    "propensity": "p",
}  # fmt: skip


def test_a_table_becomes_a_log(tmp_path: Path) -> None:
    frame = visits()
    log = from_dataframe(frame, NAMES, context=["age"], responses=["seen"], source="films")
    assert len(log) == 60
    assert log.info.items == ("Alien", "Brazil", "Cube", "Dune")
    assert log.info.users is not None
    assert (log.first.sum(), log.info.propensities) == (20, "logged")
    np.testing.assert_allclose(log.logp_slate, np.log(1 / 12))
    assert log.reward.sum() == frame["seen"].sum()
    names = np.array(log.info.items)[log.items]
    who = np.array(log.info.users)[log.user]
    first = frame[(frame["who"] == "user 7") & (frame["place"] == 1)]
    assert names[who == "user 7", 0].tolist() == first["film"].tolist()
    assert log.observation["context"][who == "user 7", 0].tolist() == first["age"].tolist()
    save_log(log, tmp_path / "films.parquet")
    again = read_log(tmp_path / "films.parquet")
    assert again.info == log.info
    np.testing.assert_array_equal(again.items, log.items)


def test_a_table_of_single_items_needs_two_columns() -> None:
    log = from_dataframe(pd.DataFrame({"item_id": [3, 1, 3], "reward": [0.0, 1.0, 2.0]}))
    assert log.items[:, 0].tolist() == [1, 0, 1]
    assert log.info.propensities == "absent"
    assert np.isnan(log.logp_slate).all()
    assert log.first.all()


@pytest.mark.parametrize(
    ("change", "columns", "said"),
    [
        ({}, {"item": "film"}, "Did you mean 'item_id'"),
        ({}, {"item_id": "movie"}, "lacks movie, reward"),
        ({"p": 0.0}, NAMES, r"propensities outside \(0, 1\]"),
        ({"p": 1.5}, NAMES, r"propensities outside \(0, 1\]"),
        ({"p": np.nan}, NAMES, "missing or infinite"),
        ({"seen": "yes"}, NAMES, "no numbers"),
        ({"film": None}, NAMES, "without item_id"),
        ({"place": 2}, NAMES, "slots twice"),
    ],
)
def test_mistakes_of_a_table_are_said(change: dict, columns: dict, said: str) -> None:
    frame = visits().astype(dict.fromkeys(change, object))
    for name, value in change.items():
        frame.loc[10, name] = value
    with pytest.raises((DataError, UsageError), match=said):
        from_dataframe(frame, columns)
    with pytest.raises(DataError, match="no rows"):
        from_dataframe(visits().iloc[:0], NAMES)


def test_open_bandit_slates_there_and_back() -> None:
    log = from_dataframe(visits(), NAMES, context=["age"])
    told = to_open_bandit(log)
    assert told["pscore_cascade"][:2].tolist() == pytest.approx([1 / 4, 1 / 12])
    assert told["pscore"][0] == pytest.approx(1 / 12)
    again = from_open_bandit(told | {"pscore_item_position": None})
    np.testing.assert_array_equal(again.items, log.items)
    np.testing.assert_allclose(again.logp_slot, log.logp_slot)
    np.testing.assert_allclose(again.reward_slot, log.reward_slot)
    np.testing.assert_allclose(again.observation["context"], log.observation["context"])


def test_open_bandit_refuses_candidates_that_differ(log: Log) -> None:
    with pytest.raises(UsageError, match="differ from impression to impression"):
        to_open_bandit(log)
    with pytest.raises(DataError, match="lacks pscore"):
        from_open_bandit({"action": [0], "reward": [1.0]})
    with pytest.raises(DataError, match="1 propensities outside"):
        from_open_bandit({"action": [0], "reward": [1.0], "pscore": [0.0]})


def test_the_real_open_bandit_sample(data_dir: Callable[[str], Path]) -> None:
    folder = data_dir("obd-sample")
    log = read_open_bandit(folder / "random_men.csv.gz")
    assert len(log) == 10_000
    assert log.info.num_candidates == 34
    np.testing.assert_allclose(np.exp(log.logp_slate), 1 / 34, atol=1e-3)
    assert set(log.observation["place"][:, 0].tolist()) == {0, 1, 2}
    told = to_open_bandit(log)
    equal = from_open_bandit(told | {"context": told["context"][:, :34]})
    np.testing.assert_array_equal(equal.items, log.items)
    np.testing.assert_allclose(equal.logp_slate, log.logp_slate)
    with pytest.raises(DataError, match="is it a file of Open Bandit"):
        read_open_bandit(folder / "item_context_men.csv")


def known_log(users: int = 400, size: int = 3) -> tuple[Log, np.ndarray, np.ndarray]:
    """Return a log drawn from a known policy, the features it looks at, and its weights."""
    rng = np.random.default_rng(11)
    count, rounds = 12, users * 4
    features = rng.normal(size=(rounds, count, 2))
    law = PlackettLuceLaw(features @ [1.0, -0.7], size)
    shown = law.sample(rng)
    frame = pd.DataFrame(
        {
            "user_id": np.repeat(np.arange(rounds) // 4, size),
            "step": np.repeat(np.arange(rounds), size),
            "episode_id": np.repeat(np.arange(rounds) // 4, size),
            "slot": np.tile(np.arange(size), rounds),
            "item_id": shown.reshape(-1),
            "reward": 1.0,
        }
    )
    return from_dataframe(frame), features, law.log_slots(shown)


def test_a_behaviour_policy_is_recovered_and_marked(tmp_path: Path) -> None:
    log, features, truth = known_log()
    estimated = estimate_propensities(log, features)
    assert estimated.info.propensities == "estimated"
    assert estimated.info.behavior["skill"] > 0.2
    assert estimated.info.behavior["calibration_error"] < 0.02
    assert 0.9 < estimated.info.behavior["temperature"] < 1.1
    assert np.abs(estimated.logp_slot - truth).mean() < 0.1
    save_log(estimated, tmp_path / "e.parquet")
    assert read_log(tmp_path / "e.parquet").info.propensities == "estimated"


def test_no_one_is_scored_by_a_model_that_has_seen_them() -> None:
    log, features, _ = known_log(users=90)
    fold = user_folds(log.user, 3, 0)
    assert all(len(set(fold[log.user == user].tolist())) == 1 for user in range(90))
    fit = fit_behaviour(log, features, seed=0, folds=3)
    row = int(np.flatnonzero(fold == 0)[0])
    moved = features.copy()
    moved[row] = -moved[row]
    other = fit_behaviour(log, moved, seed=0, folds=3)
    assert other.penalty == fit.penalty
    peers = (fold == 0) & (np.arange(len(log)) != row)
    raw, changed = fit.scores * fit.temperature, other.scores * other.temperature
    np.testing.assert_allclose(changed[peers], raw[peers], atol=1e-12)
    assert not np.allclose(changed[fold == 1], raw[fold == 1], atol=1e-6)


def test_a_random_policy_has_nothing_to_learn() -> None:
    log, features, _ = known_log(users=300)
    noise = np.random.default_rng(1).normal(size=features.shape)
    estimated = estimate_propensities(log, noise)
    assert abs(estimated.info.behavior["skill"]) < 0.01
    uniform = -np.log([12, 11, 10])
    assert np.abs(estimated.logp_slot - uniform).mean() < 0.1


def test_propensities_without_features_are_shares_of_showing() -> None:
    rng = np.random.default_rng(3)
    shown = rng.choice(4, p=[0.6, 0.2, 0.15, 0.05], size=3000)
    log = from_dataframe(
        pd.DataFrame({"item_id": shown, "reward": 0.0, "user_id": rng.integers(0, 99, 3000)})
    )
    estimated = estimate_propensities(log)
    for item, share in enumerate([0.6, 0.2, 0.15, 0.05]):
        found = np.exp(estimated.logp_slate[log.items[:, 0] == item]).mean()
        assert found == pytest.approx(share, abs=0.03)


def test_features_of_another_shape_are_refused() -> None:
    log, features, _ = known_log(users=10)
    with pytest.raises(UsageError, match="features have 3 rows"):
        estimate_propensities(log, np.zeros((3, 2)))
    with pytest.raises(UsageError, match="they must be"):
        estimate_propensities(log, features[:5])
    with pytest.raises(DataError, match="cannot be cut into 20 folds"):
        estimate_propensities(log, features, folds=20)


def test_features_read_public_tables_only(log: Log) -> None:
    world = tiny_world()
    hidden = {"user_factors": world.user_factors * 0, "item_factors": world.item_factors * 0}
    blind = replace(world, **hidden)
    for read in (state_features, candidate_features):
        found = read(log, world)
        assert found.shape[0] == len(log)
        assert np.isfinite(found).all()
        np.testing.assert_array_equal(found, read(log, blind))


def test_transitions_are_slates_as_points_of_item_space(log: Log) -> None:
    world = tiny_world()
    made = transitions(log, world)
    assert made.actions.shape == (len(log), world.item_vectors.shape[1])
    assert np.abs(made.actions).max() <= 1.0
    mean = world.item_vectors[log.items[4]].mean(0) / proto_scale(world.item_vectors)
    np.testing.assert_allclose(made.actions[4], mean, atol=1e-6)
    assert made.terminals.sum() + made.timeouts.sum() == 40
    with pytest.raises(UsageError, match="no actions of 5 items"):
        transitions(log, world, "item")
    with pytest.raises(UsageError, match="Did you mean 'proto'"):
        transitions(log, world, "protos")  # type: ignore[arg-type]


def test_d3rlpy_is_there_or_named(log: Log) -> None:
    if find_spec("d3rlpy") is None:
        for ask in (to_d3rlpy, train_d3rlpy):
            with pytest.raises(SlateGymError, match=r"slategym\[d3rlpy\]"):
                ask(log, tiny_world())
        return
    assert to_d3rlpy(log, tiny_world()).transition_count > 0
    agent = train_d3rlpy(log, tiny_world(), "bc", steps=5)
    played = rollout(agent, tiny_world(), users=4, horizon=3)
    assert played.length.min() >= 1


def test_points_are_answered_by_the_nearest_candidates(log: Log) -> None:
    world = tiny_world()
    wanted = np.asarray(world.item_vectors)[log.candidates[:, 7]]

    class Pointer:
        """Asks for the eighth candidate."""

        def predict(self, states: np.ndarray) -> np.ndarray:
            """Return points."""
            assert np.allclose(states, transitions(log, world).observations, atol=1e-5)
            return wanted / proto_scale(world.item_vectors)

    policy = PointPolicy(Pointer(), world, 3, "pointer").for_variant(
        get_variant("slategym/World-v0").override(horizon=6)
    )
    slates = policy.act(log.observed, np.random.default_rng(0))
    assert slates.shape == (len(log), 3)
    assert (slates[:, 0] == 7).mean() > 0.95  # but for twins among the candidates
    with pytest.raises(UsageError, match="Known: bc, cql, discrete-cql, iql"):
        train_d3rlpy(log, world, "dqn")


def test_minari_is_there_or_named(
    log: Log, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    if find_spec("minari") is None or find_spec("h5py") is None:
        with pytest.raises(SlateGymError, match=r"slategym\[minari\]"):
            to_minari(log, "slategym/tiny-v0")
        return
    to_minari(log, "slategym/tiny-v0")
    again = from_minari("slategym/tiny-v0")
    assert again.info == log.info
    for entry in fields(Log):
        if entry.name not in ("info", "responses", "observation"):
            np.testing.assert_array_equal(getattr(again, entry.name), getattr(log, entry.name))
    for group in ("responses", "observation"):
        for name, array in getattr(log, group).items():
            np.testing.assert_array_equal(getattr(again, group)[name], array)
    with pytest.raises(DataError, match="has no data set"):
        from_minari("slategym/absent-v0")
    with pytest.raises(UsageError, match="already exists"):
        to_minari(log, "slategym/tiny-v0")
