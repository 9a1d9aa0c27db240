"""What an agent needs of a log to be trained on it, and what it is asked to do with it.

Letters: N impressions, K slots, C candidates.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from slategym.errors import UsageError, unknown_name

FloatArray = NDArray[np.float64]
METHODS = {
    "cloning": "imitate the slates of the log (behaviour cloning)",
    "reinforce": "REINFORCE with top-K off-policy correction (Chen et al. 2019)",
}


@dataclass(frozen=True)
class OfflineData:
    """Impressions in order of episode and step."""

    observation: Mapping[str, NDArray[Any]]
    """``ids`` arrays (N, ...), candidates among them."""
    positions: NDArray[np.int64]  # (N, K) what was shown
    items: NDArray[np.int64]  # (N, K)
    user: NDArray[np.int64]  # (N,)
    first: NDArray[np.bool_]  # (N,) opens an episode
    reward_slot: FloatArray  # (N, K)
    logp_slot: FloatArray  # (N, K) natural logarithms, each given the slots before
    responses: Mapping[str, NDArray[Any]]
    """Signals (N, K); ``click`` says what was taken."""

    def __len__(self) -> int:
        """Return N."""
        return len(self.user)

    @property
    def episode(self) -> NDArray[np.int64]:
        """The number of each impression's episode (N,)."""
        return np.cumsum(self.first) - 1


@dataclass(frozen=True)
class OfflineConfig:
    """Everything that decides the weights that offline training ends with.

    Raises:
        UsageError: a value out of range; the message names the field.
    """

    method: Literal["cloning", "reinforce"] = "reinforce"
    """See `METHODS`."""
    epochs: int = 30
    """Most passes over the log; the one best on held-out users of the log is kept."""
    batch_size: int = 512
    """Impressions per gradient step."""
    learning_rate: float = 1e-3
    """Of Adam."""
    gamma: float = 0.9
    """Discount per step of what follows a taken item; 0 looks at the item alone."""
    cap: float = 10.0
    """Most an importance weight of a slot may be (Chen et al. 2019, section 4.4)."""
    warm: int = 3
    """Passes of cloning before REINFORCE."""
    entropy: float = 0.01
    """Weight of the entropy of the first slot, in REINFORCE."""
    rating: float = 1.0
    """Weight of the auxiliary loss that predicts clicks and ratings; 0 = off."""
    validation: float = 0.15
    """Share of the log's users that choose the epoch."""
    seed: int = 0
    """Decides initial weights and the order of impressions."""
    width: int = 64
    """W, width of the trunk."""
    embedding: int = 32
    """E, width of the item embedding."""

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise unknown_name("method", str(self.method), METHODS)
        ranges: dict[str, tuple[float, float]] = {
            "epochs": (1, 10_000), "batch_size": (2, 1e7), "learning_rate": (1e-9, 1.0),
            "gamma": (0.0, 1.0), "cap": (1e-3, 1e9), "warm": (0, 10_000), "entropy": (0.0, 10.0),
            "rating": (0.0, 1e6), "validation": (0.01, 0.9), "seed": (0, 2**31 - 1),
            "width": (1, 1e5), "embedding": (1, 1e5),
        }  # fmt: skip
        for name, (low, high) in ranges.items():
            value = getattr(self, name)
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not number or not low <= value <= high:
                raise UsageError(f"{name} is {value!r}; it must be from {low:g} to {high:g}.")

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain JSON values."""
        return asdict(self)


def credits_of(data: OfflineData, gamma: float) -> FloatArray:
    """Return what each slot earned ``(N, K)``: its reward, and what followed if it was taken.

    ``R_{t,k} = r_{t,k} + gamma G_{t+1}`` for an item that was taken, its reward alone for one that
    was not; ``G_t = sum_k r_{t,k} + gamma G_{t+1}``. The future is the user's answer to what it
    took (Chen et al. 2019, section 4.1: the trajectory is that of the items interacted with).

    Args:
        data: in order of episode and step.
        gamma: discount in [0, 1].
    """
    total = data.reward_slot.sum(1)
    later, running = np.zeros(len(total)), 0.0
    for row in range(len(total) - 1, -1, -1):
        later[row] = running
        running = 0.0 if data.first[row] else total[row] + gamma * running
    # A row that opens an episode must not hand its return to the episode before.
    taken = np.asarray(data.responses["click"]) > 0
    return np.asarray(data.reward_slot + gamma * later[:, None] * taken)


def held_out_users(data: OfflineData, share: float, seed: int) -> NDArray[np.bool_]:
    """Return which impressions are of users that choose the epoch (N,).

    Raises:
        UsageError: the log has fewer than two users.
    """
    distinct, code = np.unique(data.user, return_inverse=True)
    if len(distinct) < 2:
        raise UsageError("the log has one user; training needs at least two, one to validate on.")
    count = min(max(1, math.floor(share * len(distinct))), len(distinct) - 1)
    chosen = np.zeros(len(distinct), dtype=np.bool_)
    chosen[np.random.default_rng(seed).permutation(len(distinct))[:count]] = True
    return np.asarray(chosen[code])
