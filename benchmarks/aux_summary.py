"""From the cells of the auxiliary-loss study to its table."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from slategym.benchmarks.statistics import (
    Interval,
    UserBootstrap,
    iqm,
    paired_interval,
    probability_of_improvement,
    stratified_interval,
)

FloatArray = npt.NDArray[np.float64]

REFERENCES = (
    "random", "popularity", "quality", "threshold", "cf-greedy", "cf-mmr", "cf-dpp",
    "cf-calibrated", "cf-rested", "linucb", "oracle-myopic", "oracle-reward", "oracle-planner",
)  # fmt: skip
EARLY = 0.25
SHARE = 0.9
# Arms set against each other besides each against "none".
CONTRASTS = (("all", "rating"), ("all", "supervised"), ("all", "shuffled"))


def summarise(lines: Sequence[dict[str, Any]], frames: int) -> dict[str, Any]:
    """Return the study's numbers as JSON.

    Args:
        lines: finished cells, as `slategym.benchmarks.aux_study.run_cell` returned them.
        frames: training frames of a cell.
    """
    trained = [line for line in lines if "arm" in line["cell"]]
    arms = list(dict.fromkeys(line["cell"]["arm"] for line in trained))
    by_arm = {
        arm: {line["cell"]["seed"]: line for line in trained if line["cell"]["arm"] == arm}
        for arm in arms
    }
    target = _target(by_arm.get("none", {}))
    return {
        "frames": frames,
        "target": target,
        "arms": [_arm(arm, by_arm[arm], by_arm.get("none"), target, frames) for arm in arms],
        "contrasts": [
            _contrast(by_arm, first, second)
            for first, second in CONTRASTS
            if first in by_arm and second in by_arm
        ],
        "references": [
            _reference(line)
            for name in REFERENCES
            for line in lines
            if line["cell"].get("policy") == name
        ],
    }


def _target(none: dict[int, dict[str, Any]]) -> float | None:
    """Return 90 % of the final return of the arm without auxiliary losses, on its curve."""
    if not none:
        return None
    return SHARE * float(iqm([line["curve"][-1] for line in none.values()]))


def _arm(
    name: str,
    lines: dict[int, dict[str, Any]],
    none: dict[int, dict[str, Any]] | None,
    target: float | None,
    frames: int,
) -> dict[str, Any]:
    """Return one row of the table."""
    ordered = [lines[seed] for seed in sorted(lines)]
    finals = np.array([line["return"] for line in ordered])
    early = [at_frame(line["frames"], line["curve"], EARLY * frames) for line in ordered]
    row: dict[str, Any] = {
        "arm": name,
        "seeds": sorted(lines),
        "finals": finals.tolist(),
        "final": stratified_interval([finals]).to_json(),
        "early": stratified_interval([early]).to_json(),
        "cpu_seconds": float(np.mean([line["cpu_seconds"] for line in ordered])),
    }
    if target is not None:
        reached = [first_frame(line["frames"], line["curve"], target) for line in ordered]
        # A run that never gets there counts as the whole budget: the number is then too low.
        censored = [frames if value is None else value for value in reached]
        row["reached"] = sum(value is not None for value in reached)
        row["frames_to_target"] = stratified_interval([censored]).to_json()
    if none is not None and name != "none":
        row["minus_none"] = _paired(lines, none).to_json()
        other = [line["return"] for line in none.values()]
        row["beats_none"] = probability_of_improvement(finals, other)
    return row


def _paired(first: dict[int, dict[str, Any]], second: dict[int, dict[str, Any]]) -> Interval:
    """Return the IQM of the differences of final returns at the seeds both have."""
    seeds = sorted(set(first) & set(second))
    if not seeds:
        return Interval(np.nan, np.nan, np.nan)
    return paired_interval(
        [first[seed]["return"] for seed in seeds], [second[seed]["return"] for seed in seeds]
    )


def _contrast(
    by_arm: dict[str, dict[int, dict[str, Any]]], first: str, second: str
) -> dict[str, Any]:
    """Return one arm minus another."""
    difference = _paired(by_arm[first], by_arm[second])
    return {"first": first, "second": second, "difference": difference.to_json()}


def _reference(line: dict[str, Any]) -> dict[str, Any]:
    """Return the row of a policy that is not trained; its interval is over users."""
    interval = UserBootstrap(np.asarray(line["users"])).mean(line["returns"])
    return {"policy": line["cell"]["policy"], "final": interval.to_json()}


def at_frame(frames: Sequence[float], curve: Sequence[float], frame: float) -> float:
    """Return a learning curve's value at a frame, linear between its points."""
    return float(np.interp(frame, frames, curve))


def first_frame(frames: Sequence[float], curve: Sequence[float], target: float) -> float | None:
    """Return the first frame at which a curve reaches a value, linear between points.

    Returns:
        The frame, or ``None`` if it never gets there.
    """
    above = [place for place, value in enumerate(curve) if value >= target]
    if not above:
        return None
    place = above[0]
    if place == 0:
        return float(frames[0])
    before, after = curve[place - 1], curve[place]
    share = (target - before) / (after - before)
    return float(frames[place - 1] + share * (frames[place] - frames[place - 1]))


def markdown(study: dict[str, Any]) -> str:
    """Return the study as Markdown: verdict, table, how it was measured."""
    settings = study["settings"]
    head = [
        "# Do the auxiliary losses help?",
        "",
        _verdict(study),
        "",
        f"`{settings['variant']}`{_changes(settings)} over the world "
        f"`{study['world_name']}`{' (synthetic)' if study['synthetic'] else ''}, "
        f"{study['frames']:,} training frames, {settings['users']:,} held-out user streams, the "
        "same users with the same luck for every cell.",
        "",
        "| arm | seeds | final return | minus none, paired | P(beats none) | return at 25 % "
        "| frames to 90 % of none | CPU s |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    rows = [_line(row) for row in study["arms"]]
    rows += [
        f"| {row['policy']} (not trained) | | {_text(row['final'], 2)} | | | | | |"
        for row in study["references"]
    ]
    contrasts = [
        f"- {pair['first']} minus {pair['second']}: {_text(pair['difference'], 2, signed=True)}"
        for pair in study["contrasts"]
    ]
    return "\n".join([*head, *rows, "", *contrasts, "", *_NOTES]) + "\n"


_NOTES = (
    "Numbers are interquartile means over training seeds with 95 % percentile intervals of a "
    "stratified bootstrap (2,000 resamples); for policies that are not trained, means over users "
    "with an interval over users. An interval over seeds says how far another training would "
    "fall, not another set of users.",
    "",
    "`final return`: best slates on held-out users. `return at 25 %` and `frames to 90 %` (of "
    "the final return of `none`) are read from the learning curve, best slates on fixed training "
    "users; a run that never gets there counts as the whole budget and is marked.",
    "",
    "`supervised` ranks by the predicted response and has no policy gradient: what it reaches is "
    "supervised learning, not planning. `shuffled` has all losses with the targets of other rows. "
    "`oracle-...` policies see what is hidden.",
)


def _changes(settings: dict[str, Any]) -> str:
    """Return what differs from the variant and the training options as they are."""
    changed = {**settings["env"], **settings["train"]}
    return f" with {', '.join(f'{k}={v}' for k, v in changed.items())}" if changed else ""


def _line(row: dict[str, Any]) -> str:
    """Return a row of the Markdown table."""
    minus = _text(row["minus_none"], 2, signed=True) if "minus_none" in row else ""
    beats = f"{row['beats_none']:.2f}" if "beats_none" in row else ""
    target = ""
    if "frames_to_target" in row:
        target = _text(row["frames_to_target"], 0)
        if row["reached"] < len(row["seeds"]):
            target += f" ({row['reached']} of {len(row['seeds'])} got there)"
    cells = [
        row["arm"],
        str(len(row["seeds"])),
        _text(row["final"], 2),
        minus,
        beats,
        _text(row["early"], 2),
        target,
        f"{row['cpu_seconds']:.0f}",
    ]
    return f"| {' | '.join(cells)} |"


def _verdict(study: dict[str, Any]) -> str:
    """Return what the study shows, in one or two sentences."""
    compared = [row for row in study["arms"] if "minus_none" in row]
    if not compared:
        return "Nothing is compared: the arm `none` is missing or stands alone."
    beyond = [
        f"`{row['arm']}` ({_text(row['minus_none'], 2, signed=True)})"
        for row in compared
        if Interval.from_json(row["minus_none"]).excludes_zero
    ]
    within = [f"`{row['arm']}`" for row in compared if _unclear(row)]
    told = []
    if beyond:
        told.append(f"Final return differs from that of `none` beyond chance: {', '.join(beyond)}.")
    if within:
        told.append(f"It cannot be told from that of `none` for {', '.join(within)}.")
    return " ".join(told) if beyond else told[0].replace("It", "Final return", 1)


def _unclear(row: dict[str, Any]) -> bool:
    """Return whether an arm cannot be told from ``none``."""
    return not Interval.from_json(row["minus_none"]).excludes_zero


def _text(interval: dict[str, float | None], digits: int, *, signed: bool = False) -> str:
    """Return an interval as ``1.23 [1.10, 1.40]``."""
    sign = "+" if signed else ""

    def number(value: float | None) -> str:
        return "n/a" if value is None else f"{value:{sign},.{digits}f}"

    ends = f"[{number(interval['low'])}, {number(interval['high'])}]"
    return f"{number(interval['estimate'])} {ends}"
