"""What one forward pass of the slate policy computed, and the node that joins losses to it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from slategym.agents.embeddings import CandidateItems


@dataclass(frozen=True)
class Core:
    """The shared representation and what was read from it."""

    state: torch.Tensor  # (B, W) trunk output h
    items: CandidateItems  # (B, C) candidate embeddings z
    scores: torch.Tensor  # (B, C) natural-log odds of the Plackett-Luce slate
    value: torch.Tensor  # (B, 1)
    response: torch.Tensor | None  # (B, C, 2) predicted click logit and centred rating
    # Makes the response of positions (B, K) with a gradient; that of all candidates has none.
    respond: Callable[[torch.Tensor], torch.Tensor] | None = None

    def shown(self, actions: torch.Tensor) -> "Core":
        """Return the same pass restricted to the slate ``(B, K)``: C becomes K."""
        actions = actions.long()
        response = self.response
        if self.respond is not None:
            response = self.respond(actions)
        elif response is not None:
            response = response.gather(1, actions[..., None].expand(-1, -1, 2))
        return Core(
            state=self.state,
            items=self.items.at(actions),
            scores=self.scores.gather(1, actions),
            value=self.value,
            response=response,
        )


class _Join(torch.autograd.Function):
    """Identity on the first argument that sends a gradient of exactly one into the second."""

    @staticmethod
    def forward(ctx: Any, output: torch.Tensor, loss: torch.Tensor) -> torch.Tensor:  # noqa: ANN401
        ctx.save_for_backward(loss)
        return output.view_as(output)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:  # noqa: ANN401
        (loss,) = ctx.saved_tensors
        return gradient, torch.ones_like(loss)


def join(output: torch.Tensor, loss: torch.Tensor) -> torch.Tensor:
    """Return ``output`` unchanged, such that its backward pass also minimises ``loss``.

    ``backward()`` of any loss computed from the result adds the gradient of ``loss`` with weight
    one, whatever that loss does with the output: one graph, one clip, one optimiser step, and no
    copy of the algorithm's ``train()``.

    Args:
        output: a tensor that the algorithm's loss depends on, such as the value ``(B, 1)``.
        loss: a scalar.
    """
    return _Join.apply(output, loss)
