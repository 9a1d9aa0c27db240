"""A line of the quality table, and vectors from the cache."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from slategym.encoders.base import Encoder
from slategym.encoders.catalog import Catalog, Modality
from slategym.encoders.pipeline import encode_catalog


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        part: What was judged.
        what: By which vectors.
        metric: The measure.
        value: Its value.
        bar: What it is to beat; None where there is nothing.
        note: How settings were chosen, and further numbers.
    """

    part: str
    what: str
    metric: str
    value: float
    bar: float | None = None
    note: str = ""


def encoded(catalog: Catalog, modality: Modality, name: str | Encoder) -> npt.NDArray[np.float32]:
    """Return the vectors of one modality by one encoder, (I, D), from the cache where they are."""
    others: dict[str, str | Encoder] = {"text": "", "image": "", "audio": "", modality: name}
    return encode_catalog(catalog, encoders=others).vectors[modality]


def table_line(row: Row) -> str:
    """Return a row of the Markdown table."""
    bar = "" if row.bar is None else f"{row.bar:g}"
    value = f"{row.value:,.0f}" if row.part == "speed" else f"{row.value:.4f}"
    return f"| {row.part} | {row.what} | {row.metric} | {value} | {bar} | {row.note} |"
