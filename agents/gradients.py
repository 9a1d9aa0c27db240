"""How strongly each task pulls at what all tasks share, and whether it pulls with the policy."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

# The task that the others are compared with: the first of these that has a gradient.
REFERENCES = ("policy", "value")


@dataclass(frozen=True)
class Gradients:
    """Of the unweighted losses, on shared parameters."""

    norms: dict[str, float]
    """Euclidean norm by task; 0 where the loss does not depend on them."""
    reference: str | None
    """The task that the others are compared with; None where none of `REFERENCES` has one."""
    cosines: dict[str, float]
    """Cosine of each other task's gradient with the reference's, in [-1, 1]; below 0 is conflict
    (Yu et al. 2020, "Gradient surgery", definition 1). Tasks without a gradient are left out."""


def compare(losses: Mapping[str, torch.Tensor], shared: Sequence[nn.Parameter]) -> Gradients:
    """Return norms and cosines of the gradients of losses on shared parameters.

    Args:
        losses: scalars by task.
        shared: parameters.
    """
    found = {name: _gradient(loss, shared) for name, loss in losses.items()}
    norms = {name: float(vector.norm()) for name, vector in found.items()}
    reference = next((name for name in REFERENCES if norms.get(name, 0.0) > 0.0), None)
    cosines: dict[str, float] = {}
    if reference is not None:
        towards = found[reference] / norms[reference]
        for name, vector in found.items():
            if name != reference and norms[name] > 0.0:
                cosine = float(vector @ towards) / norms[name]
                cosines[name] = min(max(cosine, -1.0), 1.0)
    return Gradients(norms, reference, cosines)


def _gradient(loss: torch.Tensor, shared: Sequence[nn.Parameter]) -> torch.Tensor:
    """Return the gradient as one vector, 0 where nothing depends on a parameter."""
    size = sum(parameter.numel() for parameter in shared)
    if not loss.requires_grad:
        return torch.zeros(size)
    parts = torch.autograd.grad(loss, list(shared), retain_graph=True, allow_unused=True)
    filled = [
        torch.zeros(parameter.numel()) if part is None else part.flatten()
        for part, parameter in zip(parts, shared, strict=True)
    ]
    return torch.cat(filled)
