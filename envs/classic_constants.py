"""The constants of the three classic tasks, under RecSim's names, with RecSim's defaults."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

import numpy as np

from slategym.envs.part import choice, number
from slategym.errors import UsageError, nearest

N_TOPICS = 20
"""Topics (clusters) of interest evolution; RecSim's ``NUM_FEATURES``."""
RUNNER_CAP = 27_000
"""Most steps of an episode in RecSim's runner; its tasks themselves have no horizon."""
CHOICE_MODELS = ("proportional", "logit", "exp_cascade", "prop_cascade")

Vector = tuple[float, ...]
Matrix = tuple[Vector, ...]


def whole(default: int, low: int, high: int, meaning: str) -> Any:  # noqa: ANN401
    """Return the dataclass field of a whole number in [low, high]."""
    about = {"whole": True, "low": low, "high": high, "meaning": meaning}
    return field(default=default, metadata=about)


def flag(default: bool, meaning: str) -> Any:  # noqa: ANN401
    """Return the dataclass field of a truth value."""
    return field(default=default, metadata={"flag": True, "meaning": meaning})


def numbers(
    default: Vector | Matrix, low: float, high: float, meaning: str, *, distribution: bool = False
) -> Any:  # noqa: ANN401
    """Return the dataclass field of a vector or matrix, a nested tuple of numbers.

    Args:
        default: value if none is given; its depth (1 or 2) is the only one allowed.
        low: smallest allowed entry.
        high: largest allowed entry.
        meaning: one line for listings.
        distribution: entries must sum to one.
    """
    depth = np.ndim(default)
    about = {"depth": depth, "low": low, "high": high, "sums": distribution, "meaning": meaning}
    return field(default=default, metadata=about)


@dataclass(frozen=True)
class Constants:
    """What all classics share; each field is checked when the constants are made.

    Raises:
        UsageError: a value is of the wrong kind or out of range (the message names it).
    """

    family: ClassVar[str] = ""
    """Which simulation the constants belong to."""
    observations: ClassVar[tuple[str, ...]] = ("features",)

    num_candidates: int = whole(10, 1, 10_000, "C, documents the slate is chosen from")
    slate_size: int = whole(3, 1, 100, "K, documents shown per step")
    resample_documents: bool = flag(
        True, "new candidates in every step; if false, one set per user stream stays for ever"
    )
    horizon: int = whole(RUNNER_CAP, 1, 1_000_000, "steps after which an episode is truncated")
    observation: str = choice("features", ("features", "ids"), "how documents are observed")
    history_length: int = whole(1, 1, 200, "H, clicked documents that are observed, newest last")

    def __post_init__(self) -> None:
        for entry in fields(self):
            value = _checked(entry.name, getattr(self, entry.name), entry.metadata)
            object.__setattr__(self, entry.name, value)
        if self.slate_size > self.num_candidates:
            raise UsageError(
                f"slate_size {self.slate_size} is larger than num_candidates "
                f"{self.num_candidates}; make the slate smaller or offer more candidates."
            )
        if self.observation not in self.observations:
            raise UsageError(
                f"observation is {self.observation!r}, but a document of {self.family} is not one "
                "of a fixed table; use 'features'."
            )
        self.check()

    def check(self) -> None:
        """Refuse constants that do not go together."""


@dataclass(frozen=True)
class EvolutionConstants(Constants):
    """Interest evolution: `create_environment` of RecSim's interest_evolution.py."""

    family: ClassVar[str] = "interest_evolution"
    observations: ClassVar[tuple[str, ...]] = ("features", "ids")

    choice_model: str = choice("proportional", CHOICE_MODELS, "how a document is chosen")
    no_click_mass: float = number(1.0, -1e6, 1e6, "score (logit: logit) of choosing nothing")
    min_normalizer: float = number(-1.0, -1e6, 1e6, "subtracted from proportional scores")
    attention_prob: float = number(0.65, 0, 1, "cascades: chance that a place is looked at")
    score_scaling: float = number(0.05, 0, 1e6, "cascades: score times this is a probability")
    alpha_x_intercept: float = number(1.0, 1e-6, 1e6, "interest at which the drift step is zero")
    alpha_y_intercept: float = number(0.3, -1e6, 1e6, "drift step at interest zero")
    time_budget: float = number(200.0, 1e-6, 1e6, "minutes a user has at the start")
    step_penalty: float = number(0.5, 0, 1e6, "minutes lost when nothing is clicked")
    video_length: float = number(4.0, 0, 1e6, "minutes")
    min_utility: float = number(-3.0, -1e3, 1e3, "mean quality of cluster 0")
    max_utility: float = number(3.0, -1e3, 1e3, "mean quality of cluster 19")
    quality_stddev: float = number(0.1, 0, 1e3, "of quality in a cluster; fixed in RecSim")
    user_update_alpha: float = number(0.9 / 3.4, -1e3, 1e3, "budget won per minute and utility")
    user_quality_factor: float = number(0.0, -1e3, 1e3, "weight of the score in utility")
    document_quality_factor: float = number(1.0, -1e3, 1e3, "weight of quality in utility")

    def check(self) -> None:
        """Refuse choice weights below zero and cascade probabilities above one."""
        lowest = min(-1.0, self.no_click_mass)
        if self.choice_model == "proportional" and self.min_normalizer > lowest:
            raise UsageError(
                f"min_normalizer is {self.min_normalizer:g}; with choice_model 'proportional' it "
                f"must be at most {lowest:g}, or a score minus it would be negative."
            )
        if self.choice_model == "prop_cascade" and self.min_normalizer > -1:
            raise UsageError(
                f"min_normalizer is {self.min_normalizer:g}; with choice_model 'prop_cascade' it "
                "must be at most -1, or a score minus it would be negative."
            )
        most = {"exp_cascade": math.e, "prop_cascade": 1.0 - self.min_normalizer}
        if self.score_scaling * most.get(self.choice_model, 0.0) > 1.0:
            raise UsageError(
                f"score_scaling is {self.score_scaling:g}; with choice_model "
                f"{self.choice_model!r} it must be at most {1 / most[self.choice_model]:g}, or a "
                "click probability would be above 1."
            )

    @property
    def cluster_means(self) -> Vector:
        """Mean quality of each cluster: 14 from the minimum to 0, 6 from 0 to the maximum."""
        poor = np.linspace(self.min_utility, 0.0, 14)
        return (*poor.tolist(), *np.linspace(0.0, self.max_utility, 6).tolist())


@dataclass(frozen=True)
class ExplorationConstants(Constants):
    """Interest exploration: `create_environment` of RecSim's interest_exploration.py."""

    family: ClassVar[str] = "interest_exploration"

    horizon: int = whole(100, 1, 1_000_000, "steps after which an episode is truncated")
    choice_model: str = choice("logit", CHOICE_MODELS, "how a document is chosen")
    no_click_mass: float = number(5.0, -1e6, 1e6, "score (logit: logit) of choosing nothing")
    min_normalizer: float = number(0.0, -1e6, 0, "subtracted from proportional scores")
    attention_prob: float = number(1.0, 0, 1, "cascades: chance that a place is looked at")
    score_scaling: float = number(
        0.05, 0, 1e6, "cascades: score times this, at most 1, is a chance"
    )
    topic_distribution: tuple[float, ...] = numbers(
        (0.2, 0.8), 0, 1, "chance of each topic of a document", distribution=True
    )
    topic_quality_mean: tuple[float, ...] = numbers(
        (0.8, 0.2), -20, 20, "mean log quality of each topic"
    )
    topic_quality_stddev: tuple[float, ...] = numbers(
        (0.1, 0.1), 0, 5, "of log quality, for each topic"
    )
    user_type_distribution: tuple[float, ...] = numbers(
        (0.3, 0.7), 0, 1, "chance of each user type", distribution=True
    )
    user_document_mean_affinity_matrix: tuple[tuple[float, ...], ...] = numbers(
        ((0.1, 0.7), (0.7, 0.1)), -20, 20, "mean log affinity, a row for each user type"
    )
    user_document_stddev_affinity_matrix: tuple[tuple[float, ...], ...] = numbers(
        ((0.1, 0.1), (0.1, 0.1)), 0, 5, "of log affinity, a row for each user type"
    )

    def check(self) -> None:
        """Refuse arrays whose sizes do not agree, and negative choice weights."""
        topics, types = len(self.topic_distribution), len(self.user_type_distribution)
        for name in ("topic_quality_mean", "topic_quality_stddev"):
            if len(getattr(self, name)) != topics:
                raise UsageError(
                    f"{name} has {len(getattr(self, name))} entries; topic_distribution has "
                    f"{topics}, and both need one for each topic."
                )
        for name in ("user_document_mean_affinity_matrix", "user_document_stddev_affinity_matrix"):
            shape = tuple(len(row) for row in getattr(self, name))
            if shape != (topics,) * types:
                raise UsageError(
                    f"{name} has rows of {list(shape)} entries; it must have {types} rows (user "
                    f"types) of {topics} (topics)."
                )
        if topics > 200:
            raise UsageError(f"topic_distribution has {topics} entries; at most 200 are allowed.")
        if self.choice_model == "proportional" and self.no_click_mass < self.min_normalizer:
            raise UsageError(
                f"no_click_mass is {self.no_click_mass:g}; with choice_model 'proportional' it "
                f"must be at least min_normalizer, {self.min_normalizer:g}."
            )


@dataclass(frozen=True)
class SatisfactionConstants(Constants):
    """Long-term satisfaction: `create_environment` of RecSim's long_term_satisfaction.py."""

    family: ClassVar[str] = "long_term_satisfaction"

    slate_size: int = whole(1, 1, 100, "K, documents shown; the user consumes the first")
    history_length: int = whole(5, 1, 200, "H, clicked documents that are observed, newest last")
    memory_discount: float = number(0.7, -0.999999, 0.999999, "share of exposure kept in a step")
    sensitivity: float = number(0.01, -1e3, 1e3, "of satisfaction to net positive exposure")
    innovation_stddev: float = number(0.05, 0, 1e3, "of the noise of net positive exposure")
    choc_mean: float = number(
        5.0, -50, 50, "mean log engagement with clickbait 1, at satisfaction 1"
    )
    choc_stddev: float = number(1.0, 0, 5, "of log engagement with clickbait 1")
    kale_mean: float = number(
        4.0, -50, 50, "mean log engagement with clickbait 0, at satisfaction 1"
    )
    kale_stddev: float = number(1.0, 0, 5, "of log engagement with clickbait 0")
    time_budget: float = number(60.0, 1e-6, 1e6, "steps of an episode")


def _checked(name: str, value: object, about: Any) -> object:  # noqa: ANN401
    """Return a constant in its own type, or refuse it."""
    if "flag" in about:
        if not isinstance(value, (bool, np.bool_)):
            raise UsageError(f"{name} is {value!r}; it must be True or False.")
        return bool(value)
    if "allowed" in about:
        if value not in about["allowed"]:
            allowed = ", ".join(repr(word) for word in about["allowed"])
            raise UsageError(
                f"{name} is {value!r}; allowed: {allowed}.{nearest(str(value), about['allowed'])}"
            )
        return value
    if "depth" in about:
        return _tuple(name, value, about, about["depth"])
    low, high = about["low"], about["high"]
    plain = _plain(value)
    if not low <= plain <= high or ("whole" in about and plain != int(plain)):
        kind = "whole number" if "whole" in about else "number"
        raise UsageError(f"{name} is {value!r}; it must be a {kind} in [{low:g}, {high:g}].")
    return int(plain) if "whole" in about else plain


def _plain(value: object) -> float:
    """Return a number as a float, and anything else as not-a-number."""
    try:
        return math.nan if isinstance(value, (bool, str)) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return math.nan


def _tuple(name: str, value: object, about: Any, depth: int) -> tuple[Any, ...]:  # noqa: ANN401
    """Return nested lists, tuples or arrays as nested tuples of floats, or refuse them."""
    rows = value.tolist() if isinstance(value, np.ndarray) else value
    if not isinstance(rows, Iterable) or isinstance(rows, (str, dict)) or not list(rows):
        kind = "numbers" if depth == 1 else "rows of numbers"
        raise UsageError(f"{name} holds {value!r}; it must be a list of {kind}, one at least.")
    if depth > 1:
        return tuple(_tuple(name, row, about, depth - 1) for row in rows)
    plain = tuple(_plain(entry) for entry in rows)
    low, high = about["low"], about["high"]
    if not all(low <= entry <= high for entry in plain):
        raise UsageError(f"{name} holds {value!r}; entries must be numbers in [{low:g}, {high:g}].")
    if about["sums"] and abs(sum(plain) - 1.0) > 1e-8:
        raise UsageError(f"{name} sums to {sum(plain):g}; chances must sum to 1.")
    return plain


CONSTANTS: dict[str, type[Constants]] = {
    kind.family: kind for kind in (EvolutionConstants, ExplorationConstants, SatisfactionConstants)
}
