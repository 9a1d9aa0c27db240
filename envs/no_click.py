"""How attractive choosing nothing must be for users to click as often as one wants."""

import numpy as np

from slategym.envs.arrays import DoubleArray

# Logit lost per place down the slate; the default of the choice part, which a test compares.
POSITION_BIAS = 0.1


def calibrate_no_click(logits: DoubleArray, target: float) -> float:
    """Return the no-click logit at which random slates are clicked with probability ``target``.

    Solves ``mean_n S_n / (S_n + exp(x)) = target`` for x by bisection, where
    ``S_n = sum_k exp(logits_nk)`` is the mass of slate n under the multinomial logit.

    Args:
        logits: (N, K) click logits of the items of N random slates.
        target: wanted click probability per slate, in (0, 1).
    """
    top = logits.max()
    mass = np.exp(logits - top).sum(axis=1)
    low, high = -60.0, 60.0
    for _ in range(80):
        middle = 0.5 * (low + high)
        clicked = float(np.mean(mass / (mass + np.exp(middle))))
        low, high = (middle, high) if clicked > target else (low, middle)
    return float(0.5 * (low + high) + top)
