"""Policies for RecSim's three tasks that look at observations only: rules, and plans by formula.

They know the numbers of the task, as RecSim publishes them, and of users and documents what
everybody sees. What is hidden is estimated from the observation: each is memoryless.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slategym.agents.policy import Observation, Policy, Slate, top_positions
from slategym.envs.classic_constants import (
    N_TOPICS,
    Constants,
    EvolutionConstants,
    ExplorationConstants,
    SatisfactionConstants,
)
from slategym.envs.classic_oracle_evolution import RatioPolicy, price_of_time
from slategym.envs.classic_oracle_exploration import mean_affinity
from slategym.envs.classic_oracle_satisfaction import PlanPolicy
from slategym.envs.classic_state import CONTEXT_SCALARS
from slategym.envs.classic_variant import ClassicVariant
from slategym.envs.oracles import play
from slategym.errors import UsageError, unknown_name

FloatArray = NDArray[np.float64]
Scores = Callable[[Observation], FloatArray]
"""Gives the score (B, C) of every candidate from an observation."""


@dataclass(frozen=True)
class ScoreRule:
    """Shows the candidates of the highest score, which the observation alone decides."""

    name: str
    scores: Scores
    slate_size: int

    def act(self, observation: Observation, rng: np.random.Generator) -> Slate:  # noqa: ARG002
        """Return slates ``(B, K)``, highest score first."""
        return top_positions(self.scores(observation), self.slate_size)


@dataclass(frozen=True)
class RandomSlates:
    """Uniform slates of distinct candidates."""

    slate_size: int
    width: int
    """D, entries of a document where documents are observed as features."""
    name: str = "random"

    def act(self, observation: Observation, rng: np.random.Generator) -> Slate:
        """Return slates ``(B, K)``."""
        documents = observation["candidates"]
        count = documents.shape[1] // (1 if _are_ids(documents) else self.width)
        return top_positions(rng.random((len(documents), count)), self.slate_size)


@dataclass(frozen=True)
class TimeRule:
    """Interest evolution: the slate of the largest expected gain at a price for the budget.

    The `RatioPolicy` of the oracles with what can be seen: interests and clusters; the quality of
    a video is the mean of its cluster, and the budget is taken to last.
    """

    name: str
    rule: RatioPolicy

    def act(self, observation: Observation, rng: np.random.Generator) -> Slate:  # noqa: ARG002
        """Return slates ``(B, K)``."""
        cluster = clusters(observation)
        known = {
            "cluster_id": cluster,
            "interest": np.asarray(observation["user"], np.float64),
            "time_budget": np.full(len(cluster), np.inf),
        }
        _enough(cluster, self.rule.constants)
        return self.rule.act(known)


@dataclass(frozen=True)
class ExposureRule:
    """Long-term satisfaction: the document worth most at the exposure that was caused so far.

    Net positive exposure after n documents of clickbait c is, its noise and its start left out,

        sum_j m^j * -2 (c_(n-j) - 1/2) ,  j = 0 .. n - 1 .

    The newest H of them are in the observed history; the older ones are taken at their mean,
    which the context tells.
    """

    name: str
    plan: PlanPolicy

    def act(self, observation: Observation, rng: np.random.Generator) -> Slate:  # noqa: ARG002
        """Return slates ``(B, K)``."""
        constants = self.plan.constants
        clickbait = np.asarray(observation["candidates"], np.float64)
        _enough(clickbait, constants)
        progress = np.asarray(observation["context"][:, 0], np.float64)
        known = {
            "npe": self.exposure(observation),
            "clickbait": clickbait,
            "time_budget": np.round((1.0 - progress) * constants.time_budget),
        }
        return self.plan.act(known)

    def exposure(self, observation: Observation) -> FloatArray:
        """Return the net positive exposure expected of each user ``(B,)``."""
        c = self.plan.constants
        batch = len(observation["history"])
        history = np.asarray(observation["history"], np.float64)  # (B, H), newest last
        present = observation["history_feedback"].reshape(batch, -1, 3)[..., 0] > 0
        context = np.asarray(observation["context"], np.float64)
        consumed = np.round(context[:, 0] * c.time_budget)  # every step consumes one
        kept = present.sum(axis=1)
        age = np.arange(history.shape[1])[::-1]
        recent = (c.memory_discount**age * present * (1.0 - 2.0 * history)).sum(axis=1)
        older = np.maximum(consumed - kept, 0)
        total = context[:, CONTEXT_SCALARS] * consumed - (history * present).sum(axis=1)
        mean = np.clip(total / np.maximum(older, 1), 0.0, 1.0)
        m = c.memory_discount
        weight = (m**kept - m ** np.maximum(consumed, kept)) / (1.0 - m)
        return np.asarray(recent + np.where(older > 0, weight * (1.0 - 2.0 * mean), 0.0))


@dataclass(frozen=True)
class TypeBelief:
    """Interest exploration: quality plus the affinity expected under the posterior of the type.

    The chance of what a user of type y clicked in n steps is taken at the mean slate. With
    w_yz = exp(E affinity_yz + E quality_z), c the no-click mass and s_z the share of topic z
    among what was shown,

        log p(clicks | y) = sum_z clicks_z log w_yz - n log(e^c + K sum_z s_z w_yz) ,

    the logit choice model with the mean for each slate's own sum.
    """

    constants: ExplorationConstants
    learns: bool
    """False: the prior of the type is never left."""

    def __call__(self, observation: Observation) -> FloatArray:
        """Return scores ``(B, C)``: quality plus expected affinity."""
        quality, topic = qualities(observation, len(self.constants.topic_distribution))
        expected = self.posterior(observation) @ mean_affinity(self.constants)  # (B, Z)
        return quality + np.take_along_axis(expected, topic, axis=1)

    def posterior(self, observation: Observation) -> FloatArray:
        """Return the chance of each type ``(B, Y)``."""
        c = self.constants
        prior = np.array(c.user_type_distribution)
        batch = len(observation["context"])
        if not self.learns:
            return np.tile(prior, (batch, 1))
        context = np.asarray(observation["context"], np.float64)
        topics = len(c.topic_distribution)
        steps = np.round(context[:, 0] * c.horizon)
        clicks = context[:, 3] * steps
        clicked = context[:, CONTEXT_SCALARS : CONTEXT_SCALARS + topics] * clicks[:, None]
        share = context[:, CONTEXT_SCALARS + topics : CONTEXT_SCALARS + 2 * topics]
        mean, spread = np.array(c.topic_quality_mean), np.array(c.topic_quality_stddev)
        score = mean_affinity(c) + np.exp(mean + spread**2 / 2)  # (Y, Z)
        nothing = c.no_click_mass
        whole = 1.0 + c.slate_size * share @ np.exp(score - nothing).T  # (B, Y)
        likely = np.log(np.maximum(prior, 1e-300)) + clicked @ (score - nothing).T
        likely -= steps[:, None] * np.log(whole)
        chance = np.exp(likely - likely.max(axis=1, keepdims=True))
        return np.asarray(chance / chance.sum(axis=1, keepdims=True))


def clusters(observation: Observation) -> NDArray[np.int64]:
    """Return the cluster of every video ``(B, C)``, from ids or from one-hot vectors."""
    documents = observation["candidates"]
    if _are_ids(documents):
        return documents.astype(np.int64)
    return np.asarray(documents.reshape(len(documents), -1, N_TOPICS).argmax(axis=2))


def qualities(observation: Observation, topics: int) -> tuple[FloatArray, NDArray[np.int64]]:
    """Return quality and topic of every document of interest exploration, each ``(B, C)``."""
    documents = observation["candidates"]
    rows = documents.reshape(len(documents), -1, 1 + topics)
    return np.asarray(rows[..., 0], np.float64), np.asarray(rows[..., 1:].argmax(axis=2))


def _are_ids(documents: NDArray[Any]) -> bool:
    return bool(np.issubdtype(documents.dtype, np.integer))


def _enough(candidates: NDArray[Any], constants: Constants) -> None:
    """Refuse a slate that has more places than there are candidates ``(B, C)``."""
    top_positions(candidates[:0], constants.slate_size)


@lru_cache(maxsize=32)
def _price(variant: ClassicVariant) -> float:
    """Return the minutes a minute of the budget earns, found once by playing the task."""
    constants = variant.constants
    assert isinstance(constants, EvolutionConstants)
    return price_of_time(constants, lambda policy: play(variant, policy, users=512, seed=1).mean)


def _time(name: str, variant: ClassicVariant, price: float) -> Policy:
    constants = variant.constants
    assert isinstance(constants, EvolutionConstants)
    return TimeRule(name, RatioPolicy(constants, price, knows_quality=False))


def _belief(name: str, variant: ClassicVariant, learns: bool) -> Policy:
    constants = variant.constants
    assert isinstance(constants, ExplorationConstants)
    return ScoreRule(name, TypeBelief(constants, learns), constants.slate_size)


def _quality(variant: ClassicVariant) -> Policy:
    topics = len(variant.parameters["topic_distribution"])
    return ScoreRule("quality", lambda seen: qualities(seen, topics)[0], variant.slate_size)


def _bait(name: str, variant: ClassicVariant, sign: float) -> Policy:
    return ScoreRule(
        name, lambda seen: sign * np.asarray(seen["candidates"], np.float64), variant.slate_size
    )


def _exposed(name: str, variant: ClassicVariant, rule: str) -> Policy:
    constants = variant.constants
    assert isinstance(constants, SatisfactionConstants)
    if rule == "optimal" and not constants.resample_documents:
        raise UsageError(
            f"policy 'planner' of {variant.id} takes candidates for new in every step; use "
            "resample_documents=True, or the policy 'myopic'."
        )
    return ExposureRule(name, PlanPolicy(constants, rule))


def _random(variant: ClassicVariant) -> Policy:
    topics = variant.parameters.get("topic_distribution")
    evolution = isinstance(variant.constants, EvolutionConstants)
    width = N_TOPICS if evolution else 1 + len(topics) if topics else 1
    return RandomSlates(variant.slate_size, width)


CLASSIC_POLICIES: Mapping[str, Mapping[str, Callable[[ClassicVariant], Policy]]] = {
    EvolutionConstants.family: {
        "random": _random,
        "quality": lambda v: ScoreRule(
            "quality", lambda seen: clusters(seen).astype(np.float64), v.slate_size
        ),
        "myopic": lambda v: _time("myopic", v, 0.0),
        "ratio": lambda v: _time("ratio", v, _price(v)),
    },
    ExplorationConstants.family: {
        "random": _random,
        "quality": _quality,
        "prior": lambda v: _belief("prior", v, learns=False),
        "bayes": lambda v: _belief("bayes", v, learns=True),
    },
    SatisfactionConstants.family: {
        "random": _random,
        "kale": lambda v: _bait("kale", v, -1.0),
        "choc": lambda v: _bait("choc", v, 1.0),
        "myopic": lambda v: _exposed("myopic", v, "myopic"),
        "planner": lambda v: _exposed("planner", v, "optimal"),
    },
}
"""Family -> name -> what makes the policy for a task; the weakest first, the best known last."""


def make_classic_policy(name: str, variant: ClassicVariant) -> Policy:
    """Return a policy of a classic task that acts on observations alone.

    Args:
        name: a key of ``CLASSIC_POLICIES[variant.family]``.
        variant: the task; its numbers are known to the policy.

    Raises:
        UsageError: the variant is no classic, or there is no such policy; or the plan is asked
            for where candidates stay for ever.

    Example:
        >>> from slategym.envs.registry import get_variant
        >>> variant = get_variant("slategym/LongTermSatisfaction-v0")
        >>> make_classic_policy("kale", variant).name
        'kale'
    """
    if not isinstance(variant, ClassicVariant):
        raise UsageError(f"{variant!r} is no classic task; use make_policy with its world.")
    policies = CLASSIC_POLICIES[variant.family]
    if name not in policies:
        raise unknown_name(f"{variant.family} policy", name, policies)
    return policies[name](variant)
