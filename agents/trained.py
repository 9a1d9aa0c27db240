"""Trained agents as policies."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import spaces

from slategym.agents.algorithms import algorithm
from slategym.agents.checkpoint import load_arrays, load_module
from slategym.agents.classic_tables import ClassicTables
from slategym.agents.item_tables import PublicTables, Tables
from slategym.agents.policy import Observation, Slate, top_positions
from slategym.agents.run_folder import RunFolder, check_schema
from slategym.agents.slate_policy import SlatePolicy
from slategym.agents.train_config import TrainConfig
from slategym.envs.classic_variant import ClassicVariant
from slategym.envs.vector import SlateVectorEnv
from slategym.envs.world import World
from slategym.errors import DataError, UsageError
from slategym.files import read_json


class TrainedPolicy:
    """A slate network that acts: the best slate, or one drawn from its distribution.

    Args:
        network: the trained network.
        name: what it is called in reports.
        sample: draw slates from the Plackett-Luce distribution instead of taking the mode.
        slate_size: K; None = the one it was trained with.
    """

    def __init__(
        self,
        network: SlatePolicy,
        *,
        name: str = "agent",
        sample: bool = False,
        slate_size: int | None = None,
    ) -> None:
        self.network = network
        self.name = name
        self.sample = sample
        self.slate_size = network.slate.slate_size if slate_size is None else slate_size

    def act(self, observation: Observation, rng: np.random.Generator) -> Slate:
        """Return slates ``(B, K)`` of distinct candidate positions, best first."""
        scores = self.scores(observation)
        if self.sample:
            # Gumbel top-k, as in `PlackettLuce.sample`, but from the caller's generator.
            scores = scores + rng.gumbel(size=scores.shape)
        return top_positions(scores, self.slate_size)

    def scores(self, observation: Observation) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
        """Return the scores ``(B, C)`` of the candidates, natural-log odds."""
        # A copy: torch refuses to promise not to write into read-only arrays.
        tensors = {key: torch.from_numpy(np.array(value)) for key, value in observation.items()}
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            with torch.no_grad():
                scores = self.network.core(tensors).scores
        finally:
            torch.set_num_threads(threads)
        return scores.double().numpy()


def load_agent(
    run: str | Path,
    world: World | None,
    *,
    name: str = "agent",
    sample: bool = False,
    slate_size: int | None = None,
    transfer: bool = False,
) -> TrainedPolicy:
    """Return the agent of a finished training run.

    Args:
        run: the RUN folder.
        world: the world it will serve; its item table becomes the agent's. None for a classic.
        name: what the agent is called in reports.
        sample: draw slates instead of taking the best.
        slate_size: K; None = the one it was trained with.
        transfer: allow a world other than the one trained on, with item vectors, profiles and
            topics of the same width.

    Raises:
        UsageError: the run was trained on another world and ``transfer`` is False.
        DataError: the run is not finished, damaged, or does not fit the world.
    """
    folder = RunFolder(Path(run))
    record = read_json(folder.agent)
    check_schema(folder.agent, record)
    _check_world(run, record["world"], world, transfer)
    if not folder.finished:
        raise DataError(f"{run} is not finished; give the same train command again.")
    config = TrainConfig.from_json(record["config"])
    network = make_network(world, config, record["spaces"]["slate_size"])
    load_module(network, load_arrays(folder.weights))
    network.set_training_mode(False)
    return TrainedPolicy(network, name=name, sample=sample, slate_size=slate_size)


def _check_world(
    run: str | Path, then: dict[str, Any] | None, world: World | None, transfer: bool
) -> None:
    """Refuse a world other than the one trained on."""
    if then is None:
        if world is not None:
            raise UsageError(
                f"{run} was trained on a classic, which has no world; pass None, not "
                f"{world.info.name!r}."
            )
        return
    if world is None:
        raise UsageError(f"{run} was trained on world {then['name']!r}; pass a world.")
    if then["hash"] != world.hash and not transfer:
        raise UsageError(
            f"{run} was trained on world {then['name']!r} (hash {then['hash'][:12]}), "
            f"not on {world.info.name!r} ({world.hash[:12]}); pass transfer=True to allow it."
        )


def tables_of(venv: SlateVectorEnv) -> Tables:
    """Return what an agent holds of the world, or the classic, of an environment."""
    if isinstance(venv.variant, ClassicVariant):
        return ClassicTables.from_variant(venv.variant)
    return PublicTables.from_world(venv.world)


def make_network(world: World | None, config: TrainConfig, slate_size: int) -> SlatePolicy:
    """Return an untrained network for a world or a classic; its weights do not depend on C, K, H.

    Where the task's scenario takes knowledge from the platform, the network's tables lack it too.
    """
    env = config.make_env(world, 1, "ids")
    return algorithm(config.algo).network(
        env.single_observation_space,
        spaces.MultiDiscrete([slate_size] * slate_size),
        tables_of(env),
        config,
    )
