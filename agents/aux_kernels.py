"""Predictions and errors of the auxiliary losses for the slate alone, each in one compiled loop.

Letters: B batch, C candidates, K slots, E width of an item embedding, F factors, M match features,
n rows of the table of embeddings, q things predicted.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from slategym.agents.compiled import loops, memory

Floats = NDArray[np.float32]
Places = NDArray[np.int64]


@loops
def _responses(
    queries: Floats,
    user: Floats,
    table: Floats,
    weight: Floats,
    index: Places,
    match: Floats,
    out: Floats,
) -> None:
    for b in range(index.shape[0]):
        for k in range(index.shape[1]):
            item = index[b, k]
            for q in range(queries.shape[1]):
                total = user[b, q]
                for e in range(table.shape[1]):
                    total += queries[b, q, e] * table[item, e]
                for m in range(match.shape[2]):
                    total += weight[q, m] * match[b, k, m]
                out[b, k, q] = total


@loops
def _responses_back(
    grad: Floats,
    queries: Floats,
    table: Floats,
    index: Places,
    match: Floats,
    to_queries: Floats,
    to_user: Floats,
    to_table: Floats,
    to_weight: Floats,
) -> None:
    for b in range(index.shape[0]):
        for k in range(index.shape[1]):
            item = index[b, k]
            for q in range(queries.shape[1]):
                slope = grad[b, k, q]
                to_user[b, q] += slope
                for e in range(table.shape[1]):
                    to_queries[b, q, e] += slope * table[item, e]
                for e in range(table.shape[1]):
                    to_table[item, e] += slope * queries[b, q, e]
                for m in range(match.shape[2]):
                    to_weight[q, m] += slope * match[b, k, m]


class Responses(torch.autograd.Function):
    """``<query_q, z_i> + weight_q . match_i + user_q`` of items ``(B, K, q)``.

    Of queries ``(B, q, E)``, user ``(B, q)``, table ``(n, E)``, weight ``(q, M)``, index ``(B, K)``
    and match ``(B, K, M)``; the last two get no gradient.
    """

    @staticmethod
    def forward(ctx: Any, *given: torch.Tensor) -> torch.Tensor:  # noqa: ANN401
        """Return what is predicted."""
        whole = [tensor.contiguous() for tensor in given]
        queries, index = whole[0], whole[4]
        out = queries.new_empty(*index.shape, queries.shape[1])
        _responses(*(memory(tensor) for tensor in whole), memory(out))
        ctx.save_for_backward(*whole)
        return out

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:  # noqa: ANN401
        """Return what queries, user, table and weight get."""
        queries, user, table, weight, index, match = ctx.saved_tensors
        found = [torch.zeros_like(tensor) for tensor in (queries, user, table, weight)]
        arrays = (grad.contiguous(), queries, table, index, match, *found)
        _responses_back(*(memory(tensor) for tensor in arrays))
        return (*found, None, None)


@loops
def _joint_error(
    mine: Floats,
    theirs: Floats,
    index: Places,
    user: Floats,
    items: Floats,
    slate: Places,
    mean: Floats,
    std: Floats,
    limit: float,
    sums: NDArray[np.float64],
    to_mine: Floats,
    to_theirs: Floats,
) -> None:
    low, high = np.float32(-limit), np.float32(limit)
    for b in range(slate.shape[0]):
        for k in range(slate.shape[1]):
            item, row = slate[b, k], index[b, k]
            if item < 0:
                continue
            error, plain = np.float32(0.0), np.float32(0.0)
            for f in range(mine.shape[1]):
                truth = (user[b, f] * items[item, f] - mean[f]) / std[f]
                truth = min(max(truth, low), high)
                off = mine[b, f] * theirs[row, f] - truth
                error += off * off
                plain += truth * truth
                to_mine[b, f] += np.float32(2.0) * off * theirs[row, f]
                to_theirs[row, f] += np.float32(2.0) * off * mine[b, f]
            sums[0] += error
            sums[1] += plain
            sums[2] += 1.0


class JointError(torch.autograd.Function):
    """Squared error of ``mine_b * theirs_i`` against clipped standardised ``user_b * items_i``.

    Of mine ``(B, F)``, theirs ``(n, F)`` at index ``(B, K)``, user ``(B, F)``, items ``(I, F)`` at
    slate ``(B, K)`` (-1: an empty slot, left out), mean and std ``(F,)``. Summed over factors, mean
    over filled slots; beside it the error of predicting 0, which gets no gradient.
    """

    @staticmethod
    def forward(ctx: Any, limit: float, *given: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:  # noqa: ANN401
        """Return both errors, scalars."""
        whole = [tensor.contiguous() for tensor in given]
        mine, theirs = whole[:2]
        sums = np.zeros(3)
        slopes = torch.zeros_like(mine), torch.zeros_like(theirs)
        arrays = [memory(tensor) for tensor in whole]
        _joint_error(*arrays, limit, sums, *(memory(tensor) for tensor in slopes))
        ctx.save_for_backward(*slopes)
        ctx.count = max(sums[2], 1.0)
        error, plain = torch.from_numpy(sums[:2] / ctx.count).to(mine.dtype)
        ctx.mark_non_differentiable(plain)
        return error, plain

    @staticmethod
    def backward(ctx: Any, error: torch.Tensor, _: torch.Tensor) -> tuple[torch.Tensor | None, ...]:  # noqa: ANN401
        """Return what mine and theirs get."""
        scale = error / ctx.count
        to_mine, to_theirs = ctx.saved_tensors
        return (None, scale * to_mine, scale * to_theirs, *[None] * 6)
