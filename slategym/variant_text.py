"""A variant in words for a terminal: its parts with formulas, and every parameter."""

import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import Field, dataclass, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from slategym.envs.part import Part
    from slategym.envs.registry import AnyVariant

FAMILIES = {
    "world": "users fitted from a log, over a world of items; takes --world",
    "interest_evolution": "RecSim's videos: interests drift, a budget of minutes",
    "interest_exploration": "RecSim's documents: the user's type is hidden",
    "long_term_satisfaction": "RecSim's kale and chocolate: clickbait wears satisfaction down",
}

# What a world variant says beside its parts. Where a value is a word, the others are named.
TASK = {
    "slate_size": "K, items shown per step (1 to 100)",
    "num_candidates": "C, items to choose the slate from (1 to 100,000)",
    "horizon": "steps after which an episode is truncated (1 to 1,000,000)",
    "observation": "features (vectors inline), ids or latent",
    "user_state": "profile, or language (profile text and history)",
    "action": "slate, discrete, or proto (a vector whose nearest items are shown)",
    "search": "exact or approximate, for proto-items",
    "sparse": "scenario: share of the public log that is kept (0 to 1)",
    "cold_start": "scenario: shares of items and of users without history",
    "modalities": "scenario: which of text, image, audio exist",
    "drift": "scenario: none, gradual, sudden or both",
}


@dataclass(frozen=True)
class Row:
    """One parameter."""

    name: str
    value: str
    allowed: str
    """The range or the words it may take; empty if that is said in ``meaning``."""
    meaning: str


@dataclass(frozen=True)
class Section:
    """A part, or the task itself, with its parameters."""

    title: str
    about: str
    """Formula and explanation as plain text; may be empty."""
    rows: tuple[Row, ...]


def sections(variant: "AnyVariant") -> list[Section]:
    """Return the sections that together name every parameter of a variant."""
    parts: Sequence[Part] = getattr(variant, "parts", ())
    if not parts:
        constants: Any = getattr(variant, "constants", variant)
        return [Section("constants", _about(constants), _rows(constants))]
    values = variant.parameters
    task = tuple(
        Row(name, shown(values[name]), "", meaning)
        for name, meaning in TASK.items()
        if name in values
    )
    return [
        Section("task", "", task),
        *(Section(f"{part.slot}: {part.name}", _about(part), _rows(part)) for part in parts),
    ]


def _rows(owner: Any) -> tuple[Row, ...]:  # noqa: ANN401 - any dataclass of parameters
    return tuple(
        Row(entry.name, shown(getattr(owner, entry.name)), allowed(entry), _meaning(entry))
        for entry in fields(owner)
    )


def _meaning(entry: "Field[Any]") -> str:
    return str(entry.metadata.get("meaning", ""))


def allowed(entry: "Field[Any]") -> str:
    """Return the values that a parameter may take, as short text."""
    about: Mapping[str, Any] = entry.metadata
    if "allowed" in about:
        return ", ".join(about["allowed"])
    if "flag" in about:
        return "true, false"
    if "low" not in about:
        return ""
    return f"{about['low']:g} to {about['high']:g}"


def shown(value: object) -> str:
    """Return a value as short text."""
    if value is None:
        return "of the world"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, (tuple, list)):
        return "[" + ", ".join(shown(entry) for entry in value) + "]"
    return str(value)


def _about(owner: object) -> str:
    """Return the docstring of a part up to its sections: its first sentence, then the rest."""
    text = textwrap.dedent("    " + (type(owner).__doc__ or "")).strip()
    text = re.split(r"\n\s*(?:Args|Example|Raises|Returns):", text)[0]
    summary, _, rest = text.replace("`", "").partition("\n\n")
    told = [" ".join(piece.split()) for piece in (summary, rest) if piece.strip()]
    return "\n".join(told)


def aligned(rows: Iterable[Sequence[str]], width: int, indent: int = 2) -> list[str]:
    """Return rows as lines of at most ``width`` characters; the last column is wrapped.

    Example:
        >>> for line in aligned([("a", "1", "first of all, then more"), ("bb", "20", "next")], 26):
        ...     print(line)
          a   1   first of all,
                  then more
          bb  20  next
    """
    listed = [tuple(row) for row in rows]
    if not listed:
        return []
    widths = [max(len(row[column]) for row in listed) for column in range(len(listed[0]) - 1)]
    lines = []
    for row in listed:
        cells = [f"{cell:<{wide}}" for cell, wide in zip(row, widths, strict=False) if wide]
        head = " " * indent + "".join(f"{cell}  " for cell in cells)
        room = max(width - len(head), 16)
        told = textwrap.wrap(row[-1], room, break_on_hyphens=False) or [""]
        lines.append((head + told[0]).rstrip())
        lines += [" " * len(head) + more for more in told[1:]]
    return lines


def describe(variant: "AnyVariant", width: int) -> str:
    """Return a variant as text of at most ``width`` columns."""
    lines = [f"{variant.id}  (family {variant.family})"]
    lines += textwrap.wrap(variant.description, width)
    for section in sections(variant):
        lines += ["", section.title]
        for paragraph in section.about.split("\n"):
            lines += textwrap.wrap(paragraph, width, initial_indent="  ", subsequent_indent="  ")
        lines += _parameter_lines(section.rows, width)
    return "\n".join(lines)


def _parameter_lines(rows: Sequence[Row], width: int) -> list[str]:
    """Return parameters in columns, or two lines each where columns would be too narrow."""
    longest = [max((len(getattr(row, key)) for row in rows), default=0) for key in _COLUMNS]
    if sum(longest) <= width // 2 + 4:
        return aligned(((r.name, r.value, r.allowed, r.meaning) for r in rows), width)
    lines = []
    for row in rows:
        range_ = f"  ({row.allowed})" if row.allowed else ""
        lines += textwrap.wrap(f"{row.name} = {row.value}{range_}", width, **_indents(2))
        lines += textwrap.wrap(row.meaning, width, **_indents(6))
    return lines


_COLUMNS = ("name", "value", "allowed")


def _indents(by: int) -> dict[str, Any]:
    return {"initial_indent": " " * by, "subsequent_indent": " " * (by + 2)}


def listing(variants: Iterable["AnyVariant"], width: int) -> str:
    """Return ids with sizes and descriptions, by family, as text of at most ``width`` columns."""
    families: dict[str, list[AnyVariant]] = {}
    for variant in variants:
        families.setdefault(variant.family, []).append(variant)
    lines: list[str] = []
    known = [family for family in FAMILIES if family in families]
    for family in [*known, *sorted(families.keys() - FAMILIES.keys())]:
        title = f"{family}: {FAMILIES[family]}" if family in FAMILIES else family
        lines += ["", *textwrap.wrap(title, width, subsequent_indent="  ")]
        for variant in families[family]:
            sizes = f"slate {variant.slate_size} of {variant.num_candidates}"
            lines.append(f"  {variant.id}  ({sizes})")
            lines += textwrap.wrap(
                variant.description, width, initial_indent="      ", subsequent_indent="      "
            )
    return "\n".join(lines[1:])
