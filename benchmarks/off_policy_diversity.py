"""Reference cases of diversity: what lists, logs and content give for each key of the JSON."""

import re
from collections.abc import Callable, Mapping
from functools import cached_property

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from slategym.agents.rerank import greedy_dpp, mmr, unit_rows
from slategym.benchmarks import diversity, metrics
from slategym.benchmarks.diversity_libraries import Lists, recommenders, rectools, vendi_score

Arrays = Mapping[str, npt.NDArray[np.generic]]


class DiversityCase:
    """Recommended lists with what was known before and came after."""

    def __init__(self, arrays: Arrays, told: Mapping[str, object]) -> None:  # noqa: ARG002
        """Read the arrays."""
        items = np.asarray(arrays["rec_items"], np.int64)
        labels = np.asarray(arrays["genres"], np.float64)
        users, catalogue = len(items), len(labels)

        def pairs(name: str) -> sp.csr_array:
            rows = np.asarray(arrays[name], np.int64)
            shape = (users, catalogue)
            return sp.csr_array((np.ones(len(rows)), (rows[:, 0], rows[:, 1])), shape=shape)

        self._scores = np.asarray(arrays["rec_scores"], np.float64)
        vectors = np.asarray(arrays["embeddings"], np.float64)
        self.lists = Lists(items, pairs("train"), pairs("test"), labels, vectors)

    def value(self, key: tuple[str, ...]) -> float | list[int] | None:
        """Return what the arrays give for a key."""
        if key[0] == "closed_form" and len(key) == 3:
            return self._order(key[1], int(key[2]))
        if key[0] == "closed_form" and len(key) == 2:
            made = self._closed_forms.get(key[1])
            return self._with_number(key[1]) if made is None else made()
        if key[0] == "libraries" and len(key) == 2:
            library, _, name = key[1].partition(".")
            tables = {
                "rectools": rectools,
                "recommenders": recommenders,
                "vendi_score": vendi_score,
            }
            return tables[library](self.lists).get(name) if library in tables else None
        facts = {
            "n_users": len(self.lists.items),
            "n_items": self.lists.n_items,
            "K": self.lists.items.shape[1],
            "n_cold_items": int((self.lists.popularity == 0).sum()),
        }
        return float(facts[key[0]]) if len(key) == 1 and key[0] in facts else None

    def _with_number(self, name: str) -> float | None:
        """Return a metric whose name ends in its smoothing or jitter."""
        if found := re.fullmatch(r"calibration_kl_steck_a([\d.e-]+)_nats", name):
            each = diversity.calibration_kl(*self._topics, float(found[1]))
        elif found := re.fullmatch(r"dpp_logdet_cos_eps([\d.e-]+)", name):
            lists = self.lists
            each = diversity.log_volume(lists.items, lists.vectors, float(found[1]))
        else:
            return None
        return float(np.nanmean(each))

    @cached_property
    def _topics(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Topic shares of the histories and of the lists, each (B, Z)."""
        lists = self.lists
        topics = lists.labels / np.maximum(lists.labels.sum(axis=1, keepdims=True), 1.0)
        liked = diversity.history_shares(lists.train, topics)
        return liked, diversity.topic_shares(lists.items, topics)

    def _order(self, name: str, user: int) -> list[int] | None:
        """Return a re-ranked list of one user: the first items by MMR or greedy DPP."""
        found = re.fullmatch(r"(mmr_lambda|dpp_greedy_theta)([\d.]+)_top(\d+)", name)
        if found is None or not 0 <= user < len(self.lists.items):
            return None
        items = self.lists.items[user : user + 1]
        vectors = unit_rows(self.lists.vectors)[items]
        scores, slots, setting = self._scores[user : user + 1], int(found[3]), float(found[2])
        if found[1] == "mmr_lambda":
            places = mmr(scores, vectors, slots, trade_off=setting)
        else:
            places = greedy_dpp(scores, vectors, slots, theta=setting)
        return [int(item) for item in items[0, places[0]]]

    @cached_property
    def _closed_forms(self) -> dict[str, Callable[[], float]]:
        """Metrics by their names in the JSON."""
        lists = self.lists
        items, counts, vectors = lists.items, lists.counts, lists.vectors
        bits = metrics.self_information(lists.popularity, total=len(items))
        mean: Callable[[npt.NDArray[np.float64]], float] = lambda one: float(np.nanmean(one))  # noqa: E731
        return {
            "ild_cosine": lambda: mean(metrics.intra_list_diversity(items, vectors)),
            "ild_hamming_genre_count": lambda: mean(
                diversity.hamming_diversity(items, lists.labels)
            ),
            "ild_jaccard_genre": lambda: mean(diversity.jaccard_diversity(items, lists.labels)),
            "coverage_catalog": lambda: float(metrics.coverage(counts)),
            "gini_all_items": lambda: float(metrics.gini(counts)),
            "gini_recommended_only": lambda: float(metrics.gini(counts[counts > 0])),
            "entropy_nats": lambda: float(diversity.entropy(counts, np.e)),
            "entropy_bits": lambda: float(diversity.entropy(counts)),
            "effective_catalog_exp_entropy": lambda: float(diversity.effective_catalogue(counts)),
            "novelty_selfinfo_users_floor1_bits": lambda: mean(bits[items]),
            "arp": lambda: mean(lists.popularity[items]),
            "vendi_cosine_mean": lambda: mean(diversity.vendi(items, vectors)),
            "calibration_js_nats": lambda: mean(diversity.calibration_js(*self._topics)),
            "subtopic_recall_genre": lambda: mean(diversity.subtopic_recall(items, lists.labels)),
            "inter_user_diversity_mean_1_minus_overlap_over_K": lambda: (
                diversity.inter_user_diversity(items)
            ),
        }
