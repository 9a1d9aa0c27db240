"""News and Shop: what happens to a user there, in known answers, and that planning pays."""

from typing import Any

import numpy as np
import pytest

from slategym.agents.oracles import IndexPlanner, MyopicOracle
from slategym.agents.policy import make_policy
from slategym.benchmarks.planning_play import play
from slategym.envs.catalogue_news import NEWS
from slategym.envs.catalogue_shop import SHOP
from slategym.envs.checks import check_variant
from slategym.envs.simulation import WorldSimulation
from slategym.envs.spaces import trait_names
from slategym.envs.tiny import tiny_world
from slategym.envs.traits import births, clickbait, prices
from slategym.envs.variant import Variant

DOMAINS = [NEWS, SHOP]
AVID = -50.0  # a no-click utility at which every slate is taken


def begun(variant: Variant, batch: int, **changes: Any) -> WorldSimulation:  # noqa: ANN401
    """Users of the tiny world at the start of their first episode."""
    simulation = WorldSimulation(tiny_world(), variant.override(**changes), batch)
    rows = np.arange(batch, dtype=np.uint64)
    simulation.begin(np.full(batch, 5, np.uint64), rows)
    return simulation


def first(simulation: WorldSimulation, score: np.ndarray) -> np.ndarray:
    """The slate of the K highest scores (B, C)."""
    return np.argsort(-score, axis=1, kind="stable")[:, : simulation.variant.slate_size]


def actions_for_rows(step: int, batch: int) -> np.ndarray:
    """Slates of five of twenty candidates that go round."""
    return np.tile((np.arange(5) + 5 * step) % 20, (batch, 1))


# --- both --------------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", DOMAINS, ids=lambda one: one.id)
@pytest.mark.parametrize(
    "changes",
    [
        {"observation": "latent"},
        {"observation": "ids", "user_state": "language"},
        {"candidates": "catalogue", "observation": "ids"},
        {"cold_start": 0.3, "drift": "both", "choice": "position"},
    ],
    ids=["latent", "language", "catalogue", "scenario"],
)
def test_a_domain_is_sound_however_it_is_looked_at(
    variant: Variant, changes: dict[str, Any]
) -> None:
    assert check_variant(variant.id, **changes) == []


@pytest.mark.parametrize("variant", DOMAINS, ids=lambda one: one.id)
@pytest.mark.parametrize(
    "shape",
    [
        {"items": 20, "users": 5, "topics": 1},
        {"items": 300, "users": 60, "topics": 18, "factors": 3, "history": 4},
    ],
    ids=["small", "large"],
)
def test_a_domain_runs_on_worlds_of_any_shape(variant: Variant, shape: dict[str, int]) -> None:
    assert check_variant(variant.id, world=tiny_world(**shape)) == []


@pytest.mark.parametrize("variant", DOMAINS, ids=lambda one: one.id)
def test_an_episode_is_a_few_visits_and_ends_by_itself(variant: Variant) -> None:
    world = tiny_world()
    played = play(
        MyopicOracle(world, variant.slate_size, variant), world, variant, users=200, seed=3
    )
    assert 5 < played.sessions.mean() < 30
    assert 3 < (played.length / played.sessions).mean() < 12
    assert (played.length == variant.horizon).mean() < 0.02


@pytest.mark.parametrize(
    ("variant", "pull", "visits"), [(NEWS, 3.0, 0.6), (SHOP, 2.5, 0.8)], ids=["news", "shop"]
)
def test_what_lures_attracts_now_and_is_visited_less_later(
    variant: Variant, pull: float, visits: float
) -> None:
    """Clickbait against satisfaction, at 300 users with the same luck."""
    bait, told = clickbait(tiny_world()), {}
    with_, without = begun(variant, 50), begun(variant, 50, clickbait_pull=0.0)
    np.testing.assert_allclose(
        with_.privileged()["utility"] - without.privileged()["utility"],
        pull * (bait[with_.state.candidates] - 0.5),
        atol=1e-5,
    )
    for sign in (1.0, -1.0):
        simulation, alive = begun(variant, 300), np.ones(300, np.bool_)
        over, level = np.zeros(300), np.zeros(300)
        while alive.any():
            score = sign * bait[simulation.state.candidates]
            result = simulation.step(first(simulation, score))
            level = np.where(alive, simulation.state.exposure, level)
            over += alive * result.info["session"]["over"]
            alive &= ~(result.terminated | result.truncated)
        told[sign] = over.mean(), level.mean()
    assert told[1.0][0] < visits * told[-1.0][0]
    assert told[1.0][1] < 0 < told[-1.0][1]


@pytest.mark.parametrize("variant", DOMAINS, ids=lambda one: one.id)
def test_the_random_policy_is_below_a_public_rule_and_that_below_what_sees_all(
    variant: Variant,
) -> None:
    world, mean = tiny_world(), {}
    for name in ("random", "cf-rested", "oracle-reward", "oracle-planner"):
        policy = make_policy(name, world, variant.slate_size)
        mean[name] = play(policy, world, variant, users=250, seed=8).returns.mean()
    assert 1.2 * mean["random"] < mean["cf-rested"] < 1.05 * mean["oracle-reward"]
    assert mean["oracle-reward"] < mean["oracle-planner"]


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 3])
@pytest.mark.parametrize("variant", DOMAINS, ids=lambda one: one.id)
def test_planning_pays(variant: Variant, seed: int) -> None:
    """The planner is 15 % above the better of the two myopic oracles, on other worlds too."""
    world, size = tiny_world(seed=seed), variant.slate_size
    planner = play(IndexPlanner(world, size, variant), world, variant, users=600, seed=77)
    myopic = [
        play(make_policy(name, world, size), world, variant, users=600, seed=77).returns
        for name in ("oracle-reward", "oracle-myopic")
    ]
    best = max(myopic, key=np.mean)
    gain = planner.returns - best
    assert gain.mean() > 0.15 * best.mean()
    assert gain.mean() > 3 * gain.std() / np.sqrt(len(gain))


# --- news --------------------------------------------------------------------------------------


def ages(simulation: WorldSimulation) -> np.ndarray:
    """Ages (B, I) of all articles in calendar steps."""
    part: Any = simulation.variant.find("ageing")
    state = simulation.state
    now = part.now(
        state.start.astype(np.int64), state.step.astype(np.int64), state.day.astype(np.float64)
    )
    return np.asarray((now[:, None] - births(tiny_world(), int(part.calendar))) % part.calendar)


def test_an_expired_article_is_never_a_candidate() -> None:
    simulation, seen = begun(NEWS, 100), []
    rows = np.arange(100)[:, None]
    for _ in range(60):
        age = ages(simulation)
        shelf = age < 120
        assert shelf[rows, simulation.state.candidates].all()
        assert (shelf.sum(axis=1) == 30).all()  # half of the catalogue
        traits = simulation.observe()["candidate_traits"].reshape(100, 15, -1)
        fresh = traits[..., trait_names(NEWS).index("freshness")]
        np.testing.assert_allclose(
            fresh, np.exp2(-age[rows, simulation.state.candidates] / 24.0), rtol=1e-5
        )
        seen.append(simulation.state.candidates.copy())
        simulation.step(np.tile(np.arange(5), (100, 1)))
    # Articles arrive: what is on the shelf at the end was not at the start, and the other way.
    assert any(set(a) != set(b) for a, b in zip(seen[0], seen[-1], strict=True))


def test_freshness_is_worth_two_logits_and_halves_in_half_a_day() -> None:
    with_, without = begun(NEWS, 50), begun(NEWS, 50, freshness_weight=0.0)
    gained = with_.privileged()["utility"] - without.privileged()["utility"]
    age = ages(with_)[np.arange(50)[:, None], with_.state.candidates]
    np.testing.assert_allclose(gained, 2.0 * np.exp2(-age / 24.0), atol=1e-5)


def test_an_article_just_read_loses_six_logits_and_less_as_others_are_read() -> None:
    simulation, plain = begun(NEWS, 40), begun(NEWS, 40, repeat_tire=0.0)
    for one in (simulation, plain):
        one.state.history[:] = -1
        one.state.history[:, -1] = one.state.candidates[:, 0]
        one.state.history[:, -4] = one.state.candidates[:, 1]
    lost = simulation.privileged()["utility"] - plain.privileged()["utility"]
    np.testing.assert_allclose(lost[:, 0], -6.0, atol=1e-5)
    np.testing.assert_allclose(lost[:, 1], -6.0 * 0.9**6, atol=1e-5)
    assert (lost[:, 2:] == 0).all()


def test_a_burst_of_interest_is_everyones_and_passes() -> None:
    loud, quiet = begun(NEWS, 400, burst_rate=0.6), begun(NEWS, 400, burst_rate=0.0)
    topics = tiny_world().item_topics
    intensity = np.zeros((240, topics.shape[1]))
    for one in (loud, quiet):
        one.state.start[:] = np.arange(400) % 240
    gained = loud.privileged()["utility"].astype(np.float64) - quiet.privileged()["utility"]
    for now in range(240):
        rows = np.flatnonzero(np.arange(400) % 240 == now)
        shown, won = topics[loud.state.candidates[rows]].reshape(-1, 6), gained[rows].ravel()
        # One intensity per topic explains all users of this calendar step.
        intensity[now], *_ = np.linalg.lstsq(1.5 * shown.astype(np.float64), won, rcond=None)
        np.testing.assert_allclose(1.5 * shown @ intensity[now], won, atol=1e-4)
    assert intensity.min() > -1e-4
    assert 0.2 < (intensity > 0.25).mean() < 0.8
    # Between events the interest halves in twelve steps; as a day begins, what is left of the
    # day before yesterday is forgotten.
    later = np.roll(intensity, -1, axis=0)
    calm = (later < intensity) & (intensity > 0.1) & (later > 0.01)
    calm[47::48] = False
    np.testing.assert_allclose((later / np.where(calm, intensity, 1))[calm], 0.5 ** (1 / 12), 0.02)


def test_the_reward_is_articles_read() -> None:
    simulation = begun(NEWS, 100, no_click_logit=AVID)
    result = simulation.step(np.tile(np.arange(5), (100, 1)))
    np.testing.assert_allclose(result.reward, result.info["response"]["watch"].sum(axis=1))
    assert (result.reward > 0).all()


# --- shop --------------------------------------------------------------------------------------


def buying(batch: int, **changes: Any) -> WorldSimulation:  # noqa: ANN401
    """Customers who view, fill the cart and pay whenever they can."""
    sure = {"no_click_logit": AVID, "cart_intercept": 20.0, "buy_intercept": 20.0}
    return begun(SHOP, batch, **{**sure, **changes})


def test_view_then_cart_then_purchase_and_revenue_is_the_price() -> None:
    simulation, counts = begun(SHOP, 500), np.zeros(3)
    price = prices(tiny_world())
    for step in range(15):
        result = simulation.step(actions_for_rows(step, 500))
        view, cart, buy = (result.info["response"][n] for n in ("click", "cart", "purchase"))
        assert (buy <= cart).all()
        assert (cart <= view).all()
        paid = (buy * price[np.maximum(result.info["slate"], 0)]).sum(axis=1)
        np.testing.assert_allclose(result.reward, paid, rtol=1e-5)
        np.testing.assert_allclose(result.info["reward_terms"]["revenue"], paid, rtol=1e-5)
        counts += [view.sum(), cart.sum(), buy.sum()]
    assert 0.1 < counts[1] / counts[0] < 0.9
    assert 0.1 < counts[2] / counts[1] < 0.9


def test_what_is_dearer_than_the_money_left_is_not_bought() -> None:
    simulation = buying(300, wallet_median=1.0)
    price = prices(tiny_world())
    broke = 0
    for step in range(20):
        money = simulation.state.money.astype(np.float64)
        worth = simulation.privileged()["worth"]
        dear = price[simulation.state.candidates] > money[:, None]
        assert (worth[dear] == 0).all()
        assert (worth[~dear] > 0).all()
        result = simulation.step(actions_for_rows(step, 300))
        shown = price[np.maximum(result.info["slate"], 0)]
        bought = result.info["response"]["purchase"] > 0
        assert (shown <= money[:, None] + 1e-6)[bought].all()
        carted = result.info["response"]["cart"] > 0
        broke += int((carted & ~bought).sum())
        assert (simulation.state.money >= -1e-5).all()
    assert broke > 100


def test_a_product_bought_once_is_not_wanted_again() -> None:
    simulation = buying(200, wallet_median=1e4, wallet_spread=0.0)
    need = simulation.state.need.copy()
    item = simulation.step(np.zeros((200, 5), dtype=np.int64)).info["slate"][:, 0]
    same = simulation.state.session == 0  # a visit that ended begins with a new need
    assert same.mean() > 0.9
    np.testing.assert_array_equal(simulation.state.owned[:, -1], item)
    # Nine tenths of the need for the topics of the product are met.
    met = need * (1 - 0.9 * tiny_world().item_topics[item])
    np.testing.assert_allclose(simulation.state.need[same], met[same], rtol=1e-5)
    simulation.state.candidates[:, 0] = item
    again = simulation.privileged()["utility"][:, 0].copy()
    simulation.state.owned[:] = -1
    np.testing.assert_allclose(simulation.privileged()["utility"][:, 0] - again, 6.0, atol=1e-5)


def test_nobody_buys_twice_who_is_told_that_once_is_enough() -> None:
    repeats = {}
    for penalty in (0.0, 50.0):
        simulation = begun(SHOP, 300, owned_penalty=penalty, buy_intercept=2.0, wallet_median=50.0)
        bought: list[set[int]] = [set() for _ in range(300)]
        repeats[penalty] = total = 0
        for step in range(30):
            result = simulation.step(actions_for_rows(step, 300))
            paid = result.info["response"]["purchase"] > 0
            for row in np.flatnonzero(paid.any(axis=1)):
                if len(bought[row]) >= 8:
                    continue  # the last eight are remembered
                item = int(result.info["slate"][row][paid[row]][0])
                repeats[penalty] += item in bought[row]
                bought[row].add(item)
                total += 1
        assert total > 500
    assert repeats[50.0] == 0 < repeats[0.0]


def test_a_query_points_to_the_products_of_the_visits_need() -> None:
    simulation = begun(SHOP, 600, observation="ids")
    query = simulation.observe()["query"]
    searched = simulation.state.query >= 0
    assert 0.44 < searched.mean() < 0.56
    assert (query[~searched] == 0).all()
    np.testing.assert_array_equal(
        simulation.state.need.argmax(axis=1)[searched], simulation.state.query[searched]
    )
    # Products of the topic lie along the query more than others do.
    along = query[searched] @ tiny_world().item_vectors.T  # (N, I)
    mine = tiny_world().item_topics.argmax(axis=1) == simulation.state.query[searched][:, None]
    assert along[mine].mean() > along[~mine].mean() + 0.5
    best = along.argmax(axis=1)
    assert mine[np.arange(len(best)), best].mean() > 0.9


def test_who_follows_the_query_sells_more() -> None:
    """The query is worth reading: four pages by match with it, or in no order."""
    sold = {}
    for follow in (True, False):
        simulation = begun(SHOP, 800, observation="ids", search_rate=1.0)
        sold[follow] = np.zeros(800)
        for step in range(4):
            seen = simulation.observe()
            vectors = tiny_world().item_vectors[seen["candidates"]]
            match = np.einsum("bd,bcd->bc", seen["query"], vectors)
            slate = first(simulation, match) if follow else actions_for_rows(step, 800)
            sold[follow] += simulation.step(slate).reward
    gain = sold[True] - sold[False]
    assert gain.mean() > 0.1 * sold[False].mean()
    assert gain.mean() > 3 * gain.std() / np.sqrt(len(gain))


def test_money_not_spent_is_there_at_the_next_visit() -> None:
    simulation = begun(SHOP, 300, no_click_logit=50.0, churn_intercept=-50.0)
    money = simulation.state.money.copy()
    for step in range(3):  # three pages without a view end a visit
        simulation.step(actions_for_rows(step, 300))
    assert (simulation.state.session == 1).all()
    added = simulation.state.money - money
    assert (added > 0).all()
    assert np.median(added) == pytest.approx(5.0, rel=0.15)
