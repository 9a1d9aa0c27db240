"""A few sessions as their users saw them: the slates, the pictures, the clicks."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from slategym.benchmarks.analysis import PolicyRuns
from slategym.benchmarks.rollout import Trajectories
from slategym.envs.world import World
from slategym.files import write_atomic

_STEPS = 5
PICTURES = "thumbnails"


def example_sessions(
    world: World, policies: Sequence[PolicyRuns], results: dict[str, Any], folder: Path
) -> list[dict[str, Any]]:
    """Return three sessions as JSON and write the pictures they need.

    The choice is by rule, not by eye: the user whose return under the winner is the median is
    shown under the winner and, with the same luck, under the closest rival; then the user at
    the winner's 10th percentile, where it did badly.

    Args:
        world: gives titles, topics and pictures.
        policies: the policies with their sessions.
        results: what `analyse` returned.
        folder: BENCH folder; pictures go to ``thumbnails/<item row>.jpg`` in it.
    """
    by_name = {policy.name: policy for policy in policies}
    winner = by_name[results["winner"]]
    run = winner.runs[0]
    order = np.argsort(run.returns, kind="stable")
    middle, low = int(order[len(order) // 2]), int(order[len(order) // 10])
    chosen = [(winner, middle, "the user of median return")]
    rival = _rival(results)
    if rival is not None:
        chosen.append((by_name[rival], middle, "the same user with the same luck"))
    chosen.append((winner, low, "a user it served badly, at the 10th percentile of return"))
    shown = [_session(world, policy, row, why) for policy, row, why in chosen]
    for item in sorted({i["row"] for one in shown for s in one["slates"] for i in s}):
        picture = world.thumbnail(item)
        if picture is not None:
            _write(folder / PICTURES / f"{item}.jpg", picture)
    return shown


def _rival(results: dict[str, Any]) -> str | None:
    """Return the policy nearest to the winner, if any."""
    pairs = results["against_winner"]
    if not pairs:
        return None
    nearest = min(pairs, key=lambda pair: pair["metrics"]["return"]["estimate"])
    return str(nearest["against"])


def _session(world: World, policy: PolicyRuns, row: int, why: str) -> dict[str, Any]:
    """Return one session: who, and its first slates."""
    run = policy.runs[0]
    user = int(run.users[row])
    length = int(run.length[row])
    return {
        "policy": policy.name,
        "label": policy.label,
        "why": why,
        "stream": [run.seed, row],
        "user_id": str(world.users["user_id"].iloc[user]),
        "profile": str(world.users["profile"].iloc[user]),
        "return": round(float(run.returns[row]), 4),
        "clicks": int(run.clicks[row]),
        "minutes": round(float(run.minutes[row]), 2),
        "length": length,
        "left": bool(run.left[row]),
        "slates": [_slate(world, run, step, row) for step in range(min(length, _STEPS))],
    }


def _slate(world: World, run: Trajectories, step: int, row: int) -> list[dict[str, Any]]:
    """Return the items of one slate, empty slots left out."""
    items = []
    for slot, item in enumerate(run.shown[step, row].tolist()):
        if item < 0:
            continue
        items.append(
            {
                "row": item,
                "title": str(world.items["title"].iloc[item]),
                "topics": _topics(world.items["topics"].iloc[item]),
                "clicked": bool(run.clicked[step, row, slot]),
                "minutes": round(float(run.watched[step, row, slot]), 2),
                "picture": world.thumbnail(item) is not None,
            }
        )
    return items


def _topics(value: object) -> list[str]:
    """Return at most two topic names of an item's JSON list."""
    names = json.loads(value) if isinstance(value, str) else []
    return [str(name) for name in names[:2]]


def _write(path: Path, content: bytes) -> None:
    """Write a picture unless it is there."""
    if not path.exists():
        write_atomic(path, lambda target: _put(target, content))


def _put(target: Path, content: bytes) -> None:
    """Write bytes to a file."""
    target.write_bytes(content)
