"""Users as vectors: what their profile says, and what they looked at, pooled without a model.

Letters: B users of a batch, H items of a history (oldest first, -1 where there is none), I items,
D numbers of an item's vector.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from slategym.encoders.base import Encoder, FloatArray
from slategym.encoders.catalog import Catalog
from slategym.encoders.pipeline import encode_catalog
from slategym.errors import DataError, UsageError

IntArray = npt.NDArray[np.int64]
_TINY = 1e-9


def encode_profiles(
    profiles: Sequence[str], *, encoder: str | Encoder = "minilm", cache: bool = True
) -> FloatArray:
    """Return the vectors of what is told of users, (B, D), encoded as items' texts are.

    A user of whom nothing is told is a zero row.

    Args:
        profiles: (B,) such as ``24 year old man, technician``; ``""`` for nothing.
        encoder: A text encoder, or its name.
        cache: Whether vectors are kept in, and read from, the cache.

    Raises:
        DataError: nothing is told of anyone.
    """
    if not any(profile.strip() for profile in profiles):
        raise DataError("nothing is told of any user, so there is no profile to encode.")
    names = tuple(map(str, range(len(profiles))))
    nothing: tuple[None, ...] = (None,) * len(names)
    people = Catalog(
        "profiles", names, names, tuple(profiles), nothing, nothing, ((),) * len(names)
    )
    if cache:
        return encode_catalog(people, encoders={"text": encoder}).vectors["text"]
    from slategym.encoders.base import make_encoder

    made = make_encoder(encoder, modality="text") if isinstance(encoder, str) else encoder
    return made.encode(people)


@dataclass(frozen=True)
class RecencyPooling:
    """A user's state as decayed sums over the history.

    ``s = sum_h decay ** (age of h) value_h v_h / sqrt(sum_h (decay ** age value_h) ** 2)``: the
    newest item has age 0. Numerator and denominator move by themselves, so a response costs one
    multiplication and one addition per user.

    Attributes:
        decay: Weight of an item relative to the next newer one, in (0, 1].
    """

    decay: float = 0.9

    def __post_init__(self) -> None:
        if not 0 < self.decay <= 1:
            raise UsageError(f"decay must be in (0, 1], not {self.decay}.")

    def start(self, users: int, dim: int) -> "PooledState":
        """Return the state of users who have looked at nothing."""
        return PooledState(np.zeros((users, dim), np.float32), np.zeros(users, np.float32))

    def pool(
        self, items: npt.ArrayLike, values: npt.ArrayLike, vectors: npt.ArrayLike
    ) -> "PooledState":
        """Return the state after whole histories: items and values (B, H), vectors (I, D)."""
        history, weights, table = _checked(items, values, vectors)
        known = history >= 0
        newer = known[:, ::-1].cumsum(axis=1)[:, ::-1] - known  # items that came after
        weight = np.where(known, self.decay**newer * weights, 0.0).astype(np.float32)
        sums = np.einsum("bh,bhd->bd", weight, table[np.maximum(history, 0)])
        return PooledState(sums, (weight**2).sum(axis=1))

    def update(
        self,
        state: "PooledState",
        items: npt.ArrayLike,
        values: npt.ArrayLike,
        vectors: npt.ArrayLike,
    ) -> "PooledState":
        """Return the state after one more item each, (B,); -1 leaves a user as it was."""
        chosen, weights, table = _checked(np.asarray(items)[:, None], np.asarray(values)[:, None],
                                          vectors)  # fmt: skip
        known = chosen[:, 0] >= 0
        weight = np.where(known, weights[:, 0], 0.0)
        fade = np.where(known, self.decay, 1.0)
        sums = fade[:, None] * state.sums + weight[:, None] * table[np.maximum(chosen[:, 0], 0)]
        squares = fade**2 * state.squares + weight**2
        return PooledState(sums.astype(np.float32), squares.astype(np.float32))


@dataclass(frozen=True, eq=False)
class PooledState:
    """Decayed sums of histories.

    Attributes:
        sums: (B, D) weighted item vectors.
        squares: (B,) sum of squared weights.
    """

    sums: FloatArray
    squares: FloatArray

    @property
    def vectors(self) -> FloatArray:
        """The users' vectors, (B, D); 0 without a history."""
        scale = np.sqrt(np.maximum(self.squares, _TINY))[:, None]
        return np.asarray(self.sums / scale, np.float32)


@dataclass(frozen=True, eq=False)
class AttentionPooling:
    """A user's state as an average over the history with fitted weights.

    The weight of item h for a candidate c is the softmax over the history of
    ``sharpness * (v_h W) . (v_c W) - fading * age_h + liking * value_h``: what resembles the
    candidate, is recent and was liked counts most (DIN, Zhou et al. 2018, with a bilinear unit).

    Attributes:
        metric: (D, R) W, by which likeness is judged.
        sharpness: >= 0.
        fading: Per item of age, >= 0.
        liking: Per unit of value.
    """

    metric: FloatArray
    sharpness: float
    fading: float
    liking: float

    def pool(
        self,
        items: npt.ArrayLike,
        values: npt.ArrayLike,
        vectors: npt.ArrayLike,
        candidates: npt.ArrayLike,
    ) -> FloatArray:
        """Return each user's vector for each candidate, (B, C, D).

        Args:
            items: (B, H) histories, oldest first, -1 for none.
            values: (B, H) how each was liked.
            vectors: (I, D) of the items.
            candidates: (B, C) items asked about.
        """
        history, liked, table = _checked(items, values, vectors)
        asked = np.asarray(candidates, np.int64)
        weights = self.weights(history, liked, table, asked)
        return np.asarray(
            np.einsum("bch,bhd->bcd", weights, table[np.maximum(history, 0)]), np.float32
        )

    def weights(
        self, history: IntArray, liked: FloatArray, table: FloatArray, asked: IntArray
    ) -> FloatArray:
        """Return the weight of each item of the history for each candidate, (B, C, H)."""
        known: npt.NDArray[np.bool_] = np.asarray(history >= 0)
        keys = table @ self.metric
        likeness = np.einsum("bcr,bhr->bch", keys[asked], keys[np.maximum(history, 0)])
        newer: npt.NDArray[np.int64] = np.cumsum(known[:, ::-1], axis=1)[:, ::-1] - known
        logits = self.sharpness * likeness
        logits += (self.liking * liked - self.fading * newer)[:, None, :]
        logits = np.where(known[:, None, :], logits, -np.inf)
        seen = np.asarray(known.any(axis=1))
        top = np.where(seen[:, None, None], logits.max(axis=2, keepdims=True), 0.0)
        raised = np.exp(logits - top)
        return np.asarray(raised / np.maximum(raised.sum(axis=2, keepdims=True), _TINY), np.float32)


def fit_attention(
    items: npt.ArrayLike,
    values: npt.ArrayLike,
    vectors: npt.ArrayLike,
    *,
    rank: int = 16,
    negatives: int = 20,
    epochs: int = 30,
    learning_rate: float = 0.02,
    seed: int = 0,
) -> AttentionPooling:
    """Return the pooling under which histories tell their newest item from others.

    For each user with at least two items the newest is the right answer among it and
    ``negatives`` random items; the score of a candidate is the likeness of its vector to the
    history pooled for it. Cross-entropy, Adam, on nine tenths of the users; the pass with the
    lowest loss on the rest is kept.

    Args:
        items: (B, H) histories, oldest first, -1 for none.
        values: (B, H) how each was liked.
        vectors: (I, D) of the items.
        rank: R, columns of the metric.
        negatives: Wrong answers per user.
        epochs: Passes over the users.
        learning_rate: Adam's step.
        seed: Of the start and the wrong answers.

    Raises:
        DataError: fewer than 20 users have two items.
    """
    from slategym.encoders.users_fit import train_attention

    history, liked, table = _checked(items, values, vectors)
    usable = np.flatnonzero((history >= 0).sum(axis=1) >= 2)
    if len(usable) < 20:
        raise DataError(f"fitting attention needs 20 users with two items; {len(usable)} have.")
    found = train_attention(
        history[usable], liked[usable], table,
        rank=rank, negatives=negatives, epochs=epochs, learning_rate=learning_rate, seed=seed,
    )  # fmt: skip
    return AttentionPooling(found[0], *found[1:])


def _checked(
    items: npt.ArrayLike, values: npt.ArrayLike, vectors: npt.ArrayLike
) -> tuple[IntArray, FloatArray, FloatArray]:
    history, weights = np.asarray(items, np.int64), np.asarray(values, np.float32)
    table = np.asarray(vectors, np.float32)
    if history.ndim != 2 or weights.shape != history.shape:
        raise DataError(
            f"histories must be items and values of one shape (B, H); got {history.shape} and "
            f"{weights.shape}."
        )
    if history.size and history.max(initial=-1) >= len(table):
        raise DataError(f"histories name item {history.max()}, but there are {len(table)} items.")
    return history, weights, table
