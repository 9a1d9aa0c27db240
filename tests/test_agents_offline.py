"""Training from a log alone: what the formulas say, that it learns, and that it repeats."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from slategym.agents.offline_data import OfflineConfig, OfflineData, credits_of, held_out_users
from slategym.agents.offline_training import (
    OfflineResult,
    slot_log_probs,
    task_of,
    top_k_factor,
    train_offline,
)
from slategym.agents.policy import make_policy
from slategym.agents.slates import PlackettLuce
from slategym.agents.stochastic import with_propensities
from slategym.agents.trained import load_agent
from slategym.benchmarks.log_reader import read_log
from slategym.benchmarks.log_training import offline_data, train_on_log
from slategym.benchmarks.log_writer import save_log, write_log
from slategym.benchmarks.rollout import rollout
from slategym.envs.registry import get_variant
from slategym.envs.tiny import tiny_world
from slategym.errors import DataError, UsageError

VARIANT = "slategym/World-v0"


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a log of uniform slates."""
    path = tmp_path_factory.mktemp("logs") / "uniform.parquet"
    uniform = with_propensities(make_policy("random", tiny_world(), 5))
    write_log(uniform, get_variant(VARIANT), path, world=tiny_world(), users=256, seed=1)
    return path


@pytest.fixture(scope="module")
def data(file: Path) -> OfflineData:
    """Return what an agent is given of it."""
    return offline_data(read_log(file))


def test_credits_are_rewards_and_what_followed_a_taken_item(data: OfflineData) -> None:
    small = OfflineData(
        observation={},
        positions=np.zeros((3, 2), np.int64),
        items=np.zeros((3, 2), np.int64),
        user=np.array([0, 0, 1]),
        first=np.array([True, False, True]),
        reward_slot=np.array([[1.0, 0.0], [0.0, 2.0], [3.0, 0.0]]),
        logp_slot=np.zeros((3, 2)),
        responses={"click": np.array([[1, 0], [0, 1], [1, 0]])},
    )
    expected = [[1.0 + 0.5 * 2.0, 0.0], [0.0, 2.0], [3.0, 0.0]]
    np.testing.assert_allclose(credits_of(small, 0.5), expected)
    np.testing.assert_allclose(credits_of(data, 0.0), data.reward_slot)


def test_slots_of_a_slate_sum_to_its_probability() -> None:
    scores = torch.randn(20, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    slates = PlackettLuce(4).proba_distribution(scores).mode()
    whole = PlackettLuce(4).proba_distribution(scores).log_prob(slates)
    torch.testing.assert_close(slot_log_probs(scores, slates).sum(1), whole)


def test_the_top_k_factor_is_the_derivative_of_being_among_k_draws() -> None:
    share = torch.linspace(0.01, 0.99, 50, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad((1 - (1 - share) ** 5).sum(), share)
    torch.testing.assert_close(top_k_factor(share.detach(), 5), gradient)
    torch.testing.assert_close(top_k_factor(share.detach(), 1), torch.ones_like(gradient))


def test_users_that_choose_the_epoch_are_whole(data: OfflineData) -> None:
    held = held_out_users(data, 0.2, 3)
    inside, outside = set(data.user[held].tolist()), set(data.user[~held].tolist())
    assert not inside & outside
    assert len(inside) == int(0.2 * len(inside | outside))
    with pytest.raises(UsageError, match="one user"):
        held_out_users(replace(data, user=np.zeros(len(data), np.int64)), 0.2, 0)


def trained(data: OfflineData, out: Path, **options: object) -> OfflineResult:
    """Return a short run."""
    config = OfflineConfig(**{"epochs": 3, "warm": 1, **options})  # type: ignore[arg-type]
    return train_offline(data, tiny_world(), task_of(VARIANT, config), config, out)


def test_the_same_seed_gives_the_same_weights(data: OfflineData, tmp_path: Path) -> None:
    first, second = trained(data, tmp_path / "a"), trained(data, tmp_path / "b")
    assert first.curve == second.curve
    weights = [(tmp_path / run / "policy.safetensors").read_bytes() for run in "ab"]
    assert weights[0] == weights[1]
    trained(data, tmp_path / "c", seed=1)
    assert (tmp_path / "c" / "policy.safetensors").read_bytes() != weights[0]


@pytest.mark.slow
def test_a_cloned_agent_shows_what_the_log_shows(tmp_path: Path) -> None:
    world, file = tiny_world(), tmp_path / "log.parquet"
    expert = with_propensities(make_policy("popularity", world, 5), epsilon=0.05)
    write_log(expert, get_variant(VARIANT), file, world=world, users=128, seed=2)
    result = train_on_log(
        [file], world, OfflineConfig(method="cloning", epochs=25), tmp_path / "run"
    )
    assert result.curve[-1]["held_out"] > result.curve[0]["held_out"] + 1.0
    agent = load_agent(tmp_path / "run", world)
    log = read_log(file)
    shown = make_policy("popularity", world, 5).act(log.observed, np.random.default_rng(0))
    cloned = agent.act(log.observed, np.random.default_rng(0))
    assert (shown[:, 0] == cloned[:, 0]).mean() > 0.7


@pytest.mark.slow
def test_reinforce_beats_the_policy_that_wrote_the_log(file: Path, tmp_path: Path) -> None:
    world = tiny_world()
    result = train_on_log([file], world, OfflineConfig(epochs=15), tmp_path / "run")
    assert result.run == tmp_path / "run"
    agent = load_agent(tmp_path / "run", world)
    served = rollout(agent, world, users=256, seed=5)
    random = rollout(make_policy("random", world, 5), world, users=256, seed=5)
    assert served.returns.mean() > 1.3 * random.returns.mean()


def test_what_cannot_be_trained_is_said_and_leaves_nothing(
    data: OfflineData, file: Path, tmp_path: Path
) -> None:
    log = read_log(file)
    absent = replace(
        log,
        info=replace(log.info, propensities="absent"),
        logp_slot=np.full(log.items.shape, np.nan),
    )
    save_log(absent, tmp_path / "absent.parquet")
    with pytest.raises(DataError, match="no propensities; estimate them"):
        train_on_log([tmp_path / "absent.parquet"], tiny_world(), OfflineConfig(), tmp_path / "r")
    cloning = OfflineConfig(method="cloning", epochs=1)
    train_on_log([tmp_path / "absent.parquet"], tiny_world(), cloning, tmp_path / "cloned")
    with pytest.raises(DataError, match="give the world it was written in"):
        train_on_log([file], tiny_world(seed=4), OfflineConfig(), tmp_path / "r")
    save_log(replace(log, info=replace(log.info, variant=None)), tmp_path / "odd.parquet")
    with pytest.raises(DataError, match="was not written in an environment"):
        train_on_log([tmp_path / "odd.parquet"], tiny_world(), OfflineConfig(), tmp_path / "r")
    with pytest.raises(DataError, match="no response_click"):
        offline_data(replace(log, responses={}))
    with pytest.raises(DataError, match="diverged in epoch"):
        trained(replace(data, reward_slot=data.reward_slot * np.nan), tmp_path / "r", warm=0)
    assert not (tmp_path / "r").exists()
    with pytest.raises(UsageError, match="is not empty"):
        trained(data, tmp_path)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"method": "clone"}, "Did you mean 'cloning'"),
        ({"epochs": 0}, "epochs is 0; it must be from 1"),
        ({"gamma": 2.0}, "gamma is 2.0"),
        ({"cap": float("nan")}, "cap is nan"),
        ({"validation": True}, "validation is True"),
    ],
)
def test_options_out_of_range_are_refused(values: dict, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        OfflineConfig(**values)
