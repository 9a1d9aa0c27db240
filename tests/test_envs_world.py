"""A world on disk: whole, verified, memory-mapped, and never a pickle."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from slategym.envs.build_tables import histories
from slategym.envs.checks import check_world
from slategym.envs.no_click import POSITION_BIAS
from slategym.envs.tiny import tiny_world
from slategym.envs.variant import Variant
from slategym.envs.world import ARRAYS, OPTIONAL_ARRAYS, World, array_hash
from slategym.envs.world_files import FILES, MANIFEST
from slategym.errors import DataError, UsageError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pictures = {3: b"\xff\xd8 a picture", 0: b"\xff\xd8 another"}
    world = dataclasses.replace(tiny_world(items=20, users=10), thumbnails=pictures)
    return world.save(tmp_path / "world")


def test_a_saved_world_opens_as_it_was(folder: Path) -> None:
    world = dataclasses.replace(
        tiny_world(items=20, users=10),
        thumbnails={0: b"\xff\xd8 another", 3: b"\xff\xd8 a picture"},
    )
    opened = World.open(folder)
    assert opened.info == world.info
    assert opened.hash == world.hash
    assert opened.content == world.content
    for name, array in world.arrays.items():
        np.testing.assert_array_equal(opened.arrays[name], array, err_msg=name)
        assert opened.arrays[name].dtype == array.dtype
    assert opened.items.equals(world.items)
    assert opened.users.equals(world.users)
    assert opened.thumbnail(3) == b"\xff\xd8 a picture"
    assert opened.thumbnail(4) is None
    assert check_world(opened) == []


def test_arrays_are_read_only_and_mapped_from_the_file(folder: Path) -> None:
    world = World.open(folder)
    with pytest.raises(ValueError, match="read-only"):
        world.item_vectors[0, 0] = 1
    base: object = world.item_vectors
    while getattr(base, "base", None) is not None and not isinstance(base, np.memmap):
        base = base.base  # type: ignore[attr-defined]
    assert isinstance(base, np.memmap)


def test_the_hash_tells_contents_apart() -> None:
    world = tiny_world(items=20, users=10)
    bias = world.item_bias.copy()
    bias[0] += 1
    assert dataclasses.replace(world, item_bias=bias).hash != world.hash
    renamed = dataclasses.replace(world.info, name="other")
    assert dataclasses.replace(world, info=renamed).hash != world.hash
    assert tiny_world(items=20, users=10, seed=1).hash != world.hash


def test_a_missing_folder_and_a_folder_that_is_no_world_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        World.open(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"is not a world: it holds no world\.json"):
        World.open(tmp_path)


def test_a_mistyped_folder_is_told_the_nearest_world(folder: Path) -> None:
    wrong = folder.with_name(folder.name + "s")
    with pytest.raises(DataError, match=rf"Did you mean '{folder.name}'.*`slategym build` writes"):
        World.open(wrong)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(DataError, match=rf"{name} is missing"):
        World.open(folder)


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_byte_is_found_and_the_file_named(folder: Path, name: str) -> None:
    path = folder / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(DataError, match=rf"{name} was changed or damaged"):
        World.open(folder)


def test_every_flipped_byte_of_the_manifest_is_found(folder: Path) -> None:
    path = folder / MANIFEST
    intact = path.read_bytes()
    for place in range(0, len(intact), 97):
        damaged = bytearray(intact)
        damaged[place] ^= 4
        if damaged.decode("utf-8", "replace").split() == intact.decode().split():
            continue  # white space between values carries nothing
        path.write_bytes(bytes(damaged))
        with pytest.raises(DataError, match=r"world\.json|is missing|was changed"):
            World.open(folder)


def test_a_newer_schema_says_to_upgrade(folder: Path) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["info"]["schema_version"] = 99
    (folder / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(DataError, match=r"schema version 99.*Upgrade slategym"):
        World.open(folder)


def test_saving_replaces_a_world_but_nothing_else(folder: Path, tmp_path: Path) -> None:
    other = tiny_world(items=20, users=10, seed=5)
    other.save(folder)
    assert World.open(folder).hash == other.hash
    assert [path.name for path in tmp_path.iterdir()] == ["world"]
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.txt").write_text("mine")
    with pytest.raises(DataError, match=r"is not a world folder.*will not be overwritten"):
        other.save(precious)
    assert (precious / "thesis.txt").read_text() == "mine"


def test_a_world_may_be_moved(folder: Path, tmp_path: Path) -> None:
    expected = World.open(folder).hash
    shutil.move(folder, tmp_path / "moved")
    assert World.open(tmp_path / "moved").hash == expected


def test_arrays_that_do_not_fit_are_refused() -> None:
    world = tiny_world(items=20, users=10)
    with pytest.raises(DataError, match=r"item_bias has I = 19; other parts have 20"):
        dataclasses.replace(world, item_bias=world.item_bias[:19])
    with pytest.raises(DataError, match="item_bias is float64"):
        dataclasses.replace(world, item_bias=world.item_bias.astype(np.float64))


def test_check_world_says_what_is_wrong() -> None:
    world = tiny_world(items=20, users=10)
    vectors, history = world.item_vectors.copy(), world.user_history.copy()
    vectors[2, 0] = np.nan
    history[0, 5], history[1, 0] = -1, 20
    broken = dataclasses.replace(
        world,
        item_vectors=vectors,
        user_history=history,
        item_topics=world.item_topics * np.float32(0.5),
        info=dataclasses.replace(world.info, blocks={"content": (0, 3)}),
    )
    found = "\n".join(check_world(broken))
    for part in ("item_vectors holds", "padded on the left", "do not exist", "sum to 1", "cover"):
        assert part in found
    assert check_world(world) == []


def test_users_of_a_split(folder: Path) -> None:
    world = World.open(folder)
    held = world.user_rows("held_out").tolist()
    assert held == [4, 9]
    assert sorted(held + world.user_rows("train").tolist()) == list(range(10))
    everyone = dataclasses.replace(world, users=world.users.assign(split="train"))
    with pytest.raises(DataError, match="no users in split 'held_out'"):
        everyone.user_rows("held_out")


def test_a_world_of_schema_1_still_opens_without_log_and_attributes(tmp_path: Path) -> None:
    world = tiny_world(items=20, users=10)
    older = dataclasses.replace(
        world,
        info=dataclasses.replace(world.info, schema_version=1),
        **dict.fromkeys(OPTIONAL_ARRAYS),
    )
    opened = World.open(older.save(tmp_path / "old"))
    assert opened.hash == older.hash
    assert set(opened.arrays) == set(ARRAYS)
    assert not opened.has_log
    with pytest.raises(DataError, match=r"keeps no log.*build it again"):
        opened.public_log  # noqa: B018 - the access is the test


def test_the_log_keeps_its_splits_and_only_split_0_is_public(folder: Path) -> None:
    world = World.open(folder)
    assert world.log_split is not None
    assert len(world.log) == len(world.log_split)
    assert {0, 1, 2} == set(world.log_split.tolist())
    rows = np.flatnonzero(world.log_split == 0)
    np.testing.assert_array_equal(world.public_log.items, world.log.items[rows])
    pairs = world.log.users.astype(np.int64) * world.n_items + world.log.items
    assert len(np.unique(pairs)) == len(pairs)


@pytest.mark.parametrize("arguments", [{}, {"items": 7, "users": 5}, {"history": 3, "seed": 2}])
def test_the_tiny_log_gives_the_tiny_histories(arguments: dict[str, int]) -> None:
    world = tiny_world(**arguments)
    length = world.user_history.shape[1]
    items, values = histories(
        world.public_log, np.arange(len(world.public_log)), (1.0, 5.0), length
    )
    np.testing.assert_array_equal(items[:, -3:], world.user_history[:, -3:])
    np.testing.assert_allclose(values[:, -3:], world.user_history_value[:, -3:], atol=1e-6)
    counted = world.public_log.user_counts()
    np.testing.assert_array_equal(world.users["n_ratings"], counted)


def test_the_tiny_log_obeys_the_click_model() -> None:
    world = tiny_world(items=200, users=400)
    users, items = world.log.users, world.log.items
    taste = (world.user_factors[users] * world.item_factors[items]).sum(axis=1)
    value = world.info.mean + world.user_bias[users] + world.item_bias[items] + taste
    told = np.concatenate([np.flatnonzero(world.log_split == part) for part in (1, 2)])
    threshold = -world.info.click_intercept / world.info.click_slope
    expected = 1 / (1 + np.exp(-world.info.click_slope * (value[told] - threshold)))
    clicked = world.log.values[told] >= threshold
    assert len(told) > 3000
    for low, high in ((0.0, 0.3), (0.3, 0.7), (0.7, 1.0)):
        among = (expected >= low) & (expected < high)
        assert clicked[among].mean() == pytest.approx(expected[among].mean(), abs=0.05)


def test_tiny_world_has_price_time_creator_and_what_users_say() -> None:
    world = tiny_world()
    assert world.item_price is not None
    assert world.item_time is not None
    assert world.item_creator is not None
    assert world.user_text is not None
    assert world.item_price.min() > 0
    assert world.item_time.max() < world.log.times.min()
    assert world.item_creator.min() == -1
    silent = (world.users["profile"] == "").to_numpy()
    assert silent.any()
    np.testing.assert_array_equal((world.user_text == 0).all(axis=1), silent)


def test_what_tiny_worlds_had_before_the_log_is_unchanged() -> None:
    world = tiny_world()
    kept = {
        "item_vectors": "f8309b111a998c85",
        "user_factors": "c62400157dfc8645",
        "user_history": "43dfbce2fc63fb39",
    }
    for name, expected in kept.items():
        assert array_hash(world.arrays[name])[:16] == expected, name
    assert Variant(id="a/B-v0").parameters["position_bias"] == POSITION_BIAS


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"log_value": None}, "log without log_value"),
        ({"log_item": 20}, r"log_item has entries outside \[0, 20\)"),
        ({"log_split": 4}, r"log_split has entries outside \[0, 4\)"),
        ({"log_value": np.nan}, "log_value holds numbers that are not finite"),
        ({"log_time": "short"}, "log_time has N = 3"),
    ],
)
def test_a_log_that_does_not_fit_is_refused(changes: dict[str, object], message: str) -> None:
    world = tiny_world(items=20, users=10)
    [(name, value)] = changes.items()
    array = None
    if value is not None:
        array = world.arrays[name].copy()
        array = array[:3] if value == "short" else array
        array[0] = array[0] if value == "short" else value
    with pytest.raises(DataError, match=message):
        dataclasses.replace(world, **{name: array})


def test_cold_users_and_items_are_those_without_public_rows() -> None:
    world = tiny_world(items=20, users=10)
    assert not world.cold_users.any()
    assert not world.cold_items.any()
    past, popularity = world.user_history.copy(), world.item_popularity.copy()
    past[3], popularity[[2, 5]] = -1, 0
    colder = dataclasses.replace(world, user_history=past, item_popularity=popularity)
    assert colder.user_rows("cold").tolist() == [3]
    assert np.flatnonzero(colder.cold_items).tolist() == [2, 5]
    with pytest.raises(DataError, match="no cold users"):
        world.user_rows("cold")


def test_tiny_world_may_have_few_tastes_and_topics() -> None:
    assert check_world(tiny_world(factors=2, topics=1)) == []


def test_tiny_world_is_the_same_each_time_and_refuses_nonsense() -> None:
    tiny_world.cache_clear()
    first = tiny_world(items=20, users=10)
    tiny_world.cache_clear()
    assert tiny_world(items=20, users=10).hash == first.hash
    assert first.info.synthetic
    with pytest.raises(UsageError, match="items >= 2"):
        tiny_world(items=1)
