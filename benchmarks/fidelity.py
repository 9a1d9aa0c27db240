"""How a report shows what a world recorded about its own response model."""

from typing import Any

_COLUMNS = {
    "log_loss": "Log loss",
    "brier": "Brier score",
    "ece": "Calibration error",
    "auc": "AUC",
}
_OWN = "model"
_NAMES = {
    _OWN: "Click model of this world",
    "global_rate": "Global rate",
    "item_mean": "Item mean",
    "user_item_bias": "User + item bias",
}


def log_loss_table(measured: Any) -> dict[str, Any] | None:  # noqa: ANN401
    """Return the held-out comparison of click models as a table, if a world recorded one.

    Read from ``measured["click"]["models"]``; ``measured["click"]["difference"]``, own log loss
    less each other one's with its interval, becomes the last column.

    Args:
        measured: ``world.info.metrics``.

    Returns:
        ``columns`` (names) and ``rows`` (name, own, values as text), best log loss first.
    """
    click = measured.get("click", {})
    if "models" not in click:
        return None
    return _table(click["models"], click.get("difference", {}))


def _table(models: dict[str, dict[str, Any]], difference: dict[str, Any]) -> dict[str, Any]:
    """Return the table of models, leaving out columns nobody has."""
    keys = [key for key in _COLUMNS if any(key in entry for entry in models.values())]
    ordered = sorted(models.items(), key=lambda pair: float(pair[1]["log_loss"]))
    rows: list[dict[str, Any]] = [
        {
            "name": _NAMES.get(name, name.replace("_", " ")),
            "own": name == _OWN,
            "values": [_fixed(entry.get(key)) for key in keys],
        }
        for name, entry in ordered
    ]
    columns = [_COLUMNS[key] for key in keys]
    if any(name in difference for name in models):
        columns.append("Own log loss less this one's [95 %]")
        for row, (name, _) in zip(rows, ordered, strict=True):
            row["values"].append(_difference(difference.get(name)))
    return {"columns": columns, "rows": rows}


def _fixed(value: float | None) -> str:
    """Return a number with four decimals."""
    return "n/a" if value is None else f"{value:.4f}"


def _difference(interval: dict[str, float] | None) -> str:
    """Return a mean difference with its interval, "" where there is none."""
    if interval is None:
        return ""
    text = f"{interval['mean']:+.4f} [{interval['low']:+.4f}, {interval['high']:+.4f}]"
    return text.replace("-", "\N{MINUS SIGN}")


def fidelity_rows(measured: Any) -> list[tuple[str, str]]:  # noqa: ANN401
    """Return every single number a world recorded as (dotted name, text); lists are left out.

    Args:
        measured: ``world.info.metrics``.
    """
    return [(name, _text(value)) for name, value in _leaves(measured, ()) if value is not None]


def _leaves(value: Any, path: tuple[str, ...]) -> list[tuple[str, Any]]:  # noqa: ANN401
    """Return the numbers and words of nested dicts with their paths."""
    if isinstance(value, dict):
        return [leaf for key, entry in value.items() for leaf in _leaves(entry, (*path, str(key)))]
    if isinstance(value, list | tuple):
        return []
    return [(" · ".join(path).replace("_", " "), value)]


def _text(value: object) -> str:
    """Return a number with four significant digits, anything else as it is."""
    if value is None:
        return "n/a"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
