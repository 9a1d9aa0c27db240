"""Auxiliary losses join the gradient of PPO, on the right rows, and leave it alone when off."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from stable_baselines3 import PPO
from stable_baselines3.common.type_aliases import DictRolloutBufferSamples

from slategym.agents.aux_losses import ItemFeaturesLoss, RatingLoss, make_aux_losses
from slategym.agents.aux_weights import AuxWeighting
from slategym.agents.core import Core, join
from slategym.agents.embeddings import CandidateItems
from slategym.agents.item_tables import PublicTables
from slategym.agents.sb3_env import SB3VecEnv, as_sb3
from slategym.agents.slate_policy import SlatePolicy
from slategym.agents.slate_ppo import SlatePPO
from slategym.agents.train_config import TrainConfig
from slategym.agents.training import private_torch, seed_rollout
from slategym.envs.tiny import tiny_world
from slategym.envs.vector import SlateVectorEnv
from slategym.errors import UsageError

ALL = {"rating": 1.0, "item_features": 0.3, "recommendation_features": 0.7}
SETTINGS: dict[str, Any] = {
    "n_steps": 8,
    "batch_size": 64,
    "n_epochs": 2,
    "seed": 3,
    "device": "cpu",
    "learning_rate": 1e-3,
    "gamma": 0.97,
    "ent_coef": 0.003,
}


@pytest.fixture(autouse=True)
def _own_generators() -> Iterator[None]:
    with private_torch(1):
        yield


def make_env(horizon: int = 60) -> SB3VecEnv:
    venv = SlateVectorEnv(16, world=tiny_world(), observation="ids", horizon=horizon)
    return as_sb3(venv)


def make_model(
    aux: dict[str, float],
    horizon: int = 60,
    kind: type[PPO] = SlatePPO,
    weighting: AuxWeighting = "fixed",
) -> PPO:
    tables = PublicTables.from_world(tiny_world())
    network = {"tables": tables, "aux": aux, "aux_weighting": weighting}
    options = {"policy_kwargs": network} | SETTINGS
    return kind(SlatePolicy, make_env(horizon), **options)


def collected(
    aux: dict[str, float], horizon: int = 60, weighting: AuxWeighting = "fixed"
) -> SlatePPO:
    """A model with one rollout in its buffer, not yet learned from."""
    model = make_model(aux, horizon, weighting=weighting)
    model.begin(10_000)
    model.collect_rollouts(model.env, model._callback, model.rollout_buffer, model.n_steps)
    return model


def ppo_loss(model: SlatePPO, batch: DictRolloutBufferSamples) -> torch.Tensor:
    values, log_prob, entropy = model.policy.evaluate_actions(batch.observations, batch.actions)
    ratio = torch.exp(log_prob - batch.old_log_prob)
    policy_loss = -(batch.advantages * ratio).mean()
    return policy_loss - 0.003 * entropy.mean() + 0.5 * F.mse_loss(batch.returns, values.flatten())


def gradients(model: SlatePPO) -> dict[str, torch.Tensor]:
    named = model.policy.named_parameters()
    return {name: p.grad.clone() for name, p in named if p.grad is not None}


def test_joining_changes_no_value_and_adds_the_gradient_once() -> None:
    weight = torch.tensor([2.0, -1.0], requires_grad=True)
    value = join(weight * 3, weight.square().sum())
    torch.testing.assert_close(value, weight * 3)
    (5 * value.sum()).backward()
    torch.testing.assert_close(weight.grad, 15 + 2 * weight.detach())


@pytest.mark.parametrize("weighting", ["fixed", "learned"])
def test_the_joint_gradient_is_the_sum_of_all_losses(weighting: AuxWeighting) -> None:
    model = collected(ALL, weighting=weighting)
    batch = next(model.rollout_buffer.get(64))
    ppo_loss(model, batch).backward()
    joint = gradients(model)
    model.policy.zero_grad()
    targets = model.rollout_buffer.minibatch
    model.policy.targets = None  # nothing joins now, and the inputs are read anew
    shown = model.policy.core(batch.observations).shown(batch.actions)
    terms = model.policy.aux_terms(shown, targets)
    if weighting == "fixed":
        extra = sum(ALL[name] * loss for name, loss in terms.items())
    else:  # Kendall et al. 2018
        spread = model.policy.weigh.log_variance
        extra = sum(torch.exp(-spread[n]) * loss + spread[n] / 2 for n, loss in terms.items())
    (ppo_loss(model, batch) + extra).backward()
    explicit = gradients(model)
    assert joint.keys() == explicit.keys()
    assert {"aux_losses.item_features.generate.weight", "response_query.weight"} <= joint.keys()
    for name, gradient in explicit.items():
        torch.testing.assert_close(joint[name], gradient, atol=1e-6, rtol=1e-5)


def test_shuffled_targets_are_those_of_other_rows_of_the_minibatch() -> None:
    model = collected(ALL)
    batch = next(model.rollout_buffer.get(64))
    targets = model.rollout_buffer.minibatch
    core = model.policy.core(batch.observations)
    shown = core.shown(batch.actions)
    true = model.policy.aux_terms(shown, targets)
    model.policy.aux_targets = "shuffled"
    torch.manual_seed(5)
    shuffled = model.policy.aux_terms(shown, targets)
    torch.manual_seed(5)
    order = torch.randperm(64)
    model.policy.aux_targets = "true"
    moved = model.policy.aux_terms(shown, {name: rows[order] for name, rows in targets.items()})
    assert shuffled.keys() == true.keys()
    for name, loss in shuffled.items():
        assert loss == moved[name]
        assert loss != true[name]


def test_targets_belong_to_the_transitions_they_come_with() -> None:
    model = collected(ALL)
    world, buffer = tiny_world(), model.rollout_buffer
    clicks = buffer._targets["click"].sum(2)  # (T, N)
    contexts, starts = buffer.observations["context"].copy(), buffer.episode_starts
    # What was clicked in step t is what the observation of step t + 1 says, within an episode.
    going_on = starts[1:] == 0
    assert going_on.sum() > 50
    np.testing.assert_array_equal(clicks[:-1][going_on], contexts[1:, :, 1][going_on])
    seen = 0
    for batch in buffer.get(64):
        target, seen_ids = buffer.minibatch, batch.observations["candidates"].long()
        expected = seen_ids.gather(1, batch.actions.long())
        torch.testing.assert_close(target["slate"], expected)
        profile = torch.from_numpy(world.user_profile[target["user"].numpy()])
        torch.testing.assert_close(batch.observations["user"], profile)
        assert ((target["rating"] > 0) <= (target["click"] > 0)).all()
        seen += len(expected)
    assert seen == 8 * 16


def test_without_auxiliary_losses_the_agent_is_plain_ppo_bit_for_bit() -> None:
    ours = make_model({})
    ours.policy.targets = None  # kept inputs differ from inputs read anew by rounding
    seed_rollout(1, 1)
    ours.learn(3 * 128)
    plain = make_model({}, kind=PPO)
    seed_rollout(1, 1)
    plain.learn(3 * 128)
    for (name, mine), theirs in zip(
        ours.policy.state_dict().items(), plain.policy.state_dict().values(), strict=True
    ):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=0, msg=name)


def test_inputs_kept_from_the_rollout_are_those_read_anew() -> None:
    model = collected(ALL)
    for batch in model.rollout_buffer.get(64):
        assert model.rollout_buffer.sampled is batch.observations
        kept, anew = model.rollout_buffer.inputs, model.policy.features(batch.observations)
        torch.testing.assert_close(kept.state, anew.state, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(kept.match, anew.match, atol=1e-5, rtol=1e-5)


def test_a_batch_that_is_not_from_the_buffer_joins_nothing() -> None:
    model = collected(ALL)
    batch = next(model.rollout_buffer.get(64))
    copied = dict(batch.observations)
    value, _, _ = model.policy.evaluate_actions(copied, batch.actions)
    value.sum().backward()
    assert model.policy.response_query.weight.grad is None
    assert model.policy.take_aux_means() == {}


def test_auxiliary_gradients_reach_trunk_and_heads_only_when_on() -> None:
    model = collected({"rating": 1.0})
    model.train()
    assert set(model.policy.take_aux_means()) == {"rating", "rating/click", "rating/rating"}
    assert model.policy.take_aux_means() == {}
    assert list(model.policy.aux_losses) == ["rating"]


def test_rows_cut_by_the_horizon_are_bootstrapped_as_stock_ppo_does_it() -> None:
    ours = collected({}, horizon=3)
    plain = make_model({}, horizon=3, kind=PPO)
    _, callback = plain._setup_learn(10_000)
    plain.collect_rollouts(plain.env, callback, plain.rollout_buffer, plain.n_steps)
    np.testing.assert_array_equal(ours.rollout_buffer.actions, plain.rollout_buffer.actions)
    np.testing.assert_allclose(ours.rollout_buffer.rewards, plain.rollout_buffer.rewards, atol=1e-6)
    starts = ours.rollout_buffer.episode_starts
    assert (starts[3] == 1).sum() > 0  # the horizon did cut rows
    assert [e["r"] for e in ours.ep_info_buffer] == [e["r"] for e in plain.ep_info_buffer]


def test_gradient_norms_are_measured_per_task_and_change_nothing() -> None:
    model = collected(ALL)
    model.train()
    before = [p.detach().clone() for p in model.policy.parameters()]
    state = torch.get_rng_state()
    norms = model.gradient_norms()
    assert set(norms) == {"policy", "value", *ALL}
    assert all(norm > 0 for norm in norms.values())
    assert torch.equal(torch.get_rng_state(), state)
    for old, new in zip(before, model.policy.parameters(), strict=True):
        assert torch.equal(old, new)


def shown_core(width: int, slots: int, response: torch.Tensor | None = None) -> Core:
    items = CandidateItems(torch.randn(7, 4), torch.zeros(3, slots, dtype=torch.long))
    return Core(torch.randn(3, width), items, torch.zeros(3, slots), torch.zeros(3, 1), response)


def targets(slots: int) -> dict[str, torch.Tensor]:
    click = torch.zeros(3, slots)
    click[0, 0] = click[1, 1] = 1.0
    return {
        "click": click,
        "watch": 0.5 * click,
        "rating": 0.75 * click,
        "slate": torch.tensor([[4, 5], [6, 7], [8, -1]]),
        "user": torch.tensor([0, 1, 2]),
    }


def test_the_rating_loss_is_cross_entropy_of_filled_slots_plus_error_of_clicked_ratings() -> None:
    response = torch.tensor(
        [[[2.0, 1.0], [0.0, 0.0]], [[1.0, 0.0], [0.0, 3.0]], [[-1.0, 0], [9, 9]]]
    )
    loss = RatingLoss(1.0).loss(shown_core(8, 2, response), targets(2))
    logits = torch.tensor([2.0, 0.0, 1.0, 0.0, -1.0])
    clicks = torch.tensor([1.0, 0.0, 0.0, 1.0, 0.0])
    # Rating 0.75 is one star above the centre; the two clicked were predicted at 1 and 3.
    expected = F.binary_cross_entropy_with_logits(logits, clicks) + (0.0 + 4.0) / 2
    torch.testing.assert_close(loss, expected)


def test_generating_the_mean_of_the_catalogue_scores_one_relative_to_it() -> None:
    loss = ItemFeaturesLoss(1.0, 8, PublicTables.from_world(tiny_world()))
    with torch.no_grad():
        for parameter in loss.generate.parameters():
            parameter.zero_()
    value = loss.loss(shown_core(8, 2), targets(2))
    assert float(loss.parts["relative"]) == pytest.approx(1.0)
    table = loss.table[[4, 7]]
    torch.testing.assert_close(value, table.square().sum(1).mean())


def test_the_joint_target_is_public_and_standardised_over_all_pairs() -> None:
    world = tiny_world()
    tables = PublicTables.from_world(world)
    pairs = world.public_user_factors[:, None] * world.public_item_factors[None]
    np.testing.assert_allclose(tables.joint_mean, pairs.mean((0, 1)), atol=1e-5)
    np.testing.assert_allclose(tables.joint_std, pairs.std((0, 1)), rtol=1e-4)
    np.testing.assert_array_equal(tables.joint_users, world.public_user_factors)


def test_unknown_and_negative_weights_are_refused() -> None:
    tables = PublicTables.from_world(tiny_world())
    with pytest.raises(UsageError, match="Did you mean 'rating'"):
        make_aux_losses({"ratings": 1.0}, 8, 4, tables)
    with pytest.raises(UsageError, match="weight of rating is -1"):
        make_aux_losses({"rating": -1.0}, 8, 4, tables)
    assert list(make_aux_losses(TrainConfig().aux | {"rating": 0.0}, 8, 4, tables)) == [
        "item_features",
        "recommendation_features",
    ]
