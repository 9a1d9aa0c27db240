"""How the catalogue changes: items that arrive, age and expire, fashions, creators who leave."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from slategym.envs import rng
from slategym.envs.arrays import BoolArray, DoubleArray, IntArray, LongArray
from slategym.envs.part import number, register_part
from slategym.envs.parts_change import Change
from slategym.envs.parts_choice import Numbers

if TYPE_CHECKING:
    from slategym.envs.reference_scene import Scene


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

    def freshness(self, age: Numbers | LongArray) -> DoubleArray:
        """Return freshness in [0, 1] at an age in steps; 0 from ``lifetime`` on."""
        steps = age.astype(np.float64)
        return np.where(steps < self.lifetime, np.exp2(-steps / self.half_life), 0.0)

    def now(self, start: LongArray, step: LongArray, day: DoubleArray) -> LongArray:
        """Return (B,) the step of the calendar, in [0, calendar)."""
        passed = start + step + (day * self.steps_per_day).astype(np.int64)
        return np.asarray(passed % int(self.calendar))

    def age(self, scene: "Scene", items: IntArray | LongArray) -> LongArray:
        """Return (B, N) ages of ``items`` (B, N) in calendar steps."""
        period, birth = int(self.calendar), scene.setting.birth
        if len(birth) > 0:
            born = birth[items].astype(np.int64)
        else:
            born = rng.below_of(scene.shared_bits(rng.BIRTH, items), period)
        return np.asarray((scene.now[:, None] - born) % period)

    def utility(self, scene: "Scene") -> DoubleArray:
        """Return the logit won by freshness."""
        return self.freshness_weight * self.freshness(self.age(scene, scene.items))

    def available(self, scene: "Scene", items: IntArray | LongArray) -> BoolArray:
        """Return whether items are on the shelf."""
        return np.asarray(self.age(scene, items) < self.lifetime)


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

    def intensity(self, scene: "Scene") -> DoubleArray:
        """Return (B, Z) the interest in each topic now."""
        width = int(self.burst_window)
        windows = -(-int(scene.setting.parameters["calendar"]) // width)
        topic = np.arange(scene.world.n_topics, dtype=np.int64)
        total = np.zeros((scene.batch, len(topic)))
        for back in (0, 1):
            window = (scene.now // width - back)[:, None]
            index = (topic << 20) + 2 * (window % windows)
            happens = rng.uniform_of(scene.shared_bits(rng.BURST, index)) < self.burst_rate
            at = window * width + rng.below_of(scene.shared_bits(rng.BURST, index + 1), width)
            since = scene.now[:, None] - at
            total += np.where(
                happens & (since >= 0), np.exp2(-np.maximum(since, 0) / self.burst_half_life), 0.0
            )
        return total

    def utility(self, scene: "Scene") -> DoubleArray:
        """Return the logit won along the items' topics."""
        return self.burst_weight * scene.along(self.intensity(scene))


@register_part
@dataclass(frozen=True)
class Creators(Change):
    """Creators who are never shown leave, and take their items with them.

    Each user stream is a market of its own, so that no row depends on another. The vigour of a
    creator is 1 at the start of an episode; each step ``v <- min(creator_decay * v + creator_gain
    * share of the slate, 1)``. One whose vigour falls below ``creator_leave`` is gone for the
    rest of the episode. Creators are those of the catalogue, folded to ``creators`` groups; an
    item without one belongs to group ``row mod creators``. One market per user is a simplification
    (after Mladenov et al. 2020, where all users share one).
    """

    name = "creators"
    creators: float = number(32.0, 1.0, 256.0, "groups of creators")
    creator_decay: float = number(0.97, 0.0, 1.0, "share of vigour kept per step")
    creator_gain: float = number(0.5, 0.0, 10.0, "vigour won by a whole slate")
    creator_leave: float = number(0.3, 1e-6, 1.0, "vigour below which a creator leaves")

    def tended(self, vigour: Numbers, share: Numbers) -> DoubleArray:
        """Return vigour after a step; 0 is gone. Both are (B, M)."""
        grown = self.creator_decay * vigour.astype(np.float64) + self.creator_gain * share
        kept = np.minimum(grown, 1.0)
        return np.where((vigour > 0) & (kept >= self.creator_leave), kept, 0.0)

    def begin(self, scene: "Scene", rows: BoolArray) -> None:
        """Give every creator full vigour."""
        scene.state.vigour[rows] = 1.0

    def available(self, scene: "Scene", items: IntArray | LongArray) -> BoolArray:
        """Return whether the creators of items are still there."""
        users = np.arange(len(items))[:, None]
        return np.asarray(scene.state.vigour[users, scene.setting.creator[items]] > 0)

    def after(self, scene: "Scene") -> None:
        """Tend the creators shown, and count those who leave."""
        vigour, groups = scene.state.vigour, np.arange(scene.state.vigour.shape[1])
        own = scene.setting.creator[scene.items][:, :, None] == groups  # (B, K, M)
        share = (own & scene.filled[:, :, None]).mean(axis=1)
        kept = self.tended(vigour, share)
        scene.creators_lost = ((vigour > 0) & (kept == 0)).sum(axis=1).astype(np.float64)
        vigour[:] = kept
