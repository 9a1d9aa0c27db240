"""Reference cases of off-policy evaluation: what a case's arrays give for each key of its JSON.

A case is recognised by the arrays it has, never by its name.
"""

import re
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt

from slategym.benchmarks import ope_sequence
from slategym.benchmarks.ope_bandit import PLAIN, TAMED, BanditLog, bandit_log
from slategym.benchmarks.ope_cumulative import cdf_mean, cvar, quantile
from slategym.benchmarks.ope_estimate import effective_sample_size
from slategym.benchmarks.ope_large_actions import (
    embedding_likelihood,
    embedding_weights,
    mips,
    snmips,
)
from slategym.benchmarks.ope_slate import SLATE_ESTIMATORS, SlateLog, slate_log
from slategym.benchmarks.ope_tabular import (
    Chain,
    TabularLog,
    exact_value,
    fqe,
    occupancy,
    state_weights,
)
from slategym.benchmarks.ope_tuning import error_bound, slope

FloatArray = npt.NDArray[np.float64]
Arrays = Mapping[str, npt.NDArray[np.generic]]
Key = tuple[str, ...]
Value = float | list[int]

# Names of estimators that need a reward model start so.
_MODELLED = ("dm", "dr", "sndr", "switch_dr", "sgdr")
# The JSON calls clipped weights by the plain estimator where they are tuned.
_TUNED = {"ipw": "ipw_clip", "dr": "dr_clip"}


class Case(Protocol):
    """A case whose keys can be computed."""

    def value(self, key: Key) -> Value | None:
        """Return what the arrays give for a key, or ``None`` if they say nothing about it."""


def plain_numbers(arrays: Arrays, name: str) -> FloatArray:
    """Return an array as float64."""
    return np.asarray(arrays[name], np.float64)


def whole_numbers(arrays: Arrays, name: str) -> npt.NDArray[np.int64]:
    """Return an array as int64: stored unsigned, differences of it would wrap."""
    return np.asarray(arrays[name], np.int64)


def weight_diagnostics(weights: FloatArray) -> dict[str, float]:
    """Return the numbers under ``diag`` for weights (N,)."""
    return {
        "ess": effective_sample_size(weights),
        "w_mean": float(weights.mean()),
        "w_max": float(weights.max()),
        "w_p99": float(np.percentile(weights, 99)),
    }


class BanditCase:
    """Rounds with one action each, with or without a position."""

    def __init__(self, arrays: Arrays, told: Mapping[str, object]) -> None:
        """Read the arrays; ``told`` is the case's JSON, of which counts of the truth are read."""
        self.arrays, self.told = arrays, told
        self._modelled = "q_u" in arrays or "q_hat" in arrays

    @cached_property
    def log(self) -> BanditLog:
        """The rounds, seen through the judged policy."""
        arrays = self.arrays
        actions = whole_numbers(arrays, "action")
        judged = plain_numbers(arrays, "pi_e")
        if "q_u" in arrays:
            rows, position = np.arange(len(actions)), whole_numbers(arrays, "position")
            fold = whole_numbers(arrays, "fold")
            effect = plain_numbers(arrays, "q_v")[fold, :, position]  # (N, A)
            odds = plain_numbers(arrays, "q_u")[rows, position][:, None] + effect
            model: FloatArray | None = 1.0 / (1.0 + np.exp(-odds))
            judged = judged[:, position].T
        else:
            model = plain_numbers(arrays, "q_hat") if "q_hat" in arrays else None
        rewards = plain_numbers(arrays, "reward")
        return bandit_log(actions, rewards, arrays["pscore"], judged, model=model)

    def value(self, key: Key) -> Value | None:
        """Return what the arrays give for a key."""
        if key[0] == "estimates" and len(key) == 2:
            return self._estimate(key[1])
        if key[:2] == ("estimates", "diag"):
            return weight_diagnostics(self.log.weights).get(key[2])
        if key[0] == "estimates" and len(key) == 4:
            return self._bootstrap(key[1], key[2], key[3])
        return self._fact(key[0]) if len(key) == 1 else None

    def _estimate(self, name: str) -> float | None:
        """Return an estimate by its name in the JSON; ``None`` if it needs a model and none is."""
        if not self._modelled and name.startswith(_MODELLED):
            return None
        if name in PLAIN:
            return PLAIN[name](self.log).value
        if found := re.fullmatch(r"(\w+?)_(slope|mse)(_lambda)?", name):
            estimator = TAMED.get(_TUNED.get(found[1], found[1]))
            if estimator is None:
                return None
            tuned = (slope if found[2] == "slope" else error_bound)(estimator, self.log)
            return tuned.setting if found[3] else tuned.estimate.value
        if found := re.fullmatch(r"(\w+)_([\d.]+(?:e-?\d+)?)", name):
            estimator = TAMED.get(found[1])
            return None if estimator is None else estimator(self.log, float(found[2])).value
        return None

    def _bootstrap(self, how: str, name: str, what: str) -> float | None:
        """Return the mean or an end of the round-wise bootstrap that the reference used.

        The terms of a ratio hold its normaliser fixed here, which documents obp; the intervals
        this project reports resample it.
        """
        settings = re.match(r"bootstrap([\d.]+)_seed(\d+)_B(\d+)_randomstate_choice$", how)
        if settings is None or name not in ("ipw", "dr", "snipw"):
            return None
        if name == "dr" and not self._modelled:
            return None
        means = self._resampled(name, int(settings[2]), int(settings[3]))
        tail = (100.0 - float(settings[1])) / 2.0
        if "lower" in what or "upper" in what:
            return float(np.percentile(means, tail if "lower" in what else 100.0 - tail))
        return float(means.mean()) if what == "mean" else None

    def _resampled(self, name: str, seed: int, resamples: int) -> FloatArray:
        """Return means of resampled terms (R,), kept for the next key."""
        cache: dict[tuple[str, int, int], FloatArray] = self.__dict__.setdefault("_means", {})
        key = (name, seed, resamples)
        if key not in cache:
            log = self.log
            terms = PLAIN["dr" if name == "dr" else "ipw"](log).base
            terms = terms / log.weights.mean() if name == "snipw" else terms
            rng = np.random.RandomState(seed)  # the reference's own generator
            size = len(terms)
            cache[key] = np.array([rng.choice(terms, size=size).mean() for _ in range(resamples)])
        return cache[key]

    def _fact(self, name: str) -> float | None:
        """Return a number of the case itself."""
        rewards = plain_numbers(self.arrays, "reward")
        if name == "ground_truth_expected" and "expected_reward" in self.arrays:
            judged = plain_numbers(self.arrays, "pi_e")
            return float((judged * plain_numbers(self.arrays, "expected_reward")).sum(1).mean())
        facts: dict[str, Callable[[], float]] = {
            "n": lambda: float(len(rewards)),
            "n_actions": lambda: float(self.arrays["pi_e"].shape["q_u" not in self.arrays]),
            "len_list": lambda: float(self.arrays["pi_e"].shape[1]),
            "behavior_mean": lambda: float(rewards.mean()),
            "behavior_clicks": lambda: float(rewards.sum()),
        }
        if name == "len_list" and "q_u" not in self.arrays:
            return None
        if name in facts:
            return facts[name]()
        return self._on_policy(name)

    def _on_policy(self, name: str) -> float | None:
        """Return the other policy's own click rate and its error from the counts told."""
        clicks, size = self.told.get("on_policy_eval_clicks"), self.told.get("on_policy_eval_n")
        if not isinstance(clicks, int | float) or not isinstance(size, int | float):
            return None
        rate = clicks / size
        if name == "on_policy_eval_mean":
            return float(rate)
        if name == "on_policy_eval_se":
            return float(np.sqrt(rate * (1.0 - rate) / (size - 1.0)))
        return None


class MipsCase:
    """Rounds with an embedding of the action."""

    def __init__(self, arrays: Arrays, told: Mapping[str, object]) -> None:  # noqa: ARG002
        """Read the arrays."""
        actions = whole_numbers(arrays, "action")
        rows = np.arange(len(actions))
        judged, logged = plain_numbers(arrays, "pi_e"), plain_numbers(arrays, "pi_b")
        like = embedding_likelihood(whole_numbers(arrays, "embed"), arrays["p_e_a"])
        self._rewards = plain_numbers(arrays, "reward")
        self._weights = {
            "mips": embedding_weights(judged, logged, like),
            "ipw": judged[rows, actions] / logged[rows, actions],
        }
        self._actions = judged.shape[1]

    def value(self, key: Key) -> Value | None:
        """Return what the arrays give for a key."""
        if key == ("n",):
            return float(len(self._rewards))
        if key == ("n_actions",):
            return float(self._actions)
        if key[0] != "estimates" or len(key) != 2:
            return None
        if found := re.fullmatch(r"(ess|w_max|w_mean|w_p99)_(mips|ipw)", key[1]):
            return weight_diagnostics(self._weights[found[2]])[found[1]]
        if found := re.fullmatch(r"(sn)?(mips|ipw)(_true_p_e_a|_closed_form|_closed)?", key[1]):
            estimator = snmips if found[1] else mips
            return estimator(self._rewards, self._weights[found[2]]).value
        return None


class SlateCase:
    """Slates with three kinds of propensities."""

    def __init__(self, arrays: Arrays, told: Mapping[str, object]) -> None:  # noqa: ARG002
        """Read the arrays."""
        taken = value = None
        actions = whole_numbers(arrays, "action")
        self._modelled = {"q_hat", "pi_e_action_dist"} <= set(arrays)
        if self._modelled:
            model = plain_numbers(arrays, "q_hat")
            taken = np.take_along_axis(model, actions[:, :, None], axis=2)[:, :, 0]
            value = (plain_numbers(arrays, "pi_e_action_dist") * model).sum(axis=2)
        self._arrays = arrays
        self.log: SlateLog = slate_log(
            plain_numbers(arrays, "reward"),
            evaluation_slate=plain_numbers(arrays, "pi_e_slate"),
            behaviour_slate=plain_numbers(arrays, "pscore_slate"),
            evaluation_slot=plain_numbers(arrays, "pi_e_item_position"),
            behaviour_slot=plain_numbers(arrays, "pscore_item_position"),
            evaluation_cascade=plain_numbers(arrays, "pi_e_cascade"),
            behaviour_cascade=plain_numbers(arrays, "pscore_cascade"),
            taken=taken,
            value=value,
        )

    def value(self, key: Key) -> Value | None:
        """Return what the arrays give for a key."""
        if key[0] == "estimates" and len(key) == 2:
            if key[1] == "cascade_dr" and not self._modelled:
                return None
            estimator = SLATE_ESTIMATORS.get(key[1])
            return None if estimator is None else estimator(self.log).value
        if key[:2] == ("estimates", "diag") and len(key) == 3:
            return weight_diagnostics(self.log.slate).get(key[2])
        return self._fact(key[0]) if len(key) == 1 else None

    def _fact(self, name: str) -> float | None:
        """Return a number of the case itself."""
        if name == "factorizable":
            product = plain_numbers(self._arrays, "pscore_item_position").prod(axis=1)
            return float(np.allclose(product, self._arrays["pscore_slate"], rtol=1e-6))
        rewards = self.log.rewards
        facts = {
            "n": float(len(rewards)),
            "len_list": float(rewards.shape[1]),
            "on_policy_behavior": float(rewards.sum(axis=1).mean()),
        }
        if "eval_logit" in self._arrays:
            facts["n_unique_action"] = float(self._arrays["eval_logit"].shape[1])
        return facts.get(name)


class SequenceCase:
    """Trajectories over counted states, with the process that made them."""

    def __init__(self, arrays: Arrays, told: Mapping[str, object]) -> None:
        """Read the arrays and the discount ``gamma`` of the JSON."""
        self._discount = float(str(told["gamma"]))
        states, actions = whole_numbers(arrays, "state"), whole_numbers(arrays, "action")
        self._judged, self._logged = plain_numbers(arrays, "pi_e"), plain_numbers(arrays, "pi_b")
        alive = np.asarray(arrays["alive"], bool)
        rewards = plain_numbers(arrays, "reward")
        self._modelled = "q_hat_t_s_a" in arrays
        shape = (states.shape[1], *self._judged.shape)
        model = plain_numbers(arrays, "q_hat_t_s_a") if self._modelled else np.zeros(shape)
        times = np.arange(states.shape[1])[None, :]
        self.tabular = TabularLog(states, actions, rewards, alive)
        process = ("P", "R", "hazard", "d0")
        self.chain: Chain | None = None
        if set(process) <= set(arrays):
            self.chain = Chain(*(plain_numbers(arrays, name) for name in process))
        self.log = ope_sequence.sequence_log(
            rewards,
            self._judged[states, actions],
            self._logged[states, actions],
            alive,
            discount=self._discount,
            taken=model[times, states, actions],
            value=(model * self._judged).sum(axis=2)[times, states],
        )

    def value(self, key: Key) -> Value | None:
        """Return what the arrays give for a key."""
        if key[0] == "estimates" and len(key) == 2:
            return self._estimate(key[1])
        name = key[1] if key[0] == "diag" and len(key) == 2 else key[0] if len(key) == 1 else ""
        made = self._facts.get(name)
        return None if made is None else made()

    def _estimate(self, name: str) -> float | None:
        """Return an estimate by its name in the JSON."""
        if name in ("dm", "dr", "sndr") and not self._modelled:
            return None
        if name in ope_sequence.SEQUENCE_ESTIMATORS:
            return ope_sequence.SEQUENCE_ESTIMATORS[name](self.log).value
        if name == "mis_exact_state_marginal":
            if self.chain is None:
                return None
            steps = self.log.rewards.shape[1]
            judged = occupancy(self.chain, self._judged, steps)
            logged = occupancy(self.chain, self._logged, steps)
            weights = state_weights(judged, logged, self.tabular.states, self.tabular.alive)
            return ope_sequence.marginal_is(self.log, weights).value
        if name == "fqe_tabular_pooled_T_backups":
            return fqe(self.tabular, self._judged, self._discount).value
        if name == "sn_cdf_tis_mean":
            return cdf_mean(self.log)
        if found := re.fullmatch(r"sn_cdf_tis_(quantile|cvar)(\d+)", name):
            share = int(found[2]) / 100.0
            lower = found[1] == "quantile"
            return quantile(self.log, share) if lower else cvar(self.log, share).value
        return None

    @cached_property
    def _facts(self) -> dict[str, Callable[[], float]]:
        """Numbers of the case itself."""
        steps, last = self.log.rewards.shape[1], self.log.weights[:, -1]
        told = {
            "n": lambda: float(len(last)),
            "T": lambda: float(steps),
            "S": lambda: float(self._judged.shape[0]),
            "A": lambda: float(self._judged.shape[1]),
            "behavior_sample_mean": lambda: float(self.log.returns.mean()),
            "ess_traj": lambda: effective_sample_size(last),
            "w_traj_max": lambda: float(last.max()),
            "mean_len": lambda: float(self.log.alive.sum(axis=1).mean()),
        }
        chain, pair = self.chain, (self._discount, steps)
        if chain is not None:
            told |= {
                "variable_length": lambda: float(chain.hazard.max() > 0),
                "ground_truth_exact": lambda: exact_value(chain, self._judged, *pair),
                "behavior_value_exact": lambda: exact_value(chain, self._logged, *pair),
            }
        return told
