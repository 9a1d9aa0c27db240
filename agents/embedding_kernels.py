"""Products with rows of a table, compiled: no copy of the rows is made, forward or backward.

Letters: B batch, q queries per row, C candidates, E width, n rows of the table.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from slategym.agents.compiled import loops, memory

Floats = NDArray[np.float32]
Places = NDArray[np.int64]


@loops
def _products(queries: Floats, table: Floats, index: Places, out: Floats) -> None:
    for b in range(index.shape[0]):
        for c in range(index.shape[1]):
            item = index[b, c]
            for q in range(queries.shape[1]):
                total = np.float32(0.0)
                for e in range(table.shape[1]):
                    total += queries[b, q, e] * table[item, e]
                out[b, q, c] = total


@loops
def _products_back(
    grad: Floats,
    queries: Floats,
    table: Floats,
    index: Places,
    to_queries: Floats,
    to_table: Floats,
) -> None:
    for b in range(index.shape[0]):
        for c in range(index.shape[1]):
            item = index[b, c]
            for q in range(queries.shape[1]):
                weight = grad[b, q, c]
                for e in range(table.shape[1]):
                    to_queries[b, q, e] += weight * table[item, e]
                for e in range(table.shape[1]):
                    to_table[item, e] += weight * queries[b, q, e]


@loops
def _means(table: Floats, index: Places, out: Floats) -> None:
    share = np.float32(1.0) / np.float32(index.shape[1])
    for b in range(index.shape[0]):
        for c in range(index.shape[1]):
            item = index[b, c]
            for e in range(table.shape[1]):
                out[b, e] += table[item, e]
        for e in range(table.shape[1]):
            out[b, e] *= share


@loops
def _means_back(grad: Floats, index: Places, to_table: Floats) -> None:
    share = np.float32(1.0) / np.float32(index.shape[1])
    for b in range(index.shape[0]):
        for c in range(index.shape[1]):
            item = index[b, c]
            for e in range(to_table.shape[1]):
                to_table[item, e] += share * grad[b, e]


class Products(torch.autograd.Function):
    """Inner products ``(B, q, C)`` of queries ``(B, q, E)`` with rows of a table ``(n, E)``."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        queries: torch.Tensor,
        table: torch.Tensor,
        index: torch.Tensor,
    ) -> torch.Tensor:
        """Return the products."""
        queries, table, index = queries.contiguous(), table.contiguous(), index.contiguous()
        out = queries.new_empty(queries.shape[0], queries.shape[1], index.shape[1])
        _products(memory(queries), memory(table), memory(index), memory(out))
        ctx.save_for_backward(queries, table, index)
        return out

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None]:  # noqa: ANN401
        """Return what queries and table get."""
        queries, table, index = ctx.saved_tensors
        to_queries, to_table = torch.zeros_like(queries), torch.zeros_like(table)
        arrays = (grad.contiguous(), queries, table, index, to_queries, to_table)
        _products_back(*(memory(array) for array in arrays))
        return to_queries, to_table, None


class Means(torch.autograd.Function):
    """Mean ``(B, E)`` of the rows ``(B, C)`` of a table ``(n, E)``."""

    @staticmethod
    def forward(ctx: Any, table: torch.Tensor, index: torch.Tensor) -> torch.Tensor:  # noqa: ANN401
        """Return the means."""
        index = index.contiguous()
        out = table.new_zeros(len(index), table.shape[1])
        _means(memory(table.contiguous()), memory(index), memory(out))
        ctx.save_for_backward(table, index)
        return out

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None]:  # noqa: ANN401
        """Return what the table gets."""
        table, index = ctx.saved_tensors
        to_table = torch.zeros_like(table)
        _means_back(memory(grad.contiguous()), memory(index), memory(to_table))
        return to_table, None
