"""What a log must look like, what is said when it does not, and how it is split."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slategym.cf_baselines.interactions import (
    Interactions,
    default_threshold,
    load_interactions,
    split_by_time,
    split_random,
)
from slategym.cf_baselines.negatives import with_negatives
from slategym.encoders.catalog import Catalog
from slategym.errors import DataError, UsageError

HEADER = "user_id,item_id,rating,timestamp\n"


def write(folder: Path, text: str, name: str = "log.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def catalog_of(*ids: str) -> Catalog:
    n = len(ids)
    return Catalog("shop", ids, ids, ids, (None,) * n, (None,) * n, ((),) * n)


def small_log(n: int = 100, seed: int = 0, implicit: bool = False) -> Interactions:
    rng = np.random.default_rng(seed)
    cells = rng.choice(20 * 30, size=n, replace=False)
    return Interactions(
        user_ids=tuple(f"u{i}" for i in range(20)),
        item_ids=tuple(f"i{i}" for i in range(30)),
        users=(cells // 30).astype(np.int32),
        items=(cells % 30).astype(np.int32),
        values=(np.ones(n) if implicit else rng.integers(1, 6, n)).astype(np.float32),
        times=rng.integers(1, 10**9, n),
        implicit=implicit,
    )


def test_a_log_is_read_and_its_columns_are_told(tmp_path: Path) -> None:
    path = write(tmp_path, HEADER + "ann,x,4,10\nbob,y,2.5,20\nann,y,3,\n")
    log, report = load_interactions(path)
    assert (log.user_ids, log.item_ids) == (("ann", "bob"), ("x", "y"))
    assert log.users.tolist() == [0, 1, 0]
    assert log.items.tolist() == [0, 1, 1]
    assert log.values.tolist() == [4, 2.5, 3]
    assert log.times.tolist() == [10, 20, 0]
    assert not log.implicit
    assert report.columns == {
        "user_id": "user_id",
        "item_id": "item_id",
        "value": "rating",
        "time": "timestamp",
    }
    assert "1 rows have none" in report.describe()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("who,item_id,rating\na,x,1\n", ["user_id", "who, item_id, rating", "columns="]),
        (HEADER + "a,x,good,1\nb,x,2,1\n", ["'good'", "row 1", "rating"]),
        (HEADER + "a,x,1,1\nb,x,,1\n", ["row 2", "rating"]),
        (HEADER + "a,x,1,1\nb,x,nan,1\n", ["row 2", "rating"]),
        (HEADER + "a,x,1,1\nb,x,inf,1\n", ["row 2", "rating"]),
        (HEADER + "a,x,1,1\n,x,2,1\n", ["user id is empty", "row 2"]),
        (HEADER + "a,,1,1\nb,x,2,1\n", ["item id is empty", "row 1"]),
        (HEADER + "a,x,3,1\nb,x,3,1\n", ["all 2 values are 3", "implicit"]),
        (HEADER + "a,x,3,1\nb,x,4,soon\n", ["'soon'", "row 2", "ISO"]),
        (HEADER + "a,x,3,1\nb,x,1e30,1\n", ["1e+30 in row 2", "rating"]),
        (HEADER + "a,x,3,1e40\nb,x,2,1e40\n", ["nanoseconds", "row 1", "one unit"]),
        (HEADER + "a,x,3,5\nb,x,2,7\nb,y,2,1700000000000\n", ["are seconds", "row 3"]),
    ],
)
def test_a_wrong_log_is_refused_with_the_place(tmp_path: Path, text: str, said: list[str]) -> None:
    with pytest.raises(DataError) as error:
        load_interactions(write(tmp_path, text))
    for part in said:
        assert part in str(error.value)


def test_items_the_catalogue_does_not_know_are_counted_and_the_first_is_named(
    tmp_path: Path,
) -> None:
    path = write(tmp_path, HEADER + "a,x,1,1\na,ghost,2,1\nb,ghost,3,1\nb,phantom,3,1\n")
    with pytest.raises(DataError, match=r"2 items in 3 rows .* 'ghost' \(row 2\)"):
        load_interactions(path, catalog=catalog_of("x", "y"))


def test_ids_written_in_another_way_are_told_from_items_that_are_missing(tmp_path: Path) -> None:
    path = write(tmp_path, HEADER + "a,1,1,1\nb,2,2,1\n")
    with pytest.raises(DataError, match=r"none of its items .* written the same way.*'1'.*'1\.0'"):
        load_interactions(path, catalog=catalog_of("1.0", "2.0"))


def test_with_a_catalogue_items_are_numbered_as_in_it(tmp_path: Path) -> None:
    path = write(tmp_path, HEADER + "a,z,1,1\na,x,2,1\n")
    log, _ = load_interactions(path, catalog=catalog_of("x", "y", "z"))
    assert log.item_ids == ("x", "y", "z")
    assert log.items.tolist() == [2, 0]


def test_a_column_can_be_named_or_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "viewer,item_id,rating\na,x,3\nb,x,3\n")
    log, _ = load_interactions(path, columns={"user_id": "viewer", "value": ""})
    assert log.implicit
    with pytest.raises(UsageError, match="user_id"):
        load_interactions(path, columns={"usr_id": "viewer"})


@pytest.mark.parametrize("text", ["user_id,item_id\na,x\nb,y\n", HEADER + "a,x,1,1\nb,y,1,2\n"])
def test_without_values_or_with_ones_only_the_log_is_implicit(tmp_path: Path, text: str) -> None:
    log, report = load_interactions(write(tmp_path, text))
    assert log.implicit
    assert log.values.tolist() == [1, 1]
    assert "implicit" in report.describe()


@pytest.mark.parametrize(
    "cell",
    [
        "1700000000",
        "1700000000000",
        "1700000000000000",
        "1700000000000000000",
        "2023-11-14T22:13:20Z",
        "2023-11-14 22:13:20",
        "2023-11-14T23:13:20+01:00",
    ],
)
def test_times_in_any_unit_or_as_iso_dates_become_seconds(tmp_path: Path, cell: str) -> None:
    log, _ = load_interactions(write(tmp_path, HEADER + f"a,x,1,{cell}\nb,x,2,{cell}\n"))
    assert log.times.tolist() == [1_700_000_000] * 2


def test_dates_beyond_what_nanoseconds_hold_are_read(tmp_path: Path) -> None:
    log, _ = load_interactions(
        write(tmp_path, HEADER + "a,x,1,9999-12-31\nb,x,2,1969-12-31T23:59:59.5Z\n")
    )
    assert log.times.tolist() == [253_402_214_400, -1]


def test_a_log_without_times_says_that_its_order_counts(tmp_path: Path) -> None:
    _, report = load_interactions(write(tmp_path, "customer,item_id,rating\na,x,1\nb,x,2\n"))
    assert "oldest first, as they stand" in report.describe()


def test_parquet_with_real_times_is_read(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "user_id": [7, 8],
            "item_id": [1, 2],
            "value": [1.0, 2.0],
            "time": pd.to_datetime(["2024-01-01", "2024-01-02"]),
        }
    )
    frame.to_parquet(tmp_path / "log.parquet")
    log, _ = load_interactions(tmp_path / "log.parquet")
    assert log.user_ids == ("7", "8")
    assert np.diff(log.times).tolist() == [86_400]


def test_of_repeated_pairs_the_last_by_time_is_kept_and_counted(tmp_path: Path) -> None:
    path = write(tmp_path, HEADER + "a,x,5,30\na,x,1,10\nb,x,2,5\nb,x,4,5\n")
    log, report = load_interactions(path)
    assert log.values.tolist() == [5, 4]
    assert "2 rows repeat" in report.describe()


def test_a_log_cannot_be_changed_by_accident_nor_through_the_callers_array() -> None:
    log = small_log()
    with pytest.raises(ValueError, match="read-only"):
        log.values[0] = 9
    mine = np.zeros(2, np.int32)
    other = Interactions(("a",), ("x", "y"), mine, mine, np.ones(2, np.float32), np.zeros(2, int))
    mine[0] = 5
    assert other.users.tolist() == [0, 0]


@pytest.mark.parametrize(
    ("field", "values"), [("users", [0, 99]), ("values", [1.0, np.nan]), ("times", [1])]
)
def test_an_impossible_log_is_refused(field: str, values: list[float]) -> None:
    columns = {"users": [0, 0], "items": [0, 1], "values": [1.0, 2.0], "times": [0, 0]}
    with pytest.raises(DataError):
        Interactions(("a",), ("x", "y"), **{**columns, field: values})


@given(
    n=st.integers(0, 200),
    fraction=st.floats(0, 0.99),
    validation=st.floats(0, 0.99),
    seed=st.integers(0, 5),
    by_time=st.booleans(),
)
def test_a_split_has_every_row_once(
    n: int, fraction: float, validation: float, seed: int, by_time: bool
) -> None:
    log = small_log(n)
    if by_time:
        split = split_by_time(log, fraction, validation=validation)
    else:
        split = split_random(log, fraction, seed, validation=validation)
    parts = list(split)
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(n))
    assert all((np.diff(part) > 0).all() for part in parts)
    assert len(split.test) == round(n * fraction)


def test_a_random_split_depends_on_its_seed_only() -> None:
    log = small_log()
    assert np.array_equal(split_random(log, seed=1).test, split_random(log, seed=1).test)
    assert not np.array_equal(split_random(log, seed=1).test, split_random(log, seed=2).test)


def test_a_split_by_time_never_trains_on_the_future() -> None:
    log = small_log()
    split = split_by_time(log, 0.3)
    assert log.times[split.train].max() <= log.times[split.validation].min()
    assert log.times[split.validation].max() <= log.times[split.test].min()


def test_splits_refuse_what_makes_no_sense() -> None:
    log = small_log()
    with pytest.raises(UsageError, match=r"fraction=1\.5"):
        split_random(log, 1.5)
    timeless = Interactions(
        log.user_ids, log.item_ids, log.users, log.items, log.values, np.zeros(len(log), int)
    )
    with pytest.raises(DataError, match="split_random"):
        split_by_time(timeless)


def test_the_default_threshold_is_the_smallest_value_that_few_enough_reach() -> None:
    def with_values(values: list[float]) -> Interactions:
        n = len(values)
        return Interactions(("a",), tuple(map(str, range(n))), [0] * n, range(n), values, [0] * n)

    assert default_threshold(with_values([1, 2, 3, 4, 4, 4, 5, 5, 3, 3])) == 4
    assert default_threshold(with_values([0, 1, 1, 1, 1, 1])) == 1
    assert default_threshold(small_log(implicit=True)) == 0.5


def test_sampled_negatives_are_new_pairs_and_prefer_what_is_popular() -> None:
    log = small_log(200, implicit=True)
    both = with_negatives(log, np.arange(150), per_positive=3, seed=0)
    positives = {*zip(log.users.tolist(), log.items.tolist(), strict=True)}
    no = both.values == 0
    drawn = list(zip(both.users[no].tolist(), both.items[no].tolist(), strict=True))
    assert len(drawn) > 150
    assert len(set(drawn)) == len(drawn)
    assert positives.isdisjoint(drawn)
    assert both.values.sum() == 150
    again = with_negatives(log, np.arange(150), per_positive=3, seed=0)
    assert np.array_equal(both.items, again.items)


def test_rare_items_are_drawn_less_often_unless_the_power_is_zero() -> None:
    users = np.arange(400)
    items = 1 + users % 20  # item 0 is never touched, the others by 20 users each
    log = Interactions(
        tuple(map(str, users)),
        tuple(map(str, range(21))),
        users,
        items,
        np.ones(400),
        np.zeros(400, int),
        implicit=True,
    )

    def drawn(power: float) -> int:
        rows = with_negatives(log, per_positive=5, power=power, seed=0)
        return int(((rows.items == 0) & (rows.values == 0)).sum())

    assert drawn(0.75) < drawn(0.0) / 3
