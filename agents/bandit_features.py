"""What linear bandits see of a candidate: the item, its fit to the history, its tired topics."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from slategym.agents.item_tables import PublicTables
from slategym.agents.policy import Observation
from slategym.agents.public_model import FloatArray, PublicModel
from slategym.envs.spaces import CONTEXT_SCALARS
from slategym.envs.world import World
from slategym.errors import UsageError, unknown_name

BLOCKS = {
    "public": ("content", "collaborative", "topics", "prior"),
    "content": ("content", "topics"),
    "predicted": ("content", "collaborative", "topics", "prior"),
}
"""Which columns of the item table are read: all, or those that no log has a part in. "predicted"
adds to all of them the rating that the public model predicts once the history is folded in."""
TRAITS = 3
"""Columns kept for ``candidate_traits``: no variant shows more."""
_OTHERS = 6  # one, consumed and shown exposure, met before, the search, the predicted rating


@dataclass(frozen=True, eq=False)
class BanditFeatures:
    """Turns observations into features of candidates; nothing here is privileged or learned.

    Of candidate i, with x the principal components of each block of its row and its log duration,
    and h those of the history's mean, each item weighted by its recency times (value - 1/2):

        [1, x_i, h * x_i, exposure to its topics by consumption and by slates, whether the history
         holds it, cosine to the search, predicted rating or 0, traits, the six numbers that open
         the context] .
    """

    items: FloatArray  # (I + 1, P), each of variance one, padding is zero
    topics: FloatArray  # (I + 1, Z)
    directions: FloatArray  # (I + 1, D) unit item vectors, in which a search is a point
    model: PublicModel | None = None

    @classmethod
    def from_world(cls, world: World, blocks: str = "public", components: int = 8) -> Self:
        """Return the features of a world.

        Args:
            world: only its public tables are read.
            blocks: a key of `BLOCKS`.
            components: most principal components of each block, at least 1.

        Raises:
            UsageError: unknown blocks, or fewer than one component.
        """
        if blocks not in BLOCKS:
            raise unknown_name("blocks of the item table", blocks, BLOCKS)
        if components < 1:
            raise UsageError(f"components is {components}; it must be at least 1.")
        tables = PublicTables.from_world(world)
        chosen = [
            _components(np.asarray(tables.block(name)[:-1], np.float64), components)
            for name in BLOCKS[blocks]
        ]
        duration = np.log(np.maximum(np.asarray(world.item_duration, np.float64), 1e-9))
        chosen.append(_components(duration[:, None], 1))
        raw = np.asarray(world.item_vectors, np.float64)
        length = np.linalg.norm(raw, axis=1, keepdims=True)
        return cls(
            items=_padded(np.concatenate(chosen, axis=1)),
            topics=_padded(np.asarray(world.item_topics, np.float64)),
            directions=_padded(raw / np.where(length > 0, length, 1.0)),
            model=PublicModel.from_world(world) if blocks == "predicted" else None,
        )

    @property
    def size(self) -> int:
        """P', the number of features."""
        return 2 * self.items.shape[1] + _OTHERS + TRAITS + CONTEXT_SCALARS

    def __call__(self, observation: Observation) -> FloatArray:
        """Return the features ``(B, C, P')`` of the candidates."""
        listed, context = observation["candidates"], observation["context"]
        x = self.items[listed]  # (B, C, P)
        width, zeros = self.topics.shape[1], np.zeros(listed.shape)
        topics = self.topics[listed]
        exposure = np.asarray(context[:, CONTEXT_SCALARS : CONTEXT_SCALARS + 2 * width], np.float64)
        parts = [np.ones((*listed.shape, 1)), x, self._liked(observation)[:, None] * x]
        for part in (exposure[:, :width], exposure[:, width:]):
            parts.append(np.einsum("bcz,bz->bc", topics, part)[..., None])
        met = (observation["history"][:, None] == listed[..., None]).any(axis=2)
        search = predicted = zeros
        if "query" in observation:
            query = np.asarray(observation["query"], np.float64)
            length = np.linalg.norm(query, axis=1, keepdims=True)
            unit = query / np.where(length > 0, length, 1.0)
            search = np.einsum("bcd,bd->bc", self.directions[listed], unit)
        if self.model is not None:
            told = observation["history_feedback"]
            user = self.model.fold_in(observation["history"], told[..., 1], told[..., 0])
            predicted = self.model.score(user, listed) - self.model.mean
        traits = np.zeros((*listed.shape, TRAITS))
        if "candidate_traits" in observation:
            told = observation["candidate_traits"].reshape(*listed.shape, -1)
            traits[..., : told.shape[2]] = told
        scalars = np.asarray(context[:, None, :CONTEXT_SCALARS], np.float64)
        scalars = np.broadcast_to(scalars, (*listed.shape, CONTEXT_SCALARS))
        return np.concatenate(
            [*parts, met[..., None], search[..., None], predicted[..., None], traits, scalars],
            axis=2,
            dtype=np.float64,
        )

    def _liked(self, observation: Observation) -> FloatArray:
        """Return the mean of what the history liked less what it disliked ``(B, P)``."""
        feedback = np.asarray(observation["history_feedback"], np.float64)
        weight = feedback[..., 0] * feedback[..., 2]
        signed = np.einsum(
            "bh,bhp->bp", weight * (feedback[..., 1] - 0.5), self.items[observation["history"]]
        )
        return np.asarray(signed / np.maximum(weight.sum(axis=1, keepdims=True), 1.0))


def shown(observation: Observation, slate: np.ndarray) -> Observation:
    """Return the observation as if the slate ``(B, K)`` were all the candidates."""
    listed = observation["candidates"]
    changed = {"candidates": np.take_along_axis(listed, slate, axis=1)}
    if "candidate_traits" in observation:
        traits = observation["candidate_traits"].reshape(*listed.shape, -1)
        changed["candidate_traits"] = np.take_along_axis(traits, slate[..., None], axis=1)
    return {**observation, **changed}


def _components(table: FloatArray, most: int) -> FloatArray:
    """Return the leading principal components ``(I, P)`` of a table, each of variance one."""
    centred = table - table.mean(axis=0)
    spread, axes = np.linalg.eigh(centred.T @ centred / len(centred))
    order = np.argsort(-spread, kind="stable")[:most]
    order = order[spread[order] > 1e-9 * max(float(spread.max()), 1e-300)]
    axes = axes[:, order]
    largest = np.abs(axes).argmax(axis=0)
    axes = axes * np.sign(axes[largest, np.arange(axes.shape[1])])  # eigh leaves the sign open
    return np.asarray(centred @ axes / np.sqrt(spread[order]))


def _padded(table: FloatArray) -> FloatArray:
    """Return a table ``(I, n)`` with a row of zeros for padding, ``(I + 1, n)``."""
    return np.concatenate([table, np.zeros((1, table.shape[1]))])
