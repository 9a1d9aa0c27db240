"""How much each auxiliary loss counts: fixed, falling in a line, or learned."""

import math
from collections.abc import Mapping
from typing import Literal, get_args

import torch
from torch import nn

from slategym.errors import UsageError, unknown_name

AuxWeighting = Literal["fixed", "scheduled", "learned"]
WEIGHTINGS: tuple[AuxWeighting, ...] = get_args(AuxWeighting)


class AuxWeights(nn.Module):
    """Turns auxiliary losses into one.

    "fixed": ``sum_i w_i L_i``. "scheduled": the same, all weights times `share`, which training
    moves in a line. "learned": ``sum_i exp(-s_i) L_i + s_i / 2`` with ``s_i = ln sigma_i^2``, the
    uncertainty of each task (Kendall, Gal and Cipolla 2018, "Multi-task learning using uncertainty
    to weigh losses", eq. 10, every task in the form of their second term); s_i starts at
    ``-ln w_i``. A loss that stands still ends at the weight ``1 / (2 L_i)``: none counts more than
    half, whatever its unit.

    Args:
        weights: w by name, above 0.
        weighting: one of `WEIGHTINGS`.

    Attributes:
        share: multiplies the weights in "scheduled".

    Raises:
        UsageError: an unknown weighting.
    """

    def __init__(self, weights: Mapping[str, float], weighting: AuxWeighting = "fixed") -> None:
        super().__init__()
        if weighting not in WEIGHTINGS:
            raise unknown_name("weighting of auxiliary losses", weighting, WEIGHTINGS)
        if any(not weight > 0 for weight in weights.values()):
            raise UsageError(f"the weights of auxiliary losses are {dict(weights)}; give them > 0.")
        self.weights, self.weighting, self.share = dict(weights), weighting, 1.0
        if weighting == "learned":
            start = {name: torch.tensor(-math.log(weight)) for name, weight in weights.items()}
            self.log_variance = nn.ParameterDict(start)

    def forward(self, losses: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Return the weighted sum of losses, a scalar; one that is not there adds nothing."""
        if self.weighting == "learned":
            pairs = [(self.log_variance[name], loss) for name, loss in losses.items()]
            return torch.stack([torch.exp(-s) * loss + 0.5 * s for s, loss in pairs]).sum()
        now = self.now()
        return torch.stack([now[name] * loss for name, loss in losses.items()]).sum()

    def now(self) -> dict[str, float]:
        """Return what each loss is multiplied by at present."""
        if self.weighting == "learned":
            return {name: math.exp(-float(s.detach())) for name, s in self.log_variance.items()}
        share = self.share if self.weighting == "scheduled" else 1.0
        return {name: share * weight for name, weight in self.weights.items()}
