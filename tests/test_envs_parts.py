"""What the formulas of the parts promise, whatever the numbers."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import chisquare

from slategym.envs.part import Part
from slategym.envs.parts import (
    Ageing,
    Boredom,
    Creators,
    ExponentialCascade,
    Familiarity,
    InterestDrift,
    Like,
    LogitChoice,
    Mood,
    Patience,
    PopularCandidates,
    PositionChoice,
    ProportionalCascade,
    ProportionalChoice,
    Purchase,
    Rating,
    RetrievedCandidates,
    Returning,
    Satiation,
    Satisfaction,
    TasteShift,
    UniformCandidates,
    Watch,
)
from slategym.envs.parts_candidates import Candidates, alias_table
from slategym.envs.parts_choice import Choice
from slategym.envs.parts_feedback import mean_logistic
from slategym.envs.parts_reward import gini_simpson
from slategym.envs.reference import ReferenceSimulation
from slategym.envs.reference_scene import Scene
from slategym.envs.tiny import tiny_world
from slategym.envs.variant import Variant
from slategym.errors import UsageError

CHOICES = (
    LogitChoice(), ProportionalChoice(), ExponentialCascade(), ProportionalCascade(),
    PositionChoice(),
)  # fmt: skip
each_choice = pytest.mark.parametrize("choice", CHOICES, ids=lambda part: part.name)
UTILITIES = hnp.arrays(
    np.float64, hnp.array_shapes(min_dims=2, max_dims=2, max_side=6), elements=st.floats(-30, 30)
)
RARE = 1e-5  # p-value below which a fixed draw would be no accident


def numbers(low: float, high: float, size: int = 5) -> st.SearchStrategy[np.ndarray]:
    """Vectors in a range."""
    return hnp.arrays(np.float64, size, elements=st.floats(low, high))


def scene_of(*parts: Part, batch: int, count: int = 20, items: int = 60) -> Scene:
    """Many users of a world at the start of their first episode."""
    variant = Variant.standard("test/Part-v0", *parts, num_candidates=count, slate_size=1)
    made = ReferenceSimulation(tiny_world(items=items), variant, batch)
    made.begin(np.full(batch, 8, np.uint64), np.arange(batch, dtype=np.uint64))
    return Scene(made.setting, made.state, made.own)


# --- choice ------------------------------------------------------------------------------------


@each_choice
@given(utility=UTILITIES, no_click=st.floats(-30, 30), empty=st.integers(0, 5))
def test_probabilities_are_probabilities(
    choice: Choice, utility: np.ndarray, no_click: float, empty: int
) -> None:
    filled = np.arange(utility.shape[1]) != empty
    filled = np.broadcast_to(filled, utility.shape)
    p = choice.probabilities(utility, filled, no_click)
    assert p.shape == (len(utility), utility.shape[1] + 1)
    assert ((p >= 0) & (p <= 1 + 1e-12)).all()
    assert (p[:, :-1][~filled] == 0).all()  # an empty place is never taken
    if choice.name == "position":
        np.testing.assert_allclose(p[:, -1], np.prod(1 - p[:, :-1], axis=1))
    else:
        np.testing.assert_allclose(p.sum(axis=1), 1)


@each_choice
@given(utility=UTILITIES, more=st.floats(0.1, 5))
def test_more_attraction_means_more_choice_and_takes_from_the_others(
    choice: Choice, utility: np.ndarray, more: float
) -> None:
    filled, raised = np.ones(utility.shape, bool), utility.copy()
    raised[:, 0] += more
    before = choice.probabilities(utility, filled, 0.0)
    after = choice.probabilities(raised, filled, 0.0)
    assert (after[:, 0] >= before[:, 0] - 1e-15).all()
    assert (after[:, 1:] <= before[:, 1:] + 1e-15).all()


@each_choice
@given(utility=UTILITIES, seed=st.integers(0, 99))
def test_permuted_users_have_permuted_probabilities(
    choice: Choice, utility: np.ndarray, seed: int
) -> None:
    order, filled = np.random.default_rng(seed).permutation(len(utility)), utility < 20
    whole = choice.probabilities(utility, filled, 0.0)
    np.testing.assert_array_equal(
        choice.probabilities(utility[order], filled[order], 0.0), whole[order]
    )


@each_choice
def test_choices_are_made_as_often_as_their_probability_says(choice: Choice) -> None:
    n, empty = 40_000, 2
    scene = scene_of(choice, batch=n)
    scene.show(np.where(np.arange(4) == empty, -1, scene.state.candidates[:, :4]))
    scene.utility = np.tile([0.5, -0.2, 3.0, 1.0], (n, 1))
    taken = choice.choose(scene)
    no_click = scene.no_click(getattr(choice, "no_click_logit", None))
    p = choice.probabilities(scene.utility[:1], scene.filled[:1], no_click)[0]
    assert not taken[:, empty].any()
    if choice.name == "position":
        for k in (0, 1, 3):
            seen = [taken[:, k].sum(), n - taken[:, k].sum()]
            assert chisquare(seen, [n * p[k], n * (1 - p[k])]).pvalue > RARE
        return
    assert (taken.sum(axis=1) <= 1).all()
    seen = np.append(taken.sum(axis=0), n - taken.sum())
    kept = p > 0
    assert chisquare(seen[kept], n * p[kept]).pvalue > RARE


def test_a_lower_place_is_chosen_less() -> None:
    filled = np.ones((1, 3), bool)
    p = LogitChoice(position_bias=0.5).probabilities(np.zeros((1, 3)), filled, 0.0)[0]
    assert p[1] / p[0] == pytest.approx(np.exp(-0.5))
    looked = PositionChoice(examine_decay=1.0).probabilities(np.full((1, 3), 90.0), filled, 0.0)[0]
    np.testing.assert_allclose(looked[:3], [1, 1 / 2, 1 / 3])


# --- candidates --------------------------------------------------------------------------------


@given(numbers(0, 1000, 30))
def test_the_alias_table_gives_exactly_the_weights(popularity: np.ndarray) -> None:
    weight = PopularCandidates().weights(popularity.astype(np.float32))
    keep, alias = alias_table(weight)
    given_up = np.zeros(30)
    np.add.at(given_up, alias, (1 - keep) / 30)
    np.testing.assert_allclose(keep / 30 + given_up, weight, atol=1e-12)


@pytest.mark.parametrize("count", [3, 45])
@pytest.mark.parametrize("part", [UniformCandidates(), PopularCandidates(popularity_exponent=0.5)])
def test_items_are_candidates_as_often_as_their_weight_says(part: Candidates, count: int) -> None:
    scene = scene_of(part, batch=30_000, count=count)
    drawn = scene.state.candidates
    assert (np.diff(np.sort(drawn, axis=1), axis=1) > 0).all()  # distinct
    weight = np.full(60, 1 / 60)
    if isinstance(part, PopularCandidates):
        weight = part.weights(scene.world.item_popularity)
    assert chisquare(np.bincount(drawn[:, 0], minlength=60), len(drawn) * weight).pvalue > RARE
    # The second place: an item is drawn in proportion to its weight among what is left.
    second = (weight[:, None] * weight / (1 - weight[:, None])).copy()
    np.fill_diagonal(second, 0)
    expected = len(drawn) * second.sum(axis=0)
    assert chisquare(np.bincount(drawn[:, 1], minlength=60), expected).pvalue > RARE


def public_score(scene: Scene) -> float:
    """The mean public score of the candidates, in standard deviations of all items' scores."""
    world, user = scene.world, scene.state.user
    score = world.public_user_factors[user] @ world.public_item_factors.T + world.public_item_bias
    found = np.take_along_axis(score, scene.state.candidates.astype(np.int64), axis=1)
    return float((found.mean() - score.mean()) / score.std())


def test_retrieval_raises_the_public_score_by_its_pressure() -> None:
    parts = [RetrievedCandidates(tries=n, explore=0) for n in (1, 2, 8)]
    scores = [public_score(scene_of(part, batch=2000, count=5)) for part in parts]
    assert abs(scores[0]) < 0.05
    # The mean of the best of n standard normal numbers is .56 for 2 and 1.42 for 8.
    assert scores[1] == pytest.approx(0.56, abs=0.12)
    assert scores[2] == pytest.approx(1.42, abs=0.2)
    explored = RetrievedCandidates(tries=8, explore=1)
    assert abs(public_score(scene_of(explored, batch=2000, count=5))) < 0.05


def test_retrieval_comes_back_to_the_history_as_often_as_it_says() -> None:
    part = RetrievedCandidates(revisit=0.4, explore=1)
    scene = scene_of(part, batch=4000, count=1, items=2000)
    past = (scene.state.history == scene.state.candidates).any(axis=1)
    assert (scene.state.history >= 0).all()
    expected = 0.4 + 0.6 * 10 / 2000
    assert abs(past.mean() - expected) < 4 * np.sqrt(expected * (1 - expected) / 4000)


# --- feedback ----------------------------------------------------------------------------------


@given(numbers(-20, 20), numbers(0, 10), numbers(0, 1), numbers(-6, 6))
def test_watching_and_rating_are_shares_that_fall_with_fatigue(
    taste: np.ndarray, fatigue: np.ndarray, bait: np.ndarray, noise: np.ndarray
) -> None:
    part = Watch(watch_clickbait=2.0)
    watch = part.watch(taste, fatigue, bait, noise)
    assert ((watch >= 0) & (watch <= 1)).all()
    assert (part.watch(taste, fatigue + 1, bait, noise) <= watch).all()
    assert (part.watch(taste, fatigue, bait + 0.5, noise) <= watch).all()
    assert (part.watch(taste + 1, fatigue, bait, noise) >= watch).all()
    rating = Rating().rating(taste, fatigue, noise, 1.0, 5.0)
    assert ((rating >= 0) & (rating <= 1)).all()
    assert (Rating().rating(taste, fatigue + 1, noise, 1.0, 5.0) <= rating).all()
    like = Like().probability(taste, bait)
    assert ((like >= 0) & (like <= 1)).all()
    assert (Like().probability(taste, bait + 0.5) <= like).all()


@given(numbers(-9, 9), numbers(0.01, 50), numbers(0, 60), numbers(0, 1))
def test_nobody_buys_what_they_cannot_pay(
    taste: np.ndarray, price: np.ndarray, left: np.ndarray, need: np.ndarray
) -> None:
    part = Purchase()
    buy = part.buy(taste, price, left)
    assert ((buy >= 0) & (buy <= 1)).all()
    assert (buy[price > left] == 0).all()
    assert (part.buy(taste, price, left + 5) >= buy).all()  # more money, more likely
    cart = part.cart(taste, need, np.log(price))
    assert (part.cart(taste, need, np.log(price * 2)) <= cart).all()
    assert (part.cart(taste, need + 0.5, np.log(price)) >= cart).all()


@given(st.floats(-4, 4), st.floats(0, 3))
def test_the_mean_of_a_logistic_under_noise(x: float, spread: float) -> None:
    node, weight = np.polynomial.hermite_e.hermegauss(80)
    exact = (weight / (1 + np.exp(-(x + spread * node)))).sum() / weight.sum()
    assert float(mean_logistic(np.array(x), spread)) == pytest.approx(exact, abs=0.02)


# --- how users change --------------------------------------------------------------------------

_ROWS = hnp.arrays(np.float64, (3, 4), elements=st.floats(-3, 3))


@given(_ROWS, _ROWS, st.floats(0, 1))
def test_drift_keeps_the_length_of_a_taste_and_never_turns_away(
    taste: np.ndarray, item: np.ndarray, rate: float
) -> None:
    moved = InterestDrift(interest_drift=rate).turned(taste, item)
    norm = np.linalg.norm(taste, axis=1)
    np.testing.assert_allclose(np.linalg.norm(moved, axis=1), norm, atol=1e-9)
    assert ((moved * item).sum(axis=1) >= (taste * item).sum(axis=1) - 1e-9).all()


def test_a_walk_keeps_the_mean_square_of_a_taste() -> None:
    taste = np.tile([1.0, 2.0, 2.0], (50_000, 1))
    noise = np.random.default_rng(0).normal(size=taste.shape)
    walked = TasteShift(taste_walk=0.5).walked(taste, noise)
    assert (walked**2).sum(axis=1).mean() == pytest.approx(9.0, abs=0.1)


@given(st.floats(0, 1), hnp.arrays(np.float64, (2, 3), elements=st.floats(0, 20)))
def test_satiation_recovers_by_decay_and_is_never_negative(decay: float, start: np.ndarray) -> None:
    part, nothing, satiation = Satiation(satiation_decay=decay), np.zeros((2, 3)), start
    for _ in range(7):
        satiation = part.tired(satiation, nothing, nothing)
        assert (satiation >= 0).all()
    np.testing.assert_allclose(satiation, start * decay**7, atol=1e-9)
    assert (part.tired(start, nothing + 1, nothing) >= part.tired(start, nothing, nothing)).all()


def test_boredom_comes_late_and_goes_late() -> None:
    part, bored, seen = Boredom(bored_at=2.0, rested_at=0.5), np.zeros((1, 1)), []
    for level in (0.0, 1.9, 2.0, 1.0, 0.51, 0.5, 1.9, 2.5):
        bored = part.bored(bored, np.array([[level]]))
        seen.append(bool(bored[0, 0]))
    assert seen == [False, False, True, True, True, False, False, True]


@given(st.floats(0.1, 10), st.floats(0.1, 10))
def test_familiarity_is_an_inverted_u(gain: float, tire: float) -> None:
    part = Familiarity(repeat_gain=gain, repeat_tire=tire)
    best = gain / (2 * tire)
    plays = np.linspace(0, 2 * best, 41)
    effect = part.effect(plays)
    assert (np.diff(effect[:21]) > 0).all()
    assert (np.diff(effect[20:]) < 0).all()
    np.testing.assert_allclose(effect[[0, -1]], 0, atol=1e-9)


@given(st.floats(0.5, 50), st.floats(2, 60))
def test_freshness_falls_from_one_to_nothing(half_life: float, lifetime: float) -> None:
    part, age = Ageing(half_life=half_life, lifetime=lifetime), np.arange(80)
    fresh = part.freshness(age)
    assert fresh[0] == 1
    assert (np.diff(fresh) <= 0).all()
    assert (fresh[age >= lifetime] == 0).all()
    assert (fresh[age < lifetime] > 0).all()


@given(numbers(-30, 30), st.floats(0, 20))
def test_satisfaction_is_a_share_that_rises_with_exposure(
    exposure: np.ndarray, slope: float
) -> None:
    part = Satisfaction(satisfaction_sensitivity=slope)
    level = part.level(exposure)
    assert ((level >= 0) & (level <= 1)).all()
    assert (part.level(exposure + 1) >= level).all()
    assert part.level(np.zeros(1))[0] == 0.5
    assert part.credit(np.ones(1), np.zeros(1)) > part.credit(np.ones(1), np.ones(1))


def test_the_spread_of_moods_does_not_change() -> None:
    part, generator = Mood(mood_spread=2.0, mood_memory=0.8), np.random.default_rng(1)
    mood = 2.0 * generator.normal(size=(40_000, 2))
    for _ in range(5):
        mood = part.moved(mood, generator.normal(size=mood.shape))
    assert mood.std() == pytest.approx(2.0, rel=0.02)


def test_creators_leave_when_they_are_never_shown_and_only_then() -> None:
    part = Creators(creator_decay=0.9, creator_gain=0.5, creator_leave=0.3)
    vigour = np.ones((1, 2))
    for _ in range(40):
        vigour = part.tended(vigour, np.array([[0.0, 1.0]]))
    assert vigour.tolist() == [[0.0, 1.0]]
    assert part.tended(vigour, np.ones((1, 2)))[0, 0] == 0  # gone is gone
    steps = math.ceil(math.log(0.3) / math.log(0.9))
    alone = np.ones((1, 1))
    for step in range(1, steps + 1):
        alone = part.tended(alone, np.zeros((1, 1)))
        assert (alone[0, 0] == 0) == (step == steps)


# --- leaving and reward ------------------------------------------------------------------------


def test_patience_rises_to_its_cap_and_boredom_only_counts_above_the_threshold() -> None:
    part = Patience(patience_cap=5, patience_gain=0.5, patience_loss=1, boredom=2)
    clicked, skipped = np.array([True, True, False, False]), np.zeros(4, bool)
    fatigue = np.array([0.0, part.boredom_threshold, 0.0, part.boredom_threshold + 0.25])
    np.testing.assert_allclose(
        part.left(np.full(4, 4.8), clicked, fatigue, skipped), [5, 5, 3.8, 3.3]
    )
    strict = Patience(patience_cap=5, skip_annoyance=0.7)
    np.testing.assert_allclose(
        strict.left(np.full(1, 5.0), clicked[:1], fatigue[:1], ~skipped[:1]), 4.3
    )


@given(st.floats(0.1, 50), st.floats(0.1, 50), st.floats(0, 5))
def test_a_click_never_costs_patience(start: float, cap: float, gain: float) -> None:
    part = Patience(patience=start, patience_cap=cap, patience_gain=gain)
    left = part.left(np.full(1, start), np.ones(1, bool), np.zeros(1), np.zeros(1, bool))
    assert start - 1e-12 <= left[0] <= max(start, cap)
    assert part.rules()["patience_cap"] == part.most == max(start, cap)


def test_a_creator_leaves_at_some_vigour_for_none_left_means_gone() -> None:
    with pytest.raises(UsageError, match=r"creator_leave is 0.*in \[1e-06, 1\]"):
        Creators(creator_leave=0)
    gone = Creators(creator_leave=1e-6, creator_decay=0.0).tended(np.ones((1, 1)), np.zeros((1, 1)))
    assert gone[0, 0] == 0


@given(numbers(0, 1), numbers(0, 20), st.floats(0, 5), st.floats(0, 5))
def test_content_users_return_sooner_and_more_often(
    level: np.ndarray, wait: np.ndarray, sensitivity: float, pull: float
) -> None:
    part = Returning(gap_sensitivity=sensitivity, churn_sensitivity=pull, gap_min=0.25)
    gap, churn = part.gap(level, wait), part.churn(level)
    assert (gap >= 0.25).all()
    assert ((churn > 0) & (churn < 1)).all()
    more = np.minimum(level + 0.1, 1.0)
    assert (part.gap(more, wait) <= gap).all()
    assert (part.churn(more) <= churn).all()


@given(hnp.arrays(np.float64, (3, 4), elements=st.floats(0, 1)))
def test_variety_is_a_share_and_one_topic_has_none(weight: np.ndarray) -> None:
    shares = weight / np.maximum(weight.sum(axis=1, keepdims=True), 1)
    assert ((gini_simpson(shares) >= 0) & (gini_simpson(shares) <= 1)).all()
    assert gini_simpson(np.array([[0.0, 1.0]]))[0] == 0
    assert gini_simpson(np.full((1, 4), 0.25))[0] == 0.75
