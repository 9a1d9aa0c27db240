"""The learning curve of a trained agent, read from its RUN folder."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from slategym.agents.run_folder import RunFolder
from slategym.files import read_json

# Points kept of a curve; a report needs no more, and a long run has thousands.
_POINTS = 200


def read_curve(name: str, run: Path) -> dict[str, Any]:
    """Return the learning curve of a run as JSON.

    Args:
        name: name of the agent.
        run: RUN folder.

    Returns:
        ``name``; ``evaluation`` (deterministic slates on fixed training users), ``exploring``
        (episodes met while training) and each of ``losses`` as
        ``{"frames": [...], "values": [...]}``; ``config``, the training options.

    Raises:
        DataError: ``progress.jsonl`` is missing or damaged.
    """
    folder = RunFolder(run)
    lines = folder.read_curve()
    rollouts = [line for line in lines if line["kind"] == "rollout"]
    points = [line for line in lines if line["kind"] == "evaluation"]
    losses = sorted({key for line in rollouts for key in line["aux"]})
    return {
        "name": name,
        "evaluation": _series([(line["frames"], line["return"]) for line in points]),
        "exploring": _series([(line["frames"], line["return"]) for line in rollouts]),
        "losses": {
            key: _series([(line["frames"], line["aux"].get(key)) for line in rollouts])
            for key in losses
        },
        "config": read_json(folder.agent)["config"],
    }


def _series(points: Sequence[tuple[int, float | None]]) -> dict[str, list[float]]:
    """Return known points as two lists, thinned evenly to `_POINTS`, the last one kept."""
    known = [(frames, value) for frames, value in points if value is not None]
    step = max(1, -(-len(known) // _POINTS))
    kept = known[::-1][::step][::-1]
    return {
        "frames": [frames for frames, _ in kept],
        "values": [round(float(value), 6) for _, value in kept],
    }
