"""What vectors of movies tell: their genres, and who will like those nobody has rated.

Letters: I items.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from slategym.benchmarks import encode_data
from slategym.benchmarks.encode_cold import Chosen, ColdStart, choose, mix
from slategym.benchmarks.encode_probes import concatenated
from slategym.benchmarks.encode_row import Row, encoded
from slategym.cf_baselines.movielens import MovieLens
from slategym.encoders.align import unit
from slategym.encoders.catalog import Catalog

FloatArray = npt.NDArray[np.float64]


def genre_rows(data: Path) -> Iterator[Row]:
    """Yield how well 15 neighbours by title, plot or poster name a genre of the movie."""
    movies = encode_data.movies(data).catalog
    genres = sorted({genre for named in movies.topics for genre in named})
    has = np.array([[genre in named for genre in genres] for named in movies.topics])
    bare = replace(movies, text=tuple(_wordless(movies, row) for row in range(len(movies))))
    tables = {
        "minilm, title and plot": encoded(bare, "text", "minilm"),
        "hashed-ngrams, title and plot": encoded(bare, "text", "hashed-ngrams"),
        "efficientnet-lite0, poster": encoded(movies, "image", "efficientnet-lite0"),
        "hsv-hog, poster": encoded(movies, "image", "hsv-hog"),
    }
    both = concatenated(list(tables.values())[0:3:2], (1, 0.5))
    posters = movies.has("image")
    yield Row("genre probe", "most common genre", "top-1", float(has[posters].mean(0).max()))
    for name, table in {**tables, "text and poster": both}.items():
        rows = unit(np.asarray(table)[posters]).astype(np.float64)
        scores = rows @ rows.T
        np.fill_diagonal(scores, -np.inf)
        near = np.argsort(-scores, axis=1, kind="stable")[:, :15]
        told = has[posters][near].sum(axis=1).argmax(axis=1)
        value = float(has[posters][np.arange(len(told)), told].mean())
        yield Row("genre probe", name, "top-1", value, None, "15 neighbours, no setting")


def _wordless(movies: Catalog, row: int) -> str:
    """Return a movie's text without the genres that are asked for."""
    genres = ", ".join(movies.topics[row])
    return movies.text[row].replace(f"{genres}. ", "").replace(f". {genres}", "")


def cold_rows(data: Path) -> Iterator[Row]:
    """Yield NDCG@10 on cold items of MovieLens 100K, by what is known of them."""
    movies = encode_data.movies(data)
    case = ColdStart(movies.interactions)
    kernels = cold_kernels(movies)
    tables = {
        "genres": ["genres"],
        "hashed-ngrams": ["hashed-ngrams"],
        "minilm": ["minilm"],
        "posters (efficientnet-lite0 + hsv-hog)": ["poster", "colour"],
        "words, people, genres, year; no network": ["words", "people", "genres", "year"],
        "the same + minilm": ["minilm", "words", "people", "genres", "year"],
    }
    chosen: Chosen | None = None
    reference: FloatArray | None = None
    for name, names in tables.items():
        chosen = choose(case, kernels, names)
        reference = case.test(mix(kernels, chosen.weights), chosen.als, chosen.penalty)
        yield _cold_row(name, chosen, reference)
    if chosen is None or reference is None:
        return
    extra = choose(case, kernels, [*chosen.weights, "poster", "colour"], chosen)
    value = case.test(mix(kernels, extra.weights), extra.als, extra.penalty)
    yield _cold_row("the same + minilm + posters", extra, value, reference)
    shuffled = np.random.default_rng(0).permutation(len(kernels["minilm"]))
    wrong = {name: kernel[np.ix_(shuffled, shuffled)] for name, kernel in kernels.items()}
    value = case.test(mix(wrong, chosen.weights), chosen.als, chosen.penalty)
    yield _cold_row("control: the same + minilm, shuffled between items", chosen, value)


def _cold_row(
    name: str, chosen: Chosen, value: FloatArray, reference: FloatArray | None = None
) -> Row:
    note = f"validation {chosen.validation:.4f}; {json.dumps(dict(chosen.weights))}, "
    note += f"ALS {chosen.als}, penalty {chosen.penalty:g}"
    if reference is not None:
        gap = value - reference
        error = 1.96 * gap.std() / np.sqrt(len(gap))
        note = f"{gap.mean():+.4f} +- {error:.4f} over the row before, by user; {note}"
    return Row("cold start", name, "NDCG@10", float(value.mean()), 0.2350, note)


def cold_kernels(movies: MovieLens) -> dict[str, FloatArray]:
    """Return likeness (I, I) of movies by each kind of content; rows of missing ones are 0."""
    catalog = movies.catalog
    facts = catalog.attributes
    text = list(catalog.text)
    people = [_names(f"{a},{b}") for a, b in zip(facts["director"], facts["actors"], strict=True)]
    places = [_names(f"{a},{b}") for a, b in zip(facts["language"], facts["country"], strict=True)]
    year = np.array([float(value) if str(value).isdigit() else np.nan for value in facts["year"]])
    year = np.where(np.isnan(year), np.nanmedian(year), year)
    genres = [list(named) + place for named, place in zip(catalog.topics, places, strict=True)]
    picture = encoded(catalog, "image", "efficientnet-lite0")
    colour = encoded(catalog, "image", "hsv-hog")
    there = catalog.has("image")
    return {
        "minilm": _cosines(_centred(encoded(catalog, "text", "minilm"))),
        "hashed-ngrams": _cosines(_centred(encoded(catalog, "text", "hashed-ngrams"))),
        "words": _counts([re.findall(r"[a-z]{2,}", each.lower()) for each in text]),
        "people": _counts(people),
        "genres": _counts(genres),
        "year": np.exp(-((year[:, None] - year) ** 2) / (2 * 4.0**2)),
        "poster": _cosines(_centred(picture, there)),
        "colour": _cosines(_centred(colour, there)),
    }


def _names(cells: str) -> list[str]:
    return [name.strip() for name in re.split(r"[,|]", cells) if name.strip()]


def _centred(
    rows: npt.ArrayLike, there: npt.NDArray[np.bool_] | None = None
) -> npt.NDArray[np.float64]:
    x = np.asarray(rows, np.float64)
    known = np.ones(len(x), np.bool_) if there is None else there
    scaled = (x - x[known].mean(axis=0)) / (x[known].std(axis=0) + 1e-6)
    return np.where(known[:, None], scaled, 0.0)


def _cosines(rows: npt.ArrayLike) -> FloatArray:
    x = unit(rows).astype(np.float64)
    return x @ x.T


def _counts(documents: Sequence[Sequence[str]]) -> FloatArray:
    """Return cosines of documents as bags of words that at least two share, by TF-IDF."""
    from scipy.sparse import csr_matrix

    vocabulary: dict[str, int] = {}
    pairs: dict[tuple[int, int], int] = {}
    for row, words in enumerate(documents):
        for word in words:
            key = (row, vocabulary.setdefault(word, len(vocabulary)))
            pairs[key] = pairs.get(key, 0) + 1
    rows, columns = np.array(list(pairs)).T
    frequency = np.bincount(columns, minlength=len(vocabulary))
    rarity = np.log((1 + len(documents)) / (1 + frequency)) + 1
    values = (1 + np.log(np.array(list(pairs.values())))) * rarity[columns]
    values[frequency[columns] < 2] = 0
    matrix = csr_matrix((values, (rows, columns)), (len(documents), len(vocabulary)))
    lengths = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
    scores = (matrix @ matrix.T).toarray()
    return np.asarray(scores / np.maximum(np.outer(lengths, lengths), 1e-12))
