"""From a catalogue and a log to a world: what is learned, what is hidden, what is recorded."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from slategym.cf_baselines.interactions import Interactions, split_random
from slategym.encoders.base import make_encoder
from slategym.encoders.catalog import Catalog
from slategym.envs import build_tables
from slategym.envs.build import build_world
from slategym.envs.build_attributes import item_attributes
from slategym.envs.checks import check_variant, check_world
from slategym.envs.no_click import calibrate_no_click
from slategym.envs.vector import SlateVectorEnv
from slategym.envs.world import World
from slategym.errors import DataError, UsageError
from slategym.progress import Silent

ENCODERS = {"text": "hashed-ngrams"}
USERS, ITEMS = 80, 60


class Recorder(Silent):
    """A `Progress` that remembers what it was told."""

    def __init__(self) -> None:
        self.stages: list[str] = []
        self.notes: list[str] = []

    def start(self, stage: str, total: int | None = None) -> None:  # noqa: ARG002
        """Remember the stage."""
        self.stages.append(stage)

    def note(self, message: str) -> None:
        """Remember the note."""
        self.notes.append(message)


def make_catalog(topics: bool = True, images: Path | None = None) -> Catalog:
    """Items of four kinds, whose words say which."""
    words = ["war soldier tank", "love kiss heart", "space robot star", "farm cow barn"]
    texts = [f"{words[i % 4]} {words[i % 4].split()[i % 3]} number{i}" for i in range(ITEMS)]
    pictures: list[Path | None] = [None] * ITEMS
    if images is not None:
        from PIL import Image

        for i in range(0, ITEMS, 2):
            pictures[i] = images / f"{i}.png"
            Image.new("RGB", (200, 300), (i * 4, 80, 255 - i * 4)).save(images / f"{i}.png")
    return Catalog(
        name="little",
        item_ids=tuple(f"m{i}" for i in range(ITEMS)),
        titles=tuple(f"Film {i}" for i in range(ITEMS)),
        text=tuple(texts),
        images=tuple(pictures),
        audio=(None,) * ITEMS,
        topics=tuple(((words[i % 4].split()[0],) if topics else ()) for i in range(ITEMS)),
        duration=tuple(80.0 + i if i % 5 else float("nan") for i in range(ITEMS)),
        attributes=pd.DataFrame({"year": np.arange(ITEMS)}),
        source="made for a test",
    )


def make_log(catalog: Catalog, cold: int = 3) -> Interactions:
    """Users who like one kind and not another; the last ``cold`` items have no ratings."""
    rng = np.random.default_rng(0)
    pairs = rng.permutation(USERS * (ITEMS - cold))[:2600]
    users, items = np.divmod(pairs, ITEMS - cold)
    quality = rng.normal(0, 0.5, ITEMS)
    liking = np.where(items % 4 == users % 4, 1.3, np.where(items % 4 == (users + 1) % 4, -1.2, 0))
    stars = 3.3 + liking + quality[items] + rng.normal(0, 0.5, len(items))
    return Interactions(
        user_ids=tuple(f"u{n}" for n in range(USERS)),
        item_ids=catalog.item_ids,
        users=users.astype(np.int32),
        items=items.astype(np.int32),
        values=np.clip(np.round(stars), 1, 5).astype(np.float32),
        times=rng.integers(10**9, 10**9 + 10**7, len(items)),
        name="little log",
    )


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[World, Catalog, Interactions, Path]:
    folder = tmp_path_factory.mktemp("build")
    catalog = make_catalog(images=folder)
    log = make_log(catalog)
    told = tuple(f"lives in town {n % 4} and likes kind {n % 4}" for n in range(USERS))
    encoders = ENCODERS | {"image": "hsv-hog"}
    out = folder / "world"
    world = build_world(
        catalog, log, profiles=told, encoders=encoders, factors=4, content_dim=16, out=out
    )
    return world, catalog, log, out


def test_a_built_world_is_sound_and_runs(built: tuple[World, Catalog, Interactions, Path]) -> None:
    world, *_, out = built
    assert check_world(world) == []
    assert World.open(out).hash == world.hash
    assert check_variant("slategym/World-v0", world=world, observation="ids") == []


def test_it_records_what_was_measured_and_what_was_assumed(
    built: tuple[World, Catalog, Interactions, Path],
) -> None:
    world, catalog, log, _ = built
    metrics = world.info.metrics
    assert metrics["rating"]["rmse"] < metrics["rating"]["rmse_user_item_bias"]
    losses = {name: entry["log_loss"] for name, entry in metrics["click"]["models"].items()}
    assert losses["model"] < min(losses["global_rate"], losses["item_mean"])
    assert any("no-click" in sentence for sentence in world.info.assumptions)
    assert any("duration" in sentence for sentence in world.info.assumptions)
    assert world.info.provenance["catalog"]["hash"] == catalog.content_hash()
    assert world.info.provenance["log"]["rows"] == len(log)
    assert set(world.info.provenance["encoders"]) == {"text", "image"}
    assert (world.info.value_low, world.info.value_high) == (1.0, 5.0)


def test_agents_see_the_training_rows_only(
    built: tuple[World, Catalog, Interactions, Path],
) -> None:
    world, _, log, _ = built
    train = split_random(log, 0.2, 0).train
    np.testing.assert_array_equal(world.item_popularity, log.item_counts(train))
    seen = {(int(u), int(i)) for u, i in zip(log.users[train], log.items[train], strict=True)}
    for user, row in enumerate(world.user_history.tolist()):
        assert {(user, item) for item in row if item >= 0} <= seen
    assert not np.allclose(world.item_factors, world.public_item_factors)
    start, stop = world.info.blocks["collaborative"]
    scaled = world.public_item_factors / world.public_item_factors.std(axis=0)
    np.testing.assert_allclose(world.item_vectors[:, start:stop], scaled, rtol=1e-4)


def test_histories_are_the_newest_in_order(
    built: tuple[World, Catalog, Interactions, Path],
) -> None:
    world, _, log, _ = built
    train = split_random(log, 0.2, 0).train
    for user in (0, 17):
        rows = train[log.users[train] == user]
        rows = rows[np.argsort(log.times[rows], kind="stable")][-20:]
        expected = np.full(20, -1)
        expected[20 - len(rows) :] = log.items[rows]
        np.testing.assert_array_equal(world.user_history[user], expected)
        value = world.user_history_value[user][20 - len(rows) :]
        np.testing.assert_allclose(value, (log.values[rows] - 1) / 4)


def test_items_without_ratings_get_their_taste_from_their_content(
    built: tuple[World, Catalog, Interactions, Path],
) -> None:
    world, *_ = built
    cold = np.array([ITEMS - 3, ITEMS - 2, ITEMS - 1])
    assert (world.items["evidence"].to_numpy()[cold] == 0).all()
    score = world.user_factors @ world.item_factors.T
    for item in cold.tolist():
        fans, others = np.arange(USERS) % 4 == item % 4, np.arange(USERS) % 4 == (item - 1) % 4
        assert score[fans, item].mean() > score[others, item].mean()


def test_random_slates_are_clicked_as_often_as_was_asked(
    built: tuple[World, Catalog, Interactions, Path],
) -> None:
    world, *_ = built
    env = SlateVectorEnv(4000, world=world, observation="ids")
    env.reset(seed=0)
    info = env.step(np.tile(np.arange(5), (4000, 1)))[4]
    assert info["response"]["click"].sum(axis=1).mean() == pytest.approx(0.4, abs=0.03)


def test_users_topics_durations_and_thumbnails(
    built: tuple[World, Catalog, Interactions, Path],
) -> None:
    world, *_ = built
    assert (world.users["split"] == "held_out").sum() == 16
    assert sorted(world.info.topic_names) == ["farm", "love", "space", "war"]
    assert (world.item_topics.sum(axis=1) == 1).all()
    known = [80.0 + i for i in range(ITEMS) if i % 5]
    assert world.item_duration[0] == pytest.approx(np.median(known))
    assert world.user_profile.shape[0] == USERS
    assert np.abs(world.user_profile).max() > 0
    picture = world.thumbnail(0)
    assert picture is not None
    assert picture.startswith(b"\xff\xd8")
    assert world.thumbnail(1) is None
    assert world.item_image is not None


def test_the_same_input_gives_the_same_world_and_is_not_built_twice(tmp_path: Path) -> None:
    catalog = make_catalog(topics=False)
    log = make_log(catalog)
    options = {"encoders": ENCODERS, "factors": 3, "content_dim": 8}
    first, again, other = Recorder(), Recorder(), Recorder()
    out = tmp_path / "w"
    world = build_world(catalog, log, out=out, progress=first, **options)
    assert "fit the public rating model" in first.stages
    same = build_world(catalog, log, out=out, progress=again, **options)
    assert same.hash == world.hash
    assert again.notes == [f"{out} is up to date"]
    assert "fit the public rating model" not in again.stages
    assert build_world(catalog, log, **options).hash == world.hash
    changed = build_world(catalog, log, out=out, progress=other, seed=1, **options)
    assert changed.hash != world.hash
    assert "fit the public rating model" in other.stages
    assert world.info.topic_names[0] == "cluster 1"
    assert any("clusters of the content" in sentence for sentence in world.info.assumptions)
    assert world.user_profile.shape == (USERS, 1)


def test_an_implicit_log_makes_a_world_too() -> None:
    catalog = make_catalog()
    log = make_log(catalog)
    liked = log.take(np.flatnonzero(log.values >= 4))
    implicit = replace(liked, values=np.ones(len(liked), np.float32), implicit=True)
    world = build_world(catalog, implicit, encoders=ENCODERS, factors=3, content_dim=8)
    assert check_world(world) == []
    assert (world.info.value_low, world.info.value_high) == (0.0, 1.0)
    assert "rating" not in world.info.metrics
    assert any("no negatives" in sentence for sentence in world.info.assumptions)
    assert world.log.implicit
    assert len(world.log) == len(implicit)


def test_input_that_does_not_fit_is_refused_before_any_work() -> None:
    catalog = make_catalog()
    log = make_log(catalog)
    with pytest.raises(DataError, match=r"not those of catalogue.*catalog=catalog"):
        build_world(catalog.subset(np.arange(10)), log)
    with pytest.raises(DataError, match="3 profiles were given for the 80 users"):
        build_world(catalog, log, profiles=["a", "b", "c"])
    with pytest.raises(UsageError, match=r"held_out_users is 1\.5"):
        build_world(catalog, log, held_out_users=1.5)
    with pytest.raises(UsageError, match="factors is 0"):
        build_world(catalog, log, factors=0)


def test_k_means_finds_clear_clusters_and_survives_too_many() -> None:
    rng = np.random.default_rng(0)
    centres = np.array([[0.0, 0], [9, 0], [0, 9]])
    truth = np.arange(90) % 3
    rows = (centres[truth] + rng.normal(0, 0.3, (90, 2))).astype(np.float32)
    labels = build_tables.k_means(rows, 3, seed=0)
    assert all(len(set(labels[truth == z].tolist())) == 1 for z in range(3))
    assert len(set(labels.tolist())) == 3
    same = np.zeros((10, 2), np.float32)
    assert build_tables.k_means(same, 4, seed=0).shape == (10,)


def test_many_topics_are_cut_to_the_frequent_ones_and_other() -> None:
    catalog = make_catalog()
    named = tuple((f"t{i}", "all") for i in range(ITEMS))
    table, names = build_tables.topic_table(
        replace(catalog, topics=named), np.zeros((ITEMS, 2), np.float32), 0
    )
    assert len(names) == build_tables.MAX_TOPICS
    assert names[0] == "all"
    assert names[-1] == "other"
    np.testing.assert_allclose(table.sum(axis=1), 1)


def test_the_world_keeps_its_log_and_what_profiles_say(
    built: tuple[World, Catalog, Interactions, Path],
) -> None:
    world, _, log, out = built
    split = split_random(log, 0.2, 0)
    opened = World.open(out)
    np.testing.assert_array_equal(opened.log.values, log.values)
    np.testing.assert_array_equal(opened.log.times, log.times)
    assert not opened.log.implicit
    for number, rows in enumerate(split):
        np.testing.assert_array_equal(np.flatnonzero(opened.log_split == number), rows)
    np.testing.assert_array_equal(opened.public_log.users, log.users[split.train])
    assert world.user_text is not None
    assert world.item_text is not None
    assert world.user_text.shape == (USERS, world.item_text.shape[1])
    told = make_encoder("hashed-ngrams", modality="text").encode(
        replace(make_catalog(), text=("lives in town 1 and likes kind 1",) * ITEMS)
    )
    np.testing.assert_allclose(world.user_text[1], told[0], atol=2e-3)


def test_prices_times_and_creators_are_found_by_name() -> None:
    prices = ["$1,299.00", "12,99 EUR", "7", "free", "-3", "0.50 USD"] * 10
    dates = ["2020-03-01", "2020-03-02T12:00:00Z", "05-Jan-1995", "", "2021-01-01", "soon"] * 10
    people = ["Ann Lee, Bo", "ann lee", "", "Cy; Di", "Bo", "n/a"] * 10
    table = pd.DataFrame({"List Price": prices, "release_date": dates, "Artist": people})
    found = item_attributes(replace(make_catalog(), attributes=table))
    assert found.price is not None
    assert found.time is not None
    assert found.creator is not None
    median = float(np.median([1299.0, 12.99, 7.0, 0.5]))
    np.testing.assert_allclose(found.price[:6], [1299, 12.99, 7, median, median, 0.5], rtol=1e-6)
    march = int(pd.Timestamp("2020-03-01").timestamp())
    assert found.time[:2].tolist() == [march, march + 36 * 3600]
    assert found.time[2] == int(pd.Timestamp("1995-01-05").timestamp())
    assert found.creator[:6].tolist() == [0, 0, -1, 1, 2, -1]
    assert found.guessed
    assert found.about["price"] == {"column": "List Price", "known": pytest.approx(4 / 6)}
    years = pd.DataFrame({"year": [str(1960 + i) for i in range(ITEMS)]})
    by_year = item_attributes(replace(make_catalog(), attributes=years)).time
    assert by_year is not None
    assert (by_year[0], by_year[10]) == (-315619200, 0)
    days = pd.DataFrame({"date": ["20200301", "20200302", ""] * 20})
    by_day = item_attributes(replace(make_catalog(), attributes=days)).time
    assert by_day is not None
    assert by_day[:2].tolist() == [march, march + 24 * 3600]
    assert item_attributes(make_catalog()).time is None  # its "year" holds row numbers
    stamps = pd.DataFrame({"timestamp": [str(1.6e12 + 1000 * i) for i in range(ITEMS)]})
    by_stamp = item_attributes(replace(make_catalog(), attributes=stamps)).time
    assert by_stamp is not None
    assert by_stamp[3] == 1_600_000_003


def test_a_column_that_only_has_the_name_of_a_price_is_left_alone() -> None:
    table = pd.DataFrame({"price": ["cheap", "dear", "fair"] * 20, "colour": ["red"] * ITEMS})
    found = item_attributes(replace(make_catalog(), attributes=table))
    assert (found.price, found.time, found.creator) == (None, None, None)
    assert found.about["price"]["ignored"] == "too few cells can be read"
    assert not found.guessed
    assert item_attributes(replace(make_catalog(), attributes=pd.DataFrame())).about == {}


@pytest.mark.parametrize("target", [0.05, 0.4, 0.9])
def test_the_no_click_option_is_calibrated(target: float) -> None:
    logits = np.random.default_rng(0).normal(-1, 1.5, (500, 5))
    x = calibrate_no_click(logits, target)
    mass = np.exp(logits).sum(axis=1)
    assert np.mean(mass / (mass + np.exp(x))) == pytest.approx(target, abs=1e-9)


@pytest.mark.slow
def test_movielens_makes_a_world_to_the_bar(movielens_world: Callable[..., World]) -> None:
    world = movielens_world(profiles=True, encoders=ENCODERS | {"image": "hsv-hog"})
    assert (world.n_users, world.n_items) == (943, 1682)
    assert check_world(world) == []
    assert world.info.metrics["rating"]["rmse"] <= 0.93
    for name, entry in world.info.metrics["click"]["difference"].items():
        assert entry["high"] < 0, name
