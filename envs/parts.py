"""The parts a simulation is composed of; their NumPy methods state what the kernel computes.

Each class holds the parameters of one formula and states it over batched arrays. The compiled
step (`slategym.envs.kernels`) does the same arithmetic per user, and the tests compare the two.
Logits and utilities are natural-log odds; times are minutes.
"""

from dataclasses import dataclass

import numpy as np

from slategym.envs import rng
from slategym.envs.arrays import (
    BoolArray,
    DoubleArray,
    FloatArray,
    IntArray,
    KeyArray,
    LongArray,
)
from slategym.envs.part import Part, choice, number

Numbers = FloatArray | DoubleArray


def logistic(x: Numbers) -> DoubleArray:
    """Return 1 / (1 + exp(-x))."""
    return 1.0 / (1.0 + np.exp(-np.asarray(x, dtype=np.float64)))


@dataclass(frozen=True)
class CandidateSource(Part):
    """Which C distinct items a user may be shown in a step.

    An item is drawn with probability proportional to its weight, again if it is already there:
    weight 1 (uniform) or ``(popularity + popularity_smoothing) ^ popularity_exponent``. After
    64 C attempts (a few items hold almost all weight) the rest is drawn uniformly.
    Candidates do not depend on what was shown before, so two policies meet the same ones.
    """

    candidate_source: str = choice(
        "uniform", ("uniform", "popularity"), "how candidates are drawn from the catalogue"
    )
    popularity_exponent: float = number(1.0, 0.0, 4.0, "0 is uniform, 1 is by count")
    popularity_smoothing: float = number(1.0, 1e-6, 1e9, "count added to every item")

    def weights(self, popularity: FloatArray) -> DoubleArray:
        """Return (I,) probabilities that sum to one."""
        if self.candidate_source == "uniform":
            return np.full(len(popularity), 1.0 / len(popularity))
        raw = popularity.astype(np.float64) + self.popularity_smoothing
        weight: DoubleArray = raw**self.popularity_exponent
        return weight / weight.sum()

    def cumulative(self, popularity: FloatArray) -> DoubleArray:
        """Return (I,) cumulative probabilities, the last one exactly 1; empty if uniform."""
        if self.candidate_source == "uniform":
            return np.zeros(0)
        total = np.cumsum(self.weights(popularity))
        total /= total[-1]
        return total

    def draw(self, at: KeyArray, popularity: FloatArray, count: int) -> IntArray:
        """Return (B, C) distinct item rows for the step keys ``at`` (B,)."""
        cumulative, items = self.cumulative(popularity), len(popularity)
        shown = np.full((len(at), count), -1, dtype=np.int32)
        for row, key in enumerate(at):
            attempt = filled = 0
            if 2 * count > items:
                shown[row] = self._race(key, popularity, count)
                continue
            while filled < count:
                item = _draw_one(key, attempt, cumulative, items, attempt < 64 * count)
                attempt += 1
                if item not in shown[row, :filled]:
                    shown[row, filled] = item
                    filled += 1
        return shown

    def _race(self, key: np.uint64, popularity: FloatArray, count: int) -> LongArray:
        """Return the ``count`` items of a catalogue whose exponential clocks ring first.

        A weighted draw without replacement (Efraimidis and Spirakis 2006): item i rings at
        ``E_i / weight_i``. Used where most of the catalogue is drawn and trying again is slow.
        """
        index = np.arange(len(popularity), dtype=np.uint64)
        bits = rng.bits_of(np.full(len(index), key), np.full_like(index, rng.CANDIDATE), index)
        clocks = rng.exponential_of(bits) / self.weights(popularity)
        return np.argsort(clocks, kind="stable")[:count]


def _draw_one(
    key: np.uint64, attempt: int, cumulative: DoubleArray, items: int, weighted: bool
) -> int:
    """Return the item of one attempt at a candidate."""
    one = np.ones(1, dtype=np.uint64)
    bits = rng.bits_of(key * one, np.uint64(rng.CANDIDATE) * one, np.uint64(attempt) * one)
    if len(cumulative) and weighted:
        return int(np.searchsorted(cumulative, rng.uniform_of(bits)[0], side="right"))
    return int(rng.below_of(bits, items)[0])


@dataclass(frozen=True)
class ResponseModel(Part):
    """How attractive an item is to a user now.

    ``utility_i = taste_scale * click_logit_i - satiation_weight * fatigue_i`` with
    ``fatigue_i = sum_z satiation_z topics_iz``. The click logit comes from the fitted and
    calibrated rating model; the fatigue term is assumed (a linear form of the satiation model
    of Leqi, Kilinc-Karzan, Lipton and Montgomery 2021, "Rebounding bandits", eq. 1).
    """

    taste_scale: float = number(1.0, 0.0, 20.0, "multiplies the click logit")
    satiation_weight: float = number(1.5, 0.0, 50.0, "logit lost per unit of fatigue")

    def fatigue(self, satiation: Numbers, topics: Numbers) -> DoubleArray:
        """Return (B, K) fatigue from satiation (B, Z) and the items' topics (B, K, Z)."""
        product = satiation[:, None, :].astype(np.float64) * topics
        return np.asarray(product.sum(axis=2))

    def utility(self, click_logit: Numbers, fatigue: Numbers) -> DoubleArray:
        """Return (B, K) utilities."""
        return np.asarray(
            self.taste_scale * np.asarray(click_logit, dtype=np.float64)
            - self.satiation_weight * fatigue
        )


@dataclass(frozen=True)
class ChoiceModel(Part):
    """Which item of the slate the user takes: one, or none.

    Multinomial logit with a no-choice option (McFadden 1974, eq. 12): item k with probability
    ``exp(v_k) / (exp(v_0) + sum_j exp(v_j))``, ``v_k = utility_k - position_bias * k``. Drawn
    as the largest of ``v + Gumbel`` (Gumbel-max), the noise of an item hanging on the item and
    not on its place.
    """

    no_click_logit: float | None = number(
        None, -100.0, 100.0, "utility v_0 of choosing nothing; None: the world's", optional=True
    )
    position_bias: float = number(0.1, 0.0, 10.0, "logit lost per place down the slate")

    def logits(self, utility: Numbers, filled: BoolArray, no_click: float) -> DoubleArray:
        """Return (B, K+1) logits, the last column choosing nothing; empty slots have -inf."""
        place = np.arange(utility.shape[1])
        biased = np.where(filled, utility - self.position_bias * place, -np.inf)
        return np.concatenate([biased, np.full((len(utility), 1), no_click)], axis=1)

    def probabilities(self, utility: Numbers, filled: BoolArray, no_click: float) -> DoubleArray:
        """Return (B, K+1) probabilities that sum to one, the last column choosing nothing."""
        logits = self.logits(utility, filled, no_click)
        weight = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(weight / weight.sum(axis=1, keepdims=True))

    def choose(
        self, utility: Numbers, filled: BoolArray, no_click: float, noise: DoubleArray
    ) -> LongArray:
        """Return (B,) the slot taken, or -1, given Gumbel noise (B, K+1)."""
        slot = np.argmax(self.logits(utility, filled, no_click) + noise, axis=1)
        return np.where(slot == utility.shape[1], -1, slot)


@dataclass(frozen=True)
class Feedback(Part):
    """What the user gives back for the item taken.

    ``watch = logistic(watch_intercept + watch_scale * taste_scale * click_logit
    - watch_satiation * fatigue + watch_noise * N(0, 1))`` in [0, 1];
    ``minutes = watch * duration``;
    ``rating = clip((value - rating_satiation * fatigue + rating_noise * N(0, 1) - low)
    / (high - low), 0, 1)`` with the rating model's predicted value and the log's scale.
    """

    watch_scale: float = number(0.7, 0.0, 20.0, "slope of the watch fraction over taste")
    watch_intercept: float = number(0.5, -20.0, 20.0, "logit of the fraction at taste zero")
    watch_satiation: float = number(0.6, 0.0, 50.0, "logit lost per unit of fatigue")
    watch_noise: float = number(0.5, 0.0, 10.0, "standard deviation of the fraction's logit")
    rating_satiation: float = number(0.2, 0.0, 10.0, "value lost per unit of fatigue")
    rating_noise: float = number(0.5, 0.0, 10.0, "standard deviation, on the log's scale")

    def watch(self, taste: Numbers, fatigue: Numbers, noise: DoubleArray) -> DoubleArray:
        """Return (B,) watched fractions; ``taste`` is taste_scale * click_logit."""
        logit = self.watch_intercept + self.watch_scale * taste - self.watch_satiation * fatigue
        return logistic(logit + self.watch_noise * noise)

    def rating(
        self, value: Numbers, fatigue: Numbers, noise: DoubleArray, low: float, high: float
    ) -> DoubleArray:
        """Return (B,) ratings in [0, 1]."""
        raw = value - self.rating_satiation * fatigue + self.rating_noise * noise
        return np.asarray(np.clip((raw - low) / (high - low), 0.0, 1.0))


@dataclass(frozen=True)
class Dynamics(Part):
    """How a user changes.

    On a click, interest moves towards the direction of the consumed item's factors q and keeps
    its norm: ``p' = p + interest_drift * (|p| q / |q| - p)``, ``p <- |p| p' / |p'|``.
    ``satiation_z <- satiation_decay * satiation_z + consume_gain * topic_z(consumed)
    + expose_gain * mean topic_z(shown)``: recovery is the decay. At the start of an episode
    ``p = user_factors + taste_spread * user_std * N(0, 1)`` and satiation is zero.
    """

    interest_drift: float = number(0.03, 0.0, 1.0, "share of the way moved per click")
    satiation_decay: float = number(0.9, 0.0, 1.0, "share of satiation kept per step")
    consume_gain: float = number(0.7, 0.0, 20.0, "satiation per consumed item of a topic")
    expose_gain: float = number(0.3, 0.0, 20.0, "satiation per slate shown of a topic")
    taste_spread: float = number(1.0, 0.0, 5.0, "multiplies the posterior sd of the taste")

    def drift(self, taste: Numbers, item: Numbers) -> DoubleArray:
        """Return (B, F) tastes after a click on items with factors (B, F)."""
        old = taste.astype(np.float64)
        q = item.astype(np.float64)
        norm = np.sqrt((old * old).sum(axis=1, keepdims=True))
        length = np.sqrt((q * q).sum(axis=1, keepdims=True))
        still = (norm == 0) | (length == 0)
        target = q * (norm / np.where(still, 1.0, length))
        moved = old + self.interest_drift * (target - old)
        after = np.sqrt((moved * moved).sum(axis=1, keepdims=True))
        return np.where(still | (after == 0), old, moved * (norm / np.where(after > 0, after, 1)))

    def satiate(self, satiation: Numbers, consumed: Numbers, shown: Numbers) -> DoubleArray:
        """Return (B, Z) satiation after a step; ``consumed`` is zero without a click."""
        return np.asarray(
            self.satiation_decay * satiation.astype(np.float64)
            + self.consume_gain * consumed
            + self.expose_gain * shown
        )


@dataclass(frozen=True)
class Departure(Part):
    """When a user leaves.

    ``patience <- min(patience + patience_gain, patience_cap)`` on a click, else
    ``patience - patience_loss``; then minus ``boredom * max(mean fatigue of the slate -
    boredom_threshold, 0)``. The user leaves at patience <= 0, or when the minutes of the
    session reach ``minute_budget`` (0: no budget). Assumed, not learned.
    """

    patience: float = number(5.0, 1e-6, 1e6, "patience at the start of an episode")
    patience_cap: float = number(6.0, 1e-6, 1e6, "largest patience")
    patience_gain: float = number(0.5, 0.0, 1e6, "patience won by a click")
    patience_loss: float = number(1.0, 0.0, 1e6, "patience lost without a click")
    boredom: float = number(0.5, 0.0, 1e3, "patience lost per unit of fatigue above threshold")
    boredom_threshold: float = number(0.8, 0.0, 1e3, "mean fatigue of a slate that is borne")
    minute_budget: float = number(0.0, 0.0, 1e6, "minutes of a session; 0: no limit")

    def after(self, patience: Numbers, clicked: BoolArray, fatigue: Numbers) -> DoubleArray:
        """Return (B,) patience after a slate of mean ``fatigue`` (B,)."""
        glad = np.minimum(patience + self.patience_gain, self.patience_cap)
        base = np.where(clicked, glad, patience - self.patience_loss)
        bored = self.boredom * np.maximum(fatigue - self.boredom_threshold, 0.0)
        return np.asarray(base - bored)

    def leaves(self, patience: Numbers, minutes: Numbers) -> BoolArray:
        """Return (B,) True where the user leaves."""
        spent = (self.minute_budget > 0) & (minutes >= self.minute_budget)
        return np.asarray((patience <= 0) | spent)


REWARD_TERMS = ("click", "watch", "minutes", "rating", "leave", "diversity")


@dataclass(frozen=True)
class Reward(Part):
    """What a step is worth: a weighted sum of terms, reported separately.

    ``click`` in {0, 1}, ``watch`` in [0, 1], ``minutes``, ``rating`` in [0, 1], ``leave`` (-1
    in the step in which patience runs out: the delayed cost of boring a user), ``diversity`` of
    the slate, the Gini-Simpson index ``1 - sum_z m_z^2`` of its mean topics m (Simpson 1949); an
    item without topics counts as unlike every item, itself included.
    """

    click_weight: float = number(0.0, -1e6, 1e6, "per click")
    watch_weight: float = number(1.0, -1e6, 1e6, "per fully watched item")
    minutes_weight: float = number(0.0, -1e6, 1e6, "per minute")
    rating_weight: float = number(0.0, -1e6, 1e6, "per rating of 1")
    leave_weight: float = number(0.0, -1e6, 1e6, "lost when patience runs out")
    diversity_weight: float = number(0.0, -1e6, 1e6, "per unit of slate diversity")

    @property
    def weights(self) -> tuple[float, ...]:
        """Weights in the order of `REWARD_TERMS`."""
        return tuple(float(getattr(self, f"{term}_weight")) for term in REWARD_TERMS)

    def terms(self, values: dict[str, Numbers]) -> dict[str, DoubleArray]:
        """Return the weighted terms; their sum is the reward."""
        return {
            term: np.asarray(weight * values[term].astype(np.float64))
            for term, weight in zip(REWARD_TERMS, self.weights, strict=True)
        }
