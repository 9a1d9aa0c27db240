"""When a session ends, and whether and when the user comes back."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from slategym.envs import rng
from slategym.envs.arrays import BoolArray, DoubleArray
from slategym.envs.part import number, register_part
from slategym.envs.parts_choice import Numbers, logistic
from slategym.envs.parts_hooks import HookedPart

if TYPE_CHECKING:
    from slategym.envs.reference_scene import Scene


@dataclass(frozen=True)
class Leaving(HookedPart):
    """Something that ends a session, or decides what comes after it. Assumed, not learned."""

    slot = "leaving"

    def ends(self, scene: "Scene") -> BoolArray:
        """Return (B,) whether this step ended the user's session."""
        return np.zeros(scene.batch, dtype=np.bool_)


@register_part
@dataclass(frozen=True)
class Patience(Leaving):
    """Patience is won by clicks and lost without them and by tired slates.

    ``patience <- min(patience + patience_gain, patience_cap)`` on a click, else
    ``patience - patience_loss``; then minus ``boredom * max(mean fatigue of the slate -
    boredom_threshold, 0)`` and, if any item was skipped (`Skip`), minus ``skip_annoyance``. The
    session ends at patience <= 0. A cap below the patience at the start is raised to it, for a
    click never costs patience.
    """

    name = "patience"
    patience: float = number(5.0, 1e-6, 1e6, "patience at the start of a session")
    patience_cap: float = number(6.0, 1e-6, 1e6, "largest patience; at least that at the start")
    patience_gain: float = number(0.5, 0.0, 1e6, "patience won by a click")
    patience_loss: float = number(1.0, 0.0, 1e6, "patience lost without a click")
    boredom: float = number(0.5, 0.0, 1e3, "patience lost per unit of fatigue above threshold")
    boredom_threshold: float = number(0.8, 0.0, 1e3, "mean fatigue of a slate that is borne")
    skip_annoyance: float = number(0.0, 0.0, 1e3, "patience lost in a step with a skip")

    @property
    def most(self) -> float:
        """The largest patience: the cap, or what a session begins with where that is more."""
        return max(self.patience_cap, self.patience)

    def rules(self) -> dict[str, Any]:
        """Return the parameters, the cap as it is kept."""
        return super().rules() | {"patience_cap": self.most}

    def left(
        self, patience: Numbers, clicked: BoolArray, fatigue: Numbers, skipped: BoolArray
    ) -> DoubleArray:
        """Return (B,) patience after a slate of mean ``fatigue`` (B,)."""
        before = patience.astype(np.float64)
        glad = np.minimum(before + self.patience_gain, self.most)
        base = np.where(clicked, glad, before - self.patience_loss)
        bored = self.boredom * np.maximum(fatigue - self.boredom_threshold, 0.0)
        return np.asarray(base - bored - np.where(skipped, self.skip_annoyance, 0.0))

    def visit(self, scene: "Scene", rows: BoolArray) -> None:
        """Give fresh patience."""
        scene.state.patience[rows] = self.patience

    def ends(self, scene: "Scene") -> BoolArray:
        """Change the patience; return whether it ran out, and leave that as ``bored``."""
        clicked, skipped = np.any(scene.click, axis=1), np.any(scene.signal("skip") > 0, axis=1)
        patience = scene.state.patience
        patience[:] = self.left(patience, clicked, scene.mean_fatigue, skipped)
        scene.bored = patience <= 0
        return scene.bored


@register_part
@dataclass(frozen=True)
class Budget(Leaving):
    """A session has so many minutes: it ends when they are spent.

    ``used <- used + browse_minutes + minutes watched``, until ``minute_budget``: every slate costs
    ``browse_minutes``, whatever comes of it, and every item taken the minutes it was watched (so
    an item that is left early costs little). 0 minutes: no limit.
    """

    name = "budget"
    minute_budget: float = number(0.0, 0.0, 1e6, "minutes of a session; 0: no limit")
    browse_minutes: float = number(0.0, 0.0, 1e6, "minutes spent on looking at a slate")

    def ends(self, scene: "Scene") -> BoolArray:
        """Spend the minutes of the slate; return whether none is left."""
        used = scene.state.used
        used[:] = used.astype(np.float64) + self.browse_minutes
        return (self.minute_budget > 0) & (used.astype(np.float64) >= self.minute_budget)


@register_part
@dataclass(frozen=True)
class Returning(Leaving):
    """After a session the user stays away for some days and returns, or never does.

    ``P(never) = logistic(churn_intercept - churn_sensitivity * (2 S - 1))``, and the days away are
    ``gap_min + gap_mean * exp(-gap_sensitivity * (2 S - 1)) * Exponential(1)``. S is that of
    `Satisfaction`, 1/2 without it. In d days satiation falls by ``rest_per_day^d``. A new
    session has fresh patience, minutes, mood, need and money, and the exposure that the platform
    observes (consumed and shown topics) begins anew. The episode is truncated when
    ``days`` are over. Sessions and return times (as in Zhao et al. 2023, KuaiSim) in an
    exponential form, which is assumed.
    """

    name = "returning"
    days: float = number(30.0, 1.0, 1e4, "days of an episode")
    gap_min: float = number(0.5, 0.0, 1e3, "shortest time away, days")
    gap_mean: float = number(1.5, 0.0, 1e3, "mean time away beyond it at S = 1/2, days")
    gap_sensitivity: float = number(1.0, 0.0, 50.0, "log of the shortening from S = 1/2 to 1")
    churn_intercept: float = number(-3.0, -50.0, 50.0, "logit of never returning at S = 1/2")
    churn_sensitivity: float = number(2.0, 0.0, 50.0, "logit won from S = 1/2 to 1")
    rest_per_day: float = number(0.2, 0.0, 1.0, "share of satiation left after a day")

    def churn(self, satisfaction: Numbers) -> DoubleArray:
        """Return the probability of never returning."""
        pull = 2.0 * np.asarray(satisfaction, dtype=np.float64) - 1.0
        return logistic(self.churn_intercept - self.churn_sensitivity * pull)

    def gap(self, satisfaction: Numbers, exponential: Numbers) -> DoubleArray:
        """Return days away, given exponential noise of mean one."""
        pull = 2.0 * np.asarray(satisfaction, dtype=np.float64) - 1.0
        return np.asarray(
            self.gap_min + self.gap_mean * np.exp(-self.gap_sensitivity * pull) * exponential
        )

    def leave(self, scene: "Scene", over: BoolArray) -> BoolArray:
        """Decide what follows for sessions that are ``over`` (B,); return who returns (B,).

        Leaves ``never``, ``back`` and ``gap`` in the scene, and moves the day and the session on.
        """
        state, level = scene.state, scene.satisfaction()
        scene.never = over & (scene.uniform(rng.CHURN, 0) < self.churn(level))
        back = scene.back = over & ~scene.never
        scene.gap = np.where(back, self.gap(level, scene.exponential(rng.GAP, 0)), 0.0)
        state.day[:] = state.day.astype(np.float64) + scene.gap
        state.gap[back] = scene.gap[back]
        state.session[back] += 1
        return back

    def expired(self, day: Numbers) -> BoolArray:
        """Return (B,) whether the days of the episode are over."""
        return np.asarray(day.astype(np.float64) >= self.days)
