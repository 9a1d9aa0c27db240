"""Why an item has the score it has for a user: parts that add up, and a text for everybody."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

# Smaller than this share of the weight of all parts, a part is not worth a line.
WORTH_A_LINE = 0.005
_WORDS = {
    "average": "what people give on the whole",
    "popularity": "how popular it is with everybody",
    "item": "how well it is liked in general",
    "user": "how generous this person is in general",
    "content": "what it is like",
    "order": "the order in which things were chosen",
    "people": "people with a similar taste",
    "others": "the rest of what this person chose",
    "rest": "how all of this works together",
}


@dataclass(frozen=True)
class Case:
    """A score to explain.

    Attributes:
        user: Row of the user in the log; -1 if known by the history only.
        items: (H,) item rows of the history, oldest first.
        values: (H,) values in the log's units.
        times: (H,) seconds since 1970, or 0.
        item: Row of the item.
    """

    user: int
    items: npt.NDArray[np.intp]
    values: npt.NDArray[np.float32]
    times: npt.NDArray[np.int64]
    item: int


@dataclass(frozen=True)
class Part:
    """One part of a score.

    Attributes:
        kind: ``history`` (one item of the user's history), ``others`` (further items of it),
            ``popularity``, ``average``, ``item`` or ``user`` (biases), ``people`` (a like-minded
            user), ``content`` (a modality), ``model`` (a member of a blend), or ``rest``.
        share: What it adds to the score, in the score's units; may be below 0.
        item: Row of the history item; -1 for other kinds.
        name: What to call it: the modality, the blended model.
    """

    kind: str
    share: float
    item: int = -1
    name: str = ""


@dataclass(frozen=True)
class Explanation:
    """Why ``item`` has ``score`` for ``user``: the shares of the parts add up to the score.

    Attributes:
        user: Row of the user; -1 if known by a history only.
        item: Row of the item.
        score: The model's score.
        parts: The largest first; ``others`` and ``rest`` at the end.
    """

    user: int
    item: int
    score: float
    parts: tuple[Part, ...]

    def text(self, names: Sequence[str] | Mapping[int, str]) -> str:
        """Return the explanation in plain words, a line for each part that matters.

        The percentages are shares of the weight of all parts, for and against.

        Args:
            names: What to call the items, by row.
        """
        weight = sum(abs(part.share) for part in self.parts) or 1.0
        told = [part for part in self.parts if abs(part.share) >= WORTH_A_LINE * weight]
        for_it = [part for part in told if part.share > 0]
        against = [part for part in told if part.share < 0]
        title = names[self.item]
        if not told:
            return f"Nothing is known that speaks for or against {title}."
        lines: list[str] = []
        for heading, group in (("speaks for", for_it), ("speaks against", against)):
            if group:
                lines.append(f"What {heading} {title}:")
                lines += [f"  {_percent(part, weight):>4}  {_say(part, names)}" for part in group]
        return "\n".join(lines)


def _percent(part: Part, weight: float) -> str:
    return f"{abs(part.share) / weight:.0%}"


def _say(part: Part, names: Sequence[str] | Mapping[int, str]) -> str:
    if part.kind == "history":
        return f"this person chose {names[part.item]}"
    if part.kind == "content":
        return f"what it is like: its {part.name}"
    if part.kind == "model":
        return f"the {part.name} model"
    return part.name or _WORDS.get(part.kind, part.kind)


def make_explanation(case: Case, score: float, parts: Sequence[Part], top: int) -> Explanation:
    """Return the explanation with at most ``top`` items of the history named.

    Further items are summed up as ``others``. What the parts leave open of the score becomes the
    ``rest``, so that the shares always add up.
    """
    history = sorted(
        (part for part in parts if part.kind == "history"), key=lambda part: -abs(part.share)
    )
    named = [part for part in parts if part.kind not in ("history", "others")] + history[:top]
    named = sorted((p for p in named if p.share), key=lambda part: -abs(part.share))
    beyond = history[top:] + [part for part in parts if part.kind == "others"]
    others = sum(part.share for part in beyond)
    if others:
        named.append(Part("others", others))
    rest = score - sum(part.share for part in named)
    if abs(rest) > 1e-6 * max(1.0, abs(score)):
        named.append(Part("rest", rest))
    return Explanation(case.user, case.item, score, tuple(named))
