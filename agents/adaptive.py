"""A trained agent that goes on learning while it serves: a frozen network with a light head."""

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from slategym.agents.bandit_features import BanditFeatures, shown
from slategym.agents.bandit_files import Statistics
from slategym.agents.policy import Observation, Slate, top_positions
from slategym.agents.public_model import FloatArray
from slategym.agents.trained import TrainedPolicy
from slategym.envs.vector import SlateVectorEnv
from slategym.envs.world import World
from slategym.errors import UsageError

_TINY = 1e-9


class AdaptivePolicy:
    """Ranks by the frozen agent's score plus what a linear head has learned since deployment.

    The head is a ridge regression of the reward of what was shown on features x of a candidate:
    those of the bandits, the agent's score, and its predicted click logit and rating. It begins
    with statistics of the agent's own slates where it was trained, and keeps them up to date with
    exponential forgetting (recursive least squares; Haykin 2002, chapter 9):

        score_i = frozen_i + scale (m_now - m_start) . x_i

    so that nothing changes where nothing has changed, and what the agent learned of the long run
    stays. ``scale`` turns rewards into scores: it makes the head's spread within a candidate set,
    at the start, that of the frozen scores.

    Args:
        agent: the frozen agent.
        world: only its public tables are read.
        memory: slates after which what was learned weighs 1/e, above 0; it counts slates and
            not steps, so that hours with few users do not wipe out what many taught.
        strength: how much of the head's change is believed, at least 0; 0 is the frozen agent.
        ridge: above 0.

    Raises:
        UsageError: an option out of range.
    """

    def __init__(
        self,
        agent: TrainedPolicy,
        world: World,
        *,
        memory: float = 20_000.0,
        strength: float = 1.0,
        ridge: float = 10.0,
    ) -> None:
        if not memory > 0:
            raise UsageError(f"memory is {memory}; it must be above 0.")
        if not strength >= 0:
            raise UsageError(f"strength is {strength}; it must be at least 0.")
        if not ridge > 0:
            raise UsageError(f"ridge is {ridge}; it must be above 0.")
        self.agent, self.name = agent, f"{agent.name}, adapting"
        self.slate_size = agent.slate_size
        self.memory, self.strength, self.ridge = memory, strength, ridge
        self._features = BanditFeatures.from_world(world)
        self._statistics = Statistics.empty(self._features.size + 3)
        self._start = np.zeros(self._features.size + 3)
        self._now, self._scale = self._start, 0.0

    def warm_up(self, env: SlateVectorEnv, *, seed: int, steps: int = 60) -> Self:
        """Learn what the agent's slates earn where it was trained, and begin from there.

        Args:
            env: as in training, with ``ids`` observations.
            seed: of its users.
            steps: slates shown to each.

        Raises:
            UsageError: fewer than one step.
        """
        if steps < 1:
            raise UsageError(f"steps is {steps}; a warm-up needs at least 1.")
        observation, _ = env.reset(seed=seed)
        frozen, head = [], []
        for step in range(steps):
            rng = np.random.default_rng((seed, step))
            slate = self.agent.act(observation, rng)
            seen = observation
            observation, reward, _, _, info = env.step(slate.reshape(env.action_space.shape))
            clicks = np.asarray(info["response"]["click"]).reshape(slate.shape)
            self._take_in(seen, slate, clicks, reward, 1.0)
            if step == steps - 1:
                frozen, head = [self.agent.scores(seen)], [self._x(seen)]
        self._start = self._now = self._solve()
        told = np.einsum("bcp,p->bc", head[0], self._start)
        spread = float(np.std(told - told.mean(axis=1, keepdims=True)))
        scores = frozen[0] - frozen[0].mean(axis=1, keepdims=True)
        self._scale = float(np.std(scores)) / max(spread, _TINY)
        # As heavy as what memory keeps in the long run, so that what comes can outweigh it.
        kept, old = min(1.0, self.memory / (steps * env.num_envs)), self._statistics
        self._statistics = Statistics(
            kept * old.gram, kept * old.moment, kept * old.square, kept * old.weight
        )
        return self

    def act(self, observation: Observation, rng: np.random.Generator) -> Slate:  # noqa: ARG002
        """Return slates ``(B, K)``, best first."""
        scores = self.agent.scores(observation)
        change = self._now - self._start
        if self.strength and change.any():
            learned = np.einsum("bcp,p->bc", self._x(observation), change)
            scores = scores + self.strength * self._scale * learned
        return top_positions(scores, self.slate_size)

    def update(
        self, observation: Observation, slate: Slate, response: Mapping[str, NDArray[Any]]
    ) -> None:
        """Learn from one step of B users; whoever serves them calls it after `act`.

        Args:
            observation: in which the slates were chosen.
            slate: positions ``(B, K)``.
            response: ``click`` ``(B, K)`` and ``reward`` ``(B,)``.
        """
        if not len(slate):
            return
        clicks = np.asarray(response["click"])
        forget = float(np.exp(-len(slate) / self.memory))
        self._take_in(observation, slate, clicks, np.asarray(response["reward"]), forget)
        self._now = self._solve()

    def _take_in(
        self,
        observation: Observation,
        slate: Slate,
        clicks: NDArray[Any],
        reward: NDArray[Any],
        forget: float,
    ) -> None:
        """Add a step to the statistics; the reward is that of what was taken."""
        taken = (np.asarray(clicks, np.float64) > 0).astype(np.float64)
        share = taken / np.maximum(taken.sum(axis=1, keepdims=True), 1.0)
        earned = (share * np.asarray(reward, np.float64)[:, None]).reshape(-1)
        phi = self._x(shown(observation, slate)).reshape(len(earned), -1)
        self._statistics = self._statistics.after(phi, earned, forget)

    def _solve(self) -> FloatArray:
        """Return the head's weights (P,), drawn to those of the start where little is known."""
        known = self._statistics
        gram = known.gram + self.ridge * np.eye(len(known.gram))
        solved = np.linalg.solve(gram, known.moment + self.ridge * self._start)
        return np.asarray(solved, np.float64)

    def _x(self, observation: Observation) -> FloatArray:
        """Return the features ``(B, C, P)``: a bandit's, and what the frozen network says."""
        network = self.agent.network
        tensors = {key: torch.from_numpy(np.array(value)) for key, value in observation.items()}
        with torch.no_grad():
            core = network.core(tensors)
        said = [core.scores[..., None]]
        said.append(torch.zeros(*core.scores.shape, 2) if core.response is None else core.response)
        frozen = torch.cat(said, -1).double().numpy()
        return np.concatenate([self._features(observation), frozen], axis=2)
