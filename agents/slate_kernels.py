"""Log-probability and path entropy of Plackett-Luce slates with their gradients, in one loop.

Letters: B batch, C candidates, K slots.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from slategym.agents.compiled import loops, memory

# Odds further apart than this, in natural logarithms, would not all be numbers in double precision.
WIDEST = 600.0

Doubles = NDArray[np.float64]
Slate = NDArray[np.int64]


@loops
def _mark(slate: Slate, slot: Slate) -> None:
    """Write into ``slot`` (C,) at which pick each candidate is taken; K: at none."""
    slot[:] = len(slate)
    for k in range(len(slate)):
        slot[slate[k]] = k


@loops
def _pick(
    scores: Doubles, odds: Doubles, slate: Slate, slot: Slate, mass: Doubles, mean: Doubles
) -> tuple[float, float]:
    """Return log-probability and entropy of a slate; write 1 / Z_k and m_k (K + 1,)."""
    size, log_prob, entropy, total, moment = len(slate), 0.0, 0.0, 0.0, 0.0
    for c in range(len(scores)):
        if slot[c] == size:
            total += odds[c]
            moment += odds[c] * scores[c]
    for k in range(size - 1, -1, -1):
        c = slate[k]
        total += odds[c]
        moment += odds[c] * scores[c]
        mass[k], mean[k] = 1.0 / total, moment / total
        log_prob += scores[c] - np.log(total)
        entropy += np.log(total) - mean[k]
    return log_prob, entropy


@loops
def _slope(
    scores: Doubles, odds: Doubles, slot: Slate, mass: Doubles, mean: Doubles, slopes: Doubles
) -> None:
    """Write the slopes (2, C) of both along the scores."""
    size = len(mass) - 1
    mean[0] *= mass[0]
    for k in range(1, size):  # sums over the picks at which a candidate was still there
        mean[k] = mean[k] * mass[k] + mean[k - 1]
        mass[k] += mass[k - 1]
    mass[size], mean[size] = mass[size - 1], mean[size - 1]
    for c in range(len(scores)):
        k = slot[c]
        slopes[0, c] = (k < size) - odds[c] * mass[k]
        slopes[1, c] = odds[c] * (mean[k] - scores[c] * mass[k])


@loops
def _walk(scores: Doubles, odds: Doubles, slates: Slate, out: Doubles, slopes: Doubles) -> None:
    """Write log-probability and entropy (2, B) and their slopes (B, 2, C), if there is room."""
    size, count = slates.shape[1], scores.shape[1]
    slot = np.empty(count, np.int64)
    mass, mean = np.empty(size + 1), np.empty(size + 1)
    for b in range(len(scores)):
        _mark(slates[b], slot)
        out[0, b], out[1, b] = _pick(scores[b], odds[b], slates[b], slot, mass, mean)
        if slopes.shape[2] > 0:
            _slope(scores[b], odds[b], slot, mass, mean, slopes[b])


class SlateTerms(torch.autograd.Function):
    """Log-probability and path entropy ``(B,)`` of slates ``(B, K)`` under scores ``(B, C)``.

    With Z_k the mass on the table at pick k and m_k its mean score, a candidate with score s that
    was there until pick l has slopes ``1[picked] - e^s sum_{k<=l} 1 / Z_k`` and
    ``e^s sum_{k<=l} (m_k - s) / Z_k``.
    """

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        scores: torch.Tensor,
        slates: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return both, and keep their slopes where a gradient is wanted."""
        wide = scores.detach().double()
        wide = (wide - wide.amax(1, keepdim=True)).contiguous()
        out = wide.new_zeros(2, len(wide))
        slopes = wide.new_empty(len(wide), 2, wide.shape[1] if scores.requires_grad else 0)
        arrays = (wide, wide.exp(), slates.contiguous(), out, slopes)
        _walk(*(memory(array) for array in arrays))
        ctx.save_for_backward(slopes.to(scores.dtype))
        log_prob, entropy = out.to(scores.dtype)
        return log_prob, entropy

    @staticmethod
    def backward(
        ctx: Any,  # noqa: ANN401
        log_prob: torch.Tensor,
        entropy: torch.Tensor,
    ) -> tuple[torch.Tensor, None]:
        """Return what the scores get."""
        (slopes,) = ctx.saved_tensors
        return log_prob[:, None] * slopes[:, 0] + entropy[:, None] * slopes[:, 1], None
