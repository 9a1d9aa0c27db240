"""The public tables of a world as an agent wants them: padded, standardised, ready to look up."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from slategym.agents.classic_tables import ClassicTables
from slategym.agents.public_model import PublicModel
from slategym.envs.world import World

Table = NDArray[np.float32]
Block = tuple[int, int]

# Topic rows are shares that sum to 1; they are compared with exposure and must stay as they are.
STANDARDISED = ("content", "collaborative", "prior")


@dataclass(frozen=True, eq=False)
class PublicTables:
    """What a learning agent holds of a world; nothing here is privileged.

    A row of `vectors` is ``(raw - shift) * scale``; row I is padding and zero everywhere.
    """

    vectors: Table  # (I + 1, D) standardised
    shift: Table  # (D,)
    scale: Table  # (D,)
    blocks: dict[str, Block]
    fold: Table  # (D + 1, 2 + F): [vector, 1] @ fold = [b_i, 1, q_i] of the public model
    taste_mean: Table  # (1 + F,) prior mean of [user bias, user factors]
    taste_precision: Table  # (1 + F, 1 + F) prior precision
    taste_std: Table  # (1 + F,) spread of the population
    rating_offset: float  # public mean on the value scale of the history, value = (r - low) / span
    rating_span: float  # rating points between value 0 and value 1
    noise_std: float  # rating points
    score_std: float  # spread of b_i + [1, q_i] . x over users and items, rating points
    joint_items: Table  # (I + 1, F) public item factors
    joint_users: Table  # (U, F) public user factors
    joint_mean: Table  # (F,) mean of the product over users and items
    joint_std: Table  # (F,) its standard deviation

    @classmethod
    def from_world(cls, world: World) -> Self:
        """Return the public tables of a world."""
        raw = np.asarray(world.item_vectors, np.float32)
        shift, scale = _standardiser(raw, world.info.blocks)
        vectors = np.concatenate([(raw - shift) * scale, np.zeros((1, raw.shape[1]))])
        model = PublicModel.from_world(world)
        items = np.asarray(world.public_item_factors, np.float64)
        users = np.asarray(world.public_user_factors, np.float64)
        covariance = np.linalg.inv(model.prior_precision)
        rows = model.item_rows[:-1]
        taste = np.einsum("if,fg,ig->i", rows, covariance, rows).mean()
        mean, std = _product_moments(items, users)
        return cls(
            vectors=vectors.astype(np.float32),
            shift=shift,
            scale=scale,
            blocks=dict(world.info.blocks),
            fold=_fold_map(vectors[:-1], model),
            taste_mean=model.prior_mean.astype(np.float32),
            taste_precision=model.prior_precision.astype(np.float32),
            taste_std=np.sqrt(np.diag(covariance)).astype(np.float32),
            rating_offset=(model.mean - model.low) / (model.high - model.low),
            rating_span=model.high - model.low,
            noise_std=model.noise_std,
            score_std=float(np.sqrt(model.item_bias[:-1].var() + taste)) + 1e-6,
            joint_items=np.concatenate([items, np.zeros((1, items.shape[1]))]).astype(np.float32),
            joint_users=users.astype(np.float32),
            joint_mean=mean,
            joint_std=std,
        )

    @property
    def n_items(self) -> int:
        """I, also the row of padding."""
        return len(self.vectors) - 1

    @property
    def topics(self) -> int:
        """Z, the width of the topics block."""
        start, stop = self.blocks["topics"]
        return stop - start

    def block(self, name: str) -> Table:
        """Return the columns ``(I + 1, n)`` of one block, standardised."""
        start, stop = self.blocks[name]
        return self.vectors[:, start:stop]


Tables = PublicTables | ClassicTables
"""What a learning agent holds of a world, or of a classic."""


def _standardiser(raw: Table, blocks: dict[str, Block]) -> tuple[Table, Table]:
    """Return shift and scale ``(D,)`` per column: mean 0, variance 1 where a block allows it."""
    shift = np.zeros(raw.shape[1], np.float32)
    scale = np.ones(raw.shape[1], np.float32)
    for name in STANDARDISED:
        start, stop = blocks[name]
        part = raw[:, start:stop].astype(np.float64)
        spread = part.std(0)
        shift[start:stop] = part.mean(0)
        # A column that never varies says nothing; dividing by its rounding noise would shout it.
        scale[start:stop] = np.where(spread > 1e-6, 1 / np.maximum(spread, 1e-6), 0.0)
    return shift, scale


def _fold_map(vectors: NDArray[Any], model: PublicModel) -> Table:
    """Return the least-squares map from item vectors to the public model's item side.

    The collaborative and prior blocks are the public model in other units, so the map is exact
    where the world was built so; it lets observations that carry vectors alone fold users in.
    """
    inputs = np.concatenate([vectors, np.ones((len(vectors), 1))], axis=1)
    outputs = np.concatenate([model.item_bias[:-1, None], model.item_rows[:-1]], axis=1)
    # A ridge this small only decides between equivalent solutions of a short catalogue.
    gram = inputs.T @ inputs + 1e-6 * len(inputs) * np.eye(inputs.shape[1])
    return np.linalg.solve(gram, inputs.T @ outputs).astype(np.float32)


def _product_moments(items: NDArray[Any], users: NDArray[Any]) -> tuple[Table, Table]:
    """Return mean and spread ``(F,)`` of ``p_u * q_i`` over all pairs of user and item."""
    mean = users.mean(0) * items.mean(0)
    square = (users**2).mean(0) * (items**2).mean(0)
    std = np.sqrt(np.maximum(square - mean**2, 1e-12))
    return mean.astype(np.float32), std.astype(np.float32)
