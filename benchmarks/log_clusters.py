"""Items pooled by what they are: what MIPS and OffCEM need of a log of slates.

The embedding of an item is its cluster: k-means on the world's item vectors, which every agent
sees. Slates are filled from the top, so the weight of a slot is that of its cluster given the items
above, and weights multiply down to it, as in `slategym.benchmarks.ope_slate.rips`:

    w_k = prod_{j <= k} sum_{i in c(a_j)} pi_e(i | a_1..a_{j-1}) / sum_{i in c(a_j)} pi_b(i | ..) .

For K = 1 this is MIPS as published. For K > 1 it also takes the later slots to depend on an item
above them through its cluster only. Letters: N impressions, K slots, C candidates, P features.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from slategym.agents.stochastic import StochasticPolicy
from slategym.benchmarks.behaviour_policy import user_folds
from slategym.benchmarks.log_models import FOLDS, SlateFeatures, ridge
from slategym.benchmarks.log_policies import logged_shares
from slategym.benchmarks.log_schema import BoolArray, FloatArray, Log, LongArray
from slategym.benchmarks.ope_estimate import Estimate
from slategym.benchmarks.ope_large_actions import EMBEDDED, LOCAL, action_clusters, less_means
from slategym.benchmarks.ope_slate import SlateLog, cascade_dr, rips, snrips
from slategym.envs.world import World

CLUSTERED = ("mips", "snmips", "offcem")
_CHUNK = 2048


@dataclass(frozen=True, eq=False)
class LogClusters:
    """A log whose items are pooled; what does not depend on the judged policy.

    Attributes:
        candidates: cluster of every candidate ``(N, C)``.
        shown: cluster of the item in each slot ``(N, K)``.
        behaviour: probability that the logging policy shows this cluster in the slot, given the
            items above ``(N, K)``.
        model: expected reward of every candidate in every slot, as OffCEM wants it
            ``(N, K, C)``.
    """

    candidates: LongArray
    shown: LongArray
    behaviour: FloatArray
    model: FloatArray

    @classmethod
    def of(
        cls,
        log: Log,
        world: World,
        features: SlateFeatures,
        policies: Sequence[StochasticPolicy],
        *,
        seed: int = 0,
    ) -> "LogClusters":
        """Return a log with its items pooled.

        Args:
            log: what was read.
            world: gives the item vectors.
            features: of the log's impressions.
            policies: what wrote the log; see `remade_policies`.
            seed: of the clusters and folds.

        Raises:
            DataError: the policies are not what wrote the log.
        """
        count = cluster_count(world.n_items, log.info.num_candidates)
        of_item = action_clusters(world.item_vectors, count, seed)
        listed = np.where(log.candidates >= 0, of_item[log.candidates], -1)
        shown = np.asarray(of_item[log.items], np.int64)
        behaviour = np.zeros(log.items.shape)
        for start in range(0, len(log), _CHUNK):
            rows = slice(start, min(start + _CHUNK, len(log)))
            share = logged_shares(log, policies, rows)
            behaviour[rows] = _pooled(share, listed[rows], shown[rows])
        model = conjunct_slots(log, features, listed, shown, seed=seed)
        return cls(listed, shown, behaviour, model)

    def seen_by(self, share: FloatArray, rows: slice) -> tuple[FloatArray, FloatArray]:
        """Return, for a judged policy, weights of single slots and expected rewards, ``(n, K)``.

        Args:
            share: its probability of every candidate at every slot, given the items logged above
                ``(n, K, C)``.
            rows: the impressions.
        """
        ratio = _pooled(share, self.candidates[rows], self.shown[rows]) / self.behaviour[rows]
        return ratio, (share * self.model[rows]).sum(2)


def cluster_count(items: int, candidates: int) -> int:
    """Return how many clusters items are pooled in.

    The square root of the catalogue, but few enough that three candidates share one on average:
    clusters of single candidates would pool nothing.
    """
    return max(2, min(round(items**0.5), candidates // 3))


def conjunct_slots(
    log: Log, features: SlateFeatures, listed: LongArray, shown: LongArray, *, seed: int = 0
) -> FloatArray:
    """Return OffCEM's model of each slot's reward for every candidate ``(N, K, C)``.

    Two stages, as in `slategym.benchmarks.ope_large_actions.conjunct_model` (Saito, Ren and
    Joachims 2023): the candidates' features fitted to differences inside a cluster, then state and
    a level for each cluster fitted to what is left. Cross-fitted over users.

    Args:
        log: gives rewards per slot and users.
        features: of its impressions.
        listed: cluster of every candidate ``(N, C)``.
        shown: cluster of the item in each slot ``(N, K)``.
        seed: of the folds.
    """
    fold = user_folds(log.user, FOLDS, seed)
    out = np.zeros((*log.items.shape, listed.shape[1]))
    width, levels = features.items.shape[2], np.eye(int(listed.max()) + 1)
    for slot in range(log.items.shape[1]):
        picked = log.positions[:, slot, None, None]
        item = np.take_along_axis(features.items, picked, 1)[:, 0]  # (N, P)
        for group in range(FOLDS):
            kept, held = fold != group, fold == group
            inside = np.concatenate([item[kept], features.state[kept, 1:]], axis=1)
            reward, own = log.reward_slot[kept, slot], shown[kept, slot]
            centred = less_means(np.column_stack([inside, reward]), own)
            slopes = ridge(centred[:, :-1], centred[:, -1])[:width]
            base = np.concatenate([features.state[kept], levels[own]], axis=1)
            level = ridge(base, reward - item[kept] @ slopes)
            split = features.state.shape[1]
            told = (features.state[held] @ level[:split])[:, None] + level[split:][listed[held]]
            out[held, slot] = told + features.items[held] @ slopes
    return out


def clustered_log(
    clusters: LogClusters, log: Log, ratio: FloatArray, value: FloatArray, unsupported: float
) -> SlateLog:
    """Return a log through a judged policy, weighted by clusters.

    Args:
        clusters: of the log.
        log: itself.
        ratio: weight of each slot's cluster given the items above ``(N, K)``.
        value: what the model expects of the policy in each slot ``(N, K)``.
        unsupported: share of the policy on items that are nowhere in the log.
    """
    taken = np.take_along_axis(clusters.model, log.positions[..., None], 2)[..., 0]
    weight: FloatArray = np.asarray(np.cumprod(ratio, axis=1), np.float64)
    return SlateLog(log.reward_slot, weight[:, -1], weight, weight, taken, value, unsupported)


def clustered_estimate(name: str, log: SlateLog) -> Estimate:
    """Return MIPS, MIPS divided by the mean weight of each slot, or OffCEM.

    Args:
        name: one of `CLUSTERED`.
        log: from `clustered_log`.
    """
    made = {"mips": rips, "snmips": snrips, "offcem": cascade_dr}[name](log)
    return replace(made, name=name, caveat=LOCAL if name == "offcem" else EMBEDDED)


def _pooled(share: FloatArray, listed: LongArray, shown: LongArray) -> FloatArray:
    """Return the probability of each slot's cluster ``(n, K)``, summed over its candidates."""
    same: BoolArray = listed[:, None, :] == shown[:, :, None]
    return np.asarray((share * same).sum(2))
