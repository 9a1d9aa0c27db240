"""LightGCN: taste spread over the graph of people and things, with content edges if there are."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import scipy.sparse as sparse

from slategym.cf_baselines.base import Rows, Scorer
from slategym.cf_baselines.explanations import Case, Part
from slategym.cf_baselines.history_linear import history_matrix, likes_of
from slategym.cf_baselines.interactions import FloatArray, RowArray
from slategym.cf_baselines.lightgcn_training import (
    GraphTraining,
    content_graph,
    normalised_adjacency,
    standardised,
    train_vectors,
)
from slategym.cf_baselines.settings import in_range

# Adam needs some steps however few the likes.
LEAST_STEPS = 150


@dataclass(frozen=True)
class LightGcnConfig:
    """Settings of `LightGcnScorer`; chosen by validation on the TikTok split."""

    factors: int = 64
    """Length of a vector, at least 1."""
    layers: int = 3
    """How far taste spreads, at least 1."""
    epochs: int = 40
    """Passes over all likes, at least 1; a small log gets 150 steps at least."""
    batch: int = 4096
    """Likes a step at most, at least 1."""
    learning_rate: float = 0.01
    """Of Adam, > 0."""
    penalty: float = 1e-4
    """On the squares of the free vectors, >= 0."""
    temperature: float = 0.25
    """Cosines are divided by this in the softmax, > 0."""
    negatives: int = 1024
    """Items drawn at random each step to compare the liked ones with, at least 1."""
    neighbours: int = 10
    """Edges from each item to those nearest by content, at least 1."""
    content_weight: float = 0.1
    """Weight of a content edge; an edge of a like has 1. >= 0."""
    seed: int = 0
    """Equal seeds give equal vectors."""

    def __post_init__(self) -> None:
        counts = (self.factors, self.layers, self.epochs, self.batch, self.negatives)
        in_range(
            "lightgcn",
            min(*counts, self.neighbours) >= 1,
            f"factors, layers, epochs, batch, negatives {counts}, neighbours {self.neighbours}",
            "each must be at least 1",
        )
        in_range(
            "lightgcn",
            min(self.learning_rate, self.temperature) > 0
            and min(self.penalty, self.content_weight) >= 0,
            f"learning_rate={self.learning_rate}, temperature={self.temperature}, penalty="
            f"{self.penalty}, content_weight={self.content_weight}",
            "the first two must be positive, the others at least 0",
        )


@dataclass(frozen=True)
class GraphUsers:
    """What users look like to LightGCN.

    Attributes:
        vectors: (B, F) of length 1; zeros for a user without a like.
    """

    vectors: FloatArray


class LightGcnScorer(Scorer):
    """Scores the cosine of vectors spread over the graph of likes, over a temperature.

    With A the normalised adjacency and e(0) the trained vectors, a vertex's vector is the mean of
    e(0), A e(0), ..., A^L e(0) (He et al. 2020, "LightGCN", equations 7 and 8). Unlike there,
    users have no trained vector: theirs is what the items they liked send them,

        e_u = 1 / (L + 1) sum over liked i of a_ui (e_i(0) + ... + e_i(L-1)),

    so that a user of the log and a newcomer with the same likes get the same scores, and a score
    is a sum over likes. Content adds edges between items that are alike.
    """

    name: ClassVar[str] = "lightgcn"
    uses_content: ClassVar[bool] = True
    Config = LightGcnConfig

    def __init__(self, config: Any = None, **options: Any) -> None:  # noqa: ANN401
        super().__init__(config, **options)
        self.threshold = 0.0
        self.popularity: FloatArray = np.zeros(0, np.float32)
        self.sent: FloatArray = np.zeros((0, 0), np.float32)  # (I, F) what a liked item sends
        self.items: FloatArray = np.zeros((0, 0), np.float32)  # (I, F) of length 1

    def _learn(self) -> None:
        config = self.config
        likes, self.threshold, self.popularity = likes_of(self.log)
        edges = None
        if self.content is not None and config.content_weight:
            near = content_graph(standardised(self.content), config.neighbours)
            edges = sparse.csr_matrix(near * np.float32(config.content_weight))
        adjacency, root = normalised_adjacency(likes, edges)
        how = GraphTraining(
            config.factors,
            config.layers,
            max(LEAST_STEPS, config.epochs * -(-likes.nnz // config.batch)),
            config.batch,
            config.learning_rate,
            config.penalty,
            config.temperature,
            config.negatives,
            config.seed,
        )
        n_users = likes.shape[0]
        vectors = train_vectors(likes, adjacency, how)
        layer = np.concatenate([np.zeros((n_users, config.factors), np.float32), vectors])
        total = np.zeros_like(layer)
        for _ in range(config.layers):
            total += layer
            layer = np.asarray(adjacency @ layer, dtype=np.float32)
        self.sent = total[n_users:] * root[n_users:, None]
        self.items = _unit(total[n_users:] + layer[n_users:])

    def _fold(self, items: Rows, values: FloatArray, times: RowArray) -> GraphUsers:  # noqa: ARG002
        liked = (values >= self.threshold).astype(np.float32)
        profiles = history_matrix(items, liked, len(self.items))
        return GraphUsers(_unit(np.asarray(profiles @ self.sent, dtype=np.float32)))

    def _score_everything(self, state: GraphUsers) -> FloatArray:
        out = state.vectors @ self.items.T / np.float32(self.config.temperature)
        out[~state.vectors.any(axis=1)] = self.popularity
        return out

    def _parts(self, case: Case) -> list[Part]:
        item, liked = case.item, np.unique(case.items[case.values >= self.threshold])
        sent = self.sent[liked].astype(np.float64)
        length = np.linalg.norm(sent.sum(axis=0)) if len(liked) else 0.0
        if length == 0:
            return [Part("popularity", float(self.popularity[item]))]
        shares = sent @ self.items[item] / (length * self.config.temperature)
        return [
            Part("history", float(share), int(row))
            for share, row in zip(shares, liked, strict=True)
        ]

    def _arrays(self) -> dict[str, npt.NDArray[Any]]:
        return {
            "sent": self.sent,
            "items": self.items,
            "popularity": self.popularity,
            "threshold": np.array(self.threshold),
        }

    def _restore(self, arrays: dict[str, npt.NDArray[Any]]) -> None:
        self.sent, self.items = arrays["sent"], arrays["items"]
        self.popularity, self.threshold = arrays["popularity"], float(arrays["threshold"])


def _unit(vectors: FloatArray) -> FloatArray:
    """Return vectors (N, F) scaled to length 1; zeros stay."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(length, 1e-12), dtype=np.float32)
