"""What an item does to a user beyond this step, as numbers a planner can weigh."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slategym.agents.assortment import FloatArray
from slategym.agents.policy import Observation
from slategym.envs.traits import clickbait, prices
from slategym.envs.variant import Variant
from slategym.envs.world import World

# Part whose presence makes a feature of an item TAKEN worth weighing; "" always.
_TAKEN = {
    "click": "", "taste": "", "tired": "satiation", "load": "satiation", "edge": "boredom",
    "bored": "boredom", "bait": "satisfaction", "credit": "satisfaction", "minutes": "budget",
    "skip": "skip", "plays": "familiarity", "sow": "familiarity", "fresh": "ageing",
    "price": "purchase", "need": "needs",
}  # fmt: skip
# The same for one SHOWN, taken or not.
_SHOWN = {"tired": "satiation", "load": "satiation"}


class IndexFeatures:
    """Features of candidates under the true state, each of the order of one.

    ``click`` 1; ``taste`` the click logit; ``tired`` the fatigue; ``load`` how much of the
    attraction of the candidates lies in the item's topics: what tiring of them would cost;
    ``edge`` the share of the item's topics that one more such item would make boring; ``bored``
    the share that is boring; ``bait`` clickbait - 1/2; ``credit`` what taking it adds to the
    exposure that satisfaction follows; ``minutes`` expected minutes in median durations; ``skip``
    the probability of a skip; ``plays`` recency-weighted plays so far; ``sow`` taste (at least 0)
    of an item not played lately; ``fresh`` freshness; ``price`` ln(price / median); ``need`` the
    need of its topics. Weights of items shown but not taken have the prefix ``shown_``. A weight
    is in rewards of a middling item, so that it means the same over films and over clips.

    Args:
        world: its items.
        variant: only features that its parts make meaningful are there.
    """

    def __init__(self, world: World, variant: Variant) -> None:
        self.world, self.variant = world, variant
        self.names = tuple(n for n, part in _TAKEN.items() if not part or variant.find(part))
        self.shown = tuple(n for n, part in _SHOWN.items() if variant.find(part))
        self.weights = (*self.names, *(f"shown_{name}" for name in self.shown))
        self._topics = np.asarray(world.item_topics, np.float64)
        self._bait = clickbait(world).astype(np.float64)
        self._log_price = np.log(prices(world).astype(np.float64))
        duration = np.asarray(world.item_duration, np.float64)
        self._median = max(float(np.median(duration)), 1e-9)
        self._duration = duration / self._median
        self.unit = _unit(variant, self._median)

    def indices(
        self, observation: Observation, vector: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Return what the index adds to each candidate's gain (B, C), and its cost shown (B, C).

        Args:
            observation: with ``privileged_`` entries.
            vector: (W,) or (B, W) weights in the order of `weights`.
        """
        state = _Read(self, observation)
        rows = self.unit * np.atleast_2d(vector)
        gain, cost = np.zeros(state.taste.shape), np.zeros(state.taste.shape)
        for place, name in enumerate(self.weights):
            weight = rows[:, place : place + 1]
            if not weight.any():
                continue
            if place < len(self.names):
                gain += weight * state(name)
            else:
                cost += weight * state(name.removeprefix("shown_"))
        return gain, cost


class _Read:
    """One observation, from which features are computed when they are asked for."""

    def __init__(self, of: IndexFeatures, observation: Observation) -> None:
        self.of, self.seen = of, observation
        self.items = observation["candidates"]
        self.taste = self._told("click_logit") * self._number("taste", "taste_scale")
        self.topics = of._topics[self.items]  # noqa: SLF001
        self._made: dict[str, FloatArray] = {}

    def __call__(self, name: str) -> FloatArray:
        """Return a feature (B, C), made once."""
        if name not in self._made:
            self._made[name] = self._make(name)
        return self._made[name]

    def _make(self, name: str) -> FloatArray:
        known: dict[str, Callable[[], FloatArray]] = {
            "click": lambda: np.ones(self.taste.shape),
            "taste": lambda: self.taste,
            "tired": lambda: self._along("satiation"),
            "load": self._load,
            "edge": self._edge,
            "bored": lambda: self._along("bored"),
            "bait": lambda: self.of._bait[self.items] - 0.5,  # noqa: SLF001
            "credit": self._credit,
            "watch": self._watch,
            "minutes": lambda: self("watch") * self.of._duration[self.items],  # noqa: SLF001
            "logit": self._logit,
            "skip": self._skip,
            "plays": self._plays,
            "sow": lambda: np.maximum(self.taste, 0.0) * (self("plays") < 0.3),
            "fresh": lambda: self._trait("freshness"),
            "price": lambda: self.of._log_price[self.items],  # noqa: SLF001
            "need": lambda: self._along("need"),
        }
        return known[name]()

    def _told(self, name: str) -> FloatArray:
        return np.asarray(self.seen[f"privileged_{name}"], np.float64)

    def _number(self, part: str, name: str) -> float:
        found = self.of.variant.find(part)
        return 0.0 if found is None else float(getattr(found, name))

    def _along(self, name: str) -> FloatArray:
        """Return ``sum_z level_z topic_iz`` (B, C) of a hidden vector (B, Z)."""
        return self._dot(self._told(name))

    def _dot(self, levels: FloatArray) -> FloatArray:
        """Return ``sum_z level_z topic_iz`` (B, C) of levels (B, Z)."""
        return np.asarray((self.topics @ levels[:, :, None])[..., 0])

    def _load(self) -> FloatArray:
        utility = self._told("utility")
        share = np.exp(utility - utility.max(axis=1, keepdims=True))
        share /= share.sum(axis=1, keepdims=True)
        return self._dot((share[:, None] @ self.topics)[:, 0])

    def _edge(self) -> FloatArray:
        level = self._told("satiation") * self._number("satiation", "satiation_decay")
        after = level[:, None] + self._number("satiation", "consume_gain") * self.topics
        over = (after >= self._number("boredom", "bored_at")) & (self._told("bored")[:, None] == 0)
        return np.asarray((over * self.topics).sum(axis=2))

    def _logit(self) -> FloatArray:
        """Return the mean logit of the watched fraction (B, C)."""
        bait = self.of._bait[self.items] - 0.5  # noqa: SLF001
        logit = self._number("watch", "watch_intercept") + (
            self._number("watch", "watch_scale") * self.taste
        )
        logit = logit - self._number("watch", "watch_clickbait") * bait
        if "tired" in self.of.names:
            logit = logit - self._number("watch", "watch_satiation") * self("tired")
        return np.asarray(logit)

    def _watch(self) -> FloatArray:
        spread = self._number("watch", "watch_noise")
        return _logistic(self("logit") / np.sqrt(1.0 + np.pi * spread**2 / 8.0))

    def _credit(self) -> FloatArray:
        part: Any = self.of.variant.find("satisfaction")
        return np.asarray(part.credit(self("watch"), self.of._bait[self.items]))  # noqa: SLF001

    def _skip(self) -> FloatArray:
        edge = np.clip(self._number("skip", "skip_below"), 1e-9, 1 - 1e-9)
        below = np.log(edge / (1 - edge)) - self("logit")
        # The normal distribution function within .02, by the logistic one (Bowling et al. 2009).
        return _logistic(1.702 * below / max(self._number("watch", "watch_noise"), 1e-6))

    def _plays(self) -> FloatArray:
        recency = self.seen["history_feedback"][..., 2]  # (B, H)
        same = self.seen["history"][:, None, :] == self.items[:, :, None]  # (B, C, H)
        return np.asarray((same @ recency[:, :, None])[..., 0], np.float64)

    def _trait(self, name: str) -> FloatArray:
        from slategym.envs.spaces import trait_names

        column = trait_names(self.of.variant).index(name)
        return np.asarray(self.seen["candidate_traits"][..., column], np.float64)


def _unit(variant: Variant, minutes: float) -> float:
    """Return the reward of an item of median price and duration (minutes), half consumed."""
    weight = variant.parameters
    halves = ("watch", "rating", "like", "purchase", "revenue")
    total = sum(0.5 * abs(weight[f"{term}_weight"]) for term in halves)
    total += abs(weight["click_weight"]) + 0.5 * minutes * abs(weight["minutes_weight"])
    return float(total) or 1.0


def _logistic(x: NDArray[Any]) -> FloatArray:
    return 1.0 / (1.0 + np.exp(-np.asarray(x, np.float64)))
