"""What users do over whole episodes, by the compiled step; and parts as data."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slategym.envs.part import PART_TYPES, SLOTS, Part, as_part
from slategym.envs.parts import (
    BUILT_IN,
    Ageing,
    Boredom,
    Budget,
    Creators,
    FixedCandidates,
    InterestDrift,
    Like,
    LogitChoice,
    Needs,
    Patience,
    Purchase,
    Returning,
    Reward,
    Satiation,
    Satisfaction,
    Share,
    Skip,
)
from slategym.envs.parts_reward import REWARD_TERMS
from slategym.envs.simulation import WorldSimulation
from slategym.envs.tiny import tiny_world
from slategym.envs.variant import Variant
from slategym.errors import UsageError

PAID = Reward(**{f"{term}_weight": 0.1 * (1 + n) for n, term in enumerate(REWARD_TERMS)})


def simulation(*parts: Part, batch: int = 128, **changes: Any) -> WorldSimulation:  # noqa: ANN401
    """World-v0 with parts and parameters changed, begun."""
    variant = Variant.standard("test/Run-v0", *parts).override(**changes)
    made = WorldSimulation(tiny_world(), variant, batch)
    made.begin(np.full(batch, 4, np.uint64), np.arange(batch, dtype=np.uint64))
    return made


def slates(made: WorldSimulation, step: int) -> np.ndarray:
    """Varied slates of distinct places."""
    count, size = made.variant.num_candidates, made.variant.slate_size
    return (np.arange(made.batch)[:, None] * 3 + step + np.arange(size)) % count


# --- sessions and episodes ---------------------------------------------------------------------


def test_a_budget_ends_an_episode_in_the_step_that_spends_it() -> None:
    limit = 25
    made = simulation(Budget(minute_budget=limit, browse_minutes=1), without=["patience"])
    used = np.zeros(made.batch)
    for step in range(made.variant.horizon):
        done = made.step(slates(made, step))
        used += 1 + done.info["response"]["minutes"].sum(axis=1)
        near = np.abs(used - limit) < 1e-3
        assert ((done.terminated == (used >= limit)) | near).all()
        assert not (done.terminated & done.truncated).any()
        made.next_episode(done.terminated)
        used[done.terminated] = 0
    assert (used[done.truncated] < limit).all()


def test_a_session_ends_once_and_the_next_begins_afresh() -> None:
    back = Returning(days=1e4, churn_intercept=-1.0, gap_min=0.5, rest_per_day=0.5)
    made = simulation(Budget(minute_budget=25), back, Boredom(bored_at=0.6), horizon=200)
    number = np.zeros(made.batch, int)
    for step in range(60):
        tired = made.state.satiation.copy()
        done = made.step(slates(made, step))
        told = done.info["session"]
        over, away = told["over"] > 0, told["days_away"]
        np.testing.assert_array_equal(told["index"], number)
        assert (over[done.terminated]).all()  # who never returns leaves at a session's end
        np.testing.assert_array_equal(away > 0, over & ~done.terminated)
        assert (away[away > 0] >= 0.5).all()
        came = away > 0
        assert (made.state.used[came] == 0).all()
        assert (made.state.patience[came] == made.variant.parameters["patience"]).all()
        assert (made.state.consumed[came] == 0).all()
        assert (made.state.satiation[came].sum(axis=1) <= tired[came].sum(axis=1) + 1).all()
        assert (made.state.satiation >= 0).all()
        number += came
        number[done.terminated] = 0
        made.next_episode(done.terminated)
    assert number.max() > 2


def test_an_episode_is_cut_when_its_days_are_over() -> None:
    made = simulation(Patience(patience=2), Returning(days=4, gap_min=1.0, churn_intercept=-50))
    days, cut = np.zeros(made.batch), 0
    for step in range(40):
        done = made.step(slates(made, step))
        days += done.info["session"]["days_away"]
        late = days >= 4
        assert (done.truncated[late]).all()
        assert not done.terminated.any()
        cut += late.sum()
        days[done.truncated] = 0
        made.next_episode(done.truncated)
    assert cut > made.batch


def test_less_satisfied_users_are_away_for_longer() -> None:
    parts = (
        Satisfaction(satisfaction_sensitivity=3),
        Returning(gap_sensitivity=2),
        Patience(patience=2),
    )
    made, found = simulation(*parts, batch=512), []
    for step in range(40):
        done = made.step(slates(made, step))
        gone = done.info["session"]["days_away"] > 0
        level = 1 / (1 + np.exp(-3 * made.state.exposure[gone]))
        found.append(np.stack([level, done.info["session"]["days_away"][gone]], axis=1))
        made.next_episode(done.terminated | done.truncated)
    level, days = np.concatenate(found).T
    assert days[level < 0.4].mean() > 1.3 * days[level > 0.6].mean()


# --- what parts do to each other ---------------------------------------------------------------


def test_the_terms_of_the_reward_sum_to_it() -> None:
    company = (Like(), Skip(), Share(), Purchase(), Creators(creator_decay=0.9), Returning())
    made = simulation(PAID, *company, Satisfaction(), choice="position")
    assert len(made.step(slates(made, 0)).info["reward_terms"]) == len(REWARD_TERMS)
    for step in range(30):
        done = made.step(slates(made, step))
        total = np.sum(list(done.info["reward_terms"].values()), axis=0)
        np.testing.assert_allclose(total, done.reward, rtol=1e-5, atol=1e-5)
        made.next_episode(done.terminated | done.truncated)


@pytest.mark.parametrize("part", [Like(), Skip(), Share(), Purchase()], ids=lambda part: part.name)
def test_a_term_of_a_part_that_is_absent_is_zero(part: Part) -> None:
    """Signals that a variant does not have must not be read from whatever lies behind them."""
    made = simulation(PAID, part, batch=256)
    own = {"purchase": {"cart", "purchase", "revenue"}}.get(part.name, {part.name})
    absent = {"like", "skip", "share", "cart", "purchase", "revenue"} - own
    for step in range(8):
        terms = made.step(slates(made, step)).info["reward_terms"]
        assert all((terms[name] == 0).all() for name in absent)


def test_an_empty_place_is_never_taken_and_gives_nothing() -> None:
    made = simulation(choice="position", no_click_logit=-20)
    repeated = np.zeros((made.batch, 5), int)
    response = made.step(repeated).info["response"]
    assert (response["click"][:, 0] == 1).all()
    assert all((signal[:, 1:] == 0).all() for signal in response.values())


def test_a_purchase_fulfils_the_need_and_is_not_wanted_again() -> None:
    rich = Purchase(wallet_median=1e5, cart_intercept=20, buy_intercept=20)
    made = simulation(
        rich, Needs(need_fulfilled=0.9), LogitChoice(no_click_logit=-50), FixedCandidates()
    )
    before, wanted = made.privileged()["utility"], made.state.need.copy()
    done = made.step(slates(made, 0))
    bought = done.info["response"]["purchase"] > 0
    assert bought.any(axis=1).mean() > 0.9
    rows = np.flatnonzero(bought.any(axis=1))
    item = done.info["slate"][rows, bought[rows].argmax(axis=1)]
    topics = made.world.item_topics[item]
    np.testing.assert_allclose(made.state.need[rows], wanted[rows] * (1 - 0.9 * topics), rtol=1e-5)
    assert (made.state.owned[rows, -1] == item).all()
    place = (made.state.candidates[rows] == item[:, None]).argmax(axis=1)
    lost = before[rows, place] - made.privileged()["utility"][rows, place]
    assert (lost > 6).all()  # the penalty, and the need that is fulfilled


def test_what_has_expired_is_no_candidate_and_cannot_be_shown() -> None:
    made = simulation(Ageing(calendar=60, lifetime=30), candidates="catalogue", slate_size=60)
    done = made.step(np.tile(np.arange(60), (made.batch, 1)))
    there = (done.info["slate"] >= 0).mean()
    assert abs(there - 0.5) < 0.02
    listed = simulation(Ageing(calendar=60, lifetime=30), num_candidates=10, slate_size=10)
    for step in range(20):
        done = listed.step(slates(listed, step))
        assert (done.info["slate"] >= 0).all()
        listed.next_episode(done.terminated | done.truncated)


def test_fixed_candidates_stay_over_steps_and_episodes() -> None:
    made = simulation(FixedCandidates())
    first = made.state.candidates.copy()
    assert (first[0] != first[1]).any()
    for step in range(70):
        done = made.step(slates(made, step))
        made.next_episode(done.terminated | done.truncated)
    np.testing.assert_array_equal(made.state.candidates, first)


# --- parts as data -----------------------------------------------------------------------------

each_part = pytest.mark.parametrize("cls", BUILT_IN, ids=lambda cls: cls.name)


@each_part
def test_a_part_survives_json_and_documents_every_parameter(cls: type[Part]) -> None:
    part = cls()
    assert as_part(part.to_json()) == as_part(cls.name) == part
    assert PART_TYPES[cls.name] is cls
    assert cls.slot in SLOTS
    for entry in dataclasses.fields(cls):
        assert entry.metadata["meaning"]


@each_part
@settings(max_examples=20)
@given(data=st.data())
def test_any_number_in_its_range_is_taken_and_survives_json(
    cls: type[Part], data: st.DataObject
) -> None:
    chosen = {
        entry.name: data.draw(st.floats(entry.metadata["low"], entry.metadata["high"]))
        for entry in dataclasses.fields(cls)
    }
    part = cls(**chosen)
    assert cls.from_json(part.to_json()) == part


def test_an_unknown_key_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UsageError, match=r"'satiation' has no parameter 'satiation_decy'.*'satia"):
        Satiation.from_json({"satiation_decy": 0.5})
    with pytest.raises(UsageError, match=r"unknown part 'satiaton'.*Did you mean 'satiation'"):
        as_part("satiaton")


@pytest.mark.parametrize(
    ("cls", "bad"),
    [
        (Satiation, {"satiation_decay": 1.5}),
        (Satiation, {"satiation_decay": float("nan")}),
        (InterestDrift, {"interest_drift": "much"}),
        (Patience, {"patience": 0}),
        (LogitChoice, {"position_bias": True}),
        (Budget, {"minute_budget": None}),
    ],
)
def test_a_value_out_of_range_is_refused_and_named(cls: type, bad: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=rf"{cls.__name__}\.{next(iter(bad))} is"):
        cls(**bad)
