"""Known optima of the classics, and that the oracles reach them."""

import itertools

import numpy as np
import pytest

from slategym.envs.classic_constants import (
    CHOICE_MODELS,
    EvolutionConstants,
    ExplorationConstants,
    SatisfactionConstants,
)
from slategym.envs.classic_exact import probabilities
from slategym.envs.classic_oracle_evolution import best_slate
from slategym.envs.classic_oracle_satisfaction import solve
from slategym.envs.classic_tasks import CLASSICS
from slategym.envs.classic_variant import ClassicVariant
from slategym.envs.oracles import Oracle, oracle, oracle_names, play
from slategym.errors import UsageError

BY_ID = {variant.id.removeprefix("slategym/"): variant for variant in CLASSICS}

# Computed by another program: sensitivity, candidates -> optimal, myopic, random, kale.
KNOWN = [
    (0.01, None, (1158.67, 1158.67, 948.41, 754.34)),
    (0.01, 10, (1116.70, 1116.70, 948.41, 786.08)),
    (0.01, 20, (1136.32, 1136.32, 948.41, 770.66)),
    (0.1, None, (1043.6, 818.5, 952.5, 1000.3)),
    (0.1, 10, (1023.9, 843.7, 952.5, 996.5)),
    (2.0, 10, (6196.0, 163.4, 1999.6, 5654.2)),
]


@pytest.mark.parametrize(("sensitivity", "count", "known"), KNOWN)
def test_dynamic_programming_gives_the_known_values(
    sensitivity: float, count: int | None, known: tuple[float, ...]
) -> None:
    constants = SatisfactionConstants(sensitivity=sensitivity, num_candidates=count or 10)
    for rule, value in zip(("optimal", "myopic", "random", "kale"), known, strict=True):
        start = solve(constants, rule, count is None).start(constants)
        assert start == pytest.approx(value, rel=1e-4, abs=0.06), rule


@pytest.mark.parametrize("name", ["", "Hard", "Extreme"])
def test_the_plan_earns_what_it_promises(name: str) -> None:
    variant = BY_ID[f"LongTermSatisfaction{name}-v0"]
    for rule in ("optimal", "myopic", "random"):
        promised = solve(variant.constants, rule).start(variant.constants)
        earned = play(variant, oracle(variant, rule), users=1000, seed=1)
        assert abs(earned.mean - promised) < 4 * earned.se, rule


# Clicks per step, by another program: candidates, slate -> policy -> value.
ANCHORS = {
    (5, 2): {"oracle_affinity": 0.31414, "quality_only": 0.31137, "random": 0.229},
    (20, 5): {"oracle_affinity": 0.60794, "bayes_greedy": 0.60505, "random": 0.42956},
}


@pytest.mark.parametrize("sizes", list(ANCHORS))
def test_exploration_reaches_the_anchors(sizes: tuple[int, int]) -> None:
    constants = ExplorationConstants(num_candidates=sizes[0], slate_size=sizes[1])
    variant = ClassicVariant("a/B-v0", constants=constants)
    for name, value in ANCHORS[sizes].items():
        score = play(variant, oracle(variant, name), users=1000, seed=2)
        assert abs(score.mean / 100 - value) < 4 * score.se / 100, name


def test_evolution_reaches_the_anchors() -> None:
    variant = ClassicVariant("a/B-v0", constants=EvolutionConstants(num_candidates=5, slate_size=2))
    known = {
        "random": 153.83,
        "myopic": 162.24,
        "best_quality": 215.49,
        "ratio_of_means": 220.91,
        "ratio": 221.25,
    }
    for name, value in known.items():
        score = play(variant, oracle(variant, name), users=500, seed=3)
        assert abs(score.mean - value) < 4 * np.hypot(score.se, 0.7), name


@pytest.mark.parametrize("model", CHOICE_MODELS)
def test_the_best_slate_is_found_exactly(model: str, rng: np.random.Generator) -> None:
    constants = EvolutionConstants(num_candidates=7, slate_size=3, choice_model=model)
    interest = rng.uniform(-1, 1, (20, 7))
    gain = rng.normal(0.5, 2, (20, 7))
    without = -0.4
    given = {
        name: getattr(constants, name)
        for name in ("no_click_mass", "min_normalizer", "attention_prob", "score_scaling")
    }

    def worth(user: int, slate: tuple[int, ...]) -> float:
        chances = probabilities(model, interest[user, list(slate)].tolist(), given)
        return float(chances @ [*gain[user, list(slate)], without])

    for user, slate in enumerate(best_slate(constants, interest, gain, without)):
        assert len(set(slate.tolist())) == 3
        best = max(worth(user, one) for one in itertools.permutations(range(7), 3))
        assert worth(user, tuple(slate.tolist())) == pytest.approx(best, abs=1e-9)


def _shares(name: str, rules: tuple[str, ...], users: int = 400) -> dict[str, float]:
    """Return which part of the way from random slates to the best policy each rule goes."""
    variant = BY_ID[name]
    best = oracle_names(variant)[0]
    score = {
        rule: play(variant, oracle(variant, rule), users=users, seed=4).mean
        for rule in ("random", best, *rules)
    }
    way = score[best] - score["random"]
    return {rule: (score[rule] - score["random"]) / way for rule in rules}


def test_niches_are_lost_on_who_does_not_ask() -> None:
    share = _shares("NicheExploration-v0", ("quality_only", "prior_mean", "bayes_greedy"))
    assert share["quality_only"] < 0.4
    assert share["prior_mean"] < 0.4
    assert share["bayes_greedy"] > 0.85  # what can be learned within an episode


def test_where_not_clicking_is_dear_neither_rule_comes_near() -> None:
    share = _shares("InterestEvolutionTight-v0", ("best_quality", "myopic"))
    assert share["best_quality"] < 0.6
    assert share["myopic"] < 0.65
    assert _shares("InterestEvolution-v0", ("best_quality",))["best_quality"] > 0.75


@pytest.mark.parametrize(
    ("name", "better", "worse"),
    [
        ("LongTermSatisfactionHard-v0", "optimal", "myopic"),
        ("InterestExploration-v0", "oracle_affinity", "quality_only"),
        ("InterestEvolution-v0", "ratio", "best_quality"),
    ],
)
def test_two_policies_on_the_same_users_share_their_luck(
    name: str, better: str, worse: str
) -> None:
    variant = BY_ID[name]
    a, b = (_each_return(variant, oracle(variant, rule)) for rule in (better, worse))
    assert (a.var() + b.var()) / (a - b).var() > 5


def _each_return(variant: ClassicVariant, policy: Oracle, users: int = 500) -> np.ndarray:
    """Return each user's return of one episode."""
    simulation = variant.simulation(users)
    simulation.begin(np.zeros(users, np.uint64), np.arange(users, dtype=np.uint64))
    total, live = np.zeros(users), np.ones(users, dtype=np.bool_)
    while live.any():
        step = simulation.step(policy.act(simulation.privileged()))
        total += np.where(live, step.reward, 0.0)
        live &= ~(step.terminated | step.truncated)
    return total


def test_an_oracle_must_exist() -> None:
    with pytest.raises(UsageError, match="Did you mean 'optimal'"):
        oracle(BY_ID["LongTermSatisfaction-v0"], "optimum")
    still = BY_ID["LongTermSatisfaction-v0"].override(resample_documents=False)
    with pytest.raises(UsageError, match="new in every step"):
        oracle(still)
    assert oracle(still, "myopic") is not None
    with pytest.raises(UsageError, match="no classic"):
        oracle("slategym/World-v0")  # type: ignore[arg-type]
