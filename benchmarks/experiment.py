"""What is compared with what, as frozen data with a hash: tasks, policies, seeds, users, budget."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

from slategym.benchmarks.executor import Cell
from slategym.envs.protocol import AnyVariant
from slategym.envs.registry import get_variant
from slategym.envs.world import World
from slategym.envs.worlds import as_world, world_of
from slategym.errors import DataError, UsageError

SCHEMA = 1
# What the names in a task stand for, kept beside them.
_STANDS_FOR = {"parameters": "variant", "world_hash": "world"}


@dataclass(frozen=True)
class AgentSpec:
    """An agent that is trained anew for each training seed.

    Attributes:
        name: its name in tables.
        settings: fields of `slategym.agents.train_config.TrainConfig` other than the variant,
            the sizes of the task and the seed.
    """

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Task:
    """A variant over a world, and who is compared on it.

    Attributes:
        name: its name in tables.
        variant: a registered env id.
        changes: parameters of the variant that differ from the registered ones.
        world: a folder, "tiny", or a ``module:function``; None for a variant without a world.
        policies: names known to `slategym.agents.policy.make_policy`, or of a classic
            `slategym.agents.classic_rules.CLASSIC_POLICIES` or ``oracle:NAME`` of its oracles.
        agents: what is trained.
        best: the policy whose mean return normalises to 1; "random" is 0. None: no normalising.
        references: policies that see what no platform sees; they never win.
        session_users: whose sessions are played: "held_out", "train", "cold" or "all" users of
            the world. Agents are trained on its training users.
    """

    name: str
    variant: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    world: str | None = None
    policies: tuple[str, ...] = ()
    agents: tuple[AgentSpec, ...] = ()
    best: str | None = None
    references: tuple[str, ...] = ()
    session_users: str = "held_out"

    def task(self) -> AnyVariant:
        """Return the variant with its changes.

        Raises:
            UsageError: an unknown variant or parameter.
        """
        return get_variant(self.variant).override(**self.changes)

    def opened(self) -> World | None:
        """Return the world as the variant's platform knows it, or None without one."""
        return None if self.world is None else world_of(self.task(), as_world(self.world))

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Return the task that `dataclasses.asdict` wrote."""
        plain = {key: entry for key, entry in value.items() if key not in _STANDS_FOR}
        plain["policies"] = tuple(plain["policies"])
        plain["references"] = tuple(plain["references"])
        plain["agents"] = tuple(AgentSpec(**agent) for agent in plain["agents"])
        return cls(**plain)


@dataclass(frozen=True)
class Experiment:
    """Tasks, each with its contenders, and how much is spent on them.

    Users and luck of the sessions are shared by all contenders of a task, whatever the training
    seed: differences are paired.

    Attributes:
        name: what it is called in tables.
        tasks: what is played.
        training_seeds: one training of each agent for each.
        users: sessions of held-out user streams for each of ``user_seeds``.
        user_seeds: first halves of the streams' names.

    Raises:
        UsageError: no task, users or seeds, or a name that stands twice.
    """

    name: str
    tasks: tuple[Task, ...]
    training_seeds: tuple[int, ...] = (0, 1, 2)
    users: int = 512
    user_seeds: tuple[int, ...] = (0,)

    def __post_init__(self) -> None:
        for name in ("tasks", "training_seeds", "user_seeds"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if not self.tasks or not self.user_seeds or self.users < 1:
            raise UsageError("an experiment needs at least one task, one user and one user seed.")
        if any(task.agents for task in self.tasks) and not self.training_seeds:
            raise UsageError("an experiment with agents needs at least one training seed.")
        _refuse_twins("task", [task.name for task in self.tasks])
        for task in self.tasks:
            _refuse_twins("contender", [*task.policies, *(one.name for one in task.agents)])
            for anchor in () if task.best is None else ("random", task.best):
                if anchor not in task.policies:
                    raise UsageError(
                        f"task {task.name!r} normalises by {anchor!r}, which is not among its "
                        f"policies ({', '.join(task.policies)})."
                    )

    def to_json(self) -> dict[str, Any]:
        """Return the experiment as JSON, worlds and parameters of variants by their content."""
        return {
            "schema": SCHEMA,
            "name": self.name,
            "tasks": [identity(task) for task in self.tasks],
            "training_seeds": list(self.training_seeds),
            "users": self.users,
            "user_seeds": list(self.user_seeds),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Return the experiment that `to_json` wrote.

        Raises:
            DataError: another schema.
        """
        if value.get("schema") != SCHEMA:
            raise DataError(
                f"the experiment has schema {value.get('schema')!r}, this version of slategym "
                f"reads {SCHEMA}; run it again into a new folder."
            )
        return cls(
            value["name"],
            tuple(Task.from_json(task) for task in value["tasks"]),
            tuple(value["training_seeds"]),
            value["users"],
            tuple(value["user_seeds"]),
        )

    @property
    def hash(self) -> str:
        """16 hexadecimal digits over everything that a policy's numbers depend on.

        Contenders are left out: experiments that differ in them alone can be put on one
        leaderboard.
        """
        plain = self.to_json()
        left_out = ("policies", "agents", "references")
        plain["tasks"] = [
            {key: value for key, value in task.items() if key not in left_out}
            for task in plain["tasks"]
        ]
        del plain["training_seeds"]
        text = json.dumps(plain, sort_keys=True, allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def cells(self) -> Iterator[tuple[str, str, int | None, Cell]]:
        """Yield task name, contender name, training seed (None: not trained) and the cell."""
        for task in self.tasks:
            bare = identity(replace(task, policies=(), agents=(), references=(), best=None))
            base = {"task": bare, "users": self.users, "user_seeds": list(self.user_seeds)}
            for name in task.policies:
                yield task.name, name, None, {**base, "policy": name}
            for agent in task.agents:
                trained = {**base, "agent": asdict(agent)}
                for seed in self.training_seeds:
                    yield task.name, agent.name, seed, {**trained, "seed": seed}


def identity(task: Task) -> dict[str, Any]:
    """Return a task as JSON with what its names stand for today."""
    world = task.opened()
    return {
        **json.loads(json.dumps(asdict(task))),
        "parameters": json.loads(json.dumps(task.task().to_json())),
        "world_hash": None if world is None else world.hash,
    }


def task_of(cell: Cell) -> Task:
    """Return the task of a cell, if its names still stand for what they stood for.

    Raises:
        DataError: the world or the variant is another one here and now.
    """
    task = Task.from_json(cell["task"])
    found = identity(task)
    for key, what in _STANDS_FOR.items():
        if cell["task"][key] != found[key]:
            raise DataError(
                f"the {what} of task {task.name!r} is not what the experiment was begun with; "
                "run it into a new folder."
            )
    return task


def _refuse_twins(what: str, names: list[str]) -> None:
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"the {what} {twice!r} is given twice; each needs a name of its own.")
