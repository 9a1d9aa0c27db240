"""Training runs that survive being killed: the same command continues them, bit for bit."""

import math
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from slategym.agents.algorithms import algorithm
from slategym.agents.checkpoint import (
    Arrays,
    module_arrays,
    read_checkpoint,
    save_arrays,
    write_checkpoint,
)
from slategym.agents.constraint import Constraint
from slategym.agents.judging import EVALUATION_SEED, Judges
from slategym.agents.run_folder import RunFolder
from slategym.agents.run_watch import Watch, point_of
from slategym.agents.sb3_env import as_sb3
from slategym.agents.serving import save_serving
from slategym.agents.stopping import best_of, is_over
from slategym.agents.train_config import TrainConfig
from slategym.agents.trained import TrainedPolicy, tables_of
from slategym.agents.warm_start import clone_rule
from slategym.envs.classic_variant import ClassicVariant
from slategym.envs.world import World
from slategym.errors import DataError, UsageError
from slategym.files import read_json
from slategym.progress import Progress, Silent, stage
from slategym.trackers import Tracker

# What a random episode is worth where the scale of rewards is left to training.
RANDOM_WORTH = 1.0
SCALE_USERS = 512


@dataclass(frozen=True)
class TrainResult:
    """What a finished run can tell."""

    run: Path
    """The RUN folder."""
    seed: int
    """Of the run."""
    frames: int
    """User-steps trained for."""
    cpu_seconds: float
    """CPU time of collecting and learning, evaluations left out."""
    evaluations: tuple[dict[str, float], ...]
    """frames, return, length, clicks on fixed training users, from untrained to final; also on
    held-out users and items where asked for, see `slategym.agents.judging.Judges.point`."""
    stopped: bool = False
    """Whether the run ended early, for want of a better evaluation."""
    kept_frames: int | None = None
    """Frames after which the kept weights were reached; None: at the end."""

    @property
    def kept(self) -> dict[str, float] | None:
        """The evaluation of the weights that the run ended with, or None if there was none."""
        found = [p for p in self.evaluations if p["frames"] == self.kept_frames]
        return (found or self.evaluations or (None,))[-1]

    @property
    def final_return(self) -> float | None:
        """Mean return of the weights that the run ended with, or None if it was not measured."""
        return None if self.kept is None else self.kept["return"]


def train(
    world: World | str | Path | None,
    out: str | Path,
    config: TrainConfig | None = None,
    progress: Progress | None = None,
    watch: Watch | None = None,
) -> TrainResult:
    """Train an agent on a world's training users and write a RUN folder.

    Given again, the same call continues where a killed one stopped and ends with the same
    weights, bit for bit; once finished it returns at once.

    Args:
        world: a world or its folder; None for a classic, which has none.
        out: the RUN folder; new, empty, or begun by the same call.
        config: what to train; the default configuration if None.
        progress: where to report to.
        watch: who else is told of the curve; nobody if None.

    Raises:
        UsageError: the folder holds another run, the configuration does not fit the variant, or
            a package that ``watch`` needs is not installed.
        DataError: the world or the checkpoint is damaged; or training diverged: the message says
            at which frame and by which figure.
    """
    config = TrainConfig() if config is None else config
    progress = Silent() if progress is None else progress
    path = None if world is None or isinstance(world, World) else Path(world)
    opened = world if path is None else World.open(path)
    assert opened is None or isinstance(opened, World)
    _check_world(opened, config)
    folder = RunFolder(Path(out))
    begun = folder.begun(opened, config)
    if not folder.finished:
        for change in folder.changed_versions() if begun else ():
            progress.note(f"{change}: the weights may not be those of an unbroken run")
        with private_torch(config.threads):
            trainer = _Trainer(opened, folder, config)
            if not begun:
                folder.begin(opened, config, path)
            trainer.run(progress, watch or Watch())
    return read_result(folder.path)


def _check_world(world: World | None, config: TrainConfig) -> None:
    """Refuse a classic in a world, and another variant without one."""
    classic = isinstance(config.task(), ClassicVariant)
    if classic and world is not None:
        raise UsageError(
            f"variant {config.variant!r} is a classic and lives in no world; leave --world out."
        )
    if not classic and world is None:
        raise UsageError(
            f"variant {config.variant!r} needs a world; name one with --world (see slategym build)."
        )


def read_result(run: str | Path) -> TrainResult:
    """Return what a finished run's learning curve says.

    Raises:
        DataError: the curve is missing or damaged.
    """
    folder = RunFolder(Path(run))
    lines = folder.read_curve()
    rollouts = [line for line in lines if line["kind"] == "rollout"]
    points = [line for line in lines if line["kind"] == "evaluation"]
    frames = int(rollouts[-1]["frames"]) if rollouts else 0
    seconds = float(rollouts[-1]["cpu_seconds"]) if rollouts else 0.0
    evaluations = tuple({k: v for k, v in p.items() if k != "kind"} for p in points)
    seed = int(read_json(folder.agent)["config"]["seed"])
    end = next((line for line in lines if line["kind"] == "end"), {})
    kept, stopped = end.get("kept_frames"), bool(end.get("stopped", False))
    return TrainResult(folder.path, seed, frames, seconds, evaluations, stopped, kept)


@contextmanager
def private_torch(threads: int) -> Iterator[None]:
    """Run a block on its own global generators and number of torch threads.

    Stable-Baselines3 draws from the global generators of torch and NumPy; they are put back as
    they were. One thread is right for networks this small: a second one mostly spins.
    """
    before = random.getstate(), np.random.get_state(), torch.get_num_threads()  # noqa: NPY002
    with torch.random.fork_rng(devices=[]):
        torch.set_num_threads(threads)
        try:
            yield
        finally:
            random.setstate(before[0])
            np.random.set_state(before[1])  # noqa: NPY002
            torch.set_num_threads(before[2])


def seed_rollout(seed: int, iteration: int) -> None:
    """Seed exploration and minibatch order as a function of run seed and rollout alone."""
    for_torch, for_numpy = np.random.SeedSequence([seed, iteration]).generate_state(2).tolist()
    torch.manual_seed(for_torch)
    np.random.seed(for_numpy)  # noqa: NPY002 - RolloutBuffer.get permutes with the global one


class _Trainer:
    """One training run in progress."""

    def __init__(self, world: World | None, folder: RunFolder, config: TrainConfig) -> None:
        self.folder, self.config = folder, config
        self.judges = Judges(world, config)
        seen = config.make_env(self.judges.world, config.num_envs, config.observation, held=False)
        self.env = as_sb3(seen)
        self.env.reward_scale = config.reward_scale or _automatic_scale(self.judges.world, config)
        self.tables = tables_of(self.env.venv)
        self.model = algorithm(config.algo).from_config(self.env, self.tables, config)
        self.constraint: Constraint | None = None
        if self.judges.signal is not None:
            bounds = config.floor, config.multiplier_rate, config.multiplier_limit
            self.constraint = Constraint(self.judges.signal, *bounds)
            self.model.constrain(self.constraint)
        self.floor = None if self.constraint is None else config.floor
        self.points: list[dict[str, Any]] = []
        self.best: Arrays = {}
        self.cpu_seconds = 0.0

    def run(self, progress: Progress, watch: Watch) -> None:
        """Train from the latest checkpoint, or from the start, to the end."""
        rollouts, size = self.config.rollouts, self.config.rollout_frames
        self.model.begin(rollouts * size)
        done = self._resume()
        with watch.open(self.folder) as self.tell, stage(progress, "train", rollouts * size):
            progress.advance("train", done * size)
            if done == 0:
                self._start()
                self._evaluate(progress)
            for iteration in range(done, rollouts):
                self._iterate(iteration)
                progress.advance("train", size)
                if iteration + 1 in self._due():
                    self._evaluate(progress)
                    if self._over():
                        break
                if (iteration + 1) % self.config.checkpoint_every == 0:
                    self._checkpoint(iteration + 1)
            self._end(progress)
        space = self.judges.watched.single_observation_space
        save_serving(self.folder.path, space, self.tables)
        save_arrays(self.folder.weights, self.best or module_arrays(self.model.policy))

    tell: Tracker

    def _append(self, record: dict[str, Any]) -> None:
        """Add a line to the curve, and tell who watches."""
        self.folder.append(record)
        self.tell(*point_of(record))

    def _over(self) -> bool:
        """Return whether the last evaluations brought nothing better for too long."""
        return is_over(self.points, self.config.patience, self.floor)

    def _end(self, progress: Progress) -> None:
        """Say in the curve how the run ended and which weights it keeps, where that is open."""
        if self.config.patience == 0 and self.config.keep == "last":
            return
        frames = self.model.num_timesteps
        best = int(self.points[best_of(self.points, self.floor)]["frames"])
        kept = best if self.config.keep == "best" else frames
        record = {"best_frames": best, "kept_frames": kept, "stopped": self._over()}
        self._append({"kind": "end", "frames": frames} | record)
        why = f"stopped at {frames:,} frames" if record["stopped"] else "all frames done"
        progress.note(f"{why}; best at {best:,}, weights of {kept:,} kept")

    def _start(self) -> None:
        """Clone a rule first where that is asked for."""
        if self.config.warm_start:
            start = time.process_time()
            torch.manual_seed(self.config.seed)
            clone_rule(self.model.policy, self.config, self.env.reward_scale, self.judges.world)
            self.cpu_seconds += time.process_time() - start

    def _due(self) -> set[int]:
        """Return the rollouts after which the agent is evaluated; the last is one of them."""
        points, rollouts = self.config.evaluations, self.config.rollouts
        return {round(rollouts * point / points) for point in range(1, points + 1)}

    def _iterate(self, iteration: int) -> None:
        """Do one rollout and its gradient steps, and write its line of the curve."""
        start = time.process_time()
        seed_rollout(self.config.seed, iteration)
        weigh = self.model.policy.weigh
        weigh.share = self.config.aux_share(1.0 - iteration / self.config.rollouts)
        self.model.iterate()
        self.cpu_seconds += time.process_time() - start
        record = self._figures()
        if self.constraint is not None:
            record["constraint"] = self.constraint.update()
        if weigh.weighting != "fixed":
            record["aux_weights"] = weigh.now()
        every = self.config.gradients_every
        if every and iteration % every == 0:
            found = self.model.gradients()
            record["gradient_norms"] = found.norms
            if found.cosines:
                record[f"cosine_with_{found.reference}"] = found.cosines
        self._append(record)

    def _figures(self) -> dict[str, Any]:
        """Return what the last rollout says: returns, losses, time."""
        returns, lengths = self.env.take_finished()
        aux, figures = self.model.policy.take_aux_means(), self.model.figures()
        _check_finite(figures | aux, self.model.num_timesteps)
        finite = {k: v if math.isfinite(v) else None for k, v in figures.items()}
        return {
            "kind": "rollout",
            "frames": self.model.num_timesteps,
            "episodes": len(returns),
            "return": float(returns.mean()) if len(returns) else None,
            "length": float(lengths.mean()) if len(lengths) else None,
            "aux": aux,
            "cpu_seconds": round(self.cpu_seconds, 3),
        } | finite

    def _evaluate(self, progress: Progress) -> None:
        """Add a point on the fixed training users to the curve."""
        if self.config.evaluations == 0:
            return
        frames = self.model.num_timesteps
        found = self.judges.point(TrainedPolicy(self.model.policy))
        point: dict[str, Any] = {"kind": "evaluation", "frames": frames} | found
        self.points.append(point)
        best = best_of(self.points, self.floor) == len(self.points) - 1
        if best and self.config.keep == "best":
            self.best = module_arrays(self.model.policy)
        self._append(point)
        progress.note(f"{frames:,} frames: return {point['return']:.2f} on training users")

    def _checkpoint(self, iteration: int) -> None:
        """Make the state after ``iteration`` rollouts what a killed run continues from."""
        arrays, facts = self.model.get_state()
        arrays |= {f"best.{name}": array for name, array in self.best.items()}
        facts |= {
            "multiplier": 0.0 if self.constraint is None else self.constraint.multiplier,
            "cpu_seconds": self.cpu_seconds,
            "curve_bytes": self.folder.curve.stat().st_size,
        }
        write_checkpoint(self.folder.checkpoint, iteration, arrays, facts)

    def _resume(self) -> int:
        """Go back to the latest checkpoint and return how many rollouts it holds."""
        found = read_checkpoint(self.folder.checkpoint)
        if found is None:
            self.folder.cut(0)
            return 0
        arrays, facts = found
        self.model.set_state(arrays, facts)
        self.best = {k.removeprefix("best."): v for k, v in arrays.items() if k[:5] == "best."}
        if self.constraint is not None:
            self.constraint.multiplier = float(facts["multiplier"])
        self.cpu_seconds = float(facts["cpu_seconds"])
        self.folder.cut(int(facts["curve_bytes"]))
        self.points = [p for p in self.folder.read_curve() if p["kind"] == "evaluation"]
        return int(facts["iteration"])


def _check_finite(figures: dict[str, float], frames: int) -> None:
    """Stop a run that diverged.

    Raises:
        DataError: a figure is not finite, but for the explained variance, which is not where
            nothing was earned.
    """
    for name, value in figures.items():
        if not math.isfinite(value) and name != "explained_variance":
            raise DataError(
                f"training diverged at frame {frames:,}: {name} is {value}; the last checkpoint "
                "is kept, but it would diverge again: lower learning_rate or reward_scale, or "
                "raise batch_size, and train into a new folder."
            )


def _automatic_scale(world: World | None, config: TrainConfig) -> float:
    """Return what makes an episode of random slates worth `RANDOM_WORTH`."""
    venv = config.make_env(world, SCALE_USERS, config.observation)
    venv.reset(seed=EVALUATION_SEED)
    rng = np.random.default_rng(EVALUATION_SEED)
    task = config.task()
    alive, total = np.ones(SCALE_USERS, bool), np.zeros(SCALE_USERS)
    while alive.any():
        noise = rng.random((SCALE_USERS, task.num_candidates))
        slates = noise.argsort(1)[:, : task.slate_size]
        _, reward, ended, cut, _ = venv.step(slates.reshape(venv.action_space.shape))
        total += alive * reward
        alive &= ~(ended | cut)
    worth = float(np.abs(total).mean())
    return RANDOM_WORTH / worth if worth > 0 else 1.0
