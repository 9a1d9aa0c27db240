"""What a step is worth: a weighted sum of terms, reported separately."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from slategym.envs.arrays import DoubleArray
from slategym.envs.part import number, register_part
from slategym.envs.parts_hooks import HookedPart

if TYPE_CHECKING:
    from slategym.envs.reference_scene import Scene

# The order of the rows of `slategym.envs.state.Response.terms`.
REWARD_TERMS = (
    "click", "watch", "minutes", "rating", "leave", "diversity", "like", "skip", "share", "cart",
    "purchase", "revenue", "returned", "away", "churn", "content", "variety", "creators",
)  # fmt: skip
"""Names of the terms; the weight of each is ``<name>_weight``."""
ALWAYS_REPORTED = REWARD_TERMS[:6]
"""Terms that every variant reports; the others are reported where their weight is not 0."""


def gini_simpson(shares: DoubleArray) -> DoubleArray:
    """Return ``1 - sum_z m_z^2`` of shares (B, Z) (Simpson 1949)."""
    return np.asarray(1.0 - (shares * shares).sum(axis=1))


@register_part
@dataclass(frozen=True)
class Reward(HookedPart):
    """A weighted sum; a term whose part is absent is zero.

    ``reward = sum_t weight_t * term_t``. Paid per item taken: ``click``, ``watch`` in [0, 1],
    ``minutes``, ``rating`` in [0, 1], ``like``, ``share``, ``cart``, ``purchase``, ``revenue``
    (price / median price), and ``skip`` (-1). Paid per slate: ``diversity``, the Gini-Simpson
    index ``1 - sum_z m_z^2`` of its mean topics m (Simpson 1949; an item without topics counts as
    unlike every item, and a slate of empty slots is worth 0), and ``creators`` (-1 for each
    creator who leaves). Paid late, in the step that ends a session: ``leave`` (-1 if patience ran
    out), ``content`` (the satisfaction S), ``variety`` (the Gini-Simpson index of what was
    consumed lately, exposure decaying by .85 per step), ``returned`` (1 if the user will return),
    ``away`` (-1 per day away), ``churn`` (-1 if never).
    """

    name = "reward"
    slot = "reward"
    click_weight: float = number(0.0, -1e6, 1e6, "per click")
    watch_weight: float = number(1.0, -1e6, 1e6, "per fully watched item")
    minutes_weight: float = number(0.0, -1e6, 1e6, "per minute")
    rating_weight: float = number(0.0, -1e6, 1e6, "per rating of 1")
    leave_weight: float = number(0.0, -1e6, 1e6, "lost when patience runs out")
    diversity_weight: float = number(0.0, -1e6, 1e6, "per unit of slate diversity")
    like_weight: float = number(0.0, -1e6, 1e6, "per like")
    skip_weight: float = number(0.0, -1e6, 1e6, "lost per skip")
    share_weight: float = number(0.0, -1e6, 1e6, "per share")
    cart_weight: float = number(0.0, -1e6, 1e6, "per item put in the cart")
    purchase_weight: float = number(0.0, -1e6, 1e6, "per purchase")
    revenue_weight: float = number(0.0, -1e6, 1e6, "per median price of revenue")
    returned_weight: float = number(0.0, -1e6, 1e6, "per return")
    away_weight: float = number(0.0, -1e6, 1e6, "lost per day away")
    churn_weight: float = number(0.0, -1e6, 1e6, "lost when the user never returns")
    content_weight: float = number(0.0, -1e6, 1e6, "per unit of satisfaction at a session's end")
    variety_weight: float = number(0.0, -1e6, 1e6, "per unit of session variety at its end")
    creators_weight: float = number(0.0, -1e6, 1e6, "lost per creator who leaves")

    @property
    def weights(self) -> tuple[float, ...]:
        """Weights in the order of `REWARD_TERMS`."""
        return tuple(float(getattr(self, f"{term}_weight")) for term in REWARD_TERMS)

    def settle(self, scene: "Scene") -> dict[str, DoubleArray]:
        """Return the weighted terms (B,) of a step that are reported; the reward is their sum."""
        paid = {name: each.sum(axis=1) for name, each in self.per_item(scene).items()}
        something = scene.filled.any(axis=1)
        paid |= {"diversity": gini_simpson(scene.shown) * something}
        paid |= {"creators": -scene.creators_lost}
        paid |= self.late(scene)
        weights = dict(zip(REWARD_TERMS, self.weights, strict=True))
        told = [name for name in REWARD_TERMS if name in ALWAYS_REPORTED or weights[name] != 0.0]
        return {name: weights[name] * paid[name] for name in told}

    def per_item(self, scene: "Scene") -> dict[str, DoubleArray]:
        """Return the terms (B, N) paid per item taken, without their weights."""
        signals = {"click": scene.click.astype(np.float64)}
        names = ("watch", "minutes", "rating", "like", "share", "cart", "purchase")
        signals |= {name: scene.signal(name) for name in names}
        signals["skip"] = -scene.signal("skip")
        return signals | {"revenue": scene.signal("purchase") * scene.price}

    def late(self, scene: "Scene") -> dict[str, DoubleArray]:
        """Return the terms (B,) paid where a session ends, without their weights."""
        over = scene.over.astype(np.float64)
        consumed = scene.state.consumed.astype(np.float64)
        total = consumed.sum(axis=1, keepdims=True)
        variety = gini_simpson(consumed / np.where(total > 0, total, 1.0)) * (total[:, 0] > 0)
        return {
            "leave": -scene.bored.astype(np.float64),
            "content": over * scene.satisfaction(),
            "variety": over * variety,
            "returned": scene.back.astype(np.float64),
            "away": -scene.gap,
            "churn": -scene.never.astype(np.float64),
        }

    def worth(self, scene: "Scene") -> DoubleArray:
        """Return (B, N) what taking an item is worth, where the signals are their means."""
        each, weights = self.per_item(scene), dict(zip(REWARD_TERMS, self.weights, strict=True))
        return np.asarray(sum(weights[name] * value for name, value in each.items()))
