"""Titles and descriptions of the demo's items, and what its users say of themselves."""

from collections.abc import Sequence

import numpy as np

from slategym.cf_baselines.synthetic_phrases import (
    ERA_LINES,
    FIRST_NAMES,
    FORM_LINES,
    LAST_NAMES,
    MOOD_LINES,
    MOOD_TITLE,
    PACE_LINES,
)
from slategym.cf_baselines.synthetic_traits import Traits
from slategym.cf_baselines.synthetic_words import LEXICA

_TITLES = (
    "The {adjective} {noun}",
    "The {adjective} {noun}",
    "{adjective} {noun}",
    "{noun} and {other}",
    "{first}'s {noun}",
    "The {noun} of {first}",
    "Beyond the {noun}",
    "Letters from the {noun}",
    "The {noun} and the {other}",
    "What the {noun} Knew",
    "Back to the {noun}",
    "{first} and the {noun}",
    "{first} Remembers the {noun}",
    "Under the {adjective} {noun}",
)
# "will", "must" and the past tense suit one person and several alike.
_OPENINGS = (
    "In {place}, {person} will risk everything {want}. Then {turn}.",
    "{Person} had one season {want}; on the first day, {turn}.",
    "When {turn}, {person} must drop everything {want}.",
    "All that {person} ever hoped for was {want}; instead, {turn}.",
    "{Place}: here {person} must find a way {want}, and it will not be easy, for {turn}.",
    "{first} {last} tells of {person}, of {place}, and of a plan {want}. Halfway through, {turn}.",
    "It begins in {place}, where {turn}. It ends with {person}, who only wanted {want}.",
    "{first} {last} has set this one in {place}. What it takes {want}, {person} must learn when"
    " {turn}.",
)
_IMAGES = (
    "You will remember {image}.",
    "{Image}: you can almost smell it.",
    "The picture lingers on {image}.",
    "Long after, what stays is {image}.",
)


def _pick(options: Sequence[str], rng: np.random.Generator) -> str:
    return options[int(rng.integers(len(options)))]


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def write_title(traits: Traits, rng: np.random.Generator) -> str:
    """Return a title of two to six words that names something of the theme."""
    nouns = LEXICA[traits.theme].nouns
    first, second = rng.choice(len(nouns), size=2, replace=False)
    return _pick(_TITLES, rng).format(
        adjective=_pick(MOOD_TITLE[traits.mood], rng),
        noun=nouns[int(first)],
        other=nouns[int(second)],
        first=_pick(FIRST_NAMES, rng),
    )


def write_titles(traits: Sequence[Traits], rng: np.random.Generator) -> tuple[str, ...]:
    """Return one title per item, no two alike."""
    taken: dict[str, None] = {}
    for item in traits:
        title = write_title(item, rng)
        for _ in range(20):
            if title not in taken:
                break
            title = write_title(item, rng)
        numeral = 2
        while title in taken:  # a huge catalogue runs out of titles; sequels do not
            title = f"{title.removesuffix(f' {numeral - 1}')} {numeral}"
            numeral += 1
        taken[title] = None
    return tuple(taken)


def write_description(traits: Traits, rng: np.random.Generator) -> str:
    """Return four to eight sentences: story, form, mood, music, often a view and the year."""
    words = LEXICA[traits.theme]
    person, place = _pick(words.people, rng), _pick(words.places, rng)
    image = _pick(words.images, rng)
    opening = _pick(_OPENINGS, rng).format(
        person=person,
        Person=_capital(person),
        place=place,
        Place=_capital(place),
        want=_pick(words.wants, rng),
        turn=_pick(words.turns, rng),
        first=_pick(FIRST_NAMES, rng),
        last=_pick(LAST_NAMES, rng),
    )
    middle = [
        _pick(FORM_LINES[traits.form], rng) + ".",
        _pick(MOOD_LINES[traits.mood], rng) + ".",
        _pick(PACE_LINES[traits.pace], rng).format(band=_pick(words.band, rng)) + ".",
    ]
    if rng.random() < 0.6:
        middle.append(_pick(_IMAGES, rng).format(image=image, Image=_capital(image)))
    if rng.random() < 0.7:
        middle.append(_pick(ERA_LINES[traits.era], rng).format(year=traits.year) + ".")
    return " ".join([opening, *(middle[int(k)] for k in rng.permutation(len(middle)))])


_LIKES = {
    "sea": "anything with salt water in it",
    "space": "rockets and distant planets",
    "forest": "a good walk among trees",
    "city": "city streets after dark",
    "desert": "sand, heat and long roads",
    "kitchen": "food and the people who cook it",
    "mountain": "high places and snow",
    "railway": "trains of every kind",
    "garden": "flowers and bees",
    "library": "old books and those who keep them",
    "calm": "films that take their time",
    "joyful": "a happy ending",
    "melancholy": "a good cry",
    "tense": "being kept on edge",
    "dreamy": "the strange and half-dreamt",
    "fierce": "noise and fury",
}
_LIKE_LINES = (
    "Has a soft spot for {like}.",
    "Friends say the way to please is {like}.",
    "Lately curious about {like}.",
    "Never says no to {like}.",
)
_DISLIKE_LINES = (
    "Has little patience for {dislike}.",
    "Switches off at {dislike}.",
    "Would gladly never hear again of {dislike}.",
)


def write_profile(
    introductions: Sequence[str], like: str, dislike: str, rng: np.random.Generator
) -> str:
    """Return a user's profile: who they are, and often what they like and dislike.

    Args:
        introductions: sentences that fit the user's persona.
        like: theme or mood the user prizes above others of the same persona.
        dislike: theme or mood the user shuns.
        rng: source of the choices.
    """
    parts = [_pick(introductions, rng)]
    if rng.random() < 0.7:
        parts.append(_pick(_LIKE_LINES, rng).format(like=_LIKES[like]))
    if rng.random() < 0.45:
        parts.append(_pick(_DISLIKE_LINES, rng).format(dislike=_LIKES[dislike]))
    return " ".join(parts)
