"""A scenario takes from the public side what it says, nested and repeatable, and nothing else."""

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from slategym.envs import scenario as scenario_module
from slategym.envs.build_tables import histories
from slategym.envs.checks import check_world
from slategym.envs.scenario import Scenario, apply_scenario, scenario_from_keywords
from slategym.envs.scenario_make import content_of
from slategym.envs.tiny import tiny_world
from slategym.envs.world import OPTIONAL_ARRAYS, World
from slategym.errors import DataError, UsageError

HIDDEN = (
    "item_factors",
    "item_bias",
    "user_factors",
    "user_std",
    "user_bias",
    "item_topics",
    "item_duration",
    "item_price",
    "item_time",
    "item_creator",
    "user_profile",
    "log_user",
    "log_item",
    "log_value",
    "log_time",
)
HIDDEN_INFO = ("mean", "click_slope", "click_intercept", "no_click_logit", "topic_names")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("SLATEGYM_CACHE", str(tmp_path / "cache"))
    scenario_module._MADE.clear()
    yield
    scenario_module._MADE.clear()


@pytest.fixture(scope="module")
def world() -> World:
    return tiny_world(items=80, users=120, history=20, seed=3)


@pytest.mark.parametrize(
    "changes",
    [
        {"sparse": 0.3},
        {"cold_items": 0.25},
        {"cold_users": 0.25},
        {"modalities": ("image",)},
        {"modalities": ()},
        {"sparse": 0.5, "cold_items": 0.1, "cold_users": 0.2, "modalities": ("text",)},
    ],
    ids=str,
)
def test_the_hidden_side_is_the_same_bit_for_bit(world: World, changes: dict[str, object]) -> None:
    thin = apply_scenario(world, **changes)  # type: ignore[arg-type]
    for name in HIDDEN:
        assert thin.content[name] == world.content[name], name
    for name in HIDDEN_INFO:
        assert getattr(thin.info, name) == getattr(world.info, name), name
    assert thin.users["split"].equals(world.users["split"])
    assert check_world(thin) == []
    assert thin.hash != world.hash
    assert thin.info.provenance["scenario"]["of"] == world.hash
    kept = dataclasses.asdict(Scenario(**changes))  # type: ignore[arg-type]
    told = {**thin.info.provenance["scenario"]}
    told.pop("of")
    assert told == {
        **kept,
        "modalities": changes.get("modalities") and list(kept["modalities"]),
    } | ({"modalities": []} if changes.get("modalities") == () else {})


def test_sparse_keeps_that_share_of_each_user_and_the_shares_are_nested(world: World) -> None:
    before = world.public_log.user_counts()
    smaller: set[int] = set()
    for share in (0.1, 0.3, 0.7):
        rows = Scenario(sparse=share).kept_rows(world)
        assert smaller <= set(rows.tolist())
        smaller = set(rows.tolist())
        np.testing.assert_array_equal(
            world.log.user_counts(rows), np.ceil(share * before - 1e-9).astype(int)
        )
    other = Scenario(sparse=0.7, seed=1).kept_rows(world)
    assert set(other.tolist()) != smaller
    assert len(other) == len(smaller)


def test_the_public_side_follows_from_the_rows_that_are_left(world: World) -> None:
    thin = apply_scenario(world, sparse=0.4)
    left = thin.public_log
    assert 0 < len(left) < 0.45 * len(world.public_log)
    np.testing.assert_array_equal(thin.item_popularity, left.item_counts())
    np.testing.assert_array_equal(thin.items["popularity"], left.item_counts())
    np.testing.assert_array_equal(thin.users["n_ratings"], left.user_counts())
    past, value = histories(left, np.arange(len(left)), (1.0, 5.0), 20)
    np.testing.assert_array_equal(thin.user_history, past)
    np.testing.assert_array_equal(thin.user_history_value, value)
    start, stop = thin.info.blocks["collaborative"]
    scaled = thin.public_item_factors / thin.public_item_factors.std(axis=0)
    np.testing.assert_allclose(thin.item_vectors[:, start:stop], scaled, rtol=1e-4)
    assert (thin.log_split == 3).sum() == len(world.public_log) - len(left)
    for part in (1, 2):  # what is measured on stays
        assert (thin.log_split == part).sum() == (world.log_split == part).sum()


def test_a_thinner_log_teaches_less(world: World) -> None:
    errors = [
        apply_scenario(world, sparse=share).info.metrics["rating"]["rmse"] for share in (0.9, 0.1)
    ]
    assert errors[0] < errors[1]


def test_cold_items_and_users_have_no_public_row(world: World) -> None:
    thin = apply_scenario(world, cold_items=0.25, cold_users=0.1)
    assert thin.cold_items.sum() == 20
    assert thin.cold_users.sum() == 12
    assert (thin.item_popularity[thin.cold_items] == 0).all()
    assert (thin.user_history[thin.cold_users] == -1).all()
    assert not np.isin(thin.user_history, np.flatnonzero(thin.cold_items)).any()
    blank = thin.public_user_factors[thin.cold_users]
    assert np.ptp(blank, axis=0).max() == 0  # nothing tells one from another
    assert np.abs(blank).max() < 0.05  # the average user, but for a fit that stopped in time
    np.testing.assert_array_equal(thin.user_rows("cold"), np.flatnonzero(thin.cold_users))
    fewer = apply_scenario(world, cold_items=0.1)
    assert set(np.flatnonzero(fewer.cold_items)) <= set(np.flatnonzero(thin.cold_items))
    assert not fewer.cold_users.any()


def test_cold_items_take_their_factors_from_their_content_alone(world: World) -> None:
    thin = apply_scenario(world, cold_items=0.25)
    content = content_of(thin)
    factors, cold = thin.public_item_factors.astype(np.float64), thin.cold_items
    design = np.column_stack([content, np.ones(len(content))])
    # A linear map of the content: more cold items than columns, and no residual.
    assert cold.sum() > design.shape[1]
    solved = np.linalg.lstsq(design[cold], factors[cold], rcond=None)[0]
    np.testing.assert_allclose(design[cold] @ solved, factors[cold], atol=1e-4)
    assert np.abs(design[~cold] @ solved - factors[~cold]).max() > 0.01


def test_modalities_decide_what_the_content_is_made_of(world: World) -> None:
    text, none = apply_scenario(world, modalities="text"), apply_scenario(world, modalities=())  # type: ignore[arg-type]
    assert text.item_image is None
    assert text.item_text is not None
    assert text.user_text is not None
    assert none.item_text is None
    assert none.user_text is None
    assert content_of(none).shape == (80, 1)
    assert (content_of(none) == 0).all()
    assert (none.directions == 0).all()
    # The block says of an item what its text says: it is a linear map of it, and of no picture.
    raw = np.column_stack([np.asarray(world.item_text, np.float64), np.ones(80)])
    fitted = raw @ np.linalg.lstsq(raw, content_of(text), rcond=None)[0]
    np.testing.assert_allclose(fitted, content_of(text), atol=1e-3)
    both = apply_scenario(world, modalities=("image", "text"))
    again = raw @ np.linalg.lstsq(raw, content_of(both), rcond=None)[0]
    assert np.abs(again - content_of(both)).max() > 0.1


def test_a_result_is_made_once_and_comes_from_memory_or_disk(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = apply_scenario(world, sparse=0.5)
    assert apply_scenario(world, sparse=0.5) is first
    assert len(list((tmp_path / "cache" / "scenarios").iterdir())) == 1
    scenario_module._MADE.clear()

    def never(*_: object, **__: object) -> World:
        raise AssertionError("made twice")

    with monkeypatch.context() as patch:
        patch.setattr(scenario_module, "thinned_world", never)
        again = apply_scenario(world, sparse=0.5)
    assert again.hash == first.hash
    scenario_module._MADE.clear()
    [folder] = (tmp_path / "cache" / "scenarios").iterdir()
    (folder / "tensors.safetensors").write_bytes(b"damaged")
    assert apply_scenario(world, sparse=0.5).hash == first.hash
    assert World.open(folder).hash == first.hash


def test_a_cache_that_cannot_be_written_is_done_without(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("SLATEGYM_CACHE", str(tmp_path / "file"))
    assert apply_scenario(world, sparse=0.5).cold_users.sum() == 0


def test_nothing_taken_away_is_the_world_itself(world: World) -> None:
    assert apply_scenario(world) is world
    assert Scenario().is_whole
    assert scenario_from_keywords().apply(world) is world
    older = dataclasses.replace(world, **dict.fromkeys(OPTIONAL_ARRAYS))
    assert scenario_from_keywords(sparse=1.0, cold_start=0).apply(older) is older


def test_keywords_become_a_scenario() -> None:
    assert scenario_from_keywords(sparse=0.2) == Scenario(sparse=0.2)
    assert scenario_from_keywords(cold_start=0.3) == Scenario(cold_items=0.3, cold_users=0.3)
    assert scenario_from_keywords(cold_start=[0.3, 0]) == Scenario(cold_items=0.3)
    assert scenario_from_keywords(cold_start=np.array([0.3, 0.1])) == Scenario(1.0, 0.3, 0.1)
    both = Scenario(modalities=("text", "image"))
    assert scenario_from_keywords(modalities="image, text") == both
    assert scenario_from_keywords(modalities=["image", "text", "image"]) == both
    assert scenario_from_keywords(modalities="") == Scenario(modalities=())
    assert scenario_from_keywords(modalities="text", seed=4).label == "text"


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"sparse": 0}, r"sparse is 0.*\(0, 1\]"),
        ({"sparse": 1.5}, r"sparse is 1\.5.*\(0, 1\]"),
        ({"sparse": "half"}, "sparse is 'half'"),
        ({"sparse": True}, "sparse is True"),
        ({"sparse": float("nan")}, "sparse is nan"),
        ({"cold_start": 0.95}, r"cold_items is 0\.95.*\[0, 0\.9\]"),
        ({"cold_start": (0, -1)}, "cold_users is -1"),
        ({"cold_start": (0.1, 0.2, 0.3)}, r"cold_start is \(0\.1.*pair \(items, users\)"),
        ({"cold_start": "lots"}, "cold_items is 'lots'"),
        ({"modalities": "imge"}, r"unknown modality 'imge'. Did you mean 'image'"),
        ({"modalities": 3}, "modalities is 3; give names out of text, image, audio"),
        ({"seed": -1}, "seed of a scenario is -1"),
        ({"seed": 0.5}, r"seed of a scenario is 0\.5"),
    ],
)
def test_bad_input_is_one_sentence(keywords: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        scenario_from_keywords(**keywords)  # type: ignore[arg-type]


def test_a_world_that_lacks_what_is_asked_for_says_so(world: World) -> None:
    with pytest.raises(UsageError, match=r"'audio', which no item.*it has text, image"):
        apply_scenario(world, modalities=("audio",))
    older = dataclasses.replace(world, **dict.fromkeys(OPTIONAL_ARRAYS))
    with pytest.raises(DataError, match=r"keeps no log.*build it again"):
        apply_scenario(older, sparse=0.5)


def test_scenarios_add_up(world: World) -> None:
    once = apply_scenario(world, cold_items=0.2)
    twice = apply_scenario(once, sparse=0.5)
    assert set(np.flatnonzero(once.cold_items)) <= set(np.flatnonzero(twice.cold_items))
    assert len(twice.public_log) < 0.6 * len(once.public_log)


@pytest.mark.slow
def test_movielens_knows_cold_films_by_their_content(movielens_world: Callable[[], World]) -> None:
    world = movielens_world()
    assert world.item_time is not None
    assert world.item_creator is not None
    full = world.info.metrics["rating"]["rmse"]
    tenth = apply_scenario(world, sparse=0.1).info.metrics["rating"]["rmse"]
    assert full < tenth - 0.02
    known = apply_scenario(world, cold_items=0.2).info.metrics["rating"]
    blind = apply_scenario(world, cold_items=0.2, modalities=()).info.metrics["rating"]
    assert known["rmse_cold_items"] < blind["rmse_cold_items"]
    assert known["rmse_warm"] < known["rmse_cold_items"]
