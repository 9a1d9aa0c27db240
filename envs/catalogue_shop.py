"""A shop: view, cart and purchase, under a need, a budget, and trust that hype uses up."""

from slategym.envs.parts import (
    LogitChoice,
    Needs,
    Patience,
    Purchase,
    RetrievedCandidates,
    Returning,
    Reward,
    Satiation,
    Satisfaction,
    TasteResponse,
    Watch,
)
from slategym.envs.registry import register_variant
from slategym.envs.variant import Variant

SHOP = Variant(
    id="slategym/Shop-v0",
    description="A shop over two months: view, cart, purchase; a need per visit, a budget, and "
    "customers who return to a shop they trust.",
    slate_size=5,
    num_candidates=20,
    horizon=300,
    parts=(
        # A first stage that knows customers a little, and does not read their query.
        RetrievedCandidates(tries=3.0, explore=0.3),
        TasteResponse(),
        LogitChoice(),
        # The share of a product page that is looked at: the dwell of an item viewed.
        Watch(watch_clickbait=1.0, watch_satiation=0.0),
        # At taste and need zero, and the median price, one view in five fills the cart; with a full
        # wallet about half of what is in the cart is paid.
        Purchase(
            cart_intercept=-1.5,
            cart_scale=0.6,
            buy_intercept=-1.0,
            buy_scale=0.4,
            need_pull=2.0,
            price_weight=0.8,
            wallet_median=5.0,
            wallet_spread=0.5,
        ),
        Needs(
            need_weight=2.0,
            need_base=0.2,
            need_fulfilled=0.9,
            owned_penalty=6.0,
            search_rate=0.5,
        ),
        # Browsing tires: a visit is a handful of pages, whatever is on them.
        Satiation(satiation_weight=0.3, satiation_decay=0.95, consume_gain=0.4, expose_gain=0.2),
        Patience(
            patience=3.0,
            patience_cap=3.0,
            patience_gain=0.0,
            patience_loss=1.0,
            boredom=1.0,
            boredom_threshold=0.5,
        ),
        # Clickbait is hype here: much bought and little liked draws views, and costs trust.
        Satisfaction(
            clickbait_pull=2.5,
            clickbait_debt=2.0,
            watch_credit=1.0,
            watch_expected=0.75,
            satisfaction_memory=0.97,
            satisfaction_sensitivity=0.5,
            satisfaction_weight=0.3,
        ),
        # At S = 1/2 the next visit is a week away and one in twenty is the last.
        Returning(
            days=60.0,
            gap_min=1.0,
            gap_mean=6.0,
            gap_sensitivity=1.5,
            churn_intercept=-3.0,
            churn_sensitivity=2.5,
            rest_per_day=0.3,
        ),
        # Revenue, in median prices.
        Reward(watch_weight=0.0, revenue_weight=1.0),
    ),
)
"""Customers of a shop; a step is a page of products, the reward is revenue."""

register_variant(SHOP)
