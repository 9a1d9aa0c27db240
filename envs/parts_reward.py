"""What a step is worth: a weighted sum of terms, reported separately."""

from dataclasses import dataclass

from slategym.envs.part import Part, number, register_part

# The order of the rows of `slategym.envs.state.Response.terms`.
REWARD_TERMS = (
    "click", "watch", "minutes", "rating", "leave", "diversity", "like", "skip", "share", "cart",
    "purchase", "revenue", "returned", "away", "churn", "content", "variety", "creators",
)  # fmt: skip
"""Names of the terms; the weight of each is ``<name>_weight``."""


@register_part
@dataclass(frozen=True)
class Reward(Part):
    """A weighted sum; a term whose part is absent is zero.

    Paid per item taken: ``click``, ``watch`` in [0, 1], ``minutes``, ``rating`` in [0, 1],
    ``like``, ``share``, ``cart``, ``purchase``, ``revenue`` (price / median price), and
    ``skip`` (-1). Paid per slate: ``diversity``, the Gini-Simpson index ``1 - sum_z m_z^2`` of its
    mean topics m (Simpson 1949; an item without topics counts as unlike every item), and
    ``creators`` (-1 for each creator who leaves). Paid late, in the step that ends a session:
    ``leave`` (-1 if patience ran out), ``content`` (the satisfaction S), ``variety`` (the
    Gini-Simpson index of what was consumed lately, exposure decaying by .85 per step),
    ``returned`` (1 if the user will return), ``away`` (-1 per day away), ``churn`` (-1 if never).
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
