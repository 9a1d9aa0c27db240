"""Deterministic input and output of RecSim's own code, put to the formulas the step is built of."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from slategym.envs import classic_evolution as evolution
from slategym.envs import classic_satisfaction as satisfaction
from slategym.envs.arrays import DoubleArray
from slategym.envs.classic_choice import weigh
from slategym.envs.classic_constants import (
    CHOICE_MODELS,
    EvolutionConstants,
    SatisfactionConstants,
)
from slategym.envs.classic_draws import sigmoid
from slategym.envs.classic_family import FAMILY
from slategym.envs.part import check_keys
from slategym.errors import DataError, unknown_name

_MODELS = {
    "multinomial_proportional": "proportional",
    "multinomial_logit": "logit",
    "exponential_cascade": "exp_cascade",
    "proportional_cascade": "prop_cascade",
}
_DEFAULTS = {
    "no_click_mass": 0.0,
    "min_normalizer": 0.0,
    "attention_prob": 1.0,
    "score_scaling": 1.0,
}
Case = Mapping[str, Any]
Found = Iterator[tuple[str, float, float]]


def exact_errors(cases: Mapping[str, Sequence[Case]]) -> Iterator[tuple[str, float]]:
    """Yield the name of every exact value and how far the formulas are from it.

    Args:
        cases: ``exact_cases`` of a reference file: a list of cases by kind.

    Raises:
        UsageError: an unknown kind of case or choice model.
        DataError: a case lacks a value.
    """
    for kind, listed in cases.items():
        if kind not in _KINDS:
            raise unknown_name("kind of exact case", kind, _KINDS)
        for number, case in enumerate(listed):
            try:
                for name, mine, theirs in _KINDS[kind](case):
                    yield f"{kind}[{number}].{name}", abs(mine - theirs)
            except KeyError as error:
                raise DataError(f"exact case {kind}[{number}] lacks {error}.") from None


def probabilities(model: str, scores: Sequence[float], params: Mapping[str, float]) -> DoubleArray:
    """Return the chance of each place, and of choosing nothing.

    Args:
        model: one of `CHOICE_MODELS`.
        scores: K scores.
        params: no_click_mass, min_normalizer, attention_prob, score_scaling; as RecSim has
            them where absent (score_scaling, which it demands, is 1).

    Raises:
        UsageError: an unknown parameter.
    """
    check_keys(f"choice model {model}", params, _DEFAULTS)
    given = _DEFAULTS | dict(params)
    weights = np.array([*scores, given["no_click_mass"]], dtype=np.float64)[:, None]
    weigh(
        weights, CHOICE_MODELS.index(model), given["min_normalizer"],
        given["attention_prob"], given["score_scaling"],
    )  # fmt: skip
    chances: DoubleArray = weights[:, 0] / weights.sum()
    return chances


def weights_of(
    constants: EvolutionConstants, scores: DoubleArray
) -> tuple[DoubleArray, DoubleArray]:
    """Return the weights of candidates (B, C), and of choosing nothing (B,), multinomial models.

    Args:
        constants: give the choice model.
        scores: (B, C).
    """
    nothing = np.full((1, len(scores)), constants.no_click_mass)
    weights = np.ascontiguousarray(np.concatenate([scores.T, nothing]))
    weigh(
        weights, CHOICE_MODELS.index(constants.choice_model), constants.min_normalizer,
        constants.attention_prob, constants.score_scaling,
    )  # fmt: skip
    return weights[:-1].T, weights[-1]


def _choice(case: Case) -> Found:
    if case["model"] not in _MODELS:
        raise unknown_name("choice model", str(case["model"]), _MODELS)
    chances = probabilities(_MODELS[case["model"]], case["scores"], case["params"])
    yield from _listed("p_items_then_no_click", chances, case)


def _update(case: Case) -> Found:
    rules: Any = FAMILY["interest_evolution"].rules(
        EvolutionConstants(video_length=case["video_length"])
    )
    interest, budget = case["interest_before"], case["budget_before"]
    watched = evolution.watch_time(rules, budget)
    after = evolution.budget_after(rules, budget, watched, case["quality"], 0.0)
    yield "watch_time", watched, case["watch_time"]
    yield "p_up", evolution.upward_chance(interest), case["p_up"]
    up, down = (evolution.interest_after(rules, interest, upward) for upward in (True, False))
    yield "interest_after_up", up, case["interest_after_up"]
    yield "interest_after_down", down, case["interest_after_down"]
    yield "budget_after", after, case["budget_after"]


def _exploration(case: Case) -> Found:
    scores = [case["topic_affinity"][topic] + q for topic, q in case["slate_topic_quality"]]
    chances = probabilities("logit", scores, {"no_click_mass": case["no_click_mass"]})
    yield from _listed("p_items_then_no_click", chances, case)


def _engagement(case: Case) -> Found:
    rules: Any = FAMILY["long_term_satisfaction"].rules(SatisfactionConstants())
    npe, clickbait = case["npe_before"], case["clickbait"]
    felt = sigmoid(rules.sensitivity * npe)
    location = satisfaction.engagement_location(rules, clickbait, felt)
    scale = satisfaction.engagement_scale(rules, clickbait)
    after = satisfaction.exposure_after(rules, npe, clickbait, 0.0)
    yield "log_engagement_loc", location, case["log_engagement_loc"]
    yield "log_engagement_scale", scale, case["log_engagement_scale"]
    yield "npe_after_zero_innovation", after, case["npe_after_zero_innovation"]
    yield "satisfaction_after", sigmoid(rules.sensitivity * after), case["satisfaction_after"]


def _listed(name: str, mine: DoubleArray, case: Case) -> Found:
    """Yield the entries of a list of values."""
    for i, (one, other) in enumerate(zip(mine, case[name], strict=True)):
        yield f"{name}[{i}]", float(one), float(other)


_KINDS: dict[str, Callable[[Case], Found]] = {
    "choice_probabilities": _choice,
    "iev_update": _update,
    "iex_choice": _exploration,
    "lts_engagement_params": _engagement,
}
