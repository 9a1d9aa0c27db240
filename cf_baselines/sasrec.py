"""SASRec as a scorer: what a small transformer expects after the likes of a user."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from slategym.cf_baselines.base import Rows, Scorer
from slategym.cf_baselines.history_linear import ages, likes_of
from slategym.cf_baselines.interactions import FloatArray, RowArray
from slategym.cf_baselines.sasrec_training import (
    SequenceTraining,
    first_weights,
    one_thread,
    read_histories,
    require_torch,
    tensors,
    train_weights,
)
from slategym.cf_baselines.settings import in_range

# Users read at once.
READ_AT_ONCE = 256


@dataclass(frozen=True)
class SasRecConfig:
    """Settings of `SasRecScorer`."""

    factors: int = 64
    """Width of the network and length of an item vector, a multiple of ``heads``."""
    blocks: int = 2
    """Blocks of attention, at least 1."""
    heads: int = 2
    """Heads of attention, at least 1."""
    length: int = 50
    """Newest likes that are read, at least 2."""
    epochs: int = 60
    """Passes over all users, at least 1."""
    batch: int = 64
    """Users a step, at least 1."""
    learning_rate: float = 0.002
    """Of Adam, > 0."""
    dropout: float = 0.3
    """Share of the network hidden in training, in [0, 1)."""
    seed: int = 0
    """Equal seeds give equal weights."""

    def __post_init__(self) -> None:
        counts = (self.factors, self.blocks, self.heads, self.epochs, self.batch)
        in_range(
            "sasrec",
            min(counts) >= 1 and self.length >= 2 and self.factors % max(1, self.heads) == 0,
            f"factors, blocks, heads, epochs, batch {counts}, length {self.length}",
            "each must be at least 1, the length 2, and factors a multiple of heads",
        )
        in_range(
            "sasrec",
            self.learning_rate > 0 and 0 <= self.dropout < 1,
            f"learning_rate={self.learning_rate}, dropout={self.dropout}",
            "the rate must be positive, the dropout in [0, 1)",
        )


@dataclass(frozen=True)
class SequenceUsers:
    """What users look like to SASRec.

    Attributes:
        expected: (B, F) what is expected next, in the space of the item vectors.
        known: (B,) whether there is a like to go by.
    """

    expected: FloatArray
    known: npt.NDArray[np.bool_]


class SasRecScorer(Scorer):
    """Scores the natural-log odds, up to a constant, that an item is the next one liked.

    Self-attention over the newest likes (Kang and McAuley 2018), trained with cross-entropy over
    all items; see `train_weights`. Users have no vectors: a changed history is simply read anew.
    Needs torch to fit and to score, and uses one thread, so that a machine's number of them
    changes nothing.
    """

    name: ClassVar[str] = "sasrec"
    Config = SasRecConfig

    def __init__(self, config: Any = None, **options: Any) -> None:  # noqa: ANN401
        super().__init__(config, **options)
        self.threshold = 0.0
        self.popularity: FloatArray = np.zeros(0, np.float32)
        self.weights: dict[str, FloatArray] = {}

    def _learn(self) -> None:
        _, self.threshold, self.popularity = likes_of(self.log)
        order = self.index.order
        order = order[self.log.values[order] >= self.threshold]
        users = self.log.users[order]
        cuts = np.flatnonzero(np.diff(users)) + 1
        items, times = self.log.items[order].astype(np.intp), self.log.times[order]
        histories = [
            (mine, when)
            for mine, when in zip(np.split(items, cuts), np.split(times, cuts), strict=True)
            if len(mine) > 1
        ]
        how, n_items = self._training(), len(self.popularity)
        if histories:
            with one_thread():
                self.weights = train_weights(histories, n_items, how)
        else:
            self.weights = first_weights(how, n_items)

    def _training(self) -> SequenceTraining:
        config = self.config
        return SequenceTraining(
            config.factors,
            config.blocks,
            config.heads,
            config.length,
            config.epochs,
            config.batch,
            config.learning_rate,
            config.dropout,
            config.seed,
        )

    def _fold(self, items: Rows, values: FloatArray, times: RowArray) -> SequenceUsers:  # noqa: ARG002
        torch = require_torch()
        liked = (items >= 0) & (values >= self.threshold)
        longest = int(liked.sum(axis=1).max(initial=1))
        length = max(1, min(self.config.length, longest))
        later = ages(liked)
        users, at = np.nonzero(liked & (later < length))
        read = np.full((len(items), length), -1, np.int64)
        read[users, length - 1 - later[users, at]] = items[users, at]
        weights = tensors(self.weights)
        out = np.zeros((len(items), self.config.factors), np.float32)
        with one_thread(), torch.no_grad():
            for start in range(0, len(read), READ_AT_ONCE):
                chunk = torch.from_numpy(read[start : start + READ_AT_ONCE])
                expected = read_histories(weights, chunk, self._training())
                out[start : start + READ_AT_ONCE] = expected[:, -1].numpy()
        return SequenceUsers(out, np.asarray(liked.any(axis=1)))

    def _score_everything(self, state: SequenceUsers) -> FloatArray:
        out = np.asarray(state.expected @ self.weights["items"].T, dtype=np.float32)
        out[~state.known] = self.popularity
        return out

    def _arrays(self) -> dict[str, npt.NDArray[Any]]:
        return {
            **{f"weights.{name}": table for name, table in self.weights.items()},
            "popularity": self.popularity,
            "threshold": np.array(self.threshold),
        }

    def _restore(self, arrays: dict[str, npt.NDArray[Any]]) -> None:
        self.weights = {
            name.removeprefix("weights."): table
            for name, table in arrays.items()
            if name.startswith("weights.")
        }
        self.popularity, self.threshold = arrays["popularity"], float(arrays["threshold"])
