"""Compiled loops stand in for torch without changing what is computed, or what is known of it."""

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from slategym.agents.aux_kernels import JointError, Responses
from slategym.agents.compiled import COMPILED_FROM, worthwhile
from slategym.agents.embeddings import rows_at
from slategym.agents.item_tables import PublicTables
from slategym.agents.slate_policy import SlatePolicy
from slategym.envs.tiny import tiny_world
from slategym.envs.vector import SlateVectorEnv

B, K, E, ROWS, M, FACTORS = 40, 3, 6, 9, 4, 5


@pytest.fixture
def draw() -> torch.Generator:
    return torch.Generator().manual_seed(1)


def same_gradients(
    found: torch.Tensor, expected: torch.Tensor, leaves: list[torch.Tensor], draw: torch.Generator
) -> None:
    torch.testing.assert_close(found, expected)
    weight = torch.randn(found.shape, generator=draw)
    ours = torch.autograd.grad(found, leaves, weight)
    theirs = torch.autograd.grad(expected, leaves, weight)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


def test_responses_are_products_match_and_user_together(draw: torch.Generator) -> None:
    sizes = ((B, 2, E), (B, 2), (ROWS, E), (2, M))
    leaves = [torch.randn(size, generator=draw, requires_grad=True) for size in sizes]
    queries, user, table, weight = leaves
    index = torch.randint(0, ROWS, (B, K), generator=draw)
    match = torch.randn(B, K, M, generator=draw)
    products = torch.einsum("bqe,bke->bkq", queries, table[index])
    expected = products + user[:, None] + F.linear(match, weight)
    same_gradients(Responses.apply(*leaves, index, match), expected, leaves, draw)


def test_the_error_of_the_joint_feature_leaves_empty_slots_out(draw: torch.Generator) -> None:
    mine = torch.randn(B, FACTORS, generator=draw, requires_grad=True)
    theirs = torch.randn(ROWS, FACTORS, generator=draw, requires_grad=True)
    user, items = torch.randn(B, FACTORS, generator=draw), torch.randn(7, FACTORS, generator=draw)
    index = torch.randint(0, ROWS, (B, K), generator=draw)
    slate = torch.randint(-1, 7, (B, K), generator=draw)
    mean, std = torch.randn(FACTORS, generator=draw), 0.2 + torch.rand(FACTORS, generator=draw)
    found, plain = JointError.apply(1.5, mine, theirs, index, user, items, slate, mean, std)
    truth = ((user[:, None] * items[slate] - mean) / std).clamp(-1.5, 1.5)
    filled = slate >= 0
    assert 0 < filled.sum() < filled.numel()
    expected = (mine[:, None] * theirs[index] - truth).square().sum(-1)[filled].mean()
    torch.testing.assert_close(plain, truth.square().sum(-1)[filled].mean())
    assert not plain.requires_grad
    same_gradients(found, expected, [mine, theirs], draw)


def test_no_filled_slot_is_no_error() -> None:
    rows, empty = torch.ones(2, FACTORS, requires_grad=True), torch.full((2, K), -1)
    ones, index = torch.ones(FACTORS), torch.zeros(2, K, dtype=torch.long)
    found, plain = JointError.apply(
        4.0, rows, rows, index, rows.detach(), rows.detach(), empty, ones, ones
    )
    assert float(found.detach()) == float(plain) == 0.0
    found.backward()
    assert not rows.grad.any()


def test_rows_at_positions_are_gathered_rows(draw: torch.Generator) -> None:
    rows = torch.randn(B, 8, M, generator=draw)
    positions = torch.rand(B, 8, generator=draw).argsort(1)[:, :K]
    expected = torch.stack([rows[b, positions[b]] for b in range(B)])
    torch.testing.assert_close(rows_at(rows, positions), expected, rtol=0, atol=0)


def test_small_batches_and_other_devices_stay_with_torch() -> None:
    table = torch.zeros(2)
    assert worthwhile(COMPILED_FROM, table)
    assert not worthwhile(COMPILED_FROM - 1, table)
    assert not worthwhile(COMPILED_FROM, table.to("meta"))


def test_embeddings_kept_in_a_rollout_follow_each_step_of_the_optimiser() -> None:
    world = tiny_world()
    venv = SlateVectorEnv(64, world=world, observation="ids")
    seen = {key: torch.from_numpy(array) for key, array in venv.reset(seed=0)[0].items()}
    policy = SlatePolicy(
        venv.single_observation_space,
        venv.single_action_space,
        lambda _: 1e-2,
        tables=PublicTables.from_world(world),
    )
    with torch.no_grad():
        before = policy.core(seen).value
    policy.core(seen).value.sum().backward()
    policy.optimizer.step()
    with torch.no_grad():
        after = policy.core(seen).value
    assert not torch.allclose(before, after)
    torch.testing.assert_close(after, policy.core(seen).value.detach())
