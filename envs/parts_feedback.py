"""What the user gives back for each item taken."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtr

from slategym.envs import rng
from slategym.envs.arrays import BoolArray, DoubleArray
from slategym.envs.part import number, register_part
from slategym.envs.parts_change import Needs
from slategym.envs.parts_choice import Numbers, logistic
from slategym.envs.parts_hooks import HookedPart

if TYPE_CHECKING:
    from slategym.envs.reference_scene import Scene


@dataclass(frozen=True)
class Feedback(HookedPart):
    """A signal about an item taken; zero for every other item of the slate."""

    slot = "feedback"

    def give(self, scene: "Scene") -> DoubleArray:
        """Return (B, K) the signal of the part's name, were each item taken.

        The step sets it to zero where ``scene.click`` is False.
        """
        raise NotImplementedError

    def expected(self, scene: "Scene") -> DoubleArray:
        """Return (B, N) the mean of `give` for ``scene.items``; it is told to oracles only."""
        return np.zeros(scene.items.shape)


def mean_logistic(x: Numbers, spread: float) -> DoubleArray:
    """Return the mean of logistic(x + spread N(0, 1)), by the probit approximation.

    MacKay (1992), "The evidence framework applied to classification networks", eq. 12.
    """
    return logistic(x / math.sqrt(1.0 + math.pi * spread * spread / 8.0))


@register_part
@dataclass(frozen=True)
class Watch(Feedback):
    """Watched fraction, in [0, 1], and minutes (or read, or listened to).

    ``watch = logistic(watch_intercept + watch_scale * taste - watch_satiation * fatigue
    - watch_clickbait * (clickbait - 1/2) + watch_noise * N(0, 1))`` in [0, 1], ``minutes =
    watch * duration``. Fatigue is that of `Satiation`, 0 without it; clickbait in [0, 1] is
    attraction beyond worth, see `slategym.envs.traits`.
    """

    name = "watch"
    watch_scale: float = number(0.7, 0.0, 20.0, "slope of the watch fraction over taste")
    watch_intercept: float = number(0.5, -20.0, 20.0, "logit of the fraction at taste zero")
    watch_satiation: float = number(0.6, 0.0, 50.0, "logit lost per unit of fatigue")
    watch_clickbait: float = number(0.0, 0.0, 50.0, "logit lost from clickbait 0 to 1")
    watch_noise: float = number(0.5, 0.0, 10.0, "standard deviation of the fraction's logit")

    def watch(
        self, taste: Numbers, fatigue: Numbers, clickbait: Numbers, noise: DoubleArray
    ) -> DoubleArray:
        """Return watched fractions; all arguments have one shape."""
        return logistic(self.logit(taste, fatigue, clickbait) + self.watch_noise * noise)

    def logit(self, taste: Numbers, fatigue: Numbers, clickbait: Numbers) -> DoubleArray:
        """Return the logit of the fraction before its noise."""
        logit = self.watch_intercept + self.watch_scale * taste - self.watch_satiation * fatigue
        return np.asarray(logit - self.watch_clickbait * (clickbait - 0.5))

    def give(self, scene: "Scene") -> DoubleArray:
        """Return the watched fraction, and leave ``minutes`` in the scene."""
        noise = scene.normal(rng.WATCH, scene.items)
        watch = self.watch(scene.taste, scene.fatigue, scene.clickbait, noise)
        scene.signals["minutes"] = watch * scene.duration * scene.click
        return watch

    def expected(self, scene: "Scene") -> DoubleArray:
        """Return the mean fraction, and leave the mean ``minutes`` in the scene."""
        logit = self.logit(scene.taste, scene.fatigue, scene.clickbait)
        watch = mean_logistic(logit, self.watch_noise)
        scene.signals["minutes"] = watch * scene.duration
        return watch


@register_part
@dataclass(frozen=True)
class Rating(Feedback):
    """Rating in [0, 1].

    ``rating = clip((value - rating_satiation * fatigue + rating_noise * N(0, 1) - low)
    / (high - low), 0, 1)`` with the rating model's predicted value and the log's scale.
    """

    name = "rating"
    rating_satiation: float = number(0.2, 0.0, 10.0, "value lost per unit of fatigue")
    rating_noise: float = number(0.5, 0.0, 10.0, "standard deviation, on the log's scale")

    def rating(
        self, value: Numbers, fatigue: Numbers, noise: DoubleArray, low: float, high: float
    ) -> DoubleArray:
        """Return ratings in [0, 1]."""
        raw = value - self.rating_satiation * fatigue + self.rating_noise * noise
        return np.asarray(np.clip((raw - low) / (high - low), 0.0, 1.0))

    def give(self, scene: "Scene") -> DoubleArray:
        """Return the rating."""
        noise, info = scene.normal(rng.RATING, scene.items), scene.world.info
        return self.rating(scene.value, scene.fatigue, noise, info.value_low, info.value_high)

    def expected(self, scene: "Scene") -> DoubleArray:
        """Return the rating without noise (its mean but for the cut at 0 and 1)."""
        info, still = scene.world.info, np.zeros(scene.items.shape)
        return self.rating(scene.value, scene.fatigue, still, info.value_low, info.value_high)


@register_part
@dataclass(frozen=True)
class Like(Feedback):
    """A like.

    Bernoulli with probability ``logistic(like_intercept + like_scale * taste - like_clickbait *
    c)``; c is the item's clickbait in [0, 1]: what lured is liked less.
    """

    name = "like"
    like_intercept: float = number(-1.0, -20.0, 20.0, "logit of a like at taste zero")
    like_scale: float = number(1.0, 0.0, 20.0, "slope over taste")
    like_clickbait: float = number(1.0, 0.0, 50.0, "logit lost from clickbait 0 to 1")

    def probability(self, taste: Numbers, clickbait: Numbers) -> DoubleArray:
        """Return the probability of a like."""
        return logistic(
            self.like_intercept + self.like_scale * taste - self.like_clickbait * clickbait
        )

    def give(self, scene: "Scene") -> DoubleArray:
        """Return 1 for a like."""
        return np.asarray(scene.uniform(rng.LIKE, scene.items) < self.expected(scene), np.float64)

    def expected(self, scene: "Scene") -> DoubleArray:
        """Return the probability of a like."""
        return self.probability(scene.taste, scene.clickbait)


@register_part
@dataclass(frozen=True)
class Skip(Feedback):
    """A skip: the item was taken, and left early.

    It is one if ``watch < skip_below``; without `Watch` nothing is watched.
    """

    name = "skip"
    skip_below: float = number(0.25, 0.0, 1.0, "watched fraction under which it is a skip")

    def give(self, scene: "Scene") -> DoubleArray:
        """Return 1 for a skip."""
        return np.asarray(scene.signal("watch") < self.skip_below, np.float64)

    def expected(self, scene: "Scene") -> DoubleArray:
        """Return the probability that the watched fraction stays below."""
        watch = scene.find("watch")
        if not isinstance(watch, Watch) or not 0.0 < self.skip_below < 1.0:
            return np.full(scene.items.shape, float(self.skip_below > 0.0))
        edge = math.log(self.skip_below / (1.0 - self.skip_below))
        short = edge - watch.logit(scene.taste, scene.fatigue, scene.clickbait)
        if watch.watch_noise == 0.0:
            return np.asarray(short > 0.0, np.float64)
        return np.asarray(ndtr(short / watch.watch_noise))


@register_part
@dataclass(frozen=True)
class Share(Feedback):
    """A share.

    Bernoulli with probability ``share_rate * watch`` for an item taken.
    """

    name = "share"
    share_rate: float = number(0.1, 0.0, 1.0, "probability at a fully watched item")

    def give(self, scene: "Scene") -> DoubleArray:
        """Return 1 for a share."""
        return np.asarray(scene.uniform(rng.SHARE, scene.items) < self.expected(scene), np.float64)

    def expected(self, scene: "Scene") -> DoubleArray:
        """Return the probability of a share."""
        return self.share_rate * scene.signal("watch")


@register_part
@dataclass(frozen=True)
class Purchase(Feedback):
    """View, cart, purchase: what is viewed may be put in the cart, and then be bought.

    ``P(cart) = logistic(cart_intercept + cart_scale * taste + need_pull * need
    - price_weight * ln(price / reference))`` and, once in the cart, bought with
    ``P = logistic(buy_intercept + buy_scale * taste - price_weight * ln(price / left))`` if the
    price is at most ``left``, the money left; several items taken are considered in the order of
    the slate. The reference is the catalogue's median price.
    ``need`` is that of `Needs` for the item's topics, 0 without it. The money of a visit is
    ``wallet_median * reference * exp(wallet_spread * N(0, 1))``; what is left carries over to the
    next visit. A funnel of conditional logits (as in Moe and Fader 2004, eq. 2).
    """

    name = "purchase"
    cart_intercept: float = number(-0.5, -20.0, 20.0, "logit of a cart at taste and need zero")
    cart_scale: float = number(0.6, 0.0, 20.0, "slope over taste")
    buy_intercept: float = number(0.0, -20.0, 20.0, "logit of buying what is in the cart")
    buy_scale: float = number(0.4, 0.0, 20.0, "slope over taste")
    need_pull: float = number(2.0, 0.0, 20.0, "logit per unit of need")
    price_weight: float = number(0.8, 0.0, 20.0, "logit lost per e-fold of price")
    wallet_median: float = number(4.0, 1e-3, 1e6, "median money of a visit, in median prices")
    wallet_spread: float = number(0.5, 0.0, 5.0, "standard deviation of its logarithm")

    def cart(self, taste: Numbers, need: Numbers, log_price: Numbers) -> DoubleArray:
        """Return the probability of a cart; ``log_price`` is ln(price / reference)."""
        logit = self.cart_intercept + self.cart_scale * taste + self.need_pull * need
        return logistic(logit - self.price_weight * log_price)

    def buy(self, taste: Numbers, price: Numbers, left: Numbers) -> DoubleArray:
        """Return the probability that what is in the cart is bought."""
        able = (left > 0) & (price <= left)
        ratio = np.log(np.where(able, price / np.where(able, left, 1.0), 1.0))
        logit = self.buy_intercept + self.buy_scale * taste - self.price_weight * ratio
        return np.where(able, logistic(logit), 0.0)

    def visit(self, scene: "Scene", rows: BoolArray) -> None:
        """Add the money of a visit."""
        state, noise = scene.state, self.wallet_spread * scene.normal(rng.WALLET, 0)
        more = state.money.astype(np.float64) + self.wallet_median * np.exp(noise)
        state.money[rows] = more[rows]

    def give(self, scene: "Scene") -> DoubleArray:
        """Return 1 for a purchase, and leave ``cart`` in the scene; spend the money."""
        state, needs = scene.state, scene.find("needs")
        cart, bought = np.zeros(scene.items.shape), np.zeros(scene.items.shape)
        luck, fate = scene.uniform(rng.CART, scene.items), scene.uniform(rng.BUY, scene.items)
        for k in range(scene.items.shape[1]):
            taste, price = scene.taste[:, k], scene.price[:, k]
            wish = self.cart(taste, scene.need()[:, k], np.log(price))
            left = state.money.astype(np.float64)
            cart[:, k] = scene.click[:, k] & (luck[:, k] < wish)
            bought[:, k] = (cart[:, k] > 0) & (fate[:, k] < self.buy(taste, price, left))
            rows = bought[:, k] > 0
            state.money[rows] = (left - price)[rows]
            state.spent[rows] = (state.spent.astype(np.float64) + price)[rows]
            if isinstance(needs, Needs):
                needs.fulfil(scene, k, rows)
        scene.signals["cart"] = cart
        return bought

    def expected(self, scene: "Scene") -> DoubleArray:
        """Return the probability of a purchase, and leave that of ``cart`` in the scene."""
        cart = self.cart(scene.taste, scene.need(), np.log(scene.price))
        scene.signals["cart"] = cart
        left = np.broadcast_to(scene.state.money.astype(np.float64)[:, None], cart.shape)
        return cart * self.buy(scene.taste, scene.price, left)
