"""For each task of an experiment one user under two contenders: slates, responses, hidden state."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from slategym.benchmarks.experiment import Task
from slategym.benchmarks.experiment_cells import SLATES, played_changes
from slategym.benchmarks.experiment_scores import Contender
from slategym.benchmarks.session_replay import replay
from slategym.benchmarks.sessions import PICTURES, write_picture
from slategym.envs.world import World
from slategym.envs.worlds import as_world, world_of

_SHOWN = 4  # slates in full


def examples(
    task: Task, contenders: Sequence[Contender], table: dict[str, Any], user_seeds: Sequence[int]
) -> list[dict[str, Any]]:
    """Return the same user's session under the winner and under one rival, as JSON.

    By rule, not by eye: of the first streams, whose slates are kept, the one with the (lower)
    median return under the winner; the rival is the best agent if the winner is none, else the
    next in the table. Cells that kept no slates give no example.

    Args:
        task: what was played.
        contenders: with their runs; the first training seed is shown.
        table: of the task, best first.
        user_seeds: of the sessions.
    """
    by_name = {one.name: one for one in contenders}
    named = _chosen(table)
    if any(SLATES not in by_name[name].runs[0] for name in named):
        return []
    first = by_name[named[0]].runs[0]
    returns = first["return"][: len(first[SLATES])]
    stream = int(np.argsort(returns, kind="stable")[(len(returns) - 1) // 2])
    return [_session(task, by_name[name], stream, int(user_seeds[0])) for name in named]


def write_pictures(
    task: Task, number: int, shown: Sequence[dict[str, Any]], folder: Path | str
) -> None:
    """Write the pictures that a task's examples need, as ``thumbnails/<number>-<row>.jpg``."""
    if task.world is None:
        return
    world = as_world(task.world)
    for item in sorted({i for one in shown for slate in one["items"] for i in slate}):
        picture = world.thumbnail(item)
        if picture is not None:
            write_picture(Path(folder) / PICTURES / f"{number}-{item}.jpg", picture)


def _chosen(table: dict[str, Any]) -> list[str]:
    """Return the winner and one rival."""
    rows = [row for row in table["rows"] if row["kind"] != "reference"] or table["rows"]
    winner = next(row for row in table["rows"] if row["name"] == table["winner"])
    others = [row for row in rows if row is not winner]
    agents = [row for row in others if row["kind"] == "agent"]
    rivals = agents if winner["kind"] != "agent" and agents else others
    return [winner["name"], *(row["name"] for row in rivals[:1])]


def _session(task: Task, one: Contender, stream: int, seed: int) -> dict[str, Any]:
    """Return a contender's session of that user."""
    settings = next((agent.settings for agent in task.agents if agent.name == one.name), {})
    variant = task.task().override(**played_changes(task, settings))
    world = None if task.world is None else as_world(task.world)
    told = replay(
        variant,
        world,
        one.runs[0][SLATES][stream],
        seed=seed,
        stream=stream,
        users="all" if world is None else task.session_users,
    )
    return {
        "name": one.name,
        "stream": [seed, stream],
        "user": "" if world is None else _user(world_of(variant, world), one, stream),
        "return": round(float(one.runs[0]["return"][stream]), 4),
        "length": len(told.rewards),
        "clicks": int(one.runs[0]["clicks"][stream]),
        **told.to_json(_SHOWN),
    }


def _user(world: World, one: Contender, stream: int) -> str:
    """Return who it was: the user's id, and the profile if there is one."""
    row = int(one.runs[0]["user"][stream])
    name, profile = (str(world.users[column].iloc[row]) for column in ("user_id", "profile"))
    return f"{name} ({profile})" if profile else name
