"""MovieLens is read in three layouts, and a folder that is not MovieLens says what is missing."""

import gzip
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from slategym.cf_baselines.calibration import evaluate_click_model, fit_click_model
from slategym.cf_baselines.cold_items import evaluate_cold_items
from slategym.cf_baselines.factorization import fit_rating_model
from slategym.cf_baselines.movielens import load_movielens, split_title, unpack_posters
from slategym.errors import DataError

GENRES = 19


def movie(number: int, title: str, *genres: int) -> str:
    flags = ["1" if g in genres else "0" for g in range(GENRES)]
    return "|".join([str(number), title, "01-Jan-1995", "", "http://x", *flags])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A 100K folder of four movies and three users, in the original layout."""
    monkeypatch.setenv("SLATEGYM_CACHE", str(tmp_path / "cache"))
    here = tmp_path / "ml-100k"
    here.mkdir()
    movies = [
        movie(1, "Usual Suspects, The (1995)", 6, 16),
        movie(2, "unknown", 0),
        movie(3, "Misérables, Les (1995)", 8),
        movie(4, "Babe (1995)", 4, 5),
    ]
    (here / "u.item").write_text("\n".join(movies) + "\n", encoding="latin-1")
    (here / "u.user").write_text("1|24|M|technician|85711\n2|53|F|other|94043\n10|33|F|none|0\n")
    rows = ["1\t1\t5\t100", "2\t3\t3\t200", "10\t4\t4\t300", "1\t3\t2\t400", "2\t1\t4\t500"]
    (here / "u.data").write_text("\n".join(rows) + "\n")
    return here


def jpeg() -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (8, 12), "red").save(stream, "JPEG")
    return stream.getvalue()


def test_the_plain_folder_gives_titles_genres_and_people(folder: Path) -> None:
    data = load_movielens(folder)
    catalog = data.catalog
    assert catalog.item_ids == ("1", "2", "3", "4")
    assert catalog.titles[0] == "The Usual Suspects (1995)"
    assert catalog.text[2] == "Les Misérables. 1995. Drama"
    assert catalog.topics == (("Crime", "Thriller"), (), ("Drama",), ("Children's", "Comedy"))
    assert catalog.duration is None
    assert "no redistribution" in catalog.licence
    assert data.interactions.user_ids == ("1", "2", "10")
    assert data.user_profiles == (
        "24 year old man, technician",
        "53 year old woman",
        "33 year old woman",
    )
    assert data.interactions.values.tolist() == [5, 3, 4, 2, 4]
    assert data.interactions.times.tolist() == [100, 200, 300, 400, 500]
    assert sum(map(len, data.split)) == 5


def test_the_official_split_is_found_whatever_the_order_and_a_stray_byte(folder: Path) -> None:
    (folder / "u1.base").write_text("2\t1\t4\t500\n1\t1\t5\t100\n10\t4\t4\t300W\n")
    (folder / "u1.test").write_text("1\t3\t2\t400\n2\t3\t3\t200\n")
    split = load_movielens(folder).split
    assert split.test.tolist() == [1, 3]
    assert sorted([*split.train.tolist(), *split.validation.tolist()]) == [0, 2, 4]


def test_a_split_of_another_release_is_refused(folder: Path) -> None:
    (folder / "u1.base").write_text("2\t1\t4\t500\n10\t3\t5\t100\n")
    (folder / "u1.test").write_text("1\t3\t2\t400\n")
    with pytest.raises(DataError, match=r"u1\.base, row 2"):
        load_movielens(folder)
    (folder / "u1.base").write_text("2\t1\t4\t500\n1\t3\t2\t400\n")
    with pytest.raises(DataError, match="1 ratings are in both"):
        load_movielens(folder)


def test_texts_runtimes_and_posters_are_joined_when_there(folder: Path, tmp_path: Path) -> None:
    table = (
        "movie_id,plot,imdb_description,director,actors,runtime\n"
        '1,Short.,"A longer tale, told twice.",Bryan Singer,"Kevin Spacey, Gabriel Byrne",100 min\n'
        "2,Another film of that name.,,X,Y,90 min\n"
        "4,A pig.,,Chris Noonan,,80 min\n"
    )
    (folder / "item_text.csv.gz").write_bytes(gzip.compress(table.encode()))
    (folder / "ml1m_map.csv").write_text("ml100k_id,ml1m_id\n1,50\n4,34\n")
    (tmp_path / "ml-1m").mkdir()
    with zipfile.ZipFile(tmp_path / "ml-1m" / "posters_96x144.zip", "w") as archive:
        archive.writestr("50.jpg", jpeg())
        archive.writestr("../evil.jpg", jpeg())
        archive.writestr("notes.txt", "x")
    catalog = load_movielens(folder).catalog
    assert catalog.text[0] == (
        "The Usual Suspects. 1995. Crime, Thriller. A longer tale, told twice. "
        "Directed by Bryan Singer. With Kevin Spacey, Gabriel Byrne"
    )
    assert catalog.text[1] == "unknown"  # not a film: the text found by its title is another's
    assert catalog.duration == (100.0, 90.0, 90.0, 80.0)
    assert catalog.has("image").tolist() == [True, False, False, False]
    poster = catalog.images[0]
    assert poster is not None
    assert poster.read_bytes() == jpeg()
    assert not list(tmp_path.rglob("evil.jpg"))
    assert load_movielens(folder).catalog.images[0] == poster


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"1.jpg": b"not a picture"}, "1.jpg is not a JPEG"),
        ({"cover.png": b"x"}, "no pictures"),
        (None, "not a whole zip"),
    ],
)
def test_a_wrong_zip_of_posters_is_refused_and_leaves_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    members: dict[str, bytes] | None,
    said: str,
) -> None:
    monkeypatch.setenv("SLATEGYM_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "posters.zip"
    path.write_bytes(b"PK no")
    if members is not None:
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in members.items():
                archive.writestr(name, content)
    with pytest.raises(DataError, match=said):
        unpack_posters(path)
    assert not list((tmp_path / "cache").rglob("*.jpg"))


def test_a_zip_that_is_not_there_is_told(folder: Path) -> None:
    (folder / "ml1m_map.csv").write_text("ml100k_id,ml1m_id\n1,50\n")
    with pytest.raises(DataError, match="does not exist"):
        load_movielens(folder, posters=folder / "none.zip")


def test_what_is_not_movielens_says_what_is_missing(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not a folder"):
        load_movielens(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"it holds ml-100k, not u\.data and u\.item"):
        load_movielens(tmp_path)
    (folder / "u.item").unlink()
    with pytest.raises(DataError, match=r"has u\.data but not u\.item"):
        load_movielens(folder)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("u.data", "1\t1\tgood\t100\n1\t3\t2\t1\n", r"'good' \(row 1\)"),
        ("u.data", "1\t1\t5\t100\n1\t77\t2\t1\n", r"row 2: movie '77'"),
        ("u.data", "1\t1\t5\n", r"row 1: 3 fields"),
        ("u.data", "", "is empty"),
        ("u.item", "1|Only a title\n", r"u\.item, row 1: 2 fields"),
    ],
)
def test_a_damaged_file_is_refused_with_the_row(
    folder: Path, name: str, text: str, said: str
) -> None:
    (folder / name).write_text(text)
    with pytest.raises(DataError, match=said):
        load_movielens(folder)


def test_the_1m_layout_is_read(tmp_path: Path) -> None:
    (tmp_path / "movies.dat").write_text(
        "1::Toy Story (1995)::Animation|Comedy\n260::Léon (1994)::Action\n", encoding="latin-1"
    )
    (tmp_path / "ratings.dat").write_text("1::260::5::978300760\n2::1::3::978302109\n")
    (tmp_path / "users.dat").write_text("1::F::1::10::48067\n2::M::56::16::70072\n")
    data = load_movielens(tmp_path)
    assert data.catalog.name == "movielens-1m"
    assert data.catalog.topics == (("Animation", "Comedy"), ("Action",))
    assert data.catalog.titles[1] == "Léon (1994)"
    assert data.user_profiles == (
        "woman under 18, school student",
        "man of 56 or older, self-employed",
    )
    assert data.interactions.items.tolist() == [1, 0]


def test_the_latest_small_layout_is_read(tmp_path: Path) -> None:
    (tmp_path / "movies.csv").write_text(
        'movieId,title,genres\n1,"Matrix, The (1999)",Action|Sci-Fi\n9,Short,(no genres listed)\n'
    )
    (tmp_path / "ratings.csv").write_text(
        "userId,movieId,rating,timestamp\n1,9,4.5,964982703\n2,1,0.5,964981247\n"
    )
    data = load_movielens(tmp_path)
    assert data.catalog.titles == ("The Matrix (1999)", "Short")
    assert data.catalog.topics == (("Action", "Sci-Fi"), ())
    assert data.interactions.values.tolist() == [4.5, 0.5]
    assert data.user_profiles == ("", "")


def test_a_damaged_table_of_the_latest_small_layout_is_told(tmp_path: Path) -> None:
    (tmp_path / "ratings.csv").write_text("userId,movieId,rating,timestamp\n1,9,4.5,964982703\n")
    (tmp_path / "movies.csv").write_text("movieId,title,genres\n9,Short,Drama,too,many\n")
    with pytest.raises(DataError, match=r"movies\.csv is not a well-formed table"):
        load_movielens(tmp_path)
    (tmp_path / "movies.csv").write_bytes("movieId,title,genres\n9,Café,Drama\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"movies\.csv is not a table of UTF-8"):
        load_movielens(tmp_path)


@pytest.mark.parametrize(
    ("written", "title", "year"),
    [
        ("Toy Story (1995)", "Toy Story", "1995"),
        ("American President, The (1995)", "The American President", "1995"),
        ("Seven (Se7en) (1995)", "Seven (Se7en)", "1995"),
        ("unknown", "unknown", ""),
    ],
)
def test_titles_are_split(written: str, title: str, year: str) -> None:
    assert split_title(written) == (title, year)


@pytest.mark.slow
def test_the_real_folder_is_what_grouplens_says(
    data_dir: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLATEGYM_CACHE", str(tmp_path))
    data = load_movielens(data_dir("ml-100k"))
    assert len(data.catalog) == 1682
    assert len(data.interactions.user_ids) == len(data.user_profiles) == 943
    assert len(data.interactions) == 100_000
    assert float(data.interactions.values.mean()) == pytest.approx(3.52986, abs=1e-5)
    assert list(map(len, data.split)) == [72_000, 8_000, 20_000]
    assert len({topic for topics in data.catalog.topics for topic in topics}) == 18
    assert data.catalog.has("text").all()
    if (data_dir("ml-100k").parent / "ml-1m" / "posters_96x144.zip").is_file():
        assert data.catalog.has("image").sum() == 1667


@pytest.mark.slow
def test_ratings_on_the_official_split_are_predicted_within_the_bar(
    data_dir: Callable[[str], Path],
) -> None:
    """The bar is 0.925; a good Gibbs sampler on ids only has 0.909."""
    data = load_movielens(data_dir("ml-100k"))
    log, test = data.interactions, data.split.test
    base = np.concatenate([data.split.train, data.split.validation])
    model = fit_rating_model(log, base)
    gap = model.predict_rows(log, test, clip=True) - log.values[test]
    assert float(np.sqrt(np.mean(gap**2))) <= 0.91
    # New users: what the test users' training rows say, without a refit, does nearly as well.
    counts = log.user_counts(base)
    users = np.unique(log.users[test])
    history = np.full((len(users), counts.max()), -1)
    values = np.zeros(history.shape)
    for row, user in enumerate(users):
        rows = base[log.users[base] == user]
        history[row, : len(rows)], values[row, : len(rows)] = log.items[rows], log.values[rows]
    folded = model.fold_in(history, values)
    scores = model.score_folded(folded, np.tile(np.arange(1682), (len(users), 1)))
    guess = np.clip(scores[np.searchsorted(users, log.users[test]), log.items[test]], 1, 5)
    assert float(np.sqrt(np.mean((guess - log.values[test]) ** 2))) <= 0.915


@pytest.mark.slow
def test_click_probabilities_on_the_official_split_are_calibrated(
    data_dir: Callable[[str], Path],
) -> None:
    data = load_movielens(data_dir("ml-100k"))
    log, split = data.interactions, data.split
    model = fit_rating_model(log, split.train)
    click = fit_click_model(model, log, split.validation)
    report = evaluate_click_model(click, model, log, split)
    loss = {name: measures["log_loss"] for name, measures in report["models"].items()}
    assert click.threshold == 4
    assert loss["model"] < loss["user_item_bias"] < loss["item_mean"] < loss["global_rate"]
    assert loss["model"] < 0.54
    assert report["models"]["model"]["ece"] < 0.02
    assert report["difference"]["user_item_bias"]["high"] < 0
    json.dumps(report, allow_nan=False)


@pytest.mark.slow
def test_genres_and_years_help_movies_without_ratings(data_dir: Callable[[str], Path]) -> None:
    data = load_movielens(data_dir("ml-100k"))
    genres = sorted({topic for topics in data.catalog.topics for topic in topics})
    flags = [[genre in topics for genre in genres] for topics in data.catalog.topics]
    years = [float(year or 1995) / 10 for year in data.catalog.attributes["year"]]
    report = evaluate_cold_items(data.interactions, np.column_stack([flags, years]))
    assert report["content_map"]["rmse"] < report["user_bias"]["rmse"]
    assert report["content_map"]["log_loss"] < report["user_bias"]["log_loss"]
