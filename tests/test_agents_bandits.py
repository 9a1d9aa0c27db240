"""Bandits learn live what ridge regression would, explore as they say, and survive their files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slategym.agents.bandit_features import BLOCKS, TRAITS, BanditFeatures, shown
from slategym.agents.bandits import EpsilonGreedy, LinearBandit, LinTS, LinUCB
from slategym.agents.heuristics import CFGreedyPolicy
from slategym.agents.offline_data import OfflineData
from slategym.agents.policy import Policy, make_policy
from slategym.benchmarks.bandit_curve import learning_curve, main, stretches
from slategym.benchmarks.rollout import rollout
from slategym.envs.tiny import tiny_world
from slategym.envs.vector import SlateVectorEnv
from slategym.envs.world import World
from slategym.errors import DataError, UsageError

SLATE = 5
BANDITS = (LinUCB, LinTS, EpsilonGreedy)
Arrays = dict[str, np.ndarray[Any, Any]]
Step = tuple[Arrays, np.ndarray[Any, Any], Arrays]


@pytest.fixture(scope="module")
def world() -> World:
    return tiny_world()


@pytest.fixture(scope="module")
def steps() -> list[Step]:
    """Six steps of 32 users under random slates: observation, slate, response."""
    env = SlateVectorEnv(32, observation="ids")
    seen, _ = env.reset(seed=0)
    rng, found = np.random.default_rng(0), []
    for _ in range(6):
        slate = rng.random(seen["candidates"].shape).argsort(axis=1)[:, :SLATE]
        after, reward, *_, info = env.step(slate)
        response = {"click": info["response"]["click"].copy(), "reward": reward.copy()}
        found.append(({k: v.copy() for k, v in seen.items()}, slate, response))
        seen = after
    return found


def taught(bandit: LinearBandit, steps: list[Step]) -> LinearBandit:
    for observation, slate, response in steps:
        bandit.update(observation, slate, response)
    return bandit


def test_what_is_learned_is_ridge_regression(world: World, steps: list[Step]) -> None:
    bandit = taught(LinUCB(world, SLATE, ridge=2.0), steps)
    features = BanditFeatures.from_world(world)
    phi, target = [], []
    for observation, slate, response in steps:
        table = features(observation)
        for row in range(len(slate)):
            for place in range(SLATE):
                phi.append(table[row, slate[row, place]])
                click = response["click"][row, place] > 0
                target.append(response["reward"][row] if click else 0.0)
    x, y = np.array(phi), np.array(target)
    mean = np.linalg.solve(x.T @ x + 2.0 * np.eye(x.shape[1]), x.T @ y)
    np.testing.assert_allclose(bandit.posterior.mean, mean, atol=1e-7)
    inverse = np.linalg.inv(x.T @ x + 2.0 * np.eye(x.shape[1]))
    np.testing.assert_allclose(bandit.posterior.inverse, inverse, atol=1e-8)
    root = bandit.posterior.root
    np.testing.assert_allclose(root @ root.T, inverse, atol=1e-8)
    spread = np.std(y - x @ mean)
    assert bandit.posterior.noise == pytest.approx(spread, rel=0.1)


def test_forgetting_discounts_what_was_there(world: World, steps: list[Step]) -> None:
    bandit = taught(LinUCB(world, SLATE, forget=0.5), steps)
    features = BanditFeatures.from_world(world)
    gram = 0.0
    for observation, slate, _ in steps:
        phi = features(shown(observation, slate)).reshape(-1, features.size)
        gram = 0.5 * gram + phi.T @ phi
    np.testing.assert_allclose(
        np.linalg.inv(bandit.posterior.inverse), gram + np.eye(features.size), atol=1e-8
    )


def test_features_tell_history_exposure_traits_and_search() -> None:
    world = tiny_world()
    for variant in ("slategym/World-v0", "slategym/Shop-v0", "slategym/News-v0"):
        env = SlateVectorEnv(20, variant=variant, observation="ids")
        seen, _ = env.reset(seed=0)
        for _ in range(3):
            seen, *_ = env.step(np.tile(np.arange(5), (20, 1)))
        features = BanditFeatures.from_world(world)
        table, wide = features(seen), features.items.shape[1]
        assert table.shape == (*seen["candidates"].shape, features.size)
        assert np.isfinite(table).all()
        assert (table[..., 0] == 1).all()
        exposure = seen["context"][:, 6 : 6 + world.n_topics]
        tired = np.einsum("bz,bcz->bc", exposure, world.item_topics[seen["candidates"]])
        np.testing.assert_allclose(table[..., 2 * wide + 1], tired, atol=1e-6)
        met = (seen["history"][:, None] == seen["candidates"][:, :, None]).any(axis=2)
        np.testing.assert_array_equal(table[..., 2 * wide + 3], met)
        traits = table[..., 2 * wide + 6 : 2 * wide + 6 + TRAITS]
        if "candidate_traits" in seen:
            width = seen["candidate_traits"].shape[2]
            np.testing.assert_allclose(traits[..., :width], seen["candidate_traits"])
        assert (np.abs(table[..., 2 * wide + 4]).max() > 0) == ("query" in seen)
        part = features(shown(seen, np.tile([3, 1], (20, 1))))
        np.testing.assert_array_equal(part, table[:, [3, 1]])


def test_the_predicted_rating_is_that_of_cf_greedy(world: World, steps: list[Step]) -> None:
    seen = steps[-1][0]
    features = BanditFeatures.from_world(world, "predicted")
    place = 2 * features.items.shape[1] + 5
    rating = CFGreedyPolicy(world, SLATE).scores(seen) - world.info.public_mean
    np.testing.assert_allclose(features(seen)[..., place], rating, atol=1e-9)
    assert (BanditFeatures.from_world(world)(seen)[..., place] == 0).all()


def test_content_features_know_of_no_log(world: World) -> None:
    """They are the same however the log and its models change."""
    public = BanditFeatures.from_world(world, "public")
    content = BanditFeatures.from_world(world, "content")
    assert set(BLOCKS["content"]) == {"content", "topics"}
    start, stop = world.info.blocks["content"]
    blocks = [world.item_vectors[:, start:stop]]
    start, stop = world.info.blocks["topics"]
    blocks += [world.item_vectors[:, start:stop], np.log(world.item_duration)[:, None]]
    table = np.concatenate(blocks, axis=1)
    design = np.concatenate([table, np.ones((len(table), 1))], axis=1)
    fit = design @ np.linalg.lstsq(design, content.items[:-1], rcond=None)[0]
    np.testing.assert_allclose(fit, content.items[:-1], atol=1e-4)
    rest = public.items[:-1] - design @ np.linalg.lstsq(design, public.items[:-1], rcond=None)[0]
    assert np.abs(rest).max() > 0.1


@pytest.mark.parametrize("kind", BANDITS)
def test_a_taught_bandit_keeps_the_promises_of_policies(
    kind: type[LinearBandit], world: World, steps: list[Step]
) -> None:
    bandit = taught(kind(world, SLATE), steps)
    assert isinstance(bandit, Policy)
    seen = steps[-1][0]
    together = bandit.act(seen, np.random.default_rng(5))
    rng = np.random.default_rng(5)
    alone = [bandit.act({k: v[i : i + 1] for k, v in seen.items()}, rng) for i in range(32)]
    np.testing.assert_array_equal(together, np.concatenate(alone))
    untaught = kind(world, SLATE).act(seen, np.random.default_rng(5))
    assert (together != untaught).any()
    bandit.reset()
    np.testing.assert_array_equal(bandit.act(seen, np.random.default_rng(5)), untaught)


def test_optimism_looks_at_what_is_unknown(world: World, steps: list[Step]) -> None:
    seen = steps[-1][0]
    greedy = taught(LinUCB(world, SLATE, explore=0.0), steps)
    curious = taught(LinUCB(world, SLATE, explore=1e6), steps)
    phi = curious.features(seen)
    error = np.einsum("bcp,pq,bcq->bc", phi, curious.posterior.inverse, phi)
    rng = np.random.default_rng(0)
    np.testing.assert_array_equal(greedy.act(seen, rng)[:, 0], greedy.scores(seen).argmax(axis=1))
    np.testing.assert_array_equal(curious.act(seen, rng)[:, 0], error.argmax(axis=1))


def test_draws_follow_the_posterior(world: World, steps: list[Step]) -> None:
    """Over many users alike, the share that a candidate comes first is its chance of being best."""
    bandit = taught(LinTS(world, 1, explore=1.0), steps)
    one = {k: v[:1] for k, v in steps[-1][0].items()}
    many = {k: np.repeat(v, 4000, axis=0) for k, v in one.items()}
    first = np.bincount(bandit.act(many, np.random.default_rng(1))[:, 0], minlength=20) / 4000
    phi, known = bandit.features(one)[0], bandit.posterior
    covariance = known.noise**2 * known.inverse
    drawn = np.random.default_rng(2).multivariate_normal(known.mean, covariance, 4000) @ phi.T
    chance = np.bincount(drawn.argmax(axis=1), minlength=20) / 4000
    assert np.abs(first - chance).max() < 0.045
    assert first.max() < 0.95
    sure = taught(LinTS(world, 1, explore=0.0), steps)
    assert (sure.act(many, np.random.default_rng(1)) == sure.scores(one).argmax()).all()


def test_epsilon_is_the_share_of_random_slates(world: World, steps: list[Step]) -> None:
    one = {k: v[:1] for k, v in steps[-1][0].items()}
    many = {k: np.repeat(v, 5000, axis=0) for k, v in one.items()}
    best = taught(EpsilonGreedy(world, SLATE, explore=0.0), steps)
    usual = best.act(many, np.random.default_rng(0))
    assert (usual == usual[0]).all()
    some = taught(EpsilonGreedy(world, SLATE, explore=0.2), steps)
    slates = some.act(many, np.random.default_rng(0))
    assert (slates != usual[0]).any(axis=1).mean() == pytest.approx(0.2, abs=0.02)


class Listener:
    """Records what a rollout teaches it."""

    name = "listener"

    def __init__(self) -> None:
        self.heard: list[tuple[Arrays, np.ndarray[Any, Any], Mapping[str, Any]]] = []
        self.resets = 0

    def reset(self) -> None:
        """Count."""
        self.resets += 1

    def act(self, observation: Mapping[str, Any], rng: np.random.Generator) -> np.ndarray[Any, Any]:
        """Return random slates."""
        return rng.random(observation["candidates"].shape).argsort(axis=1)[:, :SLATE]

    def update(
        self, observation: Arrays, slate: np.ndarray[Any, Any], response: Mapping[str, Any]
    ) -> None:
        """Keep what it is taught."""
        self.heard.append((observation, slate, response))


def test_a_rollout_teaches_every_step_of_every_session_once(world: World) -> None:
    listener = Listener()
    found = rollout(listener, world, users=40, seed=3)
    assert listener.resets == 1
    assert [len(slate) for _, slate, _ in listener.heard] == [
        int((found.length > step).sum()) for step in range(len(found.shown))
    ]
    total = sum(float(response["reward"].sum()) for *_, response in listener.heard)
    assert total == pytest.approx(found.returns.sum(), rel=1e-6)
    for step, (observation, slate, response) in enumerate(listener.heard):
        alive = found.length > step
        items = np.take_along_axis(observation["candidates"], slate, axis=1)
        np.testing.assert_array_equal(items, found.shown[step][alive])
        np.testing.assert_array_equal(response["click"] > 0, found.clicked[step][alive])


def test_learning_does_not_change_who_is_met_and_the_same_seed_learns_the_same(
    world: World,
) -> None:
    bandit = LinTS(world, SLATE)
    first = rollout(bandit, world, users=60, seed=1)
    again = rollout(bandit, world, users=60, seed=1)
    np.testing.assert_array_equal(first.shown, again.shown)
    other = rollout(make_policy("random", world, SLATE), world, users=60, seed=1)
    np.testing.assert_array_equal(first.users, other.users)


def test_a_bandit_that_keeps_what_it_learned_goes_on(world: World) -> None:
    bandit = LinUCB(world, SLATE, keep=True)
    rollout(bandit, world, users=20, seed=1)
    known = bandit.posterior.mean.copy()
    bandit.reset()
    np.testing.assert_array_equal(bandit.posterior.mean, known)


@pytest.mark.parametrize("kind", BANDITS)
def test_bandits_learn_to_beat_random_slates_from_nothing(kind: type[LinearBandit]) -> None:
    world = tiny_world()
    earned = rollout(kind(world, SLATE), world, users=200, seed=7).returns
    random = rollout(make_policy("random", world, SLATE), world, users=200, seed=7).returns
    better = earned - random
    assert better.mean() > 4 * better.std(ddof=1) / np.sqrt(200)


def log_of(steps: list[Step]) -> OfflineData:
    """The steps as a log."""
    keys = steps[0][0].keys()
    slates = np.concatenate([slate for _, slate, _ in steps])
    seen = {key: np.concatenate([one[0][key] for one in steps]) for key in keys}
    click = np.concatenate([one[2]["click"] for one in steps])
    reward = np.concatenate([one[2]["reward"] for one in steps])
    return OfflineData(
        observation=seen,
        positions=slates,
        items=np.take_along_axis(seen["candidates"], slates, axis=1),
        user=np.tile(np.arange(32), len(steps)),
        first=np.ones(len(slates), np.bool_),
        reward_slot=np.repeat(reward[:, None] / SLATE, SLATE, axis=1),
        logp_slot=np.zeros(slates.shape),
        responses={"click": click},
    )


def test_a_warm_start_from_a_log_is_what_live_steps_would_have_taught(
    world: World, steps: list[Step], tmp_path: Path
) -> None:
    live = taught(LinUCB(world, SLATE), steps)
    warm = LinUCB(world, SLATE).learn_log(log_of(steps))
    np.testing.assert_allclose(warm.posterior.mean, live.posterior.mean, atol=1e-6)
    folder = warm.save(tmp_path / "bandit")
    assert sorted(path.name for path in folder.iterdir()) == ["bandit.json", "bandit.safetensors"]
    opened = make_policy("linucb", world, SLATE, start=str(folder))
    assert isinstance(opened, LinUCB)
    np.testing.assert_array_equal(opened.posterior.mean, warm.posterior.mean)
    rollout(opened, world, users=10, seed=0)
    opened.reset()
    np.testing.assert_array_equal(opened.posterior.mean, warm.posterior.mean)


def test_files_that_are_damaged_or_of_something_else_are_refused(
    world: World, steps: list[Step], tmp_path: Path
) -> None:
    folder = taught(LinUCB(world, SLATE), steps).save(tmp_path / "bandit")
    with pytest.raises(DataError, match="has blocks 'public' and 'content' is needed"):
        LinUCB(world, SLATE, start=folder, blocks="content")
    with pytest.raises(DataError, match="has world"):
        LinUCB(tiny_world(seed=1), SLATE, start=folder)
    with pytest.raises(DataError, match="has size"):
        LinUCB(world, SLATE, start=folder, components=3)
    arrays = folder / "bandit.safetensors"
    arrays.write_bytes(arrays.read_bytes()[:100])
    with pytest.raises(DataError, match="cannot be read"):
        LinUCB(world, SLATE, start=folder)
    with pytest.raises(DataError, match="does not exist"):
        LinUCB(world, SLATE, start=tmp_path / "nowhere")


def test_a_reward_that_is_no_number_is_refused(world: World, steps: list[Step]) -> None:
    bandit = taught(LinUCB(world, SLATE), steps)
    known = bandit.posterior.mean
    observation, slate, response = steps[0]
    click = np.ones_like(response["click"])
    with pytest.raises(DataError, match="linucb was given a reward that is not finite"):
        bandit.update(observation, slate, {"click": click, "reward": response["reward"] * np.nan})
    np.testing.assert_array_equal(bandit.posterior.mean, known)


def test_options_out_of_range_are_refused(world: World) -> None:
    refused: list[tuple[str, dict[str, Any], str]] = [
        ("linucb", {"explore": -1.0}, r"explore of linucb is -1.0; it must be in \[0, inf\]"),
        ("epsilon-greedy", {"explore": 1.5}, r"it must be in \[0, 1\]"),
        ("lin-ts", {"ridge": 0.0}, "ridge is 0.0; it must be above 0"),
        ("lin-ts", {"forget": 0.0}, r"forget is 0.0; it must be in \(0, 1\]"),
        ("linucb", {"blocks": "contents"}, "Did you mean 'content'"),
        ("linucb", {"components": 0}, "components is 0; it must be at least 1"),
    ]
    for name, options, message in refused:
        with pytest.raises(UsageError, match=message):
            make_policy(name, world, SLATE, **options)


def test_the_curve_doubles_its_stretches_and_pairs_users(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    assert stretches(5) == [(0, 1), (1, 2), (2, 4), (4, 5)]
    curve = learning_curve(
        world, "random", {}, variant="slategym/World-v0", wave=3, waves=2, seed=1
    )
    again = rollout(make_policy("random", world, SLATE), world, users=3, seed=100_001).returns
    assert curve[1] == pytest.approx(again.mean())
    main(["--wave", "2", "--waves", "2", "--seeds", "2", "--policies", "linucb,random"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("| policy | users 1 to 2 | users 3 to 4 | all |")
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| greedy", "| linucb", "| random"]
    assert lines[2].endswith("0.00 ± 0.00 |")
    with pytest.raises(UsageError, match="Did you mean 'linucb'"):
        main(["--policies", "linuc"])
