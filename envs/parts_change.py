"""How users and the catalogue change, and what that adds to the utility of an item."""

from dataclasses import dataclass

import numpy as np

from slategym.envs.arrays import DoubleArray
from slategym.envs.part import Part, number, register_part
from slategym.envs.parts_choice import Numbers, logistic


@dataclass(frozen=True)
class Change(Part):
    """Something that changes from step to step.

    Utilities are natural-log odds; topics of an item sum to 1 (or to 0). A session is a visit;
    without `Returning` an episode is one session.
    """

    slot = "change"


@register_part
@dataclass(frozen=True)
class InterestDrift(Change):
    """Taste moves towards what is consumed.

    On a click: ``p' = p + interest_drift * (|p| q / |q| - p)``, ``p <- |p| p' / |p'|``, with q
    the factors of the item.
    """

    name = "interest_drift"
    interest_drift: float = number(0.03, 0.0, 1.0, "share of the way moved per click")

    def after(self, taste: Numbers, item: Numbers) -> DoubleArray:
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


@register_part
@dataclass(frozen=True)
class TasteShift(Change):
    """Taste changes by itself, slowly and at once.

    Each step, first with probability ``shock_rate``, the taste becomes that of another user of
    the population; then ``p <- sqrt(1 - walk^2) p + walk * r n / |n| ``, n ~ N(0, I) and r = |p|:
    a random walk that keeps the length of the taste on average.
    """

    name = "taste_shift"
    taste_walk: float = number(0.05, 0.0, 1.0, "share of the taste renewed per step")
    shock_rate: float = number(0.0, 0.0, 1.0, "probability per step of another taste")

    def after(self, taste: Numbers, noise: DoubleArray) -> DoubleArray:
        """Return (B, F) tastes after one step of the walk, given normal noise (B, F)."""
        old = taste.astype(np.float64)
        norm = np.sqrt((old * old).sum(axis=1, keepdims=True))
        length = np.sqrt((noise * noise).sum(axis=1, keepdims=True))
        return np.asarray(
            np.sqrt(1.0 - self.taste_walk**2) * old + self.taste_walk * norm * noise / length
        )


@register_part
@dataclass(frozen=True)
class Satiation(Change):
    """Users tire of topics and recover (linear satiation: Leqi et al. 2021, eq. 1).

    ``s_z <- satiation_decay * s_z + consume_gain * topic_z(consumed) + expose_gain * mean
    topic_z(shown)``, zero at the start. The fatigue of item i is ``sum_z s_z topic_iz``; its
    utility loses ``satiation_weight * fatigue``.
    """

    name = "satiation"
    satiation_weight: float = number(1.5, 0.0, 50.0, "logit lost per unit of fatigue")
    satiation_decay: float = number(0.9, 0.0, 1.0, "share of satiation kept per step")
    consume_gain: float = number(0.7, 0.0, 20.0, "satiation per consumed item of a topic")
    expose_gain: float = number(0.3, 0.0, 20.0, "satiation per slate shown of a topic")

    def fatigue(self, satiation: Numbers, topics: Numbers) -> DoubleArray:
        """Return (B, K) fatigue from satiation (B, Z) and the items' topics (B, K, Z)."""
        product = satiation[:, None, :].astype(np.float64) * topics
        return np.asarray(product.sum(axis=2))

    def after(self, satiation: Numbers, consumed: Numbers, shown: Numbers) -> DoubleArray:
        """Return (B, Z) satiation after a step; ``consumed`` is zero without a click."""
        return np.asarray(
            self.satiation_decay * satiation.astype(np.float64)
            + self.consume_gain * consumed
            + self.expose_gain * shown
        )


@register_part
@dataclass(frozen=True)
class Boredom(Change):
    """Too much of a topic and the user turns away from it, and comes back when rested.

    A topic becomes boring when its satiation reaches ``bored_at``, and interesting again when it
    has fallen to ``rested_at`` (hysteresis: churn and return, as in Deffayet et al. 2023, SARDINE).
    A boring topic costs ``boredom_weight * topic_iz``. Needs `Satiation`.
    """

    name = "boredom"
    boredom_weight: float = number(3.0, 0.0, 50.0, "logit lost by an item of a boring topic")
    bored_at: float = number(2.0, 0.0, 1e3, "satiation at which a topic becomes boring")
    rested_at: float = number(0.5, 0.0, 1e3, "satiation at which it is interesting again")

    def after(self, bored: Numbers, satiation: Numbers) -> DoubleArray:
        """Return (B, Z): 1 where a topic is boring now, else 0."""
        kept = np.where(satiation <= self.rested_at, 0.0, bored)
        return np.where(satiation >= self.bored_at, 1.0, kept)


@register_part
@dataclass(frozen=True)
class Satisfaction(Change):
    """Lure now, satisfaction later (after RecSim's long-term satisfaction, Ie et al. 2019).

    An item's clickbait c in [0, 1] adds ``clickbait_pull * (c - 1/2)`` to its utility. Each item
    taken moves the net positive exposure: ``e <- satisfaction_memory * e + watch_credit *
    (watch - watch_expected) - clickbait_debt * (c - 1/2)``; a step without a click only forgets.
    Satisfaction is ``S = logistic(satisfaction_sensitivity * e)``, e = 0 at the start. All
    utilities gain ``satisfaction_weight * (2 S - 1)``; `Returning` listens to S too.
    """

    name = "satisfaction"
    clickbait_pull: float = number(1.5, 0.0, 50.0, "logit won from clickbait 0 to 1")
    clickbait_debt: float = number(1.0, 0.0, 50.0, "exposure lost from clickbait 0 to 1")
    watch_credit: float = number(1.0, 0.0, 50.0, "exposure won from watch fraction 0 to 1")
    watch_expected: float = number(0.5, 0.0, 1.0, "watch fraction that changes nothing")
    satisfaction_memory: float = number(0.9, 0.0, 1.0, "share of the exposure kept per step")
    satisfaction_sensitivity: float = number(1.0, 0.0, 100.0, "slope of S over the exposure")
    satisfaction_weight: float = number(1.0, 0.0, 50.0, "logit won from S = 1/2 to 1")

    def level(self, exposure: Numbers) -> DoubleArray:
        """Return the satisfaction S in (0, 1)."""
        return logistic(self.satisfaction_sensitivity * np.asarray(exposure, dtype=np.float64))

    def credit(self, watch: Numbers, clickbait: Numbers) -> DoubleArray:
        """Return what an item taken adds to the exposure."""
        return np.asarray(
            self.watch_credit * (watch - self.watch_expected)
            - self.clickbait_debt * (clickbait - 0.5)
        )


@register_part
@dataclass(frozen=True)
class Familiarity(Change):
    """Repeats are welcome, then tiring: the inverted U of exposure (Berlyne 1970).

    n is how often the item is in the user's history, each place weighted by its recency. The
    utility gains ``repeat_gain * n - repeat_tire * n^2``: best at n = gain / (2 tire).
    """

    name = "familiarity"
    repeat_gain: float = number(1.5, 0.0, 50.0, "logit won by the first repeat")
    repeat_tire: float = number(0.6, 0.0, 50.0, "logit lost per squared repeat")

    def effect(self, plays: Numbers) -> DoubleArray:
        """Return the utility added at that many weighted plays."""
        return np.asarray(self.repeat_gain * plays - self.repeat_tire * plays * plays)


@register_part
@dataclass(frozen=True)
class Mood(Change):
    """A session has a mood: topics that please today and not tomorrow, unseen by the agent.

    At the start of a session ``m_z = mood_spread * N(0, 1)``; each step ``m_z <- mood_memory *
    m_z + sqrt(1 - mood_memory^2) * mood_spread * N(0, 1)``. An item gains ``sum_z m_z topic_iz``.
    """

    name = "mood"
    mood_spread: float = number(1.0, 0.0, 50.0, "standard deviation of a topic's logit")
    mood_memory: float = number(0.97, 0.0, 1.0, "share kept per step")

    def after(self, mood: Numbers, noise: DoubleArray) -> DoubleArray:
        """Return (B, Z) moods after a step, given normal noise (B, Z)."""
        fresh = np.sqrt(1.0 - self.mood_memory**2) * self.mood_spread
        return np.asarray(self.mood_memory * mood.astype(np.float64) + fresh * noise)


@register_part
@dataclass(frozen=True)
class Ageing(Change):
    """Items arrive, age and expire.

    The calendar has a period of ``calendar`` steps; every item is published once in it, and is
    on the shelf while its age is below ``lifetime``. With age a it gains
    ``freshness_weight * 2^(-a / half_life)``. Publication times are those of the catalogue,
    by rank, where it has them, else uniform (the same for all users of a seed). An episode begins
    at a uniform time of the calendar; a day away moves it on by ``steps_per_day``.
    """

    name = "ageing"
    calendar: float = number(120.0, 2.0, 1e6, "steps after which the calendar repeats")
    lifetime: float = number(40.0, 1.0, 1e6, "steps an item is on the shelf")
    half_life: float = number(8.0, 1e-3, 1e6, "steps in which freshness halves")
    freshness_weight: float = number(2.0, 0.0, 50.0, "logit won by an item just published")
    steps_per_day: float = number(10.0, 0.0, 1e4, "calendar steps of a day away")

    def freshness(self, age: Numbers) -> DoubleArray:
        """Return freshness in [0, 1] at an age in steps; 0 from ``lifetime`` on."""
        fresh = np.exp2(-np.asarray(age, dtype=np.float64) / self.half_life)
        return np.where(np.asarray(age) < self.lifetime, fresh, 0.0)


@register_part
@dataclass(frozen=True)
class Bursts(Change):
    """Bursts of interest: now and then a topic is on everyone's mind.

    In each window of ``burst_window`` calendar steps a topic has an event with probability
    ``burst_rate``, at a uniform step of the window. The intensity is the sum over the events of
    this window and the one before of ``2^(-(now - event) / burst_half_life)``; an item gains
    ``burst_weight * sum_z intensity_z topic_iz``. Events are the same for all users of a seed.
    Needs `Ageing`, whose calendar it uses.
    """

    name = "bursts"
    burst_rate: float = number(0.3, 0.0, 1.0, "probability of an event per topic and window")
    burst_window: float = number(20.0, 1.0, 1e5, "calendar steps of a window")
    burst_half_life: float = number(5.0, 1e-3, 1e5, "steps in which the interest halves")
    burst_weight: float = number(1.5, 0.0, 50.0, "logit won at full intensity")


@register_part
@dataclass(frozen=True)
class Needs(Change):
    """A visit has a purpose, and what was bought once is enough.

    At the start of a session the user wants one topic: the main topic of the best of
    ``intent_tries`` uniform items by taste. Its need is 1, that of the others ``need_base``. An
    item gains ``need_weight * sum_z need_z topic_iz``; buying it (`Purchase`) multiplies each
    need by ``1 - need_fulfilled * topic_iz``, and the item itself then loses ``owned_penalty``
    (the last 8 purchases are remembered). With probability ``search_rate`` the visit began with a
    search for the topic: the query is observed then.
    """

    name = "needs"
    need_weight: float = number(2.0, 0.0, 50.0, "logit per unit of need")
    need_base: float = number(0.2, 0.0, 1.0, "need of topics the visit is not for")
    need_fulfilled: float = number(0.9, 0.0, 1.0, "share of the need that a purchase ends")
    owned_penalty: float = number(6.0, 0.0, 50.0, "logit lost by what was bought already")
    intent_tries: float = number(8.0, 1.0, 64.0, "items of the tournament that sets the intent")
    search_rate: float = number(0.5, 0.0, 1.0, "share of visits that begin with a search")


@register_part
@dataclass(frozen=True)
class Creators(Change):
    """Creators who are never shown leave, and take their items with them.

    Each user stream is a market of its own, so that no row depends on another. The vigour of a
    creator is 1 at the start of an episode; each step ``v <- min(creator_decay * v + creator_gain
    * share of the slate, 1)``. One whose vigour falls below ``creator_leave`` is gone for the
    rest of the episode. Creators are those of the catalogue, folded to ``creators`` groups; an
    item without one belongs to group ``row mod creators``. (After Mladenov et al. 2020, in one
    market per user.)
    """

    name = "creators"
    creators: float = number(32.0, 1.0, 256.0, "groups of creators")
    creator_decay: float = number(0.97, 0.0, 1.0, "share of vigour kept per step")
    creator_gain: float = number(0.5, 0.0, 10.0, "vigour won by a whole slate")
    creator_leave: float = number(0.3, 0.0, 1.0, "vigour at which a creator leaves")

    def after(self, vigour: Numbers, share: Numbers) -> DoubleArray:
        """Return vigour after a step; 0 is gone. Both are (B, M)."""
        grown = self.creator_decay * vigour.astype(np.float64) + self.creator_gain * share
        kept = np.minimum(grown, 1.0)
        return np.where((vigour > 0) & (kept >= self.creator_leave), kept, 0.0)
