"""Off-policy estimators for large catalogues: MIPS and OffCEM, on vectors of the items.

Letters: N rounds, A actions (items), E embedding parts, V values of a part, C clusters, X context
numbers, D vector.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from slategym.benchmarks.ope_bandit import checked_propensities
from slategym.benchmarks.ope_estimate import Estimate, mean_estimate, ratio_estimate
from slategym.envs.build_tables import k_means
from slategym.errors import DataError

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.integer]

FOLDS = 3
PENALTY = 1.0


def embedding_likelihood(embedding: IntArray, probabilities: npt.ArrayLike) -> FloatArray:
    """Return the probability of each round's embedding under each action (N, A).

    Args:
        embedding: logged value of each part (N, E), in 0 .. V - 1.
        probabilities: of each value of each part for an action (A, V, E), parts independent.
    """
    table = np.asarray(probabilities, np.float64)
    product = np.ones((len(embedding), len(table)))
    for part in range(embedding.shape[1]):
        product *= table[:, embedding[:, part], part].T
    return product


def embedding_weights(
    evaluation: npt.ArrayLike, behaviour: npt.ArrayLike, likelihood: npt.ArrayLike
) -> FloatArray:
    """Return the marginal weight of each logged embedding (N,).

    ``w(x, e) = sum_a pi_e(a|x) p(e|a) / sum_a pi_b(a|x) p(e|a)`` (Saito and Joachims 2022,
    "Off-policy evaluation for large action spaces via embeddings").

    Args:
        evaluation: probabilities of the judged policy (N, A).
        behaviour: probabilities of the logging policy (N, A).
        likelihood: probability of the logged embedding under each action (N, A).

    Raises:
        DataError: the logging policy could not have shown a logged embedding.
    """
    like = np.asarray(likelihood, np.float64)
    below = (np.asarray(behaviour, np.float64) * like).sum(axis=1)
    if not (below > 0).all():
        raise DataError(
            f"the logging policy gives {int((below <= 0).sum())} logged embeddings probability 0; "
            "pass the probabilities the log was drawn with."
        )
    return (np.asarray(evaluation, np.float64) * like).sum(axis=1) / below


def cluster_weights(
    evaluation: npt.ArrayLike, behaviour: npt.ArrayLike, clusters: IntArray, actions: IntArray
) -> FloatArray:
    """Return the weight of each logged action's cluster (N,): the embedding is the cluster.

    Args:
        evaluation: probabilities of the judged policy (N, A).
        behaviour: probabilities of the logging policy (N, A).
        clusters: cluster of each action (A,).
        actions: logged actions (N,).
    """
    same = clusters[actions][:, None] == clusters[None, :]
    return embedding_weights(evaluation, behaviour, same)


def mips(rewards: npt.ArrayLike, weights: FloatArray) -> Estimate:
    """Return marginalised IPS, ``mean(w(x, e) r)`` (Saito and Joachims 2022).

    Unbiased if the action moves the reward through its embedding only.

    Args:
        rewards: (N,).
        weights: from `embedding_weights` or `cluster_weights` (N,).
    """
    terms = weights * np.asarray(rewards, np.float64)
    return mean_estimate("mips", terms, weights, caveat=EMBEDDED)


def snmips(rewards: npt.ArrayLike, weights: FloatArray) -> Estimate:
    """Return MIPS divided by the mean weight."""
    terms = weights * np.asarray(rewards, np.float64)
    return ratio_estimate("snmips", terms, weights, weights, caveat=EMBEDDED)


@dataclass(frozen=True)
class EmbeddedLog:
    """Rounds with what OffCEM's reward model reads.

    Attributes:
        contexts: numbers that describe the round (N, X); X may be 0.
        actions: logged actions (N,).
        rewards: (N,).
        evaluation: probabilities of the judged policy (N, A).
        behaviour: probabilities of the logging policy (N, A).
        vectors: content of each action (A, D).
        clusters: cluster of each action (A,), in 0 .. C - 1.
    """

    contexts: FloatArray
    actions: IntArray
    rewards: FloatArray
    evaluation: FloatArray
    behaviour: FloatArray
    vectors: FloatArray
    clusters: IntArray

    def __post_init__(self) -> None:
        """Refuse arrays that do not fit and rounds the logging policy could not have made.

        Raises:
            DataError: shapes, or a logged action of probability 0.
        """
        rounds, actions = self.evaluation.shape
        lengths = {len(self.contexts), len(self.actions), len(self.rewards), rounds}
        if lengths != {rounds} or self.behaviour.shape != (rounds, actions):
            raise DataError("contexts, actions, rewards and probabilities need the same rounds.")
        if len(self.vectors) != actions or self.clusters.shape != (actions,):
            raise DataError(f"vectors and clusters must have one row for each of {actions} actions")
        checked_propensities(self.behaviour[np.arange(rounds), self.actions])


def action_clusters(vectors: npt.NDArray[np.floating], clusters: int, seed: int = 0) -> IntArray:
    """Return the k-means cluster of each action (A,) on directions of its vectors.

    Args:
        vectors: (A, D).
        clusters: C, at most the number of actions.
        seed: seed of the starts.
    """
    rows = np.asarray(vectors, np.float32)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    unit = (rows / np.where(length > 0, length, 1.0)).astype(np.float32)
    return np.asarray(k_means(unit, min(clusters, len(unit)), seed))


def offcem(log: EmbeddedLog, *, penalty: float = PENALTY, seed: int = 0) -> Estimate:
    """Return OffCEM, ``mean(w(x, c) (r - f(x, a)) + sum_a pi_e(a|x) f(x, a))``.

    Weights correct for clusters, a model for what differs inside a cluster (Saito, Ren and
    Joachims 2023, "Off-policy evaluation for large action spaces via conjunct effect
    modeling"). Unbiased if f gets the differences inside clusters right, however wrong it is
    about the clusters themselves. f comes from `conjunct_model`, fitted on the folds a round is
    not in.

    Args:
        log: the rounds.
        penalty: ridge penalty of both regressions, above 0.
        seed: seed of the folds.
    """
    rounds = len(log.rewards)
    folds = np.random.default_rng(seed).permutation(rounds) % FOLDS
    predicted = np.empty(log.evaluation.shape)
    for fold in range(min(FOLDS, rounds)):
        held = folds == fold
        predicted[held] = conjunct_model(log, ~held, held, penalty)
    weights = cluster_weights(log.evaluation, log.behaviour, log.clusters, log.actions)
    left = log.rewards - predicted[np.arange(rounds), log.actions]
    terms = weights * left + (log.evaluation * predicted).sum(axis=1)
    return mean_estimate("offcem", terms, weights, caveat=LOCAL)


def conjunct_model(
    log: EmbeddedLog,
    train: npt.NDArray[np.bool_],
    held: npt.NDArray[np.bool_],
    penalty: float = PENALTY,
) -> FloatArray:
    """Return predicted rewards of all actions for the rounds held out (n, A), in two stages.

    1. Pairwise: ``h(x, a)``, linear in the action's vector and its products with the context, is
       fitted to differences of rewards of pairs of rounds in one cluster, differences of
       contexts taken out. With squared loss, all pairs of a cluster together are the same as
       its rounds less their means (Saito et al. 2023).
    2. Baseline: ``g(x, c)``, linear in the context with an own level for each cluster, is fitted
       to ``r - h``. The prediction is ``g + h``.

    Args:
        log: the rounds.
        train: which are fitted (N,).
        held: which are predicted (N,).
        penalty: ridge penalty, above 0.
    """
    contexts = np.asarray(log.contexts, np.float64)
    clusters = log.clusters[log.actions]
    inside = np.concatenate(
        [_effects(contexts[train], log.vectors[log.actions[train]]), contexts[train]], axis=1
    )
    rewards = np.asarray(log.rewards[train], np.float64)
    centred = less_means(np.column_stack([inside, rewards]), clusters[train])
    slopes = _ridge(centred[:, :-1], centred[:, -1], penalty)
    size = inside.shape[1] - contexts.shape[1]
    left = rewards - inside[:, :size] @ slopes[:size]
    count = int(log.clusters.max()) + 1
    level = _ridge(_levels(contexts[train], clusters[train], count), left, penalty)
    baseline = np.stack(
        [_levels(contexts[held], np.full(int(held.sum()), c), count) @ level for c in range(count)],
        axis=1,
    )
    return _action_effects(contexts[held], log.vectors, slopes[:size]) + baseline[:, log.clusters]


def _effects(contexts: FloatArray, vectors: FloatArray) -> FloatArray:
    """Return an action's vector and its products with the context (N, D + X D)."""
    products = (contexts[:, :, None] * vectors[:, None, :]).reshape(len(contexts), -1)
    return np.concatenate([vectors, products], axis=1)


def _action_effects(contexts: FloatArray, vectors: FloatArray, slopes: FloatArray) -> FloatArray:
    """Return h of every action (n, A) without making the products."""
    width = vectors.shape[1]
    mixed = slopes[width:].reshape(contexts.shape[1], width)
    return np.asarray((slopes[:width] + contexts @ mixed) @ vectors.T)


def _levels(contexts: FloatArray, clusters: IntArray, count: int) -> FloatArray:
    """Return a constant, the context and an indicator of the cluster (N, 1 + X + C)."""
    own = np.eye(count)[clusters]
    return np.concatenate([np.ones((len(contexts), 1)), contexts, own], axis=1)


def less_means(rows: FloatArray, groups: IntArray) -> FloatArray:
    """Return rows less the mean of their group."""
    _, member = np.unique(groups, return_inverse=True)
    sums = np.zeros((int(member.max(initial=0)) + 1, rows.shape[1]))
    np.add.at(sums, member, rows)
    return rows - (sums / np.bincount(member)[:, None])[member]


def _ridge(inputs: FloatArray, targets: FloatArray, penalty: float) -> FloatArray:
    """Return coefficients of ridge regression without an intercept."""
    gram = inputs.T @ inputs + penalty * np.eye(inputs.shape[1])
    return np.asarray(np.linalg.solve(gram, inputs.T @ targets), np.float64)


EMBEDDED = "it takes the reward to depend on the item's embedding only"
LOCAL = "it takes its model to be right about differences inside a cluster"
