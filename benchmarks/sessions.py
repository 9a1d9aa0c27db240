"""A few sessions as their users saw them: the slates, the pictures, the clicks."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from slategym.benchmarks.analysis import PolicyRuns
from slategym.benchmarks.rollout import Trajectories
from slategym.benchmarks.session_replay import replay
from slategym.envs.protocol import AnyVariant
from slategym.envs.world import World
from slategym.files import write_atomic

_STEPS = 4
PICTURES = "thumbnails"


def example_sessions(
    world: World,
    policies: Sequence[PolicyRuns],
    results: dict[str, Any],
    folder: Path,
    *,
    variant: AnyVariant | None = None,
    split: str = "held_out",
) -> list[dict[str, Any]]:
    """Return up to four sessions as JSON and write the pictures they need.

    The choice is by rule, not by eye: two users, each under the winner and, with the same luck,
    under its closest rival. The first is the user of median return under the winner; the second
    is at the 10th percentile of the winner's gain on the rival: as a rule, the rival served it
    better.

    Args:
        world: gives titles, topics and pictures.
        policies: the policies with their sessions.
        results: what `analyse` returned.
        folder: BENCH folder; pictures go to ``thumbnails/<item row>.jpg`` in it.
        variant: what was played; None leaves out what a replay would tell of hidden states.
        split: which users of the world were met.
    """
    by_name = {policy.name: policy for policy in policies}
    winner, rival = by_name[results["winner"]], _rival(results)
    run = winner.runs[0]
    middle = _at(run.returns, 0.5)
    chosen = [(winner, middle, "a user of median return")]
    if rival is not None:
        other = by_name[rival]
        gain = run.returns - other.runs[0].returns
        worse = _at(gain, 0.1)
        told = f"where {other.phrase} did better" if gain[worse] < 0 else "where it gained little"
        chosen += [
            (other, middle, "the same user, the same luck"),
            (winner, worse, told),
            (other, worse, "the same user, the same luck"),
        ]
    shown = [_session(world, policy, row, why) for policy, row, why in chosen]
    if variant is not None:
        for one, (policy, row, _) in zip(shown, chosen, strict=True):
            one["told"] = _told(world, policy.runs[0], row, variant, split)
    for item in sorted({i["row"] for one in shown for s in one["slates"] for i in s}):
        picture = world.thumbnail(item)
        if picture is not None:
            write_picture(folder / PICTURES / f"{item}.jpg", picture)
    return shown


def _at(values: npt.NDArray[np.float64], share: float) -> int:
    """Return the row whose value stands at a share of the order."""
    order = np.argsort(values, kind="stable")
    return int(order[int(share * (len(order) - 1))])


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


def _told(
    world: World, run: Trajectories, row: int, variant: AnyVariant, split: str
) -> dict[str, Any]:
    """Return rewards and hidden states after each slate; see `replay`."""
    slates = run.shown[: int(run.length[row]), row]
    told = replay(variant, world, slates, seed=run.seed, stream=row, users=split).to_json(0)
    return {key: told[key] for key in ("rewards", "states", "visits", "ending")}


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


def write_picture(path: Path, content: bytes) -> None:
    """Write a picture unless it is there."""
    if not path.exists():
        write_atomic(path, lambda target: _put(target, content))


def _put(target: Path, content: bytes) -> None:
    """Write bytes to a file."""
    target.write_bytes(content)
