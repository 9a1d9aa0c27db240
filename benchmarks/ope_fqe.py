"""Neural fitted Q evaluation: the value of a policy over states that cannot be counted.

Letters: N trajectories, T steps, D state numbers, A actions, M logged steps.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from slategym.benchmarks.ope_estimate import Estimate, mean_estimate, no_weights
from slategym.benchmarks.ope_tabular import FQE_CAVEAT
from slategym.errors import DataError

if TYPE_CHECKING:
    import torch

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.integer]


@dataclass(frozen=True)
class FQEConfig:
    """How the network is fitted.

    Attributes:
        hidden: width of both hidden layers.
        rounds: times the target network is renewed; at least the horizon, or values of late
            steps do not reach the first.
        steps: gradient steps in each round.
        batch: logged steps in each gradient step.
        rate: learning rate of Adam.
        seed: seed of weights and batches.
    """

    hidden: int = 64
    rounds: int = 30
    steps: int = 100
    batch: int = 256
    rate: float = 3e-3
    seed: int = 0


@dataclass(frozen=True)
class StateLog:
    """Trajectories with states as numbers.

    Attributes:
        states: (N, T, D).
        actions: (N, T), in 0 .. A - 1.
        rewards: (N, T).
        alive: whether the step took place (N, T).
        evaluation: probabilities of the judged policy in each state (N, T, A).
    """

    states: FloatArray
    actions: IntArray
    rewards: FloatArray
    alive: npt.NDArray[np.bool_]
    evaluation: FloatArray

    def __post_init__(self) -> None:
        """Refuse arrays that do not fit.

        Raises:
            DataError: names the array.
        """
        shape = self.alive.shape
        for name in ("states", "actions", "rewards", "evaluation"):
            array = getattr(self, name)
            if array.shape[:2] != shape:
                raise DataError(f"{name} has shape {array.shape}; alive has {shape}.")
        if not self.alive.any():
            raise DataError("the log has no step.")


def neural_fqe(log: StateLog, discount: float, config: FQEConfig | None = None) -> Estimate:
    """Return the mean value of the first states by fitted Q evaluation with a small network.

    Each round fits ``q(s, a)`` to ``r + g sum_a' pi_e(a'|s') q_old(s', a')`` (Le, Voloshin and Yue
    2019, "Batch policy learning under constraints", algorithm 3). The step's number is part of
    the state, and nothing follows the last logged step: the value is that of the logged
    horizon. Same seed, same number on the same machine.

    Args:
        log: the trajectories.
        discount: in [0, 1].
        config: how the network is fitted; ``None`` means the defaults.
    """
    chosen = config or FQEConfig()
    steps = _Steps.of(log)
    network = _fit(steps, discount, chosen)
    first = _policy_values(network, steps.inputs[steps.first], steps.policy[steps.first])
    values = first.double().numpy() * steps.scale
    return mean_estimate("neural_fqe", values, no_weights(len(values)), caveat=FQE_CAVEAT)


@dataclass(frozen=True)
class _Steps:
    """Logged steps as tensors: M steps, trajectory after trajectory."""

    inputs: "torch.Tensor"  # (M, D + 1), standardised
    actions: "torch.Tensor"  # (M,)
    rewards: "torch.Tensor"  # (M,), divided by scale
    policy: "torch.Tensor"  # (M, A)
    goes_on: "torch.Tensor"  # (M,), whether the next row is the next step
    first: "torch.Tensor"  # (N,), row of each trajectory's first step
    scale: float

    @classmethod
    def of(cls, log: StateLog) -> "_Steps":
        """Flatten the logged steps."""
        import torch

        there = log.alive
        steps = there.shape[1]
        clock = np.broadcast_to(np.arange(steps) / max(steps - 1, 1), there.shape)
        rows = np.concatenate([log.states, clock[:, :, None]], axis=2)[there]
        spread = rows.std(axis=0)
        rows = (rows - rows.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
        following = np.zeros_like(there)
        following[:, :-1] = there[:, 1:]
        scale = max(float(np.abs(log.rewards[there]).mean()) * steps, 1e-6)
        lengths = there.sum(axis=1)
        starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])[lengths > 0]

        def number(array: npt.NDArray[np.generic]) -> "torch.Tensor":
            return torch.as_tensor(np.ascontiguousarray(array, dtype=np.float32))

        return cls(
            inputs=number(rows),
            actions=torch.as_tensor(log.actions[there].astype(np.int64)),
            rewards=number(log.rewards[there] / scale),
            policy=number(log.evaluation[there]),
            goes_on=number(following[there]),
            first=torch.as_tensor(starts.astype(np.int64)),
            scale=scale,
        )


def _fit(steps: _Steps, discount: float, config: FQEConfig) -> "list[torch.Tensor]":
    """Return the weights of the fitted network."""
    import torch

    generator = torch.Generator().manual_seed(config.seed)
    widths = (steps.inputs.shape[1], config.hidden, config.hidden, steps.policy.shape[1])
    weights = []
    for fan_in, fan_out in pairwise(widths):
        bound = (1.0 / fan_in) ** 0.5
        for shape in ((fan_in, fan_out), (fan_out,)):
            start = torch.rand(shape, generator=generator) * 2.0 * bound - bound
            weights.append(start.requires_grad_())
    optimiser = torch.optim.Adam(weights, lr=config.rate)
    size = len(steps.inputs)
    following = torch.clamp(torch.arange(size) + 1, max=size - 1)
    for number in range(config.rounds):
        ahead = _policy_values(weights, steps.inputs, steps.policy)[following]
        ahead = ahead * (number > 0)  # the first round learns the reward alone
        targets = steps.rewards + discount * steps.goes_on * ahead
        for _ in range(config.steps):
            rows = torch.randint(size, (min(config.batch, size),), generator=generator)
            values = _network(weights, steps.inputs[rows])
            taken = values.gather(1, steps.actions[rows, None])[:, 0]
            loss = torch.nn.functional.mse_loss(taken, targets[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    return weights


def _network(weights: "list[torch.Tensor]", inputs: "torch.Tensor") -> "torch.Tensor":
    """Return action values (M, A): two hidden layers with ReLU."""
    import torch

    hidden = inputs
    for layer in range(0, len(weights) - 2, 2):
        hidden = torch.relu(hidden @ weights[layer] + weights[layer + 1])
    return hidden @ weights[-2] + weights[-1]


def _policy_values(
    weights: "list[torch.Tensor]", inputs: "torch.Tensor", policy: "torch.Tensor"
) -> "torch.Tensor":
    """Return the value of the judged policy in each state (M,), without gradients."""
    import torch

    with torch.no_grad():
        return (_network(weights, inputs) * policy).sum(dim=1)
