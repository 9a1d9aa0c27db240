"""Training of `slategym.encoders.users.AttentionPooling`.

Letters: B users, H items of a history, I items, D numbers of an item's vector, R of the metric.
"""

from typing import Any

import numpy as np

from slategym.encoders.base import FloatArray
from slategym.encoders.users import IntArray

_BATCH = 256


def train_attention(
    history: IntArray, liked: FloatArray, table: FloatArray, *,
    rank: int, negatives: int, epochs: int, learning_rate: float, seed: int,
) -> tuple[FloatArray, float, float, float]:  # fmt: skip
    """Return metric (D, R), sharpness, fading and liking; see `fit_attention`."""
    import torch

    rng = np.random.default_rng(seed)
    right = history[:, -1].copy()
    before, values = history[:, :-1], liked[:, :-1]
    order = rng.permutation(len(history))
    held, train = order[: max(1, len(order) // 10)], order[max(1, len(order) // 10) :]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        metric = torch.randn(table.shape[1], rank) / table.shape[1] ** 0.5
        # Softplus of these is the sharpness, the fading and the scale of the scores.
        raw = torch.tensor([1.0, -3.0, 1.0])
        liking = torch.zeros(())
        parameters = [metric, raw, liking]
        for value in parameters:
            value.requires_grad_(True)
        optimiser = torch.optim.Adam(parameters, lr=learning_rate)
        fixed = rng.integers(0, len(table), (len(history), negatives))

        def loss_of(rows: IntArray, wrong: IntArray) -> Any:  # noqa: ANN401
            asked = np.concatenate([right[rows, None], wrong], axis=1)
            return _loss(parameters, before[rows], values[rows], table, asked)

        best, kept = float("inf"), [value.detach().clone() for value in parameters]
        for _ in range(epochs):
            shuffled = rng.permutation(train)
            for part in np.array_split(shuffled, max(1, len(train) // _BATCH)):
                optimiser.zero_grad()
                loss_of(part, rng.integers(0, len(table), (len(part), negatives))).backward()
                optimiser.step()
            with torch.no_grad():
                now = float(loss_of(held, fixed[held]))
            if now < best:
                best, kept = now, [value.detach().clone() for value in parameters]
    sharp, fading, _ = torch.nn.functional.softplus(kept[1]).tolist()
    return np.asarray(kept[0].numpy(), np.float32), sharp, fading, float(kept[2])


def _loss(
    parameters: list[Any], history: IntArray, liked: FloatArray, table: FloatArray, asked: IntArray
) -> Any:  # noqa: ANN401
    """Return the cross-entropy of the first candidate of each row against the others."""
    import torch
    from torch.nn import functional

    metric, raw, liking = parameters
    sharp, fading, scale = functional.softplus(raw)
    known = torch.from_numpy(history >= 0)
    newer = known.flip(1).cumsum(1).flip(1) - known.long()
    keys = torch.tensor(table) @ metric  # (I, R)
    of_history = keys[torch.from_numpy(np.maximum(history, 0))]
    of_asked = keys[torch.from_numpy(asked)]
    logits = sharp * torch.einsum("bcr,bhr->bch", of_asked, of_history)
    logits = logits + (liking * torch.tensor(liked) - fading * newer)[:, None, :]
    weights = torch.softmax(logits.masked_fill(~known[:, None, :], -1e9), dim=2)
    pooled = torch.einsum("bch,bhr->bcr", weights, of_history)
    scores = scale * (pooled * of_asked).sum(dim=2)
    return functional.cross_entropy(scores, torch.zeros(len(scores), dtype=torch.long))
