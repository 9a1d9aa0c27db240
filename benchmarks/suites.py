"""Named experiments: what `slategym bench SUITE` runs."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from slategym.benchmarks.experiment import AgentSpec, Experiment, Task
from slategym.errors import UsageError, unknown_name

DOMAINS = ("Video", "Music", "News", "Shop", "World")
_PUBLIC = (
    "random", "popularity", "quality", "threshold", "cf-greedy", "cf-mmr", "cf-dpp",
    "cf-calibrated", "cf-rested", "linucb",
)  # fmt: skip
# What sees the hidden state: tastes, the best slate for now, and one that plans.
_SEEING = ("oracle-myopic", "oracle-reward", "oracle-planner")
_CLASSIC_RULES = {
    "interest_evolution": ("random", "quality", "myopic", "ratio"),
    "interest_exploration": ("random", "quality", "prior", "bayes"),
    "long_term_satisfaction": ("random", "kale", "choc", "myopic", "planner"),
}
_EVOLUTION, _EXPLORATION = "interest_evolution", "interest_exploration"
_SATISFACTION = "long_term_satisfaction"
_CLASSICS: tuple[tuple[str, str, str, Mapping[str, Any]], ...] = (
    ("evolution 3 of 10", "InterestEvolution", _EVOLUTION, {}),
    ("evolution 2 of 10", "InterestEvolution", _EVOLUTION, {"slate_size": 2}),
    ("satisfaction, n = 20", "LongTermSatisfaction", _SATISFACTION, {"num_candidates": 20}),
    ("satisfaction, hard", "LongTermSatisfactionHard", _SATISFACTION, {}),
    ("satisfaction, extreme", "LongTermSatisfactionExtreme", _SATISFACTION, {}),
    ("exploration 2 of 10", "InterestExploration", _EXPLORATION, {"slate_size": 2}),
    ("exploration, niche", "NicheExploration", _EXPLORATION, {}),
)
# What is optimal, or the best known; it sees what is hidden.
_BEST = {
    _EVOLUTION: "oracle:ratio",
    _EXPLORATION: "oracle:oracle_affinity",
    _SATISFACTION: "oracle:optimal",
}
# Small: a suite is to end in minutes on two cores. For more: --frames.
CLASSIC_FRAMES, WORLD_FRAMES = 200_000, 100_000
_CONTROL = {"rank_by": "response"}


def suite(
    name: str,
    *,
    world: str = "tiny",
    frames: int | None = None,
    training_seeds: tuple[int, ...] = (0, 1, 2),
    users: int = 512,
    user_seeds: tuple[int, ...] = (0,),
) -> Experiment:
    """Return a named experiment.

    Args:
        name: a key of `SUITES`.
        world: the world of variants that need one: a folder, "tiny" or ``module:function``.
        frames: user-steps each agent is trained for; None: a budget of minutes.
        training_seeds: of each agent.
        users: sessions for each user seed.
        user_seeds: of the sessions.

    Raises:
        UsageError: an unknown suite, or sizes that cannot be.
    """
    if name not in SUITES:
        raise unknown_name("suite", name, SUITES)
    if frames is not None and frames < 1:
        raise UsageError(f"frames is {frames}; it must be at least 1.")
    tasks = tuple(_with_frames(task, frames) for task in SUITES[name](world))
    return Experiment(name, tasks, training_seeds, users, user_seeds)


def _with_frames(task: Task, frames: int | None) -> Task:
    if frames is None:
        return task
    agents = tuple(AgentSpec(one.name, {**one.settings, "frames": frames}) for one in task.agents)
    return replace(task, agents=agents)


def _agent(variant: str, frames: int, algo: str = "ppo") -> AgentSpec:
    """Return an agent with the preset of a variant, evaluations on the way left out."""
    from slategym.agents.presets import preset

    settings = {**preset(variant, algo), "algo": algo, "frames": frames, "evaluations": 0}
    return AgentSpec(algo, settings)


def _classic(_: str) -> tuple[Task, ...]:
    """Return RecSim's tasks and the harder ones, with what is best or best known."""
    tasks = []
    for name, short, family, changes in _CLASSICS:
        best = _BEST[family]
        tasks.append(
            Task(
                name,
                f"slategym/{short}-v0",
                changes,
                policies=(*_CLASSIC_RULES[family], best),
                agents=(_agent(f"slategym/{short}-v0", CLASSIC_FRAMES),),
                best=best,
                references=(best,),
            )
        )
    return tuple(tasks)


def _world_task(
    name: str, domain: str, world: str, changes: Mapping[str, Any], users: str = "held_out"
) -> Task:
    agent = _agent(f"slategym/{domain}-v0", WORLD_FRAMES)
    control = AgentSpec("supervised", {**agent.settings, **_CONTROL})
    return Task(
        name,
        f"slategym/{domain}-v0",
        changes,
        world,
        (*_PUBLIC, *_SEEING),
        (agent, control),
        references=_SEEING,
        session_users=users,
    )


def _domains(world: str) -> tuple[Task, ...]:
    """Return every domain as it is, with an agent that learns values beside the one of slates."""
    tasks = []
    for name in DOMAINS:
        task = _world_task(name.lower(), name, world, {})
        values = _agent(task.variant, WORLD_FRAMES, "slate_q")
        tasks.append(replace(task, agents=(*task.agents, values)))
    return tuple(tasks)


def _cold_start(world: str) -> tuple[Task, ...]:
    """Return a world whose users or items have no history."""
    return (
        _world_task("warm", "World", world, {}),
        _world_task("cold items", "World", world, {"cold_start": [0.3, 0.0]}),
        _world_task("cold users", "World", world, {"cold_start": [0.0, 0.5]}, "cold"),
    )


def _sparse(world: str) -> tuple[Task, ...]:
    """Return a world of which less and less of the log is public."""
    return tuple(
        _world_task(f"{share:.0%} of the log", "World", world, {"sparse": share})
        for share in (1.0, 0.3, 0.1)
    )


def _drift(world: str) -> tuple[Task, ...]:
    """Return a world in which tastes stay, walk, or jump."""
    return tuple(
        _world_task(f"drift {kind}", "World", world, {"drift": kind})
        for kind in ("none", "gradual", "sudden")
    )


def _modalities(world: str) -> tuple[Task, ...]:
    """Return a world of whose items agents see less."""
    views: dict[str, dict[str, Any]] = {
        "all": {},
        "text": {"modalities": ["text"]},
        "pictures": {"modalities": ["image"]},
    }
    return tuple(_world_task(name, "World", world, changes) for name, changes in views.items())


def _diversity(world: str) -> tuple[Task, ...]:
    """Return a world whose users tire of sameness little, some, and much."""
    return tuple(
        _world_task(f"boredom {much:g}", "World", world, {"boredom": much})
        for much in (0.0, 1.0, 3.0)
    )


SUITES: dict[str, Callable[[str], tuple[Task, ...]]] = {
    "classic": _classic,
    "domains": _domains,
    "cold-start": _cold_start,
    "sparse": _sparse,
    "drift": _drift,
    "modalities": _modalities,
    "diversity": _diversity,
}
"""Suite -> its tasks over a world; the classics need none."""
