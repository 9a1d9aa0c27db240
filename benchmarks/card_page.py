"""The world card as a page: one HTML file that needs nothing beside it and no scripts."""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from slategym.benchmarks.card_style import STYLE
from slategym.benchmarks.card_svg import gap, histogram, reliability
from slategym.envs.card_findings import findings, percent, span
from slategym.files import write_json, write_text

HTML, JSON = "card.html", "card.json"
_WAYS = {
    "model": "Click model of this world",
    "user_item_bias": "User and item biases",
    "item_mean": "Item mean",
    "global_rate": "Global rate",
}
_TONES = {"good": "good", "fair": "fair", "poor": "poor", "open": "not judged"}
# What the parts are by, and what the first column of their table holds.
_SLICES = {
    "item_popularity": ("By how often the item was rated", "Public rows of the item"),
    "user_activity": ("By how active the user is", "Public rows of the user"),
    "topic": ("By topic", ""),
}


def write_card(card: Mapping[str, Any], folder: Path) -> tuple[Path, Path]:
    """Write ``card.html`` and ``card.json`` into a folder and return both paths.

    Args:
        card: of `slategym.envs.card.world_card`, with ``policy_ranking`` of
            `slategym.benchmarks.card_sensitivity.rank_stability` where it was measured.
        folder: made if it is not there.
    """
    whole = {**card, "findings": findings(card)}
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / JSON, whole)
    write_text(folder / HTML, render_card(whole))
    return folder / HTML, folder / JSON


def render_card(card: Mapping[str, Any]) -> str:
    """Return the page of a card that has its ``findings``."""
    world = card["world"]
    title = f"World card: {world['name']}"
    body = [
        _header(card, title),
        _findings(card["findings"]),
        _judged("Rows nobody was fitted on", card["held_out_rows"], _ABOUT_ROWS),
        _judged("Users the model never saw", card["held_out_users"], _ABOUT_USERS),
        _distributions(card),
        _selection(card["selection"]),
        _ranking(card.get("policy_ranking", {"missing": "it was not measured"})),
        _statements(card),
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(part for part in body if part)
        + "\n</main>\n</body>\n</html>\n"
    )


_ABOUT_ROWS = (
    "Test rows of the log, predicted by the public model in this world. The simpler ways are "
    "fitted on the public rows. Brackets are 95 % intervals that resample users whole."
)
_ABOUT_USERS = (
    "A model of the same kind, fitted on the training users alone. The older half of a held-out "
    "user's rows is folded in without a refit, the newer half predicted. The simpler ways know "
    "that older half too."
)


def _header(card: Mapping[str, Any], title: str) -> str:
    world = card["world"]
    kind = " · generated data" if world["synthetic"] else ""
    size = (
        f"{world['users']:,} users, {world['held_out_users']:,} of them held out · "
        f"{world['items']:,} items in {world['topics']} topics · {world['rows']:,} rows{kind}"
    )
    positive = (
        "every row is a positive, negatives are sampled"
        if world["implicit"]
        else f"a value of at least {world['threshold']:g} counts as positive"
    )
    source = f"{world['source']} · " if world["source"] else ""
    return (
        f"<header><h1>{escape(title)}</h1><p>{escape(size)}</p>"
        f'<p class="muted">{escape(source + positive)} · hash {world["hash"][:16]} · '
        f"slategym {escape(card['slategym'])}</p></header>"
    )


def _findings(found: Sequence[Mapping[str, str]]) -> str:
    rows = "".join(
        f'<li class="{one["tone"]}"><span class="tone">{_TONES[one["tone"]]}</span>'
        f"<div><b>{escape(one['about'])}</b><p>{escape(one['says'])}</p></div></li>"
        for one in found
    )
    return f'<section><h2>In short</h2><ul class="findings">{rows}</ul></section>'


def _gone(title: str, part: Mapping[str, Any]) -> str:
    """Return the section of something that was not measured."""
    why = escape(part["missing"].rstrip("."))
    return f'<section><h2>{escape(title)}</h2><p class="muted">Not judged: {why}.</p></section>'


def _section(title: str, about: str, markup: str) -> str:
    """Return a section with a note under its title."""
    note = f'<p class="note">{escape(about)}</p>'
    return f"<section><h2>{escape(title)}</h2>{note}{markup}</section>"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], marked: int = -1) -> str:
    """Return a table; cells are markup already, the row ``marked`` stands out."""
    top = "".join(f'<th scope="col">{cell}</th>' for cell in head)
    lines = "".join(
        ('<tr class="first">' if number == marked else "<tr>")
        + "".join(f"<td>{cell}</td>" for cell in row)
        + "</tr>"
        for number, row in enumerate(rows)
    )
    return (
        f'<div class="scroll"><table><thead><tr>{top}</tr></thead>'
        f"<tbody>{lines}</tbody></table></div>"
    )


def _judged(title: str, part: Mapping[str, Any], about: str) -> str:
    if "missing" in part:
        return _gone(title, part)
    rows = []
    for name, label in _WAYS.items():
        way, skill = part["ways"][name], part["skill"].get(name)
        auc = "n/a" if way["auc"] is None else f"{way['auc']:.3f}"
        better = "" if skill is None else f"{span(skill['log_loss'], 1, 100)}\N{NO-BREAK SPACE}%"
        rows.append(
            [
                label,
                span(way["log_loss"]),
                span(way["brier"]),
                auc,
                span(way["user_auc"]),
                better,
            ]
        )
    head = (
        "",
        "Log loss",
        "Brier score",
        "AUC",
        "AUC per user",
        "The model's log loss is lower by",
    )
    fit = part["calibration"]
    line = (
        f"Calibration error {span(fit['ece'])}; {fit['floor']:.3f} by chance alone. "
        f"Recalibration: intercept {span(fit['intercept'], 2)}, slope {span(fit['slope'], 2)}."
    )
    plot = reliability(fit["curve"], f"Reliability on {part['rows']} rows")
    return (
        f'<section><h2>{escape(title)}</h2><p class="note">{escape(about)} {part["rows"]:,} rows '
        f"of {part['users']:,} users, {percent(part['positive_rate'])} positive.</p>"
        f'{_table(head, rows, 0)}<div class="grid judged"><figure><h3>Reliability</h3>{plot}'
        f"<figcaption>{escape(line)}</figcaption></figure>{_slices(part['slices'])}</div></section>"
    )


def _slices(parts: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Return the tables of calibration in parts, folded up."""
    ends = [
        abs(entry["gap"][key] or 0.0)
        for part in parts.values()
        for entry in part
        for key in ("low", "high")
    ]
    most = max([0.05, *ends])
    made = []
    for name, entries in parts.items():
        if not entries:
            continue
        rows = [
            [
                escape(entry["name"]),
                f"{entry['rows']:,}",
                f"{entry['predicted']:.3f}",
                f"{entry['observed']:.3f}",
                gap(entry["gap"], most),
                f"{entry['ece']:.3f}",
            ]
            for entry in entries
        ]
        title, first = _SLICES[name]
        head = (first, "Rows", "Predicted", "Observed", f"Gap, ±{most:.2f}", "ECE")
        opened = " open" if name == "item_popularity" else ""
        made.append(f"<details{opened}><summary>{title}</summary>{_table(head, rows)}</details>")
    return f"<div><h3>In parts</h3>{''.join(made)}</div>" if made else ""


def _distributions(card: Mapping[str, Any]) -> str:
    parts = []
    values, pair = card["values"], card["two_sample"]
    if "missing" not in values:
        series = {
            "log": values["real"],
            f"simulated, noise {values['emitted']['noise']:g}": values["emitted"]["histogram"],
            f"with fitted noise {values['fitted']['noise']:.2g}": values["fitted"]["histogram"],
        }
        said = (
            f"Total variation {span(values['emitted']['tv'])} and {span(values['fitted']['tv'])}; "
            f"Wasserstein-1 {span(values['emitted']['w1'], 2)} and "
            f"{span(values['fitted']['w1'], 2)}."
        )
        plot = histogram(values["levels"], series, "Values given and simulated")
        parts.append(
            f"<figure><h3>Values given on the same rows</h3>{plot}"
            f"<figcaption>{escape(said)}</figcaption></figure>"
        )
    if "missing" not in card["sequences"]:
        parts.append(_sequences(card))
    told = _told_apart(pair)
    if told:
        parts.append(told)
    if not parts:
        return _gone("Distributions", card["sequences"])
    return f'<section><h2>Distributions</h2><div class="grid">{"".join(parts)}</div></section>'


def _told_apart(pair: Mapping[str, Any]) -> str:
    """Return the table of how well a classifier tells real from simulated, "" if unknown."""
    names = {"responses": "Responses to the same items", "sequences": "Five items in a row"}
    rows = [
        [
            names[name],
            span(part["auc"]),
            "n/a" if part["chance"] is None else f"{part['chance']:.3f}",
            f"{part['real']:,}",
            f"{part['simulated']:,}",
        ]
        for name, part in pair.items()
        if "missing" not in part
    ]
    if not rows:
        return ""
    about = (
        "A classifier is taught to tell them apart and judged on users it has not seen; .5 is "
        "guessing. By chance: 19 of 20 AUCs are below, if nothing differs."
    )
    head = ("", "AUC", "By chance", "Real", "Simulated")
    table = _table(head, rows)
    return f'<div><h3>Real or simulated?</h3><p class="note">{about}</p>{table}</div>'


def _sequences(card: Mapping[str, Any]) -> str:
    """Return the table of distances between consumed sequences, and that of topic shares."""
    part, after = card["sequences"], card["transitions"]
    rows = [
        [label, span(entry["distance"]), f"{entry['floor']:.3f}"]
        for label, entry in (
            ("Popularity of items, KS", part["popularity"]),
            ("Activity over its mean, KS", part["activity"]),
            ("Topic shares, total variation", part["topics"]),
            ("Pairs of topics in a row, total variation", after["joint"]),
        )
    ]
    spread, active = part["popularity"]["gini"], part["activity"]
    notes = (
        f"Gini over items {spread['real']:.3f} in the log, {spread['simulated']:.3f} simulated. "
        f"Liked items a user {active['mean_real']:.1f}, clicks a session "
        f"{active['mean_simulated']:.1f}. Next item shares the topic more than by chance: "
        f"{span(after['lift']['real'], 3)} in the log, {span(after['lift']['simulated'], 3)} "
        "simulated."
    )
    topics = [
        [escape(one["name"]), percent(one["real"]), percent(one["simulated"])]
        for one in part["topics"]["shares"]
    ]
    return (
        "<div><h3>What is consumed</h3>"
        + _table(("", "Log against simulator", "Half of the log against the other"), rows)
        + f'<p class="note">{escape(notes)}</p></div>'
        + f"<div><h3>Topics</h3>{_table(('', 'Log', 'Simulated'), topics)}</div>"
    )


def _selection(part: Mapping[str, Any]) -> str:
    title = "If popular items were not rated more often"
    if "missing" in part:
        return _gone(title, part)
    names = {
        "plain": "As logged",
        "weighted": "Reweighted against popularity",
        "control": "Control: the same weights at random",
    }
    pairs = part["random_pairs"]
    rows = [
        [
            label,
            span(part["as_logged"][name]),
            span(part["reweighted"][name]),
            f"{pairs[name]['correlation']:.2f}" if name in pairs else "",
            f"{pairs[name]['overlap']:.2f}" if name in pairs else "",
            percent(pairs["click"][name]),
        ]
        for name, label in names.items()
    ]
    head = (
        "Rows of the fit",
        "Log loss",
        "Log loss, test rows reweighted",
        "Rank correlation with the first",
        "Shared in ten best",
        "Mean click probability of random pairs",
    )
    about = (
        f"Each row weighs as its item's popularity to the power -{part['power']:g} "
        f"(effective rows {percent(part['effective_share'])}). Weighted less control: "
        f"{span(part['as_logged']['difference'])} as logged, "
        f"{span(part['reweighted']['difference'])} reweighted."
    ).replace("-0", "\N{MINUS SIGN}0")
    return _section(title, about, _table(head, rows))


def _ranking(part: Mapping[str, Any]) -> str:
    title = "Policies when the assumed dynamics change"
    if "missing" in part:
        return _gone(title, part)
    policies = part["policies"]
    rows = []
    for entry in part["settings"]:
        order = sorted(policies, key=lambda name: -entry["returns"][name])
        cells = [
            f"{entry['returns'][name]:.2f}<small>{order.index(name) + 1}.</small>"
            for name in policies
        ]
        rows.append([escape(entry["name"]), span(entry["tau"], 2), *cells])
    head = ("Setting", "Kendall's tau with the first", *map(escape, policies))
    about = (
        f"Mean return of {part['users']:,} simulated users, and the place of each policy. A tau of "
        "1 is the same order."
    )
    if part["noise"] is not None:
        about += f" Other users of the same kind would give {part['noise']:.2f}, on average."
    return _section(title, about, _table(head, rows, 0))


def _statements(card: Mapping[str, Any]) -> str:
    said = card["statements"]

    def listed(sentences: Sequence[str]) -> str:
        return "<ul>" + "".join(f"<li>{escape(one)}</li>" for one in sentences) + "</ul>"

    return (
        "<section><h2>What no card can show</h2>"
        f'<p class="bias">{escape(said["selection_bias"])}</p>'
        f"<h3>Not learned from the log</h3>{listed(said['not_learned'])}"
        f"<h3>Assumed in this world</h3>{listed(said['assumed'])}"
        f"<h3>What was judged</h3>{listed(said['judged'])}</section>"
    )
