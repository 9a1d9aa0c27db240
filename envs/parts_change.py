"""How users change, and what that adds to the utility of an item."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from slategym.envs import rng
from slategym.envs.arrays import BoolArray, DoubleArray, IntArray, LongArray
from slategym.envs.part import number, register_part
from slategym.envs.parts_choice import Numbers, logistic
from slategym.envs.parts_hooks import HookedPart

if TYPE_CHECKING:
    from slategym.envs.reference_scene import Scene

# The mood of a session's start is drawn apart from the moods of its steps.
_MOOD_AT_START = 1 << 20


@dataclass(frozen=True)
class Change(HookedPart):
    """Something that changes from step to step.

    Utilities are natural-log odds; topics of an item sum to 1 (or to 0). A session is a visit;
    without `Returning` an episode is one session.
    """

    slot = "change"

    def utility(self, scene: "Scene") -> DoubleArray:
        """Return (B, N) what is added to the utility of ``scene.items``, natural-log odds."""
        return np.zeros(scene.items.shape)

    def available(self, scene: "Scene", items: IntArray | LongArray) -> BoolArray:  # noqa: ARG002
        """Return (B, N) whether each of ``items`` (B, N) may be shown to its user now."""
        return np.ones(items.shape, dtype=np.bool_)


@register_part
@dataclass(frozen=True)
class InterestDrift(Change):
    """Taste moves towards what is consumed.

    On a click: ``p' = p + interest_drift * (|p| q / |q| - p)``, ``p <- |p| p' / |p'|``, with q
    the factors of the item.
    """

    name = "interest_drift"
    interest_drift: float = number(0.03, 0.0, 1.0, "share of the way moved per click")

    def turned(self, taste: Numbers, item: Numbers) -> DoubleArray:
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

    def after(self, scene: "Scene") -> None:
        """Turn the taste to each item taken, in the order of the slate."""
        taste = scene.state.taste
        for k, rows in enumerate(scene.click.T):
            taste[rows] = self.turned(taste[rows], scene.world.item_factors[scene.items[rows, k]])


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

    def walked(self, taste: Numbers, noise: DoubleArray) -> DoubleArray:
        """Return (B, F) tastes after one step of the walk, given normal noise (B, F)."""
        old = taste.astype(np.float64)
        norm = np.sqrt((old * old).sum(axis=1, keepdims=True))
        length = np.sqrt((noise * noise).sum(axis=1, keepdims=True))
        return np.asarray(
            np.sqrt(1.0 - self.taste_walk**2) * old + self.taste_walk * norm * noise / length
        )

    def after(self, scene: "Scene") -> None:
        """Change some tastes for others, then let all walk."""
        taste, pool = scene.state.taste, scene.setting.pool
        shocked = scene.uniform(rng.SHOCK, 0) < self.shock_rate
        other = pool[scene.below(rng.SHOCK, 1, len(pool))]
        taste[shocked] = scene.world.user_factors[other[shocked]]
        if self.taste_walk > 0:
            taste[:] = self.walked(taste, scene.normal(rng.WALK, np.arange(taste.shape[1])))


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
        return np.einsum("bz,bkz->bk", satiation.astype(np.float64), topics)

    def tired(self, satiation: Numbers, consumed: Numbers, shown: Numbers) -> DoubleArray:
        """Return (B, Z) satiation after a step; ``consumed`` is zero without a click."""
        return np.asarray(
            self.satiation_decay * satiation.astype(np.float64)
            + self.consume_gain * consumed
            + self.expose_gain * shown
        )

    def utility(self, scene: "Scene") -> DoubleArray:
        """Return the logit lost to fatigue."""
        return -self.satiation_weight * scene.fatigue

    def after(self, scene: "Scene") -> None:
        """Add what was consumed and shown."""
        satiation = scene.state.satiation
        satiation[:] = self.tired(satiation, scene.consumed, scene.shown)

    def away(self, scene: "Scene", days: DoubleArray) -> None:
        """Rest: `Returning` says how much of satiation is left after a day."""
        satiation, left = scene.state.satiation, scene.setting.parameters["rest_per_day"]
        satiation[:] = satiation.astype(np.float64) * (left**days)[:, None]


@register_part
@dataclass(frozen=True)
class Boredom(Change):
    """Too much of a topic and the user turns away from it, and comes back when rested.

    A topic becomes boring when its satiation reaches ``s_z >= bored_at``, and interesting again
    when it has fallen to ``s_z <= rested_at``: hysteresis, churn and return (as in Deffayet et al.
    2023, SARDINE).
    A boring topic costs ``boredom_weight * topic_iz``. Needs `Satiation`.
    """

    name = "boredom"
    boredom_weight: float = number(3.0, 0.0, 50.0, "logit lost by an item of a boring topic")
    bored_at: float = number(2.0, 0.0, 1e3, "satiation at which a topic becomes boring")
    rested_at: float = number(0.5, 0.0, 1e3, "satiation at which it is interesting again")

    def bored(self, bored: Numbers, satiation: Numbers) -> DoubleArray:
        """Return (B, Z): 1 where a topic is boring now, else 0."""
        level = satiation.astype(np.float64)
        kept = np.where(level <= self.rested_at, 0.0, bored)
        return np.where(level >= self.bored_at, 1.0, kept)

    def utility(self, scene: "Scene") -> DoubleArray:
        """Return the logit lost by boring topics."""
        return -self.boredom_weight * scene.along(scene.state.bored)

    def after(self, scene: "Scene") -> None:
        """Let topics become boring, or interesting again."""
        scene.state.bored[:] = self.bored(scene.state.bored, scene.state.satiation)

    def away(self, scene: "Scene", days: DoubleArray) -> None:
        """Let topics become interesting again that satiation has rested from."""
        rested = scene.state.satiation.astype(np.float64) <= self.rested_at
        scene.state.bored[rested & (days > 0)[:, None]] = 0.0


@register_part
@dataclass(frozen=True)
class Satisfaction(Change):
    """Lure now, satisfaction later (after RecSim's long-term satisfaction, Ie et al. 2019).

    An item's clickbait c in [0, 1] adds ``clickbait_pull * (c - 1/2)`` to its utility. Each
    step moves the net positive exposure: ``e <- satisfaction_memory * e + sum of watch_credit *
    (watch - watch_expected) - clickbait_debt * (c - 1/2)`` over the items taken.
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

    def utility(self, scene: "Scene") -> DoubleArray:
        """Return the logit won from clickbait and from satisfaction."""
        mood = self.satisfaction_weight * (2.0 * self.level(scene.state.exposure) - 1.0)
        return self.clickbait_pull * (scene.clickbait - 0.5) + mood[:, None]

    def after(self, scene: "Scene") -> None:
        """Forget a little, then credit each item taken."""
        exposure = scene.state.exposure
        exposure[:] = self.satisfaction_memory * exposure.astype(np.float64)
        won = self.credit(scene.signal("watch"), scene.clickbait)
        for k, rows in enumerate(scene.click.T):
            exposure[rows] = (exposure.astype(np.float64) + won[:, k])[rows]


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

    def utility(self, scene: "Scene") -> DoubleArray:
        """Return the effect of the weighted plays in the history."""
        same = scene.state.history[:, None, :] == scene.items[:, :, None]  # (B, N, H)
        return self.effect(same @ scene.setting.recency)


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

    def moved(self, mood: Numbers, noise: DoubleArray) -> DoubleArray:
        """Return (B, Z) moods after a step, given normal noise (B, Z)."""
        fresh = np.sqrt(1.0 - self.mood_memory**2) * self.mood_spread
        return np.asarray(self.mood_memory * mood.astype(np.float64) + fresh * noise)

    def visit(self, scene: "Scene", rows: BoolArray) -> None:
        """Draw a new mood."""
        topics = np.arange(scene.state.mood.shape[1])
        drawn = self.mood_spread * scene.normal(rng.MOOD, _MOOD_AT_START + topics)
        scene.state.mood[rows] = drawn[rows]

    def utility(self, scene: "Scene") -> DoubleArray:
        """Return the mood along the items' topics."""
        return scene.along(scene.state.mood)

    def after(self, scene: "Scene") -> None:
        """Move the mood."""
        mood = scene.state.mood
        mood[:] = self.moved(mood, scene.normal(rng.MOOD, np.arange(mood.shape[1])))


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

    def wanted(self, scene: "Scene") -> LongArray:
        """Return (B,) the main topic of the best of some uniform items; 0 if none has topics."""
        topics = scene.world.item_topics
        tries = [scene.below(rng.INTENT, t, len(topics)) for t in range(int(self.intent_tries))]
        entered = np.stack(tries, axis=1)
        value = np.where(topics[entered].any(axis=2), scene.worth_by_taste(entered), -np.inf)
        best = entered[np.arange(len(entered)), value.argmax(axis=1)]
        found = np.isfinite(value).any(axis=1)
        return np.where(found, topics[best].argmax(axis=1), 0)

    def visit(self, scene: "Scene", rows: BoolArray) -> None:
        """Set what the visit is for, and whether it began with a search."""
        wanted = self.wanted(scene)
        topic = np.arange(scene.state.need.shape[1])
        scene.state.need[rows] = np.where(topic == wanted[:, None], 1.0, self.need_base)[rows]
        searched = scene.uniform(rng.SEARCH, 0) < self.search_rate
        scene.state.query[rows] = np.where(searched, wanted, -1)[rows]

    def utility(self, scene: "Scene") -> DoubleArray:
        """Return the need along the items' topics, less the penalty of what is owned."""
        owned = (scene.state.owned[:, None, :] == scene.items[:, :, None]).any(axis=2)
        return self.need_weight * scene.along(scene.state.need) - self.owned_penalty * owned

    def fulfil(self, scene: "Scene", k: int, rows: BoolArray) -> None:
        """Lower the need, and remember the purchase, of the item of slot k where ``rows`` (B,)."""
        need, owned = scene.state.need, scene.state.owned
        left = need.astype(np.float64) * (1.0 - self.need_fulfilled * scene.topics[:, k])
        need[rows] = left[rows]
        pushed = np.concatenate([owned[:, 1:], scene.items[:, k : k + 1]], axis=1)
        owned[rows] = pushed[rows]
