"""A catalogue is read from a plain file, and a wrong one is refused with rows and columns named."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from PIL import Image

from slategym.encoders.catalog import Catalog, load_catalog, split_topics
from slategym.encoders.tables import (
    Wanted,
    guess_columns,
    number_column,
    read_table,
    text_column,
)
from slategym.errors import DataError, UsageError


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A file of three items; the first has a picture, the second a sound."""
    Image.new("RGB", (8, 6), "red").save(tmp_path / "red.png")
    soundfile.write(tmp_path / "beep.wav", np.zeros(800, np.float32), 8000)
    return write(
        tmp_path / "item_features.csv",
        "itemId,Title,description,picture,sound,genres,runtime,brand",
        "007,Red cup,A cup that is red,red.png,,Kitchen|Red,10,Acme",
        'NA,Beeper,,,beep.wav,"Noise, Kitchen",1h 30m,Acme',
        "x3,Ghost,Nothing to see,,,,N/A,Zorg",
    )


def test_columns_are_guessed_ids_stay_text_and_paths_are_relative_to_the_file(shop: Path) -> None:
    catalog, report = load_catalog(shop)
    assert catalog.item_ids == ("007", "NA", "x3")
    assert report.columns["item_id"] == "itemId"
    assert report.columns["image"] == "picture"
    assert report.unused == ("brand",)
    assert catalog.images == (shop.parent / "red.png", None, None)
    assert catalog.audio[1] == shop.parent / "beep.wav"
    assert catalog.topics == (("Kitchen", "Red"), ("Noise", "Kitchen"), ())
    assert catalog.duration == (10.0, 90.0, 50.0)
    assert catalog.text[0] == "Red cup. A cup that is red. Kitchen, Red. brand: Acme"
    assert catalog.has("audio").tolist() == [False, True, False]
    assert list(catalog.attributes.columns) == ["brand"]


def test_the_report_says_what_was_guessed_and_what_was_assumed(shop: Path) -> None:
    text = load_catalog(shop)[1].describe()
    assert "item_id   itemId  (guessed: a usual name for item_id)" in text
    assert "1 items without one take the median, 50 minutes" in text
    assert "added to the text: brand" in text


def test_a_column_can_be_named_or_left_out(shop: Path) -> None:
    catalog, report = load_catalog(shop, columns={"title": "brand", "image": ""})
    assert catalog.titles == ("Acme", "Acme", "Zorg")
    assert report.how["title"] == "given"
    assert not catalog.has("image").any()


@pytest.mark.parametrize(
    ("column", "cell", "minutes"),
    [
        ("duration_ms", "90000", 1.5),
        ("durationMs", "90000", 1.5),
        ("duration_sec", "90", 1.5),
        ("clip_seconds", "90", 1.5),
        ("runtime", "90", 90.0),
        ("films", "90", 90.0),
    ],
)
def test_the_name_of_a_column_says_the_unit_of_its_durations(
    tmp_path: Path, column: str, cell: str, minutes: float
) -> None:
    path = write(tmp_path / "items.csv", f"id,title,{column}", f"a,A,{cell}", f"b,B,{cell}")
    catalog, _ = load_catalog(path, columns={"duration": column})
    assert catalog.duration == pytest.approx((minutes, minutes))


def test_parquet_and_csv_give_the_same_catalogue(shop: Path, tmp_path: Path) -> None:
    from_csv, _ = load_catalog(shop)
    read_table(shop).to_parquet(tmp_path / "item_features.parquet")
    from_parquet, _ = load_catalog(tmp_path / "item_features.parquet")
    assert from_parquet.content_hash() == from_csv.content_hash()


def test_whole_numbers_with_gaps_are_ids_without_a_point(tmp_path: Path) -> None:
    frame = pd.DataFrame({"id": [12.0, 13.0], "genres": [["a", "b"], []]})
    frame.to_parquet(tmp_path / "items.parquet")
    catalog, _ = load_catalog(tmp_path / "items.parquet")
    assert catalog.item_ids == ("12", "13")
    assert catalog.topics == (("a", "b"), ())


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_the_separator_is_found(tmp_path: Path, separator: str) -> None:
    path = write(tmp_path / "items.csv", separator.join("ab"), separator.join("12"))
    assert read_table(path).to_dict("list") == {"a": ["1"], "b": ["2"]}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (",Nameless,,,,,,", "item id is empty in row 4"),
        ("007,Twin,,,,,,", r"more than one '007' \(rows 1, 4\)"),
        ("y,Lost,,lost.png,,,,", r"'picture': lost.png \(row 4\) does not exist"),
        ("y,Fake,,item_features.csv,,,,", r"item_features.csv \(row 4\) is not a picture"),
        ("y,Web,,https://x.org/a.png,,,,", r"\(row 4\) is a web address"),
        ("y,Mute,,,red.png,,,", r"'sound': red.png \(row 4\) is not a sound"),
        ("y,Slow,,,,,soon,", r"'runtime': .* not 'soon' \(row 4\)"),
        ("y,Wide,,,,,,,,", "not a well-formed table"),
    ],
)
def test_a_wrong_row_is_named(shop: Path, row: str, message: str) -> None:
    with shop.open("a") as stream:
        stream.write(row + "\n")
    with pytest.raises(DataError, match=message):
        load_catalog(shop)


def test_many_offenders_are_cut_to_five(tmp_path: Path) -> None:
    path = write(tmp_path / "items.csv", "id,image", *(f"{i},no{i}.png" for i in range(9)))
    with pytest.raises(DataError, match=r"no4.png \(row 5\) does not exist and 4 more;"):
        load_catalog(path)


def test_a_picture_that_would_fill_the_memory_is_refused_unread(tmp_path: Path) -> None:
    Image.new("1", (20000, 20000)).save(tmp_path / "bomb.png")
    path = write(tmp_path / "items.csv", "id,image", "1,bomb.png")
    with pytest.raises(DataError, match=r"bomb.png .* pixels"):
        load_catalog(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "does not exist"),
        (b"", "is empty"),
        (b"id,title\n", "has no rows"),
        (b"\x89PNG\r\n\x1a\n\xff\xfe", "not a table of UTF-8 text"),
        (b"name,colour\na,b\n", "has no item_id column: its columns are name, colour; name the"),
        (b"id,id\n1,2\n", "more than one column named 'id'"),
    ],
)
def test_a_file_that_is_no_catalogue_is_refused(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    path = tmp_path / "items.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        load_catalog(path)


def test_a_damaged_parquet_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "items.parquet"
    path.write_bytes(b"PAR1 but no more than that")
    with pytest.raises(DataError, match="not a readable Parquet file"):
        load_catalog(path)


def test_overrides_must_name_roles_and_columns_that_exist(shop: Path) -> None:
    with pytest.raises(UsageError, match=r"unknown column role 'titel'. Did you mean 'title'"):
        load_catalog(shop, columns={"titel": "brand"})
    with pytest.raises(DataError, match="no column 'brnd', which was given for title"):
        load_catalog(shop, columns={"title": "brnd"})
    with pytest.raises(UsageError, match="given for two roles"):
        load_catalog(shop, columns={"title": "brand", "text": "brand"})


def test_a_column_given_for_one_role_is_not_guessed_for_another() -> None:
    frame = pd.DataFrame({"id": ["a"], "item": ["b"]})
    wanted = (Wanted("user_id", ("id",)), Wanted("item_id", ("id", "item")))
    report = guess_columns(frame, wanted, {"item_id": "id"}, "log.csv")
    assert report.columns == {"item_id": "id"}


def test_numbers_are_read_or_the_row_is_named() -> None:
    frame = pd.DataFrame({"rating": ["1", "2.5", "good", "", "nan"]})
    with pytest.raises(DataError, match=r"'good' \(row 3\), '' \(row 4\), 'nan' \(row 5\)"):
        number_column(frame, "rating", "log.csv")
    numbers = number_column(frame.drop(index=2), "rating", "log.csv", empty=True)
    np.testing.assert_array_equal(numbers, [1.0, 2.5, np.nan, np.nan])


def test_text_of_missing_cells_is_empty() -> None:
    frame = pd.DataFrame({"a": [1.0, None, 2.5], "b": ["x", None, pd.NA]})
    assert text_column(frame, "a") == ["1", "", "2.5"]
    assert text_column(frame, "b") == ["x", "", ""]


@pytest.mark.parametrize(
    ("cell", "topics"),
    [("a|b", "ab"), ("a, b;c", "abc"), ("a|a", "a"), ("['a', \"b\"]", "ab"), ("N/A", ""), ("", "")],
)
def test_topics_are_split(cell: str, topics: str) -> None:
    assert split_topics(cell) == tuple(topics)


def test_a_subset_keeps_order_and_takes_rows_or_a_mask(shop: Path) -> None:
    catalog, _ = load_catalog(shop)
    assert catalog.subset([2, 0]).item_ids == ("x3", "007")
    masked = catalog.subset(catalog.has("audio"))
    assert masked.item_ids == ("NA",)
    assert masked.attributes["brand"].tolist() == ["Acme"]


def test_the_content_hash_sees_the_bytes_of_a_picture(shop: Path) -> None:
    before = load_catalog(shop)[0].content_hash()
    Image.new("RGB", (8, 6), "blue").save(shop.parent / "red.png")
    assert load_catalog(shop)[0].content_hash() != before


def test_a_catalogue_made_in_python_is_checked_too() -> None:
    def make(ids: tuple[str, ...], texts: tuple[str, ...]) -> Catalog:
        none = (None,) * len(ids)
        return Catalog("mine", ids, ids, texts, none, none, ((),) * len(ids))

    assert len(make(("a", "b"), ("", "x"))) == 2
    with pytest.raises(DataError, match="'mine' has 2 item ids but 1 text"):
        make(("a", "b"), ("x",))
    with pytest.raises(DataError, match="more than one 'a'"):
        make(("a", "a"), ("x", "y"))


def test_real_movie_texts_are_read(data_dir: Callable[[str], Path]) -> None:
    catalog, report = load_catalog(data_dir("ml-100k") / "item_text.csv.gz")
    assert len(catalog) == 1682
    assert report.columns["text"] == "plot"
    assert catalog.titles[0] == "Toy Story (1995)"
    assert catalog.duration is not None
    assert catalog.duration[0] == 81
