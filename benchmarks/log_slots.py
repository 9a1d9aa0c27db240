"""Shares a step's reward out over the slots that earned it.

Estimators for slates need a reward per slot. What is paid per item taken goes to its slot; what
is paid for the slate as a whole, or because the user stays or leaves, goes to the last slot: its
weight in the cascade estimators is that of the whole slate, so there nothing is lost.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from slategym.benchmarks.log_schema import AnyArray, FloatArray
from slategym.envs.vector import SlateVectorEnv

# Terms of the reward that are paid per item, and the sign of their signal.
_PER_ITEM = {"click": 1, "watch": 1, "minutes": 1, "rating": 1, "like": 1, "share": 1}
_PER_ITEM |= {"cart": 1, "purchase": 1, "skip": -1}


def slot_rewards(
    env: SlateVectorEnv, items: AnyArray, reward: FloatArray, info: Mapping[str, Any]
) -> FloatArray:
    """Return the share of each slot ``(B, K)`` in the reward ``(B,)`` of a step.

    Args:
        env: whose step it was.
        items: shown ``(B, K)``.
        reward: of the step.
        info: of the step.
    """
    signals = {
        k: np.asarray(v, np.float64).reshape(items.shape) for k, v in info["response"].items()
    }
    if env.variant.family != "world":
        return _with_rest(_by_click(signals["click"], reward), reward)
    weights, shares = env.variant.parameters, np.zeros(items.shape)
    for term, sign in _PER_ITEM.items():
        weight = float(weights.get(f"{term}_weight", 0.0))
        if weight != 0.0 and term in signals:
            shares += weight * sign * signals[term]
    revenue = info["reward_terms"].get("revenue")
    if revenue is not None and "purchase" in signals:
        shares += _by_price(env, items, signals["purchase"], np.asarray(revenue, np.float64))
    return _with_rest(shares, reward)


def _by_click(click: FloatArray, reward: FloatArray) -> FloatArray:
    """Return the reward at the document clicked: a classic pays for nothing else."""
    total = click.sum(1, keepdims=True)
    return np.divide(click * reward[:, None], total, out=np.zeros_like(click), where=total > 0)


def _by_price(
    env: SlateVectorEnv, items: AnyArray, bought: FloatArray, revenue: FloatArray
) -> FloatArray:
    """Return revenue shared out over what was bought, in proportion to its price."""
    prices = env.world.item_price
    price = np.ones(items.shape) if prices is None else np.asarray(prices, np.float64)[items]
    paid = bought * price
    total = paid.sum(1, keepdims=True)
    return np.divide(paid * revenue[:, None], total, out=np.zeros_like(paid), where=total > 0)


def _with_rest(shares: FloatArray, reward: FloatArray) -> FloatArray:
    """Return the shares with what they leave of the reward in the last slot."""
    shares[:, -1] += reward - shares.sum(1)
    return shares
