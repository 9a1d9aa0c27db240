"""What a world card says, in sentences: each with its numbers and whether it is good news.

A tone is ``good``, ``fair``, ``poor`` or ``open`` (nothing to judge by). The limits are stated
here, next to the sentence they decide.
"""

from collections.abc import Iterator, Mapping
from typing import Any

Finding = dict[str, str]
_CALIBRATED, _ROUGHLY = 0.01, 0.03  # calibration error above that of perfect probabilities
_STEEP = 1.25  # recalibration slope that is not good if its whole interval is beyond, or 1 / it
_TOLD_APART = 0.65  # AUC from which real and simulated are told apart clearly
_CLOSE, _NEAR = 0.05, 0.15  # total variation
_PARTS = {
    "item_popularity": "items with {} public rows",
    "user_activity": "users with {} public rows",
    "topic": "topic {!r}",
}
_STABLE, _SHAKY = 0.8, 0.6  # Kendall's tau


def findings(card: Mapping[str, Any]) -> list[Finding]:
    """Return the sentences of a card, in the order of its sections.

    Each has ``about`` (a few words), ``says`` and ``tone``.
    """
    found = [
        *_likelihood(card["held_out_rows"], "held-out rows"),
        *_likelihood(card["held_out_users"], "users it never saw"),
        *_calibration(card["held_out_rows"], "held-out rows"),
        *_calibration(card["held_out_users"], "users it never saw"),
        *_worst_slice(card["held_out_rows"]),
        *_values(card["values"]),
        *_responses(card["two_sample"]["responses"]),
        *_sequences(card["two_sample"]["sequences"]),
        *_order(card["transitions"]),
        *_selection(card["selection"]),
        *_ranking(card.get("policy_ranking", {"missing": ""})),
    ]
    return [{"about": about, "says": says, "tone": tone} for about, says, tone in found]


_Said = Iterator[tuple[str, str, str]]


def span(value: Mapping[str, float | None], digits: int = 3, scale: float = 1.0) -> str:
    """Return an interval as ``0.52 [0.50, 0.54]``, ``n/a`` where it has no estimate."""
    estimate, low, high = (value[key] for key in ("estimate", "low", "high"))
    if estimate is None:
        return "n/a"
    text = f"{scale * estimate:.{digits}f}"
    if low is not None and high is not None:
        ends = f"[{scale * low:.{digits}f}, {scale * high:.{digits}f}]"
        text += "\N{NO-BREAK SPACE}" + ends.replace(" ", "\N{NO-BREAK SPACE}")
    return text.replace("-", "\N{MINUS SIGN}")


def percent(share: float) -> str:
    """Return a share as ``59.1 %``."""
    return f"{100 * share:.1f}\N{NO-BREAK SPACE}%"


def _likelihood(part: Mapping[str, Any], where: str) -> _Said:
    if "missing" in part:
        yield f"Likelihood on {where}", f"Not judged: {part['missing']}.", "open"
        return
    skill = part["skill"]["user_item_bias"]["log_loss"]
    blind = part["skill"]["global_rate"]["log_loss"]
    low, high = skill["low"], skill["high"]
    sure = low is not None and high is not None
    tone = "good" if sure and low > 0 else "poor" if sure and high < 0 else "fair"
    yield (
        f"Likelihood on {where}",
        f"Log loss is {span(skill, 1, 100)}\N{NO-BREAK SPACE}% below that of user and item "
        f"biases, and {span(blind, 1, 100)}\N{NO-BREAK SPACE}% below that of the global rate "
        f"({part['rows']:,} rows of {part['users']:,} users).",
        tone,
    )


def _calibration(part: Mapping[str, Any], where: str) -> _Said:
    if "missing" in part:
        return
    fit = part["calibration"]
    excess = fit["ece"]["estimate"] - fit["floor"]
    slope = fit["slope"]
    flat = slope["low"] is not None and (slope["low"] > _STEEP or slope["high"] < 1 / _STEEP)
    tone = "good" if excess <= _CALIBRATED else "fair" if excess <= _ROUGHLY else "poor"
    tone = "fair" if tone == "good" and flat else tone
    yield (
        f"Calibration on {where}",
        f"The calibration error is {span(fit['ece'])}; perfect probabilities would show "
        f"{fit['floor']:.3f} by chance. Recalibration slope {span(fit['slope'], 2)}.",
        tone,
    )


def _worst_slice(part: Mapping[str, Any]) -> _Said:
    if "missing" in part:
        return
    flat = [
        (_PARTS[kind].format(entry["name"]), entry)
        for kind, entries in part["slices"].items()
        for entry in entries
        if entry["gap"]["low"] is not None and entry["gap"]["low"] * entry["gap"]["high"] > 0
    ]
    total = sum(len(entries) for entries in part["slices"].values())
    if not flat:
        if total:
            yield (
                "Calibration in parts",
                f"In none of {total} parts does the mean prediction differ from what was "
                "observed by more than chance.",
                "good",
            )
        return
    named, worst = max(flat, key=lambda pair: abs(pair[1]["gap"]["estimate"]))
    yield (
        "Calibration in parts",
        f"{len(flat)} of {total} parts are off by more than chance (1 in 20 would be by chance). "
        f"Furthest off: {named}, predicted {percent(worst['predicted'])}, "
        f"observed {percent(worst['observed'])}.",
        "good" if len(flat) <= max(1, round(total / 20)) else "fair",
    )


def _values(part: Mapping[str, Any]) -> _Said:
    if "missing" in part:
        return
    tv, fitted = part["emitted"]["tv"], part["fitted"]["tv"]
    yield (
        "Values given",
        f"The histogram of simulated values is {span(tv)} (total variation) from the real one, "
        f"with the environment's noise of {part['emitted']['noise']:g}; with the fitted noise of "
        f"{part['fitted']['noise']:.2g} it would be {span(fitted)}.",
        _near(tv["estimate"]),
    )


def _near(distance: float) -> str:
    return "good" if distance <= _CLOSE else "fair" if distance <= _NEAR else "poor"


def _told(part: Mapping[str, Any]) -> str:
    """Return the tone of a classifier's AUC."""
    estimate, chance = part["auc"]["estimate"], part["chance"]
    if estimate is None or chance is None:
        return "open"
    return "good" if estimate <= chance else "fair" if estimate < _TOLD_APART else "poor"


def _by_chance(part: Mapping[str, Any]) -> str:
    """Return what an AUC is to be held against."""
    if part["chance"] is None:
        return " (too few users to tell)"
    return f"; where nothing differs, 19 of 20 are below {part['chance']:.2f}"


def _responses(part: Mapping[str, Any]) -> _Said:
    if "missing" in part:
        return
    yield (
        "Real or simulated: responses",
        f"Shown the same items, a classifier tells real users' responses from simulated ones "
        f"with AUC {span(part['auc'], 2)}{_by_chance(part)}.",
        _told(part),
    )


def _sequences(part: Mapping[str, Any]) -> _Said:
    if "missing" in part:
        return
    yield (
        "Real or simulated: sequences",
        f"Five items in a row that were liked are told from five simulated clicks with AUC "
        f"{span(part['auc'], 2)}{_by_chance(part)}. What is shown is assumed here, slates by "
        "popularity, and so are satiation and leaving.",
        _told(part),
    )


def _order(part: Mapping[str, Any]) -> _Said:
    if "missing" in part:
        return
    real, simulated = part["lift"]["real"], part["lift"]["simulated"]
    ends = [x[key] for x in (real, simulated) for key in ("low", "high")]
    if any(end is None for end in ends):
        tone = "open"
    elif ends[0] <= ends[3] and ends[2] <= ends[1]:
        tone = "good"
    else:
        tone = "poor" if real["estimate"] * simulated["estimate"] < 0 else "fair"
    yield (
        "One item after another",
        "That the next item shares the topic is likelier than in random order by "
        f"{span(real, 1, 100)} points in the log, by {span(simulated, 1, 100)} points in the "
        "simulator.",
        tone,
    )


def _selection(part: Mapping[str, Any]) -> _Said:
    if "missing" in part:
        return
    pairs = part["random_pairs"]
    yield (
        "If popular items were not rated more",
        "Fitted on rows reweighted against popularity, the model ranks random items like the "
        f"plain one with correlation {pairs['weighted']['correlation']:.2f}; rows reweighted at "
        f"random give {pairs['control']['correlation']:.2f}. Log loss changes by "
        f"{span(part['as_logged']['difference'], 3)} against that control.",
        "good"
        if pairs["control"]["correlation"] - pairs["weighted"]["correlation"] < _CLOSE
        else "fair",
    )


def _ranking(part: Mapping[str, Any]) -> _Said:
    if "missing" in part:
        return
    others = len(part["settings"]) - 1
    least = part["least"]
    if least is None:
        return
    yield (
        "Policies under other dynamics",
        f"Of {len(part['policies'])} baseline policies the best stays the best in "
        f"{part['best_stays']} of {others} other settings of satiation, boredom, patience and "
        f"drift; Kendall's tau with the assumed setting is at least {least:.2f}.",
        "good" if least >= _STABLE else "fair" if least >= _SHAKY else "poor",
    )
