"""Fitted Q evaluation of a log with small networks, which see what linear features miss.

Letters: N impressions, E episodes, U users, Q features of a slate, D slates drawn, M members of the
ensemble, B batch, W width.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy.special

from slategym.agents.slate_laws import SlateLaw
from slategym.benchmarks.log_models import LinearReturn, SlateFeatures
from slategym.benchmarks.log_schema import FloatArray, Log
from slategym.benchmarks.statistics import LEVEL, Interval

if TYPE_CHECKING:
    import torch

_DRAW_STREAM = 0xF9E


@dataclass(frozen=True)
class NeuralConfig:
    """How the networks are fitted."""

    members: int = 10
    """M, networks of the ensemble; each is fitted on its own resample of users."""
    hidden: int = 32
    """W, width of both hidden layers."""
    rounds: int = 40
    """Times the target networks are renewed; the values of the last quarter are averaged."""
    steps: int = 25
    """Gradient steps in each round."""
    batch: int = 256
    """Impressions in each gradient step."""
    rate: float = 1e-3
    """Learning rate of Adam."""
    draws: int = 4
    """D, slates of the judged policy drawn at each impression."""


@dataclass(frozen=True, eq=False)
class NeuralReturn:
    """A mean return as an ensemble of networks sees it.

    Attributes:
        members: mean return of each network, on its own resample of users ``(M,)``.
        first: value of the first impression of each episode, the mean over networks ``(E,)``.
    """

    members: FloatArray
    first: FloatArray

    def interval(self, level: float = LEVEL) -> Interval:
        """Return the Student interval around the mean of the networks.

        Networks differ by resampled users and by initial weights and batches; their deviation is
        a bootstrap standard error (Efron and Tibshirani 1993, chapter 6) that knows of both.
        """
        middle, count = float(self.first.mean()), len(self.members)
        error = float(self.members.std(ddof=1)) if count > 1 else np.nan
        width = error * float(scipy.special.stdtrit(max(count - 1, 1), (1.0 + level) / 2.0))
        return Interval(middle, middle - width, middle + width)


def neural_return(
    log: Log,
    features: SlateFeatures,
    laws: "list[tuple[slice, SlateLaw]]",
    linear: LinearReturn,
    *,
    gamma: float,
    seed: int = 0,
    config: NeuralConfig | None = None,
) -> NeuralReturn:
    """Return the mean discounted return of a policy by fitted Q evaluation with networks.

    ``Q(s, slate) = w . phi + f(phi)``: w solves `linear_fqe` on the member's users, f is a network
    with two hidden layers that begins at 0 and learns what is left of
    ``r + gamma Q_old(s', slate')``, slate' drawn from the judged policy (Le, Voloshin and Yue
    2019, "Batch policy learning under constraints", algorithm 3). Each member is fitted on
    resampled users. The same seed gives the same number on the same machine.

    Args:
        log: in order of episode and step.
        features: of its impressions.
        laws: the judged policy's law, block of impressions by block.
        linear: the linear problem of the same log, policy and discount.
        gamma: discount.
        seed: of draws, resamples, weights and batches.
        config: how; None means the defaults.
    """
    import torch

    chosen, threads = config or NeuralConfig(), torch.get_num_threads()
    torch.set_num_threads(1)  # two threads mostly wait for each other in networks this small
    try:
        ensemble = _Ensemble(log, features, laws, linear, gamma, seed, chosen)
        return ensemble.fit()
    finally:
        torch.set_num_threads(threads)


class _Ensemble:
    """M networks fitted side by side."""

    def __init__(
        self,
        log: Log,
        features: SlateFeatures,
        laws: "list[tuple[slice, SlateLaw]]",
        linear: LinearReturn,
        gamma: float,
        seed: int,
        config: NeuralConfig,
    ) -> None:
        import torch

        self.config, self.gamma, self.linear = config, gamma, linear
        self.counts = linear.resamples(config.members, seed)
        _, base = linear.solve(self.counts)
        length = min(len(log) / log.first.sum(), 1.0 / max(1.0 - gamma, 1e-3))
        self.scale = max(float(np.abs(log.reward).mean()) * length, 1e-6)
        self.base = torch.as_tensor((base / self.scale)[..., None], dtype=torch.float32)
        self.shown = _number(features.of_slates(log.positions))
        self.drawn = _number(_drawn(features, laws, config.draws, seed))
        self.reward = _number(log.reward / self.scale)
        self.goes_on = _number(~np.append(log.first[1:], [True]))
        self.first = torch.as_tensor(np.flatnonzero(log.first))
        # A user drawn twice has each of its impressions twice.
        times = self.counts[:, linear.user].astype(np.int64)
        self.rows = [torch.as_tensor(np.repeat(np.arange(len(log)), one)) for one in times]
        self.generator = torch.Generator().manual_seed(seed)
        self.weights = self._begin()

    def _begin(self) -> "list[torch.Tensor]":
        """Return weights and biases of all networks, each (M, ., .); the last layer is 0."""
        import torch

        members, width = self.config.members, self.config.hidden
        made = []
        for fan_in, fan_out in ((self.shown.shape[1], width), (width, width), (width, 1)):
            bound = (1.0 / fan_in) ** 0.5 * (fan_out > 1)
            for shape in ((members, fan_in, fan_out), (members, 1, fan_out)):
                start = torch.rand(shape, generator=self.generator) * 2.0 * bound - bound
                made.append(start.requires_grad_())
        return made

    def fit(self) -> NeuralReturn:
        """Return the mean return of every network."""
        import torch

        config = self.config
        optimiser = torch.optim.Adam(self.weights, lr=config.rate)
        kept, last = 0, torch.zeros(config.members, len(self.first), dtype=torch.float64)
        for number in range(config.rounds):
            old = [one.detach().clone() for one in self.weights]
            for _ in range(config.steps):
                loss = self._loss(old)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
            if number >= config.rounds - max(1, config.rounds // 4):
                kept, last = kept + 1, last + self._first_values()
        values = (last / kept).numpy() * self.scale  # (M, E)
        times = self.counts[:, self.linear.user[self.first.numpy()]]
        return NeuralReturn((values * times).sum(1) / times.sum(1), values.mean(0))

    def _loss(self, old: "list[torch.Tensor]") -> "torch.Tensor":
        """Return the squared error of one batch, summed over networks."""
        import torch

        config, generator = self.config, self.generator
        picks = [
            mine[torch.randint(len(mine), (config.batch,), generator=generator)]
            for mine in self.rows
        ]
        rows = torch.stack(picks)  # (M, B)
        draw = torch.randint(config.draws, rows.shape, generator=generator)
        following = torch.clamp(rows + 1, max=len(self.reward) - 1)
        with torch.no_grad():
            later = self._values(old, self.drawn[draw, following])
            target = self.reward[rows] + self.gamma * self.goes_on[rows] * later
        gap: torch.Tensor = self._values(self.weights, self.shown[rows]) - target
        return gap.square().mean(1).sum()

    def _values(self, weights: "list[torch.Tensor]", inputs: "torch.Tensor") -> "torch.Tensor":
        """Return what each network says of its own rows ``(M, B)``, from ``(M, B, Q)``."""
        import torch

        hidden = torch.relu(torch.baddbmm(weights[1], inputs, weights[0]))
        hidden = torch.relu(torch.baddbmm(weights[3], hidden, weights[2]))
        left = torch.baddbmm(weights[5], hidden, weights[4])
        return (torch.bmm(inputs, self.base) + left)[..., 0]

    def _first_values(self) -> "torch.Tensor":
        """Return the value of each episode's first impression ``(M, E)``, the mean over draws."""
        import torch

        with torch.no_grad():
            found = [
                self._values(self.weights, one[self.first].expand(self.config.members, -1, -1))
                for one in self.drawn
            ]
        return torch.stack(found).double().mean(0)


def _drawn(
    features: SlateFeatures, laws: "list[tuple[slice, SlateLaw]]", draws: int, seed: int
) -> FloatArray:
    """Return features of slates drawn from a policy ``(D, N, Q)``."""
    out = np.zeros((draws, len(features.state), features.width), np.float32)
    for rows, law in laws:
        rng = np.random.default_rng((_DRAW_STREAM, seed, rows.start))
        for number in range(draws):
            out[number, rows] = features.of_slates(law.sample(rng), rows)
    return out  # type: ignore[return-value]


def _number(array: FloatArray) -> "torch.Tensor":
    """Return an array as a tensor of single precision."""
    import torch

    return torch.as_tensor(np.ascontiguousarray(array, dtype=np.float32))
