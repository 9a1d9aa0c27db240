"""What models of rewards read of a logged impression: the user's state, and an item in it.

Letters: N impressions, C candidates, S numbers of a state, P features of a candidate, H history,
D item vector.
"""

from typing import Any

import numpy as np

from slategym.agents.item_tables import PublicTables
from slategym.agents.policy import Observation
from slategym.agents.public_model import PublicModel
from slategym.benchmarks.log_schema import AnyArray, FloatArray, Log
from slategym.envs.classic_state import CONTEXT_SCALARS as CLASSIC_SCALARS
from slategym.envs.spaces import CONTEXT_SCALARS
from slategym.envs.world import World
from slategym.errors import DataError

EARLY = np.array([1.0, 4.0, 16.0])
"""Steps over which the first slates of an episode stop being special."""
_CHUNK = 2048


def state_features(log: Log, world: World | None) -> FloatArray:
    """Return what is known of the user at each impression ``(N, S)``: no item of the slate.

    How early in the episode it is on three scales (first slates differ from late ones, and only
    users who stayed are seen late), the observed context (step, last response, topic exposure)
    and profile; in a world also the mean topics and the mean rating of what the history holds,
    weighted by how it was liked and how recent it is. Only public tables are read.

    Args:
        log: has observations.
        world: gives item tables; None for a classic.
    """
    return state_of(log.observed, log.step, world)


def state_of(seen: Observation, step: AnyArray, world: World | None) -> FloatArray:
    """Return the state features ``(B, S)`` of observations; see `state_features`.

    Args:
        seen: batched ``ids`` arrays.
        step: number of the impression in its episode ``(B,)``.
        world: gives item tables; None for a classic.
    """
    early = np.exp(-np.asarray(step, np.float64)[:, None] / EARLY)
    if world is None:
        parts = [seen["context"], seen["user"]]
        return np.concatenate([early, *(np.asarray(part, np.float64) for part in parts)], axis=1)
    return np.concatenate([early, _world_state(seen, world)], axis=1)


def _world_state(seen: Observation, world: World) -> FloatArray:
    """Return context, profile and what the history says."""
    topics = np.append(np.asarray(world.item_topics, np.float64), np.zeros((1, world.n_topics)), 0)
    feedback = np.asarray(seen["history_feedback"], np.float64)
    present, value, recency = feedback[..., 0], feedback[..., 1], feedback[..., 2]
    weight = present * recency
    shown = topics[seen["history"]]  # (N, H, Z)
    liked = np.einsum("nh,nhz->nz", weight * value, shown)
    total = np.maximum((weight * value).sum(1, keepdims=True), 0.5)
    mean = (weight * value).sum(1) / np.maximum(weight.sum(1), 0.5)
    context = np.asarray(seen["context"], np.float64)
    user = np.asarray(seen["user"], np.float64)
    return np.concatenate([context, user, liked / total, mean[:, None]], axis=1)


def candidate_features(log: Log, world: World | None) -> FloatArray:
    """Return what is known of each candidate for the user who would see it ``(N, C, P)``.

    The rating that the public model predicts once the history is folded in, the item's public
    bias and popularity, how much its topics were consumed and shown lately, how near it is to
    what the history liked, and the candidate's traits where the variant has them. In a classic:
    the document, and how near it is to the user and to what was consumed and shown.

    Args:
        log: has observations.
        world: gives item tables; None for a classic.

    Raises:
        DataError: a classic's documents were observed as numbers.
    """
    if world is None:
        return _documents(log)
    tables, model = PublicTables.from_world(world), PublicModel.from_world(world)
    parts = []
    for start in range(0, len(log), _CHUNK):
        seen = {k: v[start : start + _CHUNK] for k, v in log.observed.items()}
        parts.append(_features(seen, world, tables, model))
    return np.concatenate(parts)


def _documents(log: Log) -> FloatArray:
    """Return the features of a classic's candidates."""
    seen, count = log.observed, log.info.num_candidates
    if np.issubdtype(seen["candidates"].dtype, np.integer):
        raise DataError("the log observes documents as numbers; write it with features instead.")
    table = np.asarray(seen["candidates"], np.float64).reshape(len(log), count, -1)
    consumed, shown = np.split(np.asarray(seen["context"], np.float64)[:, CLASSIC_SCALARS:], 2, 1)
    others = [np.asarray(seen["user"], np.float64), consumed, shown]
    # Topics are the last entries of a document; what has another width is no mean of them.
    near = [
        np.einsum("ncz,nz->nc", table[..., -one.shape[1] :], one)[..., None]
        for one in others
        if 1 < one.shape[1] <= table.shape[2]
    ]
    return np.concatenate([table, *near], axis=2)


def _features(
    seen: dict[str, AnyArray], world: World, tables: PublicTables, model: PublicModel
) -> FloatArray:
    """Return the features of one block of impressions."""
    listed, feedback = seen["candidates"], np.asarray(seen["history_feedback"], np.float64)
    present, value, recency = feedback[..., 0], feedback[..., 1], feedback[..., 2]
    folded = model.fold_in(seen["history"], value, present)
    columns: list[Any] = [model.score(folded, listed), model.item_bias[listed]]
    popularity = np.log1p(np.asarray(world.item_popularity, np.float64))
    columns.append(popularity[listed])
    topics = np.asarray(world.item_topics, np.float64)[listed]  # (n, C, Z)
    width = topics.shape[2]
    exposure = np.asarray(seen["context"], np.float64)[:, CONTEXT_SCALARS:][:, : 2 * width]
    consumed, shown = exposure[:, :width], exposure[:, width:]
    columns += [np.einsum("ncz,nz->nc", topics, one) for one in (consumed, shown)]
    vectors = np.asarray(tables.vectors, np.float64)
    liked = np.einsum("nh,nhd->nd", present * value * recency, vectors[seen["history"]])
    norm = np.linalg.norm(liked, axis=1, keepdims=True)
    liked = liked / np.where(norm > 0, norm, 1.0)
    columns.append(np.einsum("ncd,nd->nc", vectors[listed], liked) / width**0.5)
    table = np.stack(columns, axis=2)
    if "candidate_traits" in seen:
        traits = np.asarray(seen["candidate_traits"], np.float64)
        table = np.concatenate([table, traits.reshape(*listed.shape, -1)], axis=2)
    return table
