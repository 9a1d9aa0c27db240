"""Prices, publication times and creators of items, found among the catalogue's other columns."""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from slategym.encoders.catalog import Catalog
from slategym.encoders.tables import UNKNOWN, Wanted, guess_columns, text_column
from slategym.envs.arrays import DoubleArray, FloatArray, IntArray, LongArray

# Role -> usual column names, compared without case and separators, the best first.
_NAMES = {
    "price": "price item_price product_price list_price sale_price current_price price_usd "
    "price_eur selling_price unit_price",
    "time": "published published_at publication_time publication_date publish_date publish_time "
    "date_published release_date released released_at upload_date upload_time uploaded_at "
    "created_at timestamp date year release_year publication_year year_published",
    "creator": "artist artist_name creator author authors author_name seller seller_id brand "
    "brand_name publisher channel channel_name channel_id director",
}
WANTED = tuple(Wanted(role, tuple(names.split())) for role, names in _NAMES.items())
# A column of which less than this share can be read is another thing under the same name.
_LEAST_READABLE = 0.5
_MAX_SECONDS = 1e11  # the year 5138
_LEAST_SECONDS = 1e7
_YEAR = re.compile(r"(1[7-9]|20|21)\d\d")
_DAY = re.compile(r"(1[7-9]|20|21)\d\d(0\d|1[0-2])[0-3]\d")
_FORMS = ("ISO8601", "%d-%b-%Y", "%b %d, %Y", "%B %d, %Y")
_FIRST_NAME = re.compile(r"\s*[|;,]\s*")


@dataclass(frozen=True)
class ItemAttributes:
    """What was found; None where the catalogue has no such column.

    Attributes:
        price: (I,) > 0, in the catalogue's currency; an unknown one is the median.
        time: (I,) publication, seconds since 1970; an unknown one is the median.
        creator: (I,) number of the creator by first appearance, -1 unknown.
        about: role to its ``column`` and the share of items for which it is ``known``, or why
            the column was not used; for ``world.json``.
    """

    price: FloatArray | None
    time: LongArray | None
    creator: IntArray | None
    about: dict[str, Any]

    @property
    def guessed(self) -> bool:
        """Whether some items took the median price or time."""
        used = [self.about[role] for role in ("price", "time") if role in self.about]
        return any(entry["known"] < 1.0 and "ignored" not in entry for entry in used)


def item_attributes(catalog: Catalog) -> ItemAttributes:
    """Return the prices, publication times and creators that the catalogue's columns tell.

    Columns are guessed by name as `slategym.encoders.catalog.load_catalog` guesses its own. A
    price may carry a currency sign; a time is a date, a year, or seconds (or milli-, micro-,
    nanoseconds) since 1970; of several creators the first counts.
    """
    frame = catalog.attributes
    columns = guess_columns(frame, WANTED, None, catalog.source or catalog.name).columns
    about: dict[str, Any] = {}
    found: dict[str, DoubleArray] = {}
    for role, read in (("price", _prices), ("time", _times)):
        if role in columns:
            numbers = read(text_column(frame, columns[role]))
            known = np.isfinite(numbers)
            about[role] = {"column": columns[role], "known": float(known.mean())}
            if known.mean() < _LEAST_READABLE:
                about[role]["ignored"] = "too few cells can be read"
                continue
            found[role] = np.where(known, numbers, np.median(numbers[known]))
    creator = None
    if "creator" in columns:
        creator = _creators(text_column(frame, columns["creator"]))
        about["creator"] = {"column": columns["creator"], "known": float((creator >= 0).mean())}
    return ItemAttributes(
        price=found["price"].astype(np.float32) if "price" in found else None,
        time=np.floor(found["time"]).astype(np.int64) if "time" in found else None,
        creator=creator,
        about=about,
    )


def _prices(cells: list[str]) -> DoubleArray:
    """Return positive prices (I,), NaN where a cell holds none."""
    return np.array([_price(cell) for cell in cells], dtype=np.float64)


def _price(cell: str) -> float:
    """Return the price in ``$1,299.00`` or ``12,99 EUR``, NaN if there is none."""
    digits = re.sub(r"[^\d.,]", "", cell).strip(".,")
    if re.fullmatch(r"\d+,\d{1,2}|\d{1,3}(\.\d{3})+,\d{1,2}", digits):  # a comma for decimals
        digits = digits.replace(".", "").replace(",", ".")
    digits = digits.replace(",", "")
    if not re.fullmatch(r"\d+(\.\d+)?", digits) or "-" in cell.strip()[:1]:
        return np.nan
    value = float(np.float32(digits))
    return value if 0 < value < np.inf else np.nan


def _times(cells: list[str]) -> DoubleArray:
    """Return seconds since 1970 (I,), NaN where a cell holds no time."""
    known = [cell for cell in cells if cell.lower() not in UNKNOWN]
    for form, finish in ((_YEAR, "0101"), (_DAY, "")):
        if known and all(form.fullmatch(cell) for cell in known):
            dates = [cell + finish if form.fullmatch(cell) else None for cell in cells]
            return _date_seconds(pd.Series(dates), ("%Y%m%d",))
    numbers = pd.to_numeric(pd.Series(cells), errors="coerce").to_numpy(np.float64)
    # A small number is a year out of range, a count or a rank, and no moment of any clock.
    moment = np.abs(numbers) >= _LEAST_SECONDS
    dates = [
        None if number else cell for cell, number in zip(cells, np.isfinite(numbers), strict=True)
    ]
    both = np.where(moment, numbers / _unit(numbers), _date_seconds(pd.Series(dates)))
    return np.where(np.abs(both) <= _MAX_SECONDS, both, np.nan)


def _date_seconds(dates: "pd.Series[Any]", forms: tuple[str, ...] = _FORMS) -> DoubleArray:
    """Return the seconds of ISO dates and of dates like ``01-Jan-1995``, NaN for others."""
    seconds = np.full(len(dates), np.nan)
    for form in forms:
        read = pd.to_datetime(dates.astype(object), errors="coerce", utc=True, format=form)
        whole = read.fillna(pd.Timestamp(0, tz="UTC")).dt.as_unit("s").astype("int64")
        fits = read.notna().to_numpy() & ~np.isfinite(seconds)
        seconds[fits] = whole.to_numpy(np.float64)[fits]
    return seconds


def _unit(numbers: DoubleArray) -> float:
    """Return how many units make a second, told from the size of the numbers."""
    some = np.abs(numbers[np.isfinite(numbers) & (numbers != 0)])
    typical = float(np.median(some)) if len(some) else 0.0
    # 1e11 seconds is the year 5138, 1e11 milliseconds is 1973.
    return next((u for least, u in ((1e17, 1e9), (1e14, 1e6), (1e11, 1e3)) if typical > least), 1.0)


def _creators(cells: list[str]) -> IntArray:
    """Return the number of each item's first creator (I,), -1 where none is named."""
    numbers: dict[str, int] = {}
    found = np.full(len(cells), -1, dtype=np.int32)
    for row, cell in enumerate(cells):
        name = _FIRST_NAME.split(cell.strip(), maxsplit=1)[0].casefold()
        if name not in UNKNOWN:
            found[row] = numbers.setdefault(name, len(numbers))
    return found
