"""The RUN folder of a training run: what it holds, and to whom it belongs."""

import importlib.metadata
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slategym.agents.train_config import TrainConfig
from slategym.envs.protocol import AnyVariant
from slategym.envs.world import World
from slategym.errors import DataError, UsageError
from slategym.files import read_json, write_json

SCHEMA_VERSION = 1
AGENT, WEIGHTS, CURVE, CHECKPOINT = (
    "agent.json",
    "policy.safetensors",
    "progress.jsonl",
    "checkpoint",
)
_PACKAGES = ("slategym", "torch", "stable_baselines3", "gymnasium", "numpy")


@dataclass(frozen=True)
class RunFolder:
    """Paths of one training run.

    ``agent.json`` says what is trained on what; ``progress.jsonl`` is the learning curve;
    ``checkpoint/`` holds the state to continue from; ``policy.safetensors`` appears last and
    marks the run as finished.
    """

    path: Path

    @property
    def agent(self) -> Path:
        """Configuration, world and versions."""
        return self.path / AGENT

    @property
    def weights(self) -> Path:
        """The trained weights."""
        return self.path / WEIGHTS

    @property
    def curve(self) -> Path:
        """One JSON object per line: rollouts and evaluations in order."""
        return self.path / CURVE

    @property
    def checkpoint(self) -> Path:
        """State to continue from."""
        return self.path / CHECKPOINT

    @property
    def finished(self) -> bool:
        """Whether training is done."""
        return self.weights.exists()

    def begun(self, world: World | None, config: TrainConfig) -> bool:
        """Return whether this very run was begun here before.

        Raises:
            UsageError: the folder holds another run, or something that is no run.
            DataError: ``agent.json`` is damaged or of another schema.
        """
        if self.agent.exists():
            self._compare(read_json(self.agent), world, config)
            return True
        if self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
            raise UsageError(
                f"{self.path} is not empty and is no training run ({AGENT} is missing); "
                "give an empty or a new folder."
            )
        return False

    def begin(self, world: World | None, config: TrainConfig, world_path: Path | None) -> None:
        """Write ``agent.json``: from now on the folder belongs to this run.

        Args:
            world: what is trained on; None for a classic.
            config: how.
            world_path: where the world lies on disk, if it does.
        """
        task = config.task()
        record = {
            "schema_version": SCHEMA_VERSION,
            "config": config.to_json(),
            "variant": config.variant,
            "parameters": task.parameters,
            "task": task.to_json(),
            "world": None if world is None else _world_facts(world, world_path),
            "spaces": {
                "slate_size": task.slate_size,
                "num_candidates": task.num_candidates,
            }
            | ({} if world is None else _world_sizes(world)),
            "versions": _versions(),
        }
        write_json(self.agent, record)

    def changed_versions(self) -> list[str]:
        """Return which packages are not of the version that the run was begun with."""
        then = read_json(self.agent)["versions"]
        return [
            f"{name} {then.get(name)} then, {now} now"
            for name, now in _versions().items()
            if then.get(name) != now
        ]

    def _compare(self, record: dict[str, Any], world: World | None, config: TrainConfig) -> None:
        """Refuse a folder that was started with something else."""
        check_schema(self.agent, record)
        held: Any = record["world"]
        then: dict[str, Any] = held or {"name": None, "hash": "none"}
        if then["hash"] != ("none" if world is None else world.hash):
            now = "none" if world is None else f"{world.info.name!r} ({world.hash[:12]})"
            raise UsageError(
                f"{self.path} was trained on world {then['name']!r} "
                f"(hash {then['hash'][:12]}), not on {now}; give another folder."
            )
        # Options that came later have their default in an older record.
        was = TrainConfig.from_json(record["config"]).to_json()
        asked = config.to_json()
        differing = [key for key in asked if was[key] != asked[key]]
        if differing:
            key = differing[0]
            raise UsageError(
                f"{self.path} holds a run with {key} = {was[key]!r}, "
                f"not {asked[key]!r}; give another folder or the same options."
            )
        changes = changed_parameters(record, config.task())
        if changes:
            raise UsageError(
                f"{self.path} holds a run on other parameters of variant {config.variant!r}: "
                f"{'; '.join(changes)}; give another folder, and the changed variant a new version."
            )

    def append(self, record: dict[str, Any]) -> None:
        """Add one line to the learning curve; it is on disk when this returns."""
        with self.curve.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(record, sort_keys=True, allow_nan=False) + "\n")
            stream.flush()
            os.fsync(stream.fileno())

    def cut(self, size: int) -> None:
        """Cut the learning curve back to its first ``size`` bytes."""
        self.curve.touch()
        os.truncate(self.curve, size)

    def read_curve(self) -> list[dict[str, Any]]:
        """Return the lines of the learning curve.

        Raises:
            DataError: the curve is missing or damaged.
        """
        try:
            lines = self.curve.read_text(encoding="utf-8").splitlines()
            return [json.loads(line) for line in lines]
        except (FileNotFoundError, json.JSONDecodeError) as error:
            raise DataError(
                f"{self.curve} cannot be read ({error}); delete the run and train again."
            ) from None


def _world_facts(world: World, path: Path | None) -> dict[str, Any]:
    """Return which world a run is on."""
    return {
        "hash": world.hash,
        "name": world.info.name,
        "path": None if path is None else str(path.resolve()),
        "synthetic": world.info.synthetic,
    }


def _world_sizes(world: World) -> dict[str, int]:
    """Return the sizes that the network takes from a world."""
    return {
        "history": world.user_history.shape[1],
        "profile": world.user_profile.shape[1],
        "topics": world.n_topics,
        "vector": world.item_vectors.shape[1],
    }


def _versions() -> dict[str, str]:
    """Return the installed versions of what weights depend on."""
    return {name: importlib.metadata.version(name) for name in _PACKAGES}


def changed_parameters(record: dict[str, Any], task: AnyVariant) -> list[str]:
    """Return what differs between the variant a run was begun on and the one of its id now.

    The encoding is left out: a run chooses its own.

    Args:
        record: content of ``agent.json``; one without parameters, as written before they were
            kept, is taken to agree.
        task: the variant now, in the run's own sizes.
    """
    now = json.loads(json.dumps(task.parameters))  # as the record went through JSON
    then = record.get("parameters", now)
    names = sorted((then.keys() | now.keys()) - {"observation"})
    return [
        f"{name} is {then.get(name)!r} there and {now.get(name)!r} now"
        for name in names
        if then.get(name) != now.get(name)
    ]


def check_schema(path: Path, record: Any) -> None:  # noqa: ANN401
    """Refuse a run written by another schema.

    Raises:
        DataError: the version differs from `SCHEMA_VERSION`.
    """
    version = record.get("schema_version") if isinstance(record, dict) else None
    if version != SCHEMA_VERSION:
        raise DataError(
            f"{path} has schema version {version!r}; this slategym reads {SCHEMA_VERSION}: "
            "train again."
        )
