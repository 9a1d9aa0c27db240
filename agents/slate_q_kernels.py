"""Slates under a choice model: what they are worth, and which is worth most.

A user takes item i of slate A with probability ``v_i / (v_0 + sum_A v)`` (conditional logit) and
nothing with the rest, so that the slate is worth (Ie et al. 2019, "SlateQ")

    Q(s, A) = (v_0 Q_0 + sum_{i in A} v_i Q_i) / (v_0 + sum_{i in A} v_i).
"""

from typing import Literal, NamedTuple

import torch

Optimiser = Literal["exact", "greedy", "topk"]
OPTIMISERS = ("exact", "greedy", "topk")

# Dinkelbach's ratio grows until the slate stays: a handful of rounds, one more than enough here.
_ROUNDS = 12


class Worth(NamedTuple):
    """What choosing among candidates is worth.

    Attributes:
        weight: v, ``(B, C)`` choice weights.
        nothing: v_0, ``(B, 1)`` the weight of taking nothing.
        quality: Q_i, ``(B, C)`` value of each item when taken.
        idle: Q_0, ``(B, 1)`` value of taking nothing.
    """

    weight: torch.Tensor
    nothing: torch.Tensor
    quality: torch.Tensor
    idle: torch.Tensor

    @classmethod
    def of(cls, choice: torch.Tensor, quality: torch.Tensor, idle: torch.Tensor) -> "Worth":
        """Return it for choice logits ``(B, C)`` against 0 for nothing, free of overflow."""
        top = choice.amax(-1, keepdim=True).clamp_min(0.0)
        return cls(torch.exp(choice - top), torch.exp(-top), quality, idle)

    def slate_value(self, slate: torch.Tensor) -> torch.Tensor:
        """Return what slates of positions ``(B, K)`` are worth ``(B, 1)``."""
        weight, quality = self.weight.gather(1, slate), self.quality.gather(1, slate)
        total = self.nothing * self.idle + (weight * quality).sum(-1, keepdim=True)
        return total / (self.nothing + weight.sum(-1, keepdim=True))


def best_slate(worth: Worth, size: int, optimiser: Optimiser) -> torch.Tensor:
    """Return slates ``(B, K)`` of distinct positions, the strongest item first.

    Args:
        worth: what choosing is worth.
        size: K.
        optimiser: "exact": the slate of greatest value, which is also the optimum of the linear
            program of Ie et al.; "greedy": one item after the other, each the one
            that adds most; "topk": the largest ``v_i Q_i``.
    """
    if optimiser == "greedy":
        return _greedy(worth, size)
    return slate_keys(worth, size, optimiser).topk(size, dim=-1).indices


def slate_keys(worth: Worth, size: int, optimiser: Optimiser) -> torch.Tensor:
    """Return numbers ``(B, C)`` whose K largest are the slate of an optimiser, best first.

    For "exact" they are ``v_i (Q_i - L)``, L the value of the best slate (Dinkelbach 1967, "On
    nonlinear fractional programming": at the best ratio L the numerator minus L times the
    denominator is 0 and greatest, and it is a sum over items).
    """
    if optimiser == "greedy":
        slate = _greedy(worth, size)
        keys = worth.weight * worth.quality
        keys = keys - keys.amax(-1, keepdim=True) - 1.0  # below every item of the slate
        place = torch.arange(size, 0, -1, dtype=keys.dtype).expand(len(keys), -1)
        return keys.scatter(1, slate, place)
    if optimiser == "topk":
        return worth.weight * worth.quality
    level = worth.idle
    slate = (worth.weight * (worth.quality - level)).topk(size, dim=-1).indices
    for _ in range(_ROUNDS):
        level = worth.slate_value(slate)
        found = (worth.weight * (worth.quality - level)).topk(size, dim=-1).indices
        if torch.equal(found, slate):
            break
        slate = found
    return worth.weight * (worth.quality - level)


def _greedy(worth: Worth, size: int) -> torch.Tensor:
    """Return slates filled slot by slot (Ie et al. 2019)."""
    total, mass = worth.nothing * worth.idle, worth.nothing
    gain = worth.weight * worth.quality
    taken = torch.zeros_like(worth.weight, dtype=torch.bool)
    slots = []
    for _ in range(size):
        value = (total + gain) / (mass + worth.weight)
        chosen = value.masked_fill(taken, -torch.inf).argmax(-1, keepdim=True)
        taken = taken.scatter(1, chosen, True)
        total, mass = total + gain.gather(1, chosen), mass + worth.weight.gather(1, chosen)
        slots.append(chosen)
    return torch.cat(slots, -1)
