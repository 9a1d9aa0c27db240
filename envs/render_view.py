"""What one step looked like to one user: the data that both the text and the picture show."""

from collections.abc import Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Card:
    """One place of a slate with the item shown there and what the user did with it."""

    title: str
    """What the item is called; wrapped and cut to fit."""
    group: int = 0
    """Chooses the colour: a topic or cluster number, at least 0."""
    facts: tuple[str, ...] = ()
    """Short lines under the title, such as ``"Drama, War"`` or ``"42 min"``."""
    picture: bytes | None = None
    """An encoded picture (JPEG or PNG); None draws the title's initials."""
    score: float | None = None
    """How attractive the item was to this user, where that is known."""
    taken: bool = False
    """Whether the user chose it."""
    outcome: str = ""
    """What came of it, such as ``"watched 83 %"``; empty if nothing did."""
    share: float | None = None
    """A share in [0, 1] drawn as a bar, such as the part that was watched."""


@dataclass(frozen=True)
class Gauge:
    """A labelled bar, such as the patience that is left."""

    label: str
    value: float
    """Filled share, cut to [0, 1]."""
    text: str
    """The number beside the bar."""


@dataclass(frozen=True)
class SlateView:
    """One user's step, ready to be written or drawn.

    Every simulation fills one in, so that a world's films and a classic's coloured documents
    are shown by the same code.
    """

    heading: str
    """Who: ``"user 17"``."""
    cards: tuple[Card | None, ...] = ()
    """K places in the order shown; None is an empty place."""
    facts: tuple[str, ...] = ()
    """The context, such as ``"step 3 of 60"`` or ``"search: red shoes"``."""
    gauges: tuple[Gauge, ...] = ()
    """At most three are drawn."""
    reward: float | None = None
    """What the step was worth; None before the first step, when no slate was shown yet."""
    terms: tuple[tuple[str, float], ...] = ()
    """The reward's terms by name."""
    ending: str = ""
    """Why the episode ended in this step; empty if it goes on."""


NO_SLATE = "no slate was shown yet"


def with_scores(view: SlateView, scores: Sequence[float]) -> SlateView:
    """Return a view whose cards tell how attractive their items were; empty places are passed.

    Args:
        view: of K places.
        scores: (K,) natural-log odds.
    """
    cards = tuple(
        card if card is None else replace(card, score=float(score))
        for card, score in zip(view.cards, scores, strict=True)
    )
    return replace(view, cards=cards)


def as_text(view: SlateView) -> str:
    """Return a view as lines of text: one item per line, those taken marked with ``>``.

    Example:
        >>> cards = (Card("Alien", facts=("Horror",), taken=True, outcome="clicked"), None)
        >>> print(as_text(SlateView("user 7", cards, reward=1.0)), end="")
        user 7
        > 1. Alien [Horror]  clicked
          2. (empty)
          reward +1.00
    """
    lines = ["; ".join((view.heading, *view.facts))]
    if view.gauges:
        lines.append("  " + "; ".join(f"{gauge.label} {gauge.text}" for gauge in view.gauges))
    if view.reward is None:
        return "\n".join([*lines, f"  {NO_SLATE}"]) + "\n"
    lines += [_card_line(place, card) for place, card in enumerate(view.cards, start=1)]
    if nothing_taken(view):
        lines.append("  nothing was taken")
    lines.append(f"  reward {signed(view.reward)}{_terms(view)}")
    if view.ending:
        lines.append(f"  {view.ending}")
    return "\n".join(lines) + "\n"


def nothing_taken(view: SlateView) -> bool:
    """Return whether the user took no item of the slate."""
    return not any(card is not None and card.taken for card in view.cards)


def signed(value: float) -> str:
    """Return a number with its sign and two decimals; a rounded zero has no minus."""
    rounded = round(float(value), 2)
    return f"{rounded:+.2f}" if rounded else "0.00"


def _card_line(place: int, card: Card | None) -> str:
    if card is None:
        return f"  {place}. (empty)"
    facts = f" [{'; '.join(card.facts)}]" if card.facts else ""
    score = f" (score {signed(card.score)})" if card.score is not None else ""
    outcome = f"  {card.outcome}" if card.outcome else ""
    return f"{'>' if card.taken else ' '} {place}. {card.title}{facts}{score}{outcome}"


def _terms(view: SlateView) -> str:
    told = [f"{name} {signed(value)}" for name, value in view.terms if value]
    return f" = {', '.join(told)}" if told else ""
