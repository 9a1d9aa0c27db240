"""The parts: what their formulas promise, and that the compiled step computes them."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from slategym.envs import rng
from slategym.envs.parts import (
    REWARD_TERMS,
    CandidateSource,
    ChoiceModel,
    Departure,
    Dynamics,
    Feedback,
    ResponseModel,
    Reward,
)
from slategym.envs.physics import EXPOSURE_DECAY
from slategym.envs.simulation import Simulation
from slategym.envs.tiny import tiny_world
from slategym.envs.variant import PARTS, Variant
from slategym.envs.world import World
from slategym.errors import UsageError

UTILITIES = hnp.arrays(
    np.float64, hnp.array_shapes(min_dims=2, max_dims=2, max_side=6), elements=st.floats(-30, 30)
)


def random_slates(batch: int, candidates: int, size: int, seed: int) -> np.ndarray:
    """Slates of positions with repeats."""
    return np.random.default_rng(seed).integers(0, candidates, (batch, size))


# --- choice ------------------------------------------------------------------------------------


@given(UTILITIES, st.floats(-30, 30), st.floats(0, 3))
def test_choice_probabilities_sum_to_one(
    utility: np.ndarray, no_click: float, position_bias: float
) -> None:
    model = ChoiceModel(position_bias=position_bias)
    p = model.probabilities(utility, np.ones(utility.shape, bool), no_click)
    assert p.shape == (len(utility), utility.shape[1] + 1)
    assert (p >= 0).all()
    np.testing.assert_allclose(p.sum(axis=1), 1)


@given(UTILITIES, st.floats(0.1, 5))
def test_more_attraction_means_more_choice_and_takes_from_the_others(
    utility: np.ndarray, more: float
) -> None:
    model, filled = ChoiceModel(), np.ones(utility.shape, bool)
    before = model.probabilities(utility, filled, 0.0)
    raised = utility.copy()
    raised[:, 0] += more
    after = model.probabilities(raised, filled, 0.0)
    assert (after[:, 0] >= before[:, 0]).all()
    assert (after[:, 1:] <= before[:, 1:] + 1e-15).all()


def test_a_lower_place_is_chosen_less_and_an_empty_slot_never() -> None:
    filled = np.array([[True, True, False, True]])
    p = ChoiceModel(position_bias=0.5).probabilities(np.zeros((1, 4)), filled, 0.0)[0]
    assert p[0] > p[1] > p[3] > 0
    assert p[2] == 0
    assert p[1] / p[0] == pytest.approx(np.exp(-0.5))


def test_gumbel_max_draws_have_the_multinomial_logit_probabilities() -> None:
    n = 60_000
    utility = np.tile([0.5, -0.2, 1.0], (n, 1))
    filled = np.ones(utility.shape, bool)
    index = np.arange(n * 4, dtype=np.uint64)
    noise = rng.gumbel_of(rng.bits_of(index * np.uint64(977), index * np.uint64(0), index))
    model = ChoiceModel()
    slot = model.choose(utility, filled, 0.3, noise.reshape(n, 4))
    share = np.array([(slot == k).mean() for k in (0, 1, 2, -1)])
    expected = model.probabilities(utility[:1], filled[:1], 0.3)[0]
    assert np.abs(share - expected).max() < 4.5 * 0.5 / np.sqrt(n)


# --- the other parts ---------------------------------------------------------------------------


@given(
    hnp.arrays(np.float64, 5, elements=st.floats(-20, 20)),
    hnp.arrays(np.float64, 5, elements=st.floats(0, 10)),
    hnp.arrays(np.float64, 5, elements=st.floats(-6, 6)),
)
def test_feedback_is_bounded_and_falls_with_fatigue(
    taste: np.ndarray, fatigue: np.ndarray, noise: np.ndarray
) -> None:
    part = Feedback()
    watch, tired = part.watch(taste, fatigue, noise), part.watch(taste, fatigue + 1, noise)
    rating = part.rating(taste, fatigue, noise, 1.0, 5.0)
    assert ((watch >= 0) & (watch <= 1)).all()
    assert (tired <= watch).all()
    assert ((rating >= 0) & (rating <= 1)).all()


@given(
    hnp.arrays(np.float64, (3, 4), elements=st.floats(-3, 3)),
    hnp.arrays(np.float64, (3, 4), elements=st.floats(-3, 3)),
    st.floats(0, 1),
)
def test_drift_keeps_the_norm_and_never_turns_away(
    taste: np.ndarray, item: np.ndarray, rate: float
) -> None:
    moved = Dynamics(interest_drift=rate).drift(taste, item)
    norm = np.linalg.norm(taste, axis=1)
    np.testing.assert_allclose(np.linalg.norm(moved, axis=1), norm, atol=1e-9)
    assert ((moved * item).sum(axis=1) >= (taste * item).sum(axis=1) - 1e-9).all()


@given(
    st.floats(0, 1), hnp.arrays(np.float64, (2, 3), elements=st.floats(0, 20)), st.integers(1, 40)
)
def test_satiation_recovers_by_decay(decay: float, start: np.ndarray, steps: int) -> None:
    part, nothing = Dynamics(satiation_decay=decay), np.zeros((2, 3))
    satiation = start
    for _ in range(steps):
        satiation = part.satiate(satiation, nothing, nothing)
    np.testing.assert_allclose(satiation, start * decay**steps, atol=1e-9)


def test_patience_rises_to_its_cap_and_boredom_only_counts_above_the_threshold() -> None:
    part = Departure(patience_cap=5, patience_gain=0.5, patience_loss=1, boredom=2)
    clicked = np.array([True, True, False, False])
    fatigue = np.array([0.0, part.boredom_threshold, 0.0, part.boredom_threshold + 0.25])
    np.testing.assert_allclose(part.after(np.full(4, 4.8), clicked, fatigue), [5, 5, 3.8, 3.3])
    assert part.leaves(np.array([0.0, 0.1]), np.zeros(2)).tolist() == [True, False]
    budget = Departure(minute_budget=30)
    assert budget.leaves(np.ones(2), np.array([29.9, 30.0])).tolist() == [False, True]


def test_utility_is_taste_less_weighted_fatigue() -> None:
    part = ResponseModel(taste_scale=2, satiation_weight=3)
    topics = np.array([[[1.0, 0.0], [0.5, 0.5]]])
    fatigue = part.fatigue(np.array([[1.0, 3.0]]), topics)
    np.testing.assert_allclose(fatigue, [[1.0, 2.0]])
    np.testing.assert_allclose(part.utility(np.array([[1.0, 1.0]]), fatigue), [[-1.0, -4.0]])


@pytest.mark.parametrize("count", [5, 20, 40, 60])
@pytest.mark.parametrize("source", ["uniform", "popularity"])
def test_candidates_are_distinct_items(source: str, count: int) -> None:
    world = tiny_world()
    at = np.arange(50, dtype=np.uint64) * np.uint64(7919)
    rows = CandidateSource(candidate_source=source).draw(at, world.item_popularity, count)
    assert rows.min() >= 0
    assert rows.max() < world.n_items
    assert all(len(set(row)) == count for row in rows.tolist())


def test_popular_items_are_candidates_as_often_as_their_weight_says() -> None:
    popularity = np.arange(200, dtype=np.float32)
    part = CandidateSource(candidate_source="popularity", popularity_exponent=1)
    at = rng.mix_of(np.arange(20_000, dtype=np.uint64))
    share = np.bincount(part.draw(at, popularity, 1)[:, 0], minlength=200) / len(at)
    expected = part.weights(popularity)
    assert np.abs(share - expected).max() < 5 * np.sqrt(expected.max() / len(at))


def test_reward_terms_are_weighted_and_named() -> None:
    part = Reward(click_weight=2, watch_weight=0.5, leave_weight=3)
    ones = {term: np.ones(2) for term in REWARD_TERMS}
    assert sum(part.terms(ones).values()).tolist() == [5.5, 5.5]
    assert set(part.terms(ones)) == set(REWARD_TERMS)


# --- parts as data -----------------------------------------------------------------------------


@pytest.mark.parametrize("cls", PARTS.values(), ids=PARTS)
def test_a_part_survives_json_and_documents_every_parameter(cls: type) -> None:
    part = cls()
    assert cls.from_json(part.to_json()) == part
    for entry in dataclasses.fields(cls):
        assert entry.metadata["meaning"]


def test_an_unknown_key_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UsageError, match=r"Dynamics has no parameter 'satiation_decy'.*'satiati"):
        Dynamics.from_json({"satiation_decy": 0.5})


@pytest.mark.parametrize(
    ("cls", "bad"),
    [
        (Dynamics, {"satiation_decay": 1.5}),
        (Dynamics, {"satiation_decay": float("nan")}),
        (Dynamics, {"interest_drift": "much"}),
        (Departure, {"patience": 0}),
        (ChoiceModel, {"position_bias": True}),
        (CandidateSource, {"candidate_source": "popularty"}),
    ],
)
def test_a_value_out_of_range_is_refused_and_named(cls: type, bad: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=rf"{cls.__name__}\.{next(iter(bad))} is"):
        cls(**bad)


# --- the compiled step against the parts -------------------------------------------------------


def oracle_step(world: World, variant: Variant, state: dict, actions: np.ndarray) -> dict:
    """One step in NumPy, by the parts; ``state`` is a snapshot before it."""
    batch = np.arange(len(actions))[:, None]
    info, v = world.info, variant
    at = rng.step_key_of(
        rng.episode_key_of(state["seed"], state["stream"], state["episode"]),
        state["step"].astype(np.uint64),
    )

    def bits(purpose: int, index: np.ndarray) -> np.ndarray:
        shape = np.broadcast_shapes(at[:, None].shape, index.shape)
        full = np.full(shape, purpose, dtype=np.uint64)
        return rng.bits_of(np.broadcast_to(at[:, None], shape), full, index.astype(np.uint64))

    slate = state["candidates"][batch, actions]
    first = np.array([[a not in row[:k] for k, a in enumerate(row)] for row in slate.tolist()])
    topics = world.item_topics[slate].astype(np.float64)
    mean = (topics * first[:, :, None]).sum(axis=1) / first.sum(axis=1, keepdims=True)
    taste, q = state["taste"].astype(np.float64), world.item_factors[slate].astype(np.float64)
    value = info.mean + state["bias"][:, None] + world.item_bias[slate]
    value = value + (taste[:, None] * q).sum(axis=2)
    logit = info.click_intercept + info.click_slope * value
    fatigue = v.response.fatigue(state["satiation"], topics)
    noise = np.concatenate(
        [
            rng.gumbel_of(bits(rng.CHOICE, slate + 1)),
            rng.gumbel_of(bits(rng.CHOICE, np.zeros((len(slate), 1)))),
        ],
        axis=1,
    )
    utility = v.response.utility(logit, fatigue)
    slot = v.choice.choose(utility, first, info.no_click_logit, noise)
    hit, rows = slot >= 0, np.arange(len(slot))
    item = slate[rows, slot]
    watch = v.feedback.watch(
        v.response.taste_scale * logit[rows, slot],
        fatigue[rows, slot],
        rng.normal_of(bits(rng.WATCH, item[:, None]))[:, 0],
    )
    rating = v.feedback.rating(
        value[rows, slot],
        fatigue[rows, slot],
        rng.normal_of(bits(rng.RATING, item[:, None]))[:, 0],
        info.value_low,
        info.value_high,
    )
    watch, rating = watch * hit, rating * hit
    minutes = watch * world.item_duration[item]
    taken = world.item_topics[item] * hit[:, None]
    tired = (state["satiation"] * mean).sum(axis=1)
    patience = v.departure.after(state["patience"], hit, tired)
    spent = state["minutes"] + minutes
    bored = patience <= 0
    terms = v.reward.terms(
        {
            "click": hit.astype(float),
            "watch": watch,
            "minutes": minutes,
            "rating": rating,
            "leave": -bored.astype(float),
            "diversity": 1 - (mean**2).sum(axis=1),
        }
    )
    return {
        "slot": slot,
        "slate": np.where(first, slate, -1),
        "watch": watch,
        "minutes": minutes,
        "rating": rating,
        "terms": terms,
        "terminated": v.departure.leaves(patience, spent),
        "patience": patience,
        "taste": np.where(hit[:, None], v.dynamics.drift(taste, q[rows, slot]), taste),
        "satiation": v.dynamics.satiate(state["satiation"], taken, mean),
        "consumed": EXPOSURE_DECAY * state["consumed"] + taken,
        "shown": EXPOSURE_DECAY * state["shown"] + mean,
    }


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**32), size=st.sampled_from([1, 3, 5]), popular=st.booleans())
def test_the_compiled_step_computes_the_parts(seed: int, size: int, popular: bool) -> None:
    world = tiny_world()
    variant = Variant(id="test/Step-v0").override(
        slate_size=size,
        num_candidates=12,
        candidate_source="popularity" if popular else "uniform",
        minute_budget=40,
        click_weight=0.3,
        minutes_weight=0.1,
        rating_weight=0.7,
        leave_weight=2,
        diversity_weight=0.5,
        taste_scale=1.2,
        interest_drift=0.2,
    )
    simulation = Simulation(world, variant, batch=64)
    simulation.begin(np.uint64(seed), np.arange(64, dtype=np.uint64))
    for step in range(6):
        before = simulation.get_state()
        actions = random_slates(64, 12, size, seed + step)
        out = simulation.step(actions)
        after = simulation.get_state()
        expected = oracle_step(world, variant, before, actions)
        np.testing.assert_array_equal(out.slate, expected["slate"])
        clicked = np.where(out.click.any(axis=1), out.click.argmax(axis=1), -1)
        np.testing.assert_array_equal(clicked, expected["slot"])
        for name in ("watch", "minutes", "rating"):
            total = getattr(out, name).sum(axis=1)
            np.testing.assert_allclose(total, expected[name], rtol=2e-5, atol=1e-6)
        for row, term in enumerate(REWARD_TERMS):
            np.testing.assert_allclose(
                out.terms[row], expected["terms"][term], rtol=2e-5, atol=1e-6
            )
        for name in ("patience", "taste", "satiation", "consumed", "shown"):
            np.testing.assert_allclose(after[name], expected[name], rtol=2e-5, atol=2e-6)
        np.testing.assert_array_equal(out.terminated, expected["terminated"])
        at = rng.step_key_of(
            rng.episode_key_of(after["seed"], after["stream"], after["episode"]),
            after["step"].astype(np.uint64),
        )
        drawn = variant.candidates.draw(at, world.item_popularity, 12)
        np.testing.assert_array_equal(after["candidates"], drawn)


@pytest.mark.parametrize("source", ["uniform", "popularity"])
def test_compiled_candidates_of_most_of_the_catalogue_are_those_of_the_part(source: str) -> None:
    world = tiny_world()
    variant = Variant(id="test/Most-v0").override(num_candidates=45, candidate_source=source)
    simulation = Simulation(world, variant, batch=20)
    simulation.begin(np.uint64(3), np.arange(20, dtype=np.uint64))
    state = simulation.state
    at = rng.step_key_of(
        rng.episode_key_of(state.seed, state.stream, state.episode), np.zeros(20, np.uint64)
    )
    drawn = variant.candidates.draw(at, world.item_popularity, 45)
    np.testing.assert_array_equal(state.candidates, drawn)


def test_a_user_starts_with_a_draw_around_the_fitted_taste() -> None:
    world = tiny_world()
    simulation = Simulation(world, Variant(id="test/Start-v0"), batch=4000)
    simulation.begin(np.uint64(0), np.arange(4000, dtype=np.uint64))
    state = simulation.state
    error = (state.taste - world.user_factors[state.user]) / world.user_std[state.user]
    assert abs(error.mean()) < 0.03
    assert abs(error.std() - 1) < 0.03
    assert set(state.user.tolist()) == set(range(world.n_users))
