"""Return against a second signal: ``python -m slategym.benchmarks.pareto`` trains a grid of both.

One option is varied: a floor under the signal (`slategym.agents.constraint`), or a weight of the
reward. Every value is trained with the same seeds and judged on the same held-out users, by the
reward of the variant as it is. Cells are kept as they finish: the same command resumes.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from slategym.benchmarks.cells import cell_key
from slategym.benchmarks.drawing import INK, MUTED, canvas, house_style, place_labels, save
from slategym.benchmarks.executor import BACKENDS, Arrays, Cell, Executor
from slategym.envs.classic_variant import ClassicVariant
from slategym.envs.vector import SlateVectorEnv
from slategym.envs.worlds import as_world
from slategym.errors import SlateGymError, UsageError
from slategym.files import write_json
from slategym.progress import Progress

if TYPE_CHECKING:
    from slategym.agents.train_config import TrainConfig

FloatArray = npt.NDArray[np.float64]
# Held-out users with this luck judge fronts alone.
USER_SEED = 20_261_126


@dataclass(frozen=True)
class Grid:
    """What is trained and how it is judged, as plain values."""

    varied: str
    """A field of `TrainConfig`, or ``env.NAME``: a parameter of the variant."""
    values: tuple[float, ...]
    """Its values, one point of the front each."""
    signal: str = "diversity"
    """The second axis; see `slategym.agents.constraint.signal_of`."""
    world: str | None = "tiny"
    """A world folder, "tiny" or ``module:function``; None for a classic."""
    variant: str = "slategym/World-v0"
    """Registered id."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Other training options, the same for all."""
    seeds: int = 3
    """Trainings of each value, seeds 0, 1, ..."""
    users: int = 512
    """Held-out user streams that judge."""

    def __post_init__(self) -> None:
        if not self.values or len(set(self.values)) < len(self.values):
            raise UsageError(f"{self.varied} takes {list(self.values)}; give distinct values.")
        if self.seeds < 1 or self.users < 1:
            raise UsageError("a front needs at least 1 seed and 1 user.")

    def cells(self) -> list[Cell]:
        """Return one cell for each value and seed, value by value."""
        plain = asdict(self) | {"options": dict(self.options)}
        same = {k: plain[k] for k in ("varied", "signal", "world", "variant", "options", "users")}
        if self.world is not None:
            same["hash"] = as_world(self.world).hash
        return [
            {"kind": "pareto", **same, "value": value, "seed": seed}
            for value in self.values
            for seed in range(self.seeds)
        ]


def run_cell(cell: Cell, scratch: str | None) -> Arrays:
    """Train one value with one seed, and return what held-out users made of it."""
    from slategym.agents.constraint import signal_of
    from slategym.agents.evaluation import evaluate
    from slategym.agents.presets import preset_config
    from slategym.agents.trained import load_agent
    from slategym.agents.training import train

    assert scratch is not None
    base = preset_config(cell["variant"], **{**cell["options"], "evaluations": 0})
    world = None if cell["world"] is None else as_world(cell["world"])
    run = Path(scratch) / "run"
    train(world, run, _with(base, cell))
    task = base.task()
    if isinstance(task, ClassicVariant):
        venv = base.make_env(None, cell["users"], "ids")
    else:
        venv = SlateVectorEnv(
            cell["users"], variant=task, world=world, users="held_out", observation="ids"
        )
    found = evaluate(load_agent(run, world), venv, USER_SEED, signal_of(cell["signal"], venv))
    return {"point": np.array([found["return"], found["signal"]])}


def _with(base: "TrainConfig", cell: Cell) -> "TrainConfig":
    """Return a configuration with the cell's value and seed."""
    name, value = str(cell["varied"]), float(cell["value"])
    plain = int(value) if value.is_integer() else value
    if name.startswith("env."):
        env = {**base.env, name.removeprefix("env."): plain}
        return replace(base, seed=cell["seed"], env=env)
    changes = {name: plain, "seed": cell["seed"]}
    if name == "floor" and base.constraint is None:
        changes["constraint"] = cell["signal"]
    return base.from_json({**base.to_json(), **changes})


def dominated(points: FloatArray) -> npt.NDArray[np.bool_]:
    """Return which points ``(n, 2)`` another beats in one and does not lose to in the other."""
    first, second = points[:, None], points[None]
    better = np.all(second >= first, axis=2) & np.any(second > first, axis=2)
    return np.asarray(np.any(better, axis=1))


def hypervolume(points: FloatArray, reference: tuple[float, float] = (0.0, 0.0)) -> float:
    """Return the area that points ``(n, 2)`` dominate above a reference; more is better.

    (Zitzler and Thiele 1998, "Multiobjective optimization using evolutionary algorithms".)
    """
    area, height = 0.0, reference[1]
    for x, y in sorted(points.tolist(), reverse=True):
        if x > reference[0] and y > height:
            area += (x - reference[0]) * (y - height)
            height = y
    return area


def front(
    grid: Grid,
    out: Path | str,
    executor: Executor | None = None,
    reference: tuple[float, float] = (0.0, 0.0),
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Train what ``out`` lacks of a grid; write ``front.json``, ``front.svg`` and ``front.png``.

    Args:
        grid: what to train.
        out: a folder; cells of other grids in it are left alone.
        executor: where cells run; here, one after the other, if None.
        reference: of the hypervolume, as return and signal.
        progress: hears of finished cells.

    Returns:
        The content of ``front.json``.

    Raises:
        UsageError: an option or a value that cannot be.
    """
    folder, cells = Path(out), grid.cells()
    arrays = (executor or Executor()).run(run_cell, cells, folder, progress)
    found = np.array([arrays[cell_key(cell)]["point"] for cell in cells])
    runs = found.reshape(len(grid.values), grid.seeds, 2)
    means = runs.mean(axis=1)
    beaten = dominated(means)
    points = [
        {
            "value": value,
            "return": float(mean[0]),
            "signal": float(mean[1]),
            "dominated": bool(lost),
            "runs": each.tolist(),
        }
        for value, mean, lost, each in zip(grid.values, means, beaten, runs, strict=True)
    ]
    result = {
        "grid": asdict(grid),
        "points": points,
        "reference": list(reference),
        "hypervolume": hypervolume(means, reference),
    }
    write_json(folder / "front.json", result)
    _draw(result, folder)
    return result


def _draw(result: Mapping[str, Any], folder: Path) -> None:
    """Draw all runs, their means, and the front."""
    grid, points = result["grid"], result["points"]
    with house_style():
        figure, axes = canvas()
        runs = np.concatenate([np.asarray(point["runs"]) for point in points])
        axes.scatter(runs[:, 0], runs[:, 1], s=10, color=MUTED, alpha=0.5, linewidths=0, zorder=2)
        kept = np.array(sorted((p["return"], p["signal"]) for p in points if not p["dominated"]))
        axes.plot(kept[:, 0], kept[:, 1], color=INK, zorder=3)
        places = [(point["return"], point["signal"]) for point in points]
        tints = [MUTED if point["dominated"] else INK for point in points]
        axes.scatter([x for x, _ in places], [y for _, y in places], s=28, c=tints, zorder=4)
        axes.set_xlabel("return of held-out users")
        axes.set_ylabel(grid["signal"])
        axes.margins(0.12)
        # Labels keep clear of single runs and of the line as of points without a label.
        along = [kept[:-1] + share * np.diff(kept, axis=0) for share in (0.1, 0.2, 0.4, 0.6, 0.8)]
        clear = [(float(x), float(y)) for x, y in np.concatenate([runs, *along])]
        texts = [f"{point['value']:g}" for point in points] + [""] * len(clear)
        place_labels(axes, places + clear, texts, tints + [INK] * len(clear))
        title = f"Return against {grid['signal']}, by {grid['varied']}"
        caption = "Means of seeds; small dots are single runs, grey points are dominated."
        save(figure, folder, "front", title, caption)


def print_front(result: Mapping[str, Any]) -> None:
    """Print the points, the highest return first."""
    grid = result["grid"]
    print(f"| {grid['varied']} | return | {grid['signal']} | |\n|---|---|---|---|")
    for point in sorted(result["points"], key=lambda one: -one["return"]):
        runs = np.asarray(point["runs"])
        cells = [
            f"{mean:.3f} ({low:.3f} to {high:.3f})"
            for mean, low, high in zip(runs.mean(0), runs.min(0), runs.max(0), strict=True)
        ]
        mark = "dominated" if point["dominated"] else "on the front"
        print(f"| {point['value']:g} | {cells[0]} | {cells[1]} | {mark} |")
    at = " and ".join(f"{value:g}" for value in result["reference"])
    print(f"\nhypervolume above ({at}): {result['hypervolume']:.4f}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="pareto", description=__doc__)
    parser.add_argument("varied", metavar="NAME=V,V,...", help="e.g. floor=0.7,0.8,0.9")
    parser.add_argument("--out", required=True, type=Path, metavar="FOLDER")
    parser.add_argument("--signal", default="diversity", help="diversity or response_...")
    parser.add_argument("--world", default="tiny", help="a folder; `none` for a classic")
    parser.add_argument("--variant", default="slategym/World-v0", metavar="ID")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--users", type=int, default=512)
    parser.add_argument("--frames", type=int, default=40_000)
    parser.add_argument("-s", dest="settings", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--backend", default="local", choices=BACKENDS)
    parser.add_argument("--workers", type=int)
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, print and write a front."""
    given = _parser().parse_args(arguments)
    try:
        name, values = _varied(given.varied)
        options: dict[str, Any] = {"frames": given.frames}
        for text in given.settings:
            key, value = _pair(text)
            if key.startswith("env."):
                options.setdefault("env", {})[key.removeprefix("env.")] = value
            else:
                options[key] = value
        world = None if given.world == "none" else given.world
        grid = Grid(
            name, values, given.signal, world, given.variant, options, given.seeds, given.users
        )
        print_front(front(grid, given.out, Executor(given.backend, given.workers)))
    except SlateGymError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.exit_code)


def _pair(text: str) -> tuple[str, Any]:
    """Return name and value of ``NAME=VALUE``."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise UsageError(f"{text!r} is not understood; write NAME=VALUE.")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _varied(text: str) -> tuple[str, tuple[float, ...]]:
    """Return name and values of ``NAME=V,V,...``."""
    name, _, values = text.partition("=")
    try:
        return name, tuple(float(value) for value in values.split(","))
    except ValueError:
        raise UsageError(f"{text!r} is not understood; write NAME=V,V,... with numbers.") from None


if __name__ == "__main__":
    main()
