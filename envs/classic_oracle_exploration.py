"""Policies for interest exploration: who knows the user, who learns, and who does not ask.

Users do not change, so showing the K documents of the largest affinity plus quality is optimal
for whoever knows the affinities, in each of the choice models.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from slategym.envs.arrays import AnyArray, DoubleArray, LongArray
from slategym.envs.classic_constants import ExplorationConstants

Known = Mapping[str, AnyArray]


def mean_affinity(constants: ExplorationConstants) -> DoubleArray:
    """Return the mean affinity of each type to each topic (Y, Z): exp(mean + stddev^2 / 2)."""
    mean = np.array(constants.user_document_mean_affinity_matrix)
    spread = np.array(constants.user_document_stddev_affinity_matrix)
    return np.asarray(np.exp(mean + spread**2 / 2))


class ScorePolicy:
    """Shows the K documents of the largest quality plus what it believes of the affinity.

    Args:
        constants: of the task.
        name: "oracle_affinity" knows it, "oracle_type" knows the user's type, "prior_mean" the
            types' frequency; "quality_only" leaves it out.
    """

    def __init__(self, constants: ExplorationConstants, name: str) -> None:
        self.constants, self.name = constants, name
        self._by_type = mean_affinity(constants)
        self._prior = np.array(constants.user_type_distribution)

    def act(self, known: Known, observation: Known | None = None) -> LongArray:
        """Return slates (B, K).

        Args:
            known: ``info["privileged"]``.
            observation: not looked at.
        """
        del observation
        affinity = self.affinity(known)
        cluster = known["cluster_id"].astype(np.int64)
        score = np.take_along_axis(affinity, cluster, axis=1) + known["quality"]
        order = np.argsort(-score, axis=1, kind="stable")
        return np.ascontiguousarray(order[:, : self.constants.slate_size])

    def affinity(self, known: Known) -> DoubleArray:
        """Return what is believed of the affinity of each user to each topic (B, Z)."""
        if self.name == "oracle_affinity":
            return np.asarray(known["affinity"])
        if self.name == "oracle_type":
            return np.asarray(self._by_type[known["user_type"]])
        batch = len(known["cluster_id"])
        prior = self._prior @ self._by_type
        return np.tile(prior if self.name == "prior_mean" else 0.0 * prior, (batch, 1))


class BayesGreedy(ScorePolicy):
    """Learns each user's type from responses, and shows what is best on average under it.

    It knows the numbers of the task, and of the user what everybody sees: call `learn` with
    each step's info. The logit choice model is assumed.
    """

    def __init__(self, constants: ExplorationConstants) -> None:
        super().__init__(constants, "bayes_greedy")
        self._log_posterior: DoubleArray | None = None

    def affinity(self, known: Known) -> DoubleArray:
        """Return the posterior mean of the affinities (B, Z), types at their own mean."""
        if self._log_posterior is None:
            self._log_posterior = np.tile(np.log(self._prior), (len(known["cluster_id"]), 1))
        chance = np.exp(self._log_posterior - self._log_posterior.max(axis=1, keepdims=True))
        return np.asarray(chance / chance.sum(axis=1, keepdims=True) @ self._by_type)

    def learn(self, info: Mapping[str, Any]) -> None:
        """Take in a step's responses; forget users whose episode ended."""
        if self._log_posterior is None:
            return
        response = info["response"]
        click, cluster = response["click"], response["cluster_id"].astype(np.int64)
        for y, affinity in enumerate(self._by_type):
            score = affinity[cluster] + response["quality"]  # (B, K)
            most = np.maximum(score.max(axis=1), self.constants.no_click_mass)
            weights = np.exp(score - most[:, None])
            nothing = np.exp(self.constants.no_click_mass - most)
            clicked = click.max(axis=1) > 0
            taken = np.where(clicked, (weights * click).sum(axis=1), nothing)
            self._log_posterior[:, y] += np.log(taken / (weights.sum(axis=1) + nothing))
        if "_final_obs" in info:
            self._log_posterior[info["_final_obs"]] = np.log(self._prior)
