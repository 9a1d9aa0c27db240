"""The demo's data: made up, said to be so, the same each time, and worth learning from."""

import hashlib
import wave
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from slategym.cf_baselines.synthetic import Demo, load_demo, make_demo
from slategym.cf_baselines.synthetic_instruments import SAMPLE_RATE
from slategym.cf_baselines.synthetic_log import FIRST_SECOND, SHARES, DemoLog, simulate_log
from slategym.cf_baselines.synthetic_pictures import POSTER_SIZE, draw_poster
from slategym.cf_baselines.synthetic_sound import SECONDS, synthesise
from slategym.cf_baselines.synthetic_text import write_description, write_titles
from slategym.cf_baselines.synthetic_traits import ERAS, MOODS, THEMES, Traits, draw_traits
from slategym.cf_baselines.synthetic_words import LEXICA
from slategym.errors import DataError, UsageError

ITEMS, USERS = 40, 60


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("demo") / "files"
    make_demo(path, items=ITEMS, users=USERS, seed=3)
    return path


@pytest.fixture(scope="module")
def demo(folder: Path) -> Demo:
    return load_demo(folder)


@pytest.fixture(scope="module")
def log() -> DemoLog:
    """A log of the size that the demo has by default."""
    return simulate_log(draw_traits(300, np.random.default_rng(1)), 600, np.random.default_rng(2))


def hashes(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def sample_traits(**changes: object) -> Traits:
    fields = {"theme": "sea", "mood": "calm", "form": "drama", "bpm": 70.0, "era": "2020s"}
    return Traits(**{**fields, "year": 2020, "minutes": 90, **changes})  # type: ignore[arg-type]


def test_the_same_seed_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    make_demo(tmp_path / "again", items=ITEMS, users=USERS, seed=3)
    assert hashes(tmp_path / "again") == hashes(folder)


def test_another_seed_gives_another_catalogue(folder: Path, tmp_path: Path) -> None:
    make_demo(tmp_path / "other", items=20, users=20, seed=4)
    mine = pd.read_csv(folder / "item_features.csv").title
    other = pd.read_csv(tmp_path / "other" / "item_features.csv").title
    assert len(set(mine) & set(other)) < 5


def test_the_folder_holds_plain_files(folder: Path) -> None:
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "README.txt", "audio", "images", "item_features.csv", "user_behavior.csv", "users.csv",
    }  # fmt: skip
    items = pd.read_csv(folder / "item_features.csv")
    assert list(items) == [
        "item_id", "title", "description", "topics", "mood", "duration", "year", "image", "audio",
    ]  # fmt: skip
    assert list(pd.read_csv(folder / "user_behavior.csv")) == [
        "user",
        "item",
        "rating",
        "timestamp",
    ]
    assert list(pd.read_csv(folder / "users.csv")) == ["user", "profile"]
    assert (folder / "README.txt").read_text().startswith("SYNTHETIC DATA")


def test_the_catalogue_says_that_it_is_synthetic(demo: Demo) -> None:
    assert demo.catalog.synthetic
    assert demo.catalog.name == demo.interactions.name == "demo (synthetic)"


def test_every_number_is_in_range(demo: Demo) -> None:
    log = demo.interactions
    assert len(demo.catalog) == ITEMS
    assert len(log.user_ids) == len(demo.profiles) == USERS
    assert set(np.unique(log.values)) <= {1, 2, 3, 4, 5}
    assert log.times.min() >= FIRST_SECOND
    assert log.times.max() < FIRST_SECOND + 366 * 86_400
    assert (np.diff(log.times) >= 0).all()
    assert min(demo.catalog.duration or [0]) >= 20
    assert all(len(topics) == 1 and topics[0] in THEMES for topics in demo.catalog.topics)
    assert all(len(profile) > 20 for profile in demo.profiles)
    rows = np.concatenate(list(demo.split))
    assert sorted(rows.tolist()) == list(range(len(log)))


def test_some_items_are_cold_and_some_lack_a_picture_or_a_sound(demo: Demo) -> None:
    cold = demo.interactions.item_counts() == 0
    assert 1 <= cold.sum() <= 0.15 * ITEMS
    assert demo.catalog.has("text").all()
    for modality in ("image", "audio"):
        assert 0 < (~demo.catalog.has(modality)).sum() <= 0.1 * ITEMS


def test_profiles_follow_the_users_of_the_log(demo: Demo, folder: Path) -> None:
    told = pd.read_csv(folder / "users.csv").set_index("user").profile
    assert demo.profiles == tuple(told[list(demo.interactions.user_ids)])


def test_titles_are_unique_even_when_words_run_out() -> None:
    traits = [sample_traits()] * 3000
    titles = write_titles(traits, np.random.default_rng(0))
    assert len(set(titles)) == len(titles) == 3000


@pytest.mark.parametrize("theme", THEMES)
def test_a_description_speaks_of_its_theme(theme: str) -> None:
    words = LEXICA[theme]
    for seed in range(20):
        text = write_description(sample_traits(theme=theme), np.random.default_rng(seed)).lower()
        assert any(phrase.lower() in text for phrase in words.people)
        assert any(phrase.lower() in text for phrase in words.wants)
        assert any(phrase.lower() in text for phrase in words.band)
        assert "{" not in text


def test_descriptions_hardly_repeat() -> None:
    traits = draw_traits(300, np.random.default_rng(0))
    texts = [write_description(item, np.random.default_rng(k)) for k, item in enumerate(traits)]
    assert len(set(texts)) == 300
    assert len({word for text in texts for word in text.lower().split()}) > 1000


@pytest.mark.parametrize("era", ERAS)
def test_a_poster_is_drawn_in_every_era(era: str, rng: np.random.Generator) -> None:
    poster = draw_poster("The Very Long Title of a Film", sample_traits(era=era), rng)
    assert (poster.size, poster.mode) == (POSTER_SIZE, "RGB")
    assert np.asarray(poster).std() > 20


def test_pictures_of_one_theme_look_alike() -> None:
    """Their colours and layout are nearer to each other than to other themes'."""

    def small(theme: str, seed: int) -> np.ndarray:
        traits = sample_traits(theme=theme, era="2020s")
        poster = draw_poster("Title", traits, np.random.default_rng([seed, THEMES.index(theme)]))
        shrunk = poster.crop((0, 0, 160, 165)).resize((8, 8), Image.Resampling.BOX)
        return np.asarray(shrunk, dtype=float).ravel()

    pictures = np.array([[small(theme, seed) for seed in range(4)] for theme in THEMES])
    flat = pictures.reshape(-1, pictures.shape[-1])
    distance = ((flat[:, None] - flat[None]) ** 2).sum(-1)
    np.fill_diagonal(distance, np.inf)
    themes = np.repeat(np.arange(len(THEMES)), 4)
    assert (themes[distance.argmin(1)] == themes).mean() > 0.8


def test_sounds_are_files_of_the_promised_kind(demo: Demo) -> None:
    for path in demo.catalog.audio:
        if path is not None:
            with wave.open(str(path)) as sound:
                assert sound.getparams()[:4] == (1, 2, SAMPLE_RATE, int(SECONDS * SAMPLE_RATE))


@pytest.mark.parametrize("theme", THEMES)
def test_sound_neither_clips_nor_whispers(theme: str) -> None:
    for seed, mood in enumerate(MOODS):
        traits = sample_traits(theme=theme, mood=mood, era=ERAS[seed % 5])
        sound = synthesise(traits, np.random.default_rng(seed))
        assert np.isfinite(sound).all()
        assert np.abs(sound).max() < 0.95
        assert 0.04 < np.sqrt(np.mean(sound**2)) < 0.2


@pytest.mark.parametrize("bpm", [60.0, 90.0, 150.0])
def test_the_tempo_can_be_heard(bpm: float) -> None:
    """The low notes' onsets repeat after one beat rather than after most other times."""
    found = []
    for seed, theme in enumerate(THEMES):
        sound = synthesise(sample_traits(theme=theme, bpm=bpm), np.random.default_rng(seed))
        spectrum = np.fft.rfft(sound)
        hertz = np.fft.rfftfreq(len(sound), 1 / SAMPLE_RATE)
        spectrum[(hertz < 30) | (hertz > 250)] = 0
        loud = np.sqrt((np.fft.irfft(spectrum).reshape(-1, 160) ** 2).mean(1))  # per 10 ms
        onset = np.clip(np.diff(loud), 0, None)
        onset -= onset.mean()
        lags = np.arange(20, 200)
        echo = np.array([(onset[lag:] * onset[:-lag]).mean() for lag in lags])
        beat = round(6000 / bpm) - lags[0]
        found.append(echo[beat - 2 : beat + 3].max() > np.quantile(echo, 0.9))
    assert np.mean(found) >= 0.8


def test_moods_differ_in_loudness(rng: np.random.Generator) -> None:
    calm, fierce = (synthesise(sample_traits(mood=mood), rng).std() for mood in ("calm", "fierce"))
    assert fierce > 1.5 * calm


def test_taste_matters_more_than_quality(log: DemoLog) -> None:
    """The hidden causes have about their shares, though people choose what they rate."""
    variance = {name: part.var() for name, part in log.parts.items()}
    total = sum(variance.values())
    for name, share in SHARES.items():
        assert variance[name] / total == pytest.approx(share, abs=0.04)
    explained = {
        name: np.corrcoef(part, log.ratings)[0, 1] ** 2 for name, part in log.parts.items()
    }
    assert explained["taste"] > 1.4 * explained["quality"] > 1.4 * explained["user"]


def test_people_rate_a_few_dozen_items_and_fame_is_unequal(log: DemoLog) -> None:
    per_user = np.bincount(log.users, minlength=600)
    per_item = np.sort(np.bincount(log.items, minlength=300))
    assert 40 <= per_user.mean() <= 60
    assert per_user.min() >= 12
    assert 0.25 < per_item[-30:].sum() / per_item.sum() < 0.5
    assert log.cold.sum() == 24
    assert (np.bincount(log.items, minlength=300)[log.cold] == 0).all()
    pairs = log.users * 300 + log.items
    assert len(np.unique(pairs)) == len(pairs)


def test_tastes_drift(log: DemoLog) -> None:
    """Users differ between summer and winter, but not much."""
    late = log.times > np.median(log.times)
    assert abs(log.parts["taste"][late].mean() - log.parts["taste"][~late].mean()) < 0.15


def test_the_log_can_be_learned(log: DemoLog) -> None:
    """Themes alone, regressed for each user, predict unseen ratings better than both biases do.

    (The matrix factorisation of this library does better still; it has its own tests.)
    """
    rng = np.random.default_rng(0)
    test = rng.random(len(log.ratings)) < 0.2
    users, items, stars = log.users, log.items, log.ratings.astype(float)
    themes = np.array([THEMES.index(t.theme) for t in draw_traits(300, np.random.default_rng(1))])
    mean = stars[~test].mean()
    user, item = np.zeros(600), np.zeros(300)
    for _ in range(15):
        user = _shrunk_mean(users[~test], stars[~test] - mean - item[items[~test]], 600)
        item = _shrunk_mean(items[~test], stars[~test] - mean - user[users[~test]], 300)
    left = stars - mean - user[users] - item[items]
    cell = users * len(THEMES) + themes[items]
    liking = _shrunk_mean(cell[~test], left[~test], 600 * len(THEMES))
    biases = np.sqrt(np.mean(left[test] ** 2))
    tastes = np.sqrt(np.mean((left - liking[cell])[test] ** 2))
    assert tastes < 0.95 * biases


def _shrunk_mean(groups: np.ndarray, values: np.ndarray, count: int) -> np.ndarray:
    sums, sizes = np.bincount(groups, values, count), np.bincount(groups, minlength=count)
    return sums / (sizes + 4)


@pytest.mark.parametrize("wrong", [{"items": 5}, {"users": 3}, {"seed": -1}])
def test_numbers_out_of_range_are_refused(wrong: dict[str, int], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=next(iter(wrong))):
        make_demo(tmp_path / "demo", **wrong)  # type: ignore[arg-type]
    assert not (tmp_path / "demo").exists()


def test_a_user_without_profile_is_named(tmp_path: Path) -> None:
    make_demo(tmp_path / "demo", items=20, users=20, seed=0)
    table = pd.read_csv(tmp_path / "demo" / "users.csv")
    table[1:].to_csv(tmp_path / "demo" / "users.csv", index=False)
    with pytest.raises(DataError, match="user-001"):
        load_demo(tmp_path / "demo")


def test_a_stop_leaves_nothing_behind(tmp_path: Path) -> None:
    """Whoever interrupts the making finds no half demo."""

    class Impatient:
        def start(self, stage: str, total: int | None = None) -> None: ...

        def advance(self, stage: str, units: int = 1) -> None:  # noqa: ARG002
            raise KeyboardInterrupt

        def finish(self, stage: str) -> None: ...

        def note(self, message: str) -> None: ...

    with pytest.raises(KeyboardInterrupt):
        make_demo(tmp_path / "demo", items=20, users=20, progress=Impatient())
    assert list(tmp_path.iterdir()) == []
