"""Bandits: linear models of the reward that learn live, from every slate they show.

All users share one model, so what one teaches serves the next; what is personal lies in the
features. A step's reward is that of the item taken, and nothing was earned by the others.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from slategym.agents.bandit_features import BanditFeatures, shown
from slategym.agents.bandit_files import Statistics, open_statistics, save_statistics
from slategym.agents.offline_data import OfflineData
from slategym.agents.policy import Observation, Slate, top_positions
from slategym.agents.public_model import FloatArray
from slategym.envs.world import World
from slategym.errors import DataError, UsageError

Response = Mapping[str, NDArray[Any]]
"""``click`` ``(B, K)`` and ``reward`` ``(B,)`` of the step, and whatever else users gave."""
_CHUNK = 4096  # impressions of a log taken in at once


@dataclass(frozen=True)
class Posterior:
    """What a bandit believes: weights are normal with mean and covariance ``noise^2 A^-1``."""

    mean: FloatArray  # (P,)
    inverse: FloatArray  # (P, P), A^-1
    root: FloatArray  # (P, P), root @ root.T = A^-1
    noise: float  # standard deviation of a reward around the model


class LinearBandit:
    """What the bandits share: ridge regression of rewards on features, kept up to date.

    With Phi the features and r the rewards of everything shown, discounted by ``forget`` a step,
    ``A = ridge I + Phi' Phi``, ``b = Phi' r``, mean weights ``A^-1 b``.

    Args:
        world: only its public tables are read.
        slate_size: K.
        explore: how much it explores, at least 0, as each bandit says; None is its own default.
        blocks: item columns that are read: "public", all; "content", none that a log has a
            part in; "predicted", all and the public model's prediction (see
            `slategym.agents.bandit_features.BLOCKS`).
        components: most principal components of each block of these columns.
        ridge: above 0.
        forget: weight in (0, 1] that a step leaves to what was known before it; 1 forgets nothing.
        start: folder of `save` to begin with; None knows nothing.
        keep: go on from one rollout to the next; else each begins with ``start``.

    Raises:
        UsageError: an option out of range.
        DataError: the folder is not of this bandit, or of another world.
    """

    name: ClassVar[str] = ""
    usual: ClassVar[float] = 0.3
    """The default of ``explore``."""
    most: ClassVar[float] = np.inf
    """The largest ``explore``."""

    def __init__(
        self,
        world: World,
        slate_size: int,
        *,
        explore: float | None = None,
        blocks: str = "public",
        components: int = 8,
        ridge: float = 1.0,
        forget: float = 1.0,
        start: str | Path | None = None,
        keep: bool = False,
    ) -> None:
        explore = self.usual if explore is None else explore
        if not 0 <= explore <= self.most:
            raise UsageError(
                f"explore of {self.name} is {explore}; it must be in [0, {self.most:g}]."
            )
        if not ridge > 0:
            raise UsageError(f"ridge is {ridge}; it must be above 0.")
        if not 0 < forget <= 1:
            raise UsageError(f"forget is {forget}; it must be in (0, 1].")
        self.slate_size, self.explore, self.ridge = slate_size, explore, ridge
        self.forget, self.keep = forget, keep
        self.features = BanditFeatures.from_world(world, blocks, components)
        self._about = {"world": world.hash, "blocks": blocks, "size": self.features.size}
        empty = Statistics.empty(self.features.size)
        self._start = empty if start is None else open_statistics(Path(start), self._about)
        self._statistics = self._start
        self._posterior: Posterior | None = None

    def reset(self) -> None:
        """Forget what was learned since the start, unless the bandit keeps it."""
        if not self.keep:
            self._statistics, self._posterior = self._start, None

    def update(self, observation: Observation, slate: Slate, response: Response) -> None:
        """Learn from one step of B users.

        Args:
            observation: in which the slates were chosen.
            slate: positions ``(B, K)``.
            response: ``click`` ``(B, K)`` and ``reward`` ``(B,)``.

        Raises:
            DataError: a reward is not finite.
        """
        click = (np.asarray(response["click"], np.float64) > 0).astype(np.float64)
        taken = np.maximum(click.sum(axis=1, keepdims=True), 1.0)
        reward = (click / taken * np.asarray(response["reward"], np.float64)[:, None]).reshape(-1)
        if not np.isfinite(reward).all():
            raise DataError(
                f"{self.name} was given a reward that is not finite; nothing was learned of this "
                "step, for it would spoil all that is known."
            )
        phi = self.features(shown(observation, slate)).reshape(len(reward), -1)
        self._statistics = self._statistics.after(phi, reward, self.forget)
        self._posterior = None

    def learn_log(self, data: OfflineData) -> Self:
        """Learn from a log as if its slates had been shown, and return the bandit.

        Its state becomes the start that `reset` returns to.
        """
        for first in range(0, len(data), _CHUNK):
            rows = slice(first, first + _CHUNK)
            seen = {key: array[rows] for key, array in data.observation.items()}
            given = {
                "click": data.responses["click"][rows],
                "reward": data.reward_slot[rows].sum(axis=1),
            }
            self.update(seen, data.positions[rows], given)
        self._start = self._statistics
        return self

    def save(self, folder: str | Path) -> Path:
        """Write what was learned as safetensors and JSON; option ``start`` reads it."""
        return save_statistics(Path(folder), self._statistics, {**self._about, "bandit": self.name})

    @property
    def posterior(self) -> Posterior:
        """What is believed now."""
        if self._posterior is None:
            known = self._statistics
            gram = known.gram + self.ridge * np.eye(len(known.gram))
            values, axes = np.linalg.eigh(gram)
            root = axes / np.sqrt(np.maximum(values, 1e-12))
            inverse = root @ root.T
            mean = inverse @ known.moment
            rest = known.square - float(mean @ known.moment)
            # One more observation, of variance 1, so that nothing is believed before the first.
            noise = np.sqrt(max(rest + 1.0, 1e-12) / (known.weight + 1.0))
            self._posterior = Posterior(mean, inverse, root, float(noise))
        return self._posterior

    def scores(self, observation: Observation) -> FloatArray:
        """Return the expected reward ``(B, C)`` of every candidate."""
        return np.einsum("bcp,p->bc", self.features(observation), self.posterior.mean)


class LinUCB(LinearBandit):
    """Optimism: expected reward plus standard errors (Li et al. 2010, algorithm 1).

    ``score = x . m + explore noise sqrt(x' A^-1 x)``, with one weight vector for all items.
    """

    name = "linucb"

    def act(self, observation: Observation, rng: np.random.Generator) -> Slate:  # noqa: ARG002
        """Return slates ``(B, K)``, the highest bound first."""
        phi, known = self.features(observation), self.posterior
        mean = np.einsum("bcp,p->bc", phi, known.mean)
        error = np.sqrt(np.maximum(np.einsum("bcp,bcp->bc", phi @ known.inverse, phi), 0.0))
        return top_positions(mean + self.explore * known.noise * error, self.slate_size)


class LinTS(LinearBandit):
    """Thompson sampling: each user's slate is best for one draw of the weights.

    ``m~ = m + explore noise A^-1/2 z`` with z standard normal, drawn anew for each user and step
    (Agrawal and Goyal 2013, algorithm 1); 1 draws from the posterior.
    """

    name = "lin-ts"

    def act(self, observation: Observation, rng: np.random.Generator) -> Slate:
        """Return slates ``(B, K)``, best under each user's draw first."""
        phi, known = self.features(observation), self.posterior
        z = rng.standard_normal((len(phi), phi.shape[2]))
        drawn = known.mean + self.explore * known.noise * np.einsum("bp,qp->bq", z, known.root)
        return top_positions(np.einsum("bcp,bp->bc", phi, drawn), self.slate_size)


class EpsilonGreedy(LinearBandit):
    """Shows the best expected slate, and a random one with probability ``explore``.

    At 0 it learns from what it would show anyway.
    """

    name = "epsilon-greedy"
    usual = 0.05
    most = 1.0

    def act(self, observation: Observation, rng: np.random.Generator) -> Slate:
        """Return slates ``(B, K)``."""
        scores = self.scores(observation)
        draws = rng.random((len(scores), scores.shape[1] + 1))
        explores = draws[:, :1] < self.explore
        return top_positions(np.where(explores, draws[:, 1:], scores), self.slate_size)
