"""What is measured of a classic's episodes, exactly as RecSim's reference statistics define it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from slategym.envs.arrays import AnyArray, BoolArray, DoubleArray, LongArray
from slategym.envs.protocol import Step

CURVE = (0, 1, 4, 9, 19, 39)
"""Steps whose mean reward is a statistic."""
NUTRITIOUS = 14
"""The first of the clusters of interest evolution whose mean quality is not negative."""
SHOWN_CLUSTERS = (0, 7, 13, 14, 19)


@dataclass(frozen=True)
class Statistic:
    """A mean over episodes, or a ratio of sums over episodes, with its standard error."""

    mean: float
    se: float
    n: int
    """Episodes."""


def mean_of(x: AnyArray) -> Statistic:
    """Return the mean over episodes."""
    values = np.asarray(x, dtype=np.float64)
    n = len(values)
    return Statistic(float(values.mean()), float(values.std(ddof=1) / math.sqrt(n)), n)


def ratio_of(above: AnyArray, below: AnyArray) -> Statistic | None:
    """Return sum / sum with a delta-method standard error clustered by episode, or None."""
    a, b = np.asarray(above, dtype=np.float64), np.asarray(below, dtype=np.float64)
    if b.sum() == 0:
        return None
    n, ratio = len(a), float(a.sum() / b.sum())
    rest = a - ratio * b
    return Statistic(ratio, float(rest.std(ddof=1) / math.sqrt(n) / b.mean()), n)


class Tally:
    """Sums over the steps of N episodes, one entry for each episode; the same in all families.

    Args:
        family: which classic.
        episodes: N.
        size: K.
    """

    def __init__(self, family: str, episodes: int, size: int) -> None:
        self.family = family
        self.size = size
        self._sums: dict[str, DoubleArray] = {}
        self._episodes = episodes
        self._curve = {step: np.full(episodes, np.nan) for step in CURVE}
        self._places = np.zeros((episodes, size + 1))
        self._clusters = np.zeros((episodes, 20))

    def begin(self, known: Mapping[str, AnyArray]) -> None:
        """Take in the users at the start of their episodes."""
        if self.family == "interest_evolution":
            self._set("abs0", np.abs(known["interest"]).mean(axis=1), slice(None))
        if self.family == "long_term_satisfaction":
            self._set("npe0", known["npe"], slice(None))

    def add(
        self,
        number: int,
        live: BoolArray,
        before: Mapping[str, AnyArray],
        after: Mapping[str, AnyArray],
        step: Step,
    ) -> None:
        """Take in one step of the episodes that still run.

        Args:
            number: steps before this one.
            live: (N,) whether the episode still ran.
            before: what was known of users and candidates before the step.
            after: what is known afterwards.
            step: what happened.
        """
        response = step.info["response"]
        rows = np.flatnonzero(live)
        click = response["click"][rows] > 0
        clicked, place = click.any(axis=1), click.argmax(axis=1)
        reward = step.reward[rows].astype(np.float64)
        self._add("ret", reward, rows)
        self._add("len", np.ones(len(rows)), rows)
        self._add("clicks", clicked, rows)
        self._add("n_shown", np.full(len(rows), self.size), rows)
        self._places[rows, np.where(clicked, place, self.size)] += 1
        if number in self._curve:
            self._curve[number][rows] = reward
        if self.family == "long_term_satisfaction":
            self._add_satisfaction(rows, reward, after, response)
            return
        who, at = np.arange(len(rows))[clicked], place[clicked]
        quality, cluster = response["quality"][rows], response["cluster_id"][rows]
        self._add("q_shown", quality.sum(axis=1, dtype=np.float64), rows)
        self._add("q_click", quality[who, at], rows[who])
        if self.family == "interest_exploration":
            self._add("c0_shown", (cluster == 0).sum(axis=1), rows)
            self._add("c0", cluster[who, at] == 0, rows[who])
            return
        self._add_evolution(rows, who, cluster[who, at], cluster, before, after)
        self._add("wt", response["watch_time"][rows][who, at], rows[who])

    def end(self, rows: LongArray, known: Mapping[str, AnyArray]) -> None:
        """Take in the users whose episode has just ended."""
        if self.family == "interest_evolution":
            interest = known["interest"][rows]
            self._set("abs1", np.abs(interest).mean(axis=1), rows)
            self._set("mean1", interest.mean(axis=1), rows)
            self._set("trash1", interest[:, :NUTRITIOUS].mean(axis=1), rows)
            self._set("nut1", interest[:, NUTRITIOUS:].mean(axis=1), rows)
            self._set("budget1", known["time_budget"][rows], rows)
        if self.family == "long_term_satisfaction":
            self._set("npe1", known["npe"][rows], rows)
            self._set("sat1", known["satisfaction"][rows], rows)

    def arrays(self) -> dict[str, AnyArray]:
        """Return every sum by name, one entry for each episode."""
        curve = {f"reward_{step}": values for step, values in self._curve.items()}
        return self._sums | curve | {"places": self._places, "clusters": self._clusters}

    def _add_evolution(
        self,
        rows: LongArray,
        who: LongArray,
        chosen: LongArray,
        cluster: LongArray,
        before: Mapping[str, AnyArray],
        after: Mapping[str, AnyArray],
    ) -> None:
        interest = before["interest"][rows]
        shown = np.take_along_axis(interest, cluster.astype(np.int64), axis=1)
        self._add("int_shown", shown.sum(axis=1), rows)
        held = interest[who, chosen]
        self._add("int_click", held, rows[who])
        self._add("nut", chosen >= NUTRITIOUS, rows[who])
        self._add("flips_up", after["interest"][rows[who], chosen] > held, rows[who])
        self._clusters[rows[who], chosen] += 1

    def _add_satisfaction(
        self,
        rows: LongArray,
        reward: DoubleArray,
        after: Mapping[str, AnyArray],
        response: Mapping[str, AnyArray],
    ) -> None:
        log_engagement = np.log(reward)
        self._add("logeng", log_engagement, rows)
        self._add("logeng2", log_engagement**2, rows)
        self._add("sat", after["satisfaction"][rows], rows)
        self._add("npe2", after["npe"][rows] ** 2, rows)
        self._add("cb", response["clickbait"][rows, 0], rows)
        self._add("eng_clip", reward > 100.0, rows)

    def _add(self, name: str, values: AnyArray, rows: LongArray) -> None:
        self._sums.setdefault(name, np.zeros(self._episodes))[rows] += values

    def _set(self, name: str, values: AnyArray, rows: Any) -> None:  # noqa: ANN401
        self._sums.setdefault(name, np.zeros(self._episodes))[rows] = values


def statistics_of(family: str, size: int, s: Mapping[str, AnyArray]) -> dict[str, Statistic]:
    """Return every statistic of a family by name.

    Args:
        family: which classic.
        size: K.
        s: the arrays of one or several `Tally` joined.
    """
    steps, clicks = s["len"], s["clicks"]
    found: dict[str, Statistic | None] = {
        "episode_return": mean_of(s["ret"]),
        "episode_length": mean_of(steps),
        "reward_per_step": ratio_of(s["ret"], steps),
        "ctr_per_step": ratio_of(clicks, steps),
    }
    for step in CURVE:
        reached = s[f"reward_{step}"][~np.isnan(s[f"reward_{step}"])]
        if len(reached) > 1:
            found[f"reward_at_step_{step}"] = mean_of(reached)
    if family != "long_term_satisfaction":
        for place in range(size):
            found[f"p_click_position_{place}"] = ratio_of(s["places"][:, place], steps)
        found["p_no_click"] = ratio_of(s["places"][:, size], steps)
        found["quality_of_clicked"] = ratio_of(s["q_click"], clicks)
        found["quality_of_shown"] = ratio_of(s["q_shown"], s["n_shown"])
    found |= _OWN[family](s)
    return {name: value for name, value in found.items() if value is not None}


def _evolution(s: Mapping[str, AnyArray]) -> dict[str, Statistic | None]:
    clicks = s["clicks"]
    shares = {
        f"share_of_clicks_on_cluster_{c}": ratio_of(s["clusters"][:, c], clicks)
        for c in SHOWN_CLUSTERS
    }
    return shares | {
        "watch_time_per_click": ratio_of(s["wt"], clicks),
        "interest_in_clicked_before_update": ratio_of(s["int_click"], clicks),
        "interest_in_shown": ratio_of(s["int_shown"], s["n_shown"]),
        "share_of_clicks_on_nutritious_clusters_14_19": ratio_of(s["nut"], clicks),
        "share_of_updates_upward": ratio_of(s["flips_up"], clicks),
        "mean_abs_interest_at_start": mean_of(s["abs0"]),
        "mean_abs_interest_at_end": mean_of(s["abs1"]),
        "mean_interest_at_end": mean_of(s["mean1"]),
        "mean_interest_at_end_clusters_0_13": mean_of(s["trash1"]),
        "mean_interest_at_end_clusters_14_19": mean_of(s["nut1"]),
        "time_budget_at_end": mean_of(s["budget1"]),
    }


def _exploration(s: Mapping[str, AnyArray]) -> dict[str, Statistic | None]:
    return {
        "share_of_clicks_on_topic_0": ratio_of(s["c0"], s["clicks"]),
        "share_of_shown_on_topic_0": ratio_of(s["c0_shown"], s["n_shown"]),
    }


def _satisfaction(s: Mapping[str, AnyArray]) -> dict[str, Statistic | None]:
    steps = s["len"]
    return {
        "log_engagement": ratio_of(s["logeng"], steps),
        "log_engagement_squared": ratio_of(s["logeng2"], steps),
        "satisfaction_after_step": ratio_of(s["sat"], steps),
        "npe_squared_after_step": ratio_of(s["npe2"], steps),
        "clickbait_of_consumed": ratio_of(s["cb"], steps),
        "share_engagement_above_100": ratio_of(s["eng_clip"], steps),
        "npe_at_start": mean_of(s["npe0"]),
        "npe_at_end": mean_of(s["npe1"]),
        "satisfaction_at_end": mean_of(s["sat1"]),
    }


_OWN = {
    "interest_evolution": _evolution,
    "interest_exploration": _exploration,
    "long_term_satisfaction": _satisfaction,
}
