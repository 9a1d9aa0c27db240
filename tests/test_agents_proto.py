"""Proto-items: what lies nearest, in a list or in the whole catalogue, and what is worth most."""

from typing import Any

import numpy as np
import pytest
import torch

from slategym.agents.features import ObservationFeatures
from slategym.agents.item_tables import PublicTables
from slategym.agents.proto_item import ProtoSAC, ProtoTD3
from slategym.agents.proto_policy import ProtoPolicy
from slategym.agents.proto_space import ProtoSpace
from slategym.agents.sb3_env import as_sb3
from slategym.agents.training import private_torch
from slategym.envs.parts_candidates import CatalogueCandidates
from slategym.envs.tiny import tiny_world
from slategym.envs.variant import Variant
from slategym.envs.vector import SlateVectorEnv
from slategym.envs.world import World
from slategym.errors import UsageError

Obs = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def world() -> World:
    return tiny_world(items=1500, users=40)


def space_of(world: World, **options: Any) -> ProtoSpace:  # noqa: ANN401
    features = ObservationFeatures(PublicTables.from_world(world), world.user_profile.shape[1])
    return ProtoSpace(features, **options)


def points_of(space: ProtoSpace) -> torch.Tensor:
    rows = torch.arange(1500)[None]
    return space.embed(rows)[0]


def test_axes_are_uncorrelated_and_of_unit_deviation(world: World) -> None:
    points = points_of(space_of(world, dims=6))
    torch.testing.assert_close(points.mean(0), torch.zeros(6), atol=1e-4, rtol=0)
    torch.testing.assert_close(points.T @ points / 1500, torch.eye(6), atol=1e-3, rtol=0)


def test_ids_and_vectors_inline_lie_in_the_same_place(world: World) -> None:
    space = space_of(world, dims=6)
    ids = torch.tensor([[4, 900, 17]])
    raw = torch.from_numpy(np.asarray(world.item_vectors, np.float32)[ids.numpy()]).flatten(1)
    torch.testing.assert_close(space.embed(ids), space.embed(raw), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("metric", ["dot", "euclidean"])
def test_the_catalogue_is_searched_for_what_is_nearest(world: World, metric: str) -> None:
    space = space_of(world, dims=6, metric=metric)
    actions = torch.rand(9, 6, generator=torch.Generator().manual_seed(0)) * 2 - 1
    near = space.nearness(actions, points_of(space).expand(9, -1, -1))
    found = space.catalogue(actions, 5)
    torch.testing.assert_close(near.gather(1, found), near.topk(5).values)


@pytest.mark.parametrize("metric", ["dot", "euclidean"])
def test_approximate_search_finds_most_of_what_exact_search_finds(
    world: World, metric: str
) -> None:
    exact = space_of(world, dims=6, metric=metric)
    rough = space_of(world, dims=6, metric=metric, search="approximate")
    actions = torch.rand(60, 6, generator=torch.Generator().manual_seed(1)) * 2 - 1
    true, found = exact.catalogue(actions, 10), rough.catalogue(actions, 10)
    hits = [len(set(a) & set(b)) for a, b in zip(true.tolist(), found.tolist(), strict=True)]
    assert np.mean(hits) > 8


def test_unknown_metrics_and_searches_are_refused(world: World) -> None:
    with pytest.raises(UsageError, match="'cosine'; it must be 'dot' or 'euclidean'"):
        space_of(world, metric="cosine")
    with pytest.raises(UsageError, match="'fast'; it must be 'exact' or 'approximate'"):
        space_of(world, search="fast")


def policy_of(world: World, venv: SlateVectorEnv, **options: Any) -> ProtoPolicy:  # noqa: ANN401
    torch.manual_seed(0)
    return ProtoPolicy(
        venv.single_observation_space,
        venv.single_action_space,
        lambda _: 1e-3,
        tables=PublicTables.from_world(world),
        dims=6,
        **options,
    )


def observe(world: World, **options: Any) -> tuple[SlateVectorEnv, Obs]:  # noqa: ANN401
    venv = SlateVectorEnv(7, world=world, slate_size=3, **options)
    seen, _ = venv.reset(seed=1)
    return venv, {key: torch.from_numpy(np.array(value)) for key, value in seen.items()}


@pytest.mark.parametrize("neighbours", [0, 8])
def test_both_encodings_are_answered_alike(world: World, neighbours: int) -> None:
    venv, ids = observe(world, observation="ids")
    other, inline = observe(world, observation="features")
    policy = policy_of(world, venv, neighbours=neighbours)
    twin = policy_of(world, other, neighbours=neighbours)
    with torch.no_grad():
        torch.testing.assert_close(
            policy.core(ids).scores, twin.core(inline).scores, atol=1e-3, rtol=1e-3
        )
        read, again = policy.read(ids), twin.read(inline)
        torch.testing.assert_close(read.inputs.match, again.inputs.match, atol=1e-4, rtol=1e-3)


def test_a_wolpertinger_agent_shows_the_most_valued_of_the_nearest(world: World) -> None:
    venv, seen = observe(world, observation="ids")
    policy = policy_of(world, venv, neighbours=8, matched=False)
    with torch.no_grad():
        actions = policy.actor(seen)
        slate = policy.answer(seen, actions)
        points = policy.points(seen)
        near = policy.space.nearness(actions, points).topk(8).indices
        hidden = policy.trunk(policy.state_of(seen))
        for row in range(7):
            value = torch.minimum(
                *policy.critic.values(
                    hidden[row].expand(8, -1), policy.space.as_actions(points[row, near[row]])
                )
            ).flatten()
            best = near[row][value.topk(3).indices]
            assert slate[row].tolist() == best.tolist()


def test_only_slates_are_acted_on() -> None:
    venv = SlateVectorEnv(4, world=tiny_world(), action="proto", slate_size=2)
    with pytest.raises(UsageError, match="make it with action='slate'"):
        ProtoSAC(
            ProtoPolicy,
            as_sb3(venv),
            policy_kwargs={"tables": PublicTables.from_world(tiny_world())},
        )


@pytest.mark.parametrize("kind", [ProtoSAC, ProtoTD3])
def test_a_whole_catalogue_is_pointed_into(kind: type[ProtoSAC]) -> None:
    world = tiny_world()
    whole = Variant.standard("me/Whole-v0", CatalogueCandidates(), slate_size=2)
    venv = SlateVectorEnv(8, variant=whole, world=world, observation="ids")
    with private_torch(1):
        torch.manual_seed(0)
        model = kind(
            ProtoPolicy,
            as_sb3(venv),
            seed=0,
            iteration_steps=12,
            learning_starts=32,
            batch_size=32,
            policy_kwargs={
                "tables": PublicTables.from_world(world),
                "aux": {"rating": 1.0},
                "neighbours": 5,
            },
        )
        model.begin(500)
        model.iterate()
        seen = model._tensors()
        assert "candidates" not in seen
        scores = model.policy.core(seen).scores
        assert scores.shape == (8, world.n_items)
        with torch.no_grad():
            answer = model.policy.answer(seen, model.actor(seen))
        assert torch.equal(scores.topk(2).indices, answer)
    assert model._n_updates > 0


def test_the_actor_moves_neither_trunk_nor_critics() -> None:
    world = tiny_world()
    venv, seen = observe(world, observation="ids")
    policy = policy_of(world, venv)
    actions, _ = policy.actor.action_log_prob(seen)
    torch.cat(policy.critic(seen, actions), 1).sum().backward()
    assert all(p.grad is None for p in policy.trunk.parameters())
    assert all(p.grad is not None for p in policy.actor.body.parameters())
    trained = {id(p) for group in policy.critic.optimizer.param_groups for p in group["params"]}
    assert not trained & {id(p) for p in policy.actor.parameters()}
    assert {id(p) for p in policy.trunk.parameters()} <= trained
