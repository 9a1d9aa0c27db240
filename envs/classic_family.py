"""What differs between the three classic families beside their formulas: sizes, names, spaces."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import spaces

from slategym.envs import classic_evolution, classic_exploration, classic_satisfaction
from slategym.envs.arrays import AnyArray, frozen
from slategym.envs.classic_constants import (
    CHOICE_MODELS,
    N_TOPICS,
    Constants,
    EvolutionConstants,
    ExplorationConstants,
    SatisfactionConstants,
)
from slategym.envs.classic_state import (
    CONTEXT_SCALARS,
    MEANS,
    EvolutionRules,
    ExplorationRules,
    Rules,
    SatisfactionRules,
    Sizes,
    State,
)

NORMAL_REACH = 6.4
"""No normal number drawn from 32 bits lies further from zero."""


@dataclass(frozen=True)
class Family:
    """One classic family.

    Stability: internal; a family is added together with its formulas.
    """

    rules: Callable[[Any], Rules]
    """Constants -> the numbers the compiled step works with."""
    names: tuple[str, ...]
    """The quantities of a response, in the order of `Response.real`."""
    reward_term: str
    """What the reward is made of."""
    has_clusters: bool
    """Whether a document belongs to a cluster (or topic)."""
    user_seen: int
    """Du, entries of ``user`` in the observation."""
    user_columns: Callable[[Any], int]
    """Constants -> U, columns of the true user."""
    means: Callable[[Any], int]
    """Constants -> Z, features whose means over consumed and shown documents are observed."""
    document_high: Callable[[Any], list[float]]
    """Constants -> upper bound of each entry of a document (D); the lower is 0."""
    privileged: Callable[[State], dict[str, AnyArray]]
    """What only an oracle may know, but for the quality in evolution."""

    def columns(self, constants: Constants) -> dict[str, int]:
        """Return the columns of each array of the state."""
        evolution = isinstance(constants, EvolutionConstants)
        return {
            "user": self.user_columns(constants),
            "tally": MEANS + 2 * self.means(constants),
            "cluster": constants.num_candidates,
            "feature": 0 if evolution else constants.num_candidates,
            "past": constants.history_length,
        }

    def sizes(self, constants: Constants, batch: int) -> Sizes:
        """Return the sizes of what a batch hands out."""
        ids = constants.observation == "ids"
        return Sizes(
            batch=batch,
            count=constants.num_candidates,
            slate=constants.slate_size,
            past=constants.history_length,
            seen=self.user_seen,
            document=0 if ids else len(self.document_high(constants)),
            context=CONTEXT_SCALARS + 2 * self.means(constants),
            quantities=len(self.names),
            ids=ids,
        )

    def observation_space(self, constants: Constants) -> spaces.Dict:
        """Return the space of one user's observation; every bound is finite."""
        past, count = constants.history_length, constants.num_candidates
        high = np.array(self.document_high(constants), dtype=np.float32)
        ids = constants.observation == "ids"

        def documents(number: int, most: int) -> spaces.Space[Any]:
            if ids:
                return spaces.Box(0, most, (number,), np.int32)
            top = np.tile(high, number)
            return spaces.Box(np.zeros_like(top), top, dtype=np.float32)

        context = CONTEXT_SCALARS + 2 * self.means(constants)
        return spaces.Dict(
            {
                "user": spaces.Box(-1.0, 1.0, (self.user_seen,), np.float32),
                "history": documents(past, N_TOPICS),
                "history_feedback": spaces.Box(
                    0.0, 1.0, (past, 3) if ids else (3 * past,), np.float32
                ),
                "candidates": documents(count, N_TOPICS - 1),
                "context": spaces.Box(0.0, 1.0, (context,), np.float32),
            }
        )


def _evolution_rules(constants: EvolutionConstants) -> EvolutionRules:
    given = {name: getattr(constants, name) for name in EvolutionRules._fields[1:-1]}
    means = frozen(np.array(constants.cluster_means))
    return EvolutionRules(CHOICE_MODELS.index(constants.choice_model), **given, cluster_means=means)


def _exploration_rules(constants: ExplorationConstants) -> ExplorationRules:
    given = {name: getattr(constants, name) for name in ExplorationRules._fields[1:-3]}
    c = constants
    chances = np.cumsum(c.topic_distribution)
    topics = np.array([chances, c.topic_quality_mean, c.topic_quality_stddev])
    affinity = np.array(
        [c.user_document_mean_affinity_matrix, c.user_document_stddev_affinity_matrix]
    )
    types = np.cumsum(c.user_type_distribution)
    return ExplorationRules(
        CHOICE_MODELS.index(c.choice_model), **given,
        topics=frozen(topics), types=frozen(types), affinity=frozen(affinity),
    )  # fmt: skip


def _satisfaction_rules(constants: SatisfactionConstants) -> SatisfactionRules:
    return SatisfactionRules(
        **{name: getattr(constants, name) for name in SatisfactionRules._fields}
    )


def _topics(constants: ExplorationConstants) -> int:
    return len(constants.topic_distribution)


def _quality_high(constants: ExplorationConstants) -> list[float]:
    """Return the bounds of a document of interest exploration: quality, one-hot topic."""
    mean, spread = constants.topic_quality_mean, constants.topic_quality_stddev
    most = max(m + NORMAL_REACH * s for m, s in zip(mean, spread, strict=True))
    return [float(np.exp(most)), *([1.0] * _topics(constants))]


def _evolution_privileged(state: State) -> dict[str, AnyArray]:
    budget = classic_evolution.BUDGET
    return {
        "cluster_id": state.cluster.astype(np.int32),
        "interest": state.user[:, :budget].copy(),
        "time_budget": state.user[:, budget].copy(),
    }


def _exploration_privileged(state: State) -> dict[str, AnyArray]:
    return {
        "quality": state.feature.copy(),
        "cluster_id": state.cluster.astype(np.int32),
        "affinity": state.user[:, :-1].copy(),
        "user_type": state.user[:, -1].astype(np.int32),
    }


def _satisfaction_privileged(state: State) -> dict[str, AnyArray]:
    columns = classic_satisfaction
    return {
        "clickbait": state.feature.copy(),
        "npe": state.user[:, columns.NPE].copy(),
        "satisfaction": state.user[:, columns.SATISFACTION].copy(),
        "time_budget": state.user[:, columns.LEFT].copy(),
    }


FAMILY: dict[str, Family] = {
    EvolutionConstants.family: Family(
        rules=_evolution_rules,
        names=classic_evolution.NAMES,
        reward_term="watch_time",
        has_clusters=True,
        user_seen=N_TOPICS,
        user_columns=lambda _: N_TOPICS + 1,
        means=lambda _: 0,
        document_high=lambda _: [1.0] * N_TOPICS,
        privileged=_evolution_privileged,
    ),
    ExplorationConstants.family: Family(
        rules=_exploration_rules,
        names=classic_exploration.NAMES,
        reward_term="click",
        has_clusters=True,
        user_seen=1,
        user_columns=lambda constants: _topics(constants) + 1,
        means=_topics,
        document_high=_quality_high,
        privileged=_exploration_privileged,
    ),
    SatisfactionConstants.family: Family(
        rules=_satisfaction_rules,
        names=classic_satisfaction.NAMES,
        reward_term="engagement",
        has_clusters=False,
        user_seen=1,
        user_columns=lambda _: 3,
        means=lambda _: 1,
        document_high=lambda _: [1.0],
        privileged=_satisfaction_privileged,
    ),
}
