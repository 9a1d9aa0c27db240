"""The hidden attributes of a demo item; its text, picture, sound and ratings follow from them."""

from dataclasses import dataclass

import numpy as np

THEMES = (
    "sea",
    "space",
    "forest",
    "city",
    "desert",
    "kitchen",
    "mountain",
    "railway",
    "garden",
    "library",
)
MOODS = ("calm", "joyful", "melancholy", "tense", "dreamy", "fierce")
FORMS = ("documentary", "drama", "comedy", "mystery", "romance", "adventure")
ERAS = ("1930s", "1960s", "1980s", "2000s", "2020s")

_ERA_YEARS = {
    "1930s": (1928, 1941),
    "1960s": (1956, 1971),
    "1980s": (1977, 1991),
    "2000s": (1995, 2009),
    "2020s": (2013, 2024),
}
_ERA_SHARE = (0.12, 0.18, 0.20, 0.22, 0.28)
_MOOD_BPM = {
    "calm": 68.0,
    "joyful": 118.0,
    "melancholy": 72.0,
    "tense": 104.0,
    "dreamy": 80.0,
    "fierce": 140.0,
}
# Each theme leans towards two moods, as genres do; the other moods stay possible.
_LEANING = {
    "sea": ("melancholy", "calm"),
    "space": ("dreamy", "tense"),
    "forest": ("calm", "dreamy"),
    "city": ("fierce", "tense"),
    "desert": ("fierce", "calm"),
    "kitchen": ("joyful", "calm"),
    "mountain": ("calm", "fierce"),
    "railway": ("tense", "melancholy"),
    "garden": ("joyful", "dreamy"),
    "library": ("melancholy", "dreamy"),
}
_MINUTES = {  # shortest and longest running time of a form, minutes
    "documentary": (38, 92),
    "drama": (72, 138),
    "comedy": (24, 101),
    "mystery": (48, 118),
    "romance": (64, 112),
    "adventure": (81, 142),
}


@dataclass(frozen=True)
class Traits:
    """What an item is about, before anyone has written, drawn or played it."""

    theme: str  # one of THEMES
    mood: str  # one of MOODS
    form: str  # one of FORMS; tells text and running time, nobody's taste depends on it
    bpm: float  # beats per minute of its music, in [50, 170]
    era: str  # one of ERAS
    year: int  # year of release, inside the era
    minutes: int  # running time

    @property
    def pace(self) -> str:
        """``slow``, ``steady`` or ``quick``: how the tempo would be called in words."""
        if self.bpm < 82:
            return "slow"
        return "steady" if self.bpm < 116 else "quick"


def draw_traits(items: int, rng: np.random.Generator) -> tuple[Traits, ...]:
    """Return the attributes of ``items`` items: themes in equal shares, the rest by chance."""
    themes = rng.permutation(np.arange(items) % len(THEMES))
    return tuple(_draw_one(THEMES[int(theme)], rng) for theme in themes)


def _draw_one(theme: str, rng: np.random.Generator) -> Traits:
    odds = np.array([2.5 if mood in _LEANING[theme] else 1.0 for mood in MOODS])
    mood = MOODS[int(rng.choice(len(MOODS), p=odds / odds.sum()))]
    form = FORMS[int(rng.integers(len(FORMS)))]
    era = ERAS[int(rng.choice(len(ERAS), p=_ERA_SHARE))]
    first, last = _ERA_YEARS[era]
    shortest, longest = _MINUTES[form]
    return Traits(
        theme=theme,
        mood=mood,
        form=form,
        bpm=round(float(np.clip(_MOOD_BPM[mood] + 14 * rng.standard_normal(), 50, 170)), 1),
        era=era,
        year=int(rng.integers(first, last + 1)),
        minutes=int(rng.integers(shortest, longest + 1)),
    )
