"""Bayesian SVD++ in both directions, by Gibbs sampling: the model and its posterior samples.

The linear predictor of user u and item i is  w0 + a_u + b_i + <p_u, q_i>  with

    p_u = v_u + sum_(j rated by u) v_j / sqrt(n_u) + content,
    q_i = v_i + sum_(w who rated i) v_w / sqrt(n_i) + content,

and biases a, b made the same way: a factorisation machine of ids, histories both ways and content
("SVD++ flipped"; Rendle, Zhang, Koren 2019, "On the difficulty of evaluating baselines", section
3), without the products of features of one side. Every group of weights has a Gaussian prior per
factor, whose mean and precision are drawn too (Freudenthaler, Schmidt-Thieme, Rendle 2011,
"Bayesian factorization machines", equations 5 to 9).

Letters: N ratings, U users, I items, E features, G = factors + 1 with the bias first, S samples.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from slategym.cf_baselines.gibbs_features import Side
from slategym.cf_baselines.gibbs_kernels import draw_factor
from slategym.cf_baselines.ordinal import OrderedLevels

Array = npt.NDArray[np.float64]
F32 = npt.NDArray[np.float32]
START_SPREAD = 0.1


@dataclass
class _SideState:
    """The weights of one side: ``v`` (G, E), priors (G, E), and rows ``q`` (G, R)."""

    side: Side
    v: Array
    mean: Array
    precision: Array
    q: Array


@dataclass(frozen=True)
class Samples:
    """What is kept of the sweeps, oldest first.

    Attributes:
        users: (U, S, G) bias (the mean included), then factors.
        items: (I, S, G).
        history: (I, S, G) what an item in a user's history adds to the user's row.
        content: (D, S, G) what the user's content adds; D = 0 without.
        id_mean: (S, G) prior of a user's own part.
        id_precision: (S, G).
        bounds: (S, L + 1) cuts between levels, from -inf to inf; (S, 0) for Gaussian values.
        tables: (S, T) expected value by predictor; (S, 0) for Gaussian values.
        alphas: (S,) precision of a value.
    """

    users: F32
    items: F32
    history: F32
    content: F32
    id_mean: F32
    id_precision: F32
    bounds: Array
    tables: F32
    alphas: Array


class Sampler:
    """One chain. ``sweep`` draws everything once; ``run`` collects samples.

    Args:
        users: (N,) user of each rating.
        items: (N,) item of each rating.
        values: (N,) in the log's units.
        sides: Features of users and items.
        factors: Dimensions of taste.
        ordered: Values are levels of a hidden normal; else Gaussian.
        seed: Same seed, same samples.
    """

    def __init__(
        self,
        users: npt.ArrayLike,
        items: npt.ArrayLike,
        values: npt.ArrayLike,
        sides: tuple[Side, Side],
        *,
        factors: int,
        ordered: bool,
        seed: int,
    ) -> None:
        self.rng = np.random.default_rng(seed)
        self.rows = (np.asarray(users, np.int32), np.asarray(items, np.int32))
        self.values = np.asarray(values, np.float64)
        self.sides = tuple(self._start(side, factors + 1) for side in sides)
        self.levels = OrderedLevels(self.values) if ordered else None
        self.mean = 0.0 if ordered else float(self.values.mean())
        # A unit of spread for priors: predictors of ordered levels have one by themselves.
        self.unit = 1.0 if ordered else max(float(self.values.var()), 1e-12)
        self.alpha = 1.0 / self.unit
        self.residual = self.values - self.predictors()

    def _start(self, side: Side, size: int) -> _SideState:
        v = self.rng.normal(0.0, START_SPREAD, (size, side.rows.shape[1]))
        v[0] = 0.0
        state = _SideState(side, v, np.zeros_like(v), np.ones_like(v), np.empty((0, 0)))
        self._refresh(state)
        return state

    @staticmethod
    def _refresh(state: _SideState) -> None:
        """Set rows from weights."""
        state.q = np.ascontiguousarray((state.side.rows @ state.v.T).T)

    def predictors(self) -> Array:
        """Return the linear predictor of every rating, (N,)."""
        user, item = self.sides
        users, items = self.rows
        out = self.mean + user.q[0][users] + item.q[0][items]
        for mine, its in zip(user.q[1:], item.q[1:], strict=True):
            out += mine[users] * its[items]
        return np.asarray(out)

    def sweep(self) -> None:
        """Draw everything once, given all else."""
        self._draw_noise()
        for state in self.sides:
            self._draw_priors(state)
        user, item = self.sides
        noise = [self.rng.standard_normal(state.v.shape) for state in self.sides]
        for g in range(len(user.v)):
            draw_factor(
                self.residual,
                *self.rows,
                user.side.columns,
                item.side.columns,
                (user.mean[g], user.precision[g], noise[0][g]),
                (item.mean[g], item.precision[g], noise[1][g]),
                self.alpha,
                user.v[g],
                item.v[g],
                user.q[g],
                item.q[g],
                user.q[g] if g else np.ones(user.q.shape[1]),
                item.q[g] if g else np.ones(item.q.shape[1]),
            )

    def _draw_noise(self) -> None:
        """Draw the hidden values and cuts, or the precision and mean of Gaussian values."""
        count = len(self.values)
        if self.levels is not None:
            for state in self.sides:
                self._refresh(state)  # rounding must not pile up
            predictor = self.predictors()
            self.levels.move_cuts(predictor)
            hidden = self.levels.draw_hidden(predictor, self.rng.random(count))
            self.residual = hidden - predictor
            return
        rate = self.unit + float(self.residual @ self.residual)
        self.alpha = self.rng.gamma((1 + count) / 2) * 2 / rate
        total = self.alpha * count + 1e-3 / self.unit
        step = self.alpha * self.residual.sum() / total + self.rng.standard_normal() / total**0.5
        self.mean += step
        self.residual -= step

    def _draw_priors(self, state: _SideState) -> None:
        """Draw mean and precision of each group and factor (normal-gamma, all constants 1)."""
        for group in state.side.groups:
            v = state.v[:, group]
            count = v.shape[1]
            old = state.mean[:, group][:, 0]
            rate = 1.0 + ((v - old[:, None]) ** 2).sum(axis=1) + old**2
            precision = self.rng.gamma((2 + count) / 2, size=len(v)) * 2 / rate
            centre = v.sum(axis=1) / (count + 1)
            spread = 1.0 / np.sqrt((count + 1) * precision)
            mean = centre + spread * self.rng.standard_normal(len(v))
            state.mean[:, group], state.precision[:, group] = mean[:, None], precision[:, None]

    def run(self, sweeps: int, warm_up: int, keep: int) -> Samples:
        """Return ``keep`` samples, evenly spaced over the sweeps after the warm-up."""
        kept = {round(at) for at in np.linspace(sweeps, warm_up + 1, min(keep, sweeps - warm_up))}
        found = []
        for number in range(1, sweeps + 1):
            self.sweep()
            if number in kept:
                found.append(self._sample())
        fields: dict[str, Any] = {
            # A stack of transposed tables is no C array by itself, and compiled loops round
            # otherwise on another layout: what is saved and loaded would differ in the last bit.
            name: np.ascontiguousarray(np.stack([one[name] for one in found], axis=axis))
            for name, axis in _AXES.items()
        }
        return Samples(**fields)

    def _sample(self) -> dict[str, npt.NDArray[Any]]:
        user, item = self.sides
        groups = user.side.groups
        for state in self.sides:
            self._refresh(state)
        users = user.q.T.copy()
        users[:, 0] += self.mean
        content = user.v[:, groups[2]].T if len(groups) > 2 else np.zeros((0, len(user.v)))
        bounds: npt.NDArray[np.floating] = np.zeros(0)
        table: npt.NDArray[np.floating] = np.zeros(0)
        if self.levels is not None:
            bounds, table = self.levels.bounds, self.levels.table()
        single = {
            "users": users,
            "items": item.q.T,
            "history": user.v[:, groups[1]].T,
            "content": content,
            "id_mean": user.mean[:, 0] + self.mean * (np.arange(len(user.v)) == 0),
            "id_precision": user.precision[:, 0],
            "tables": table,
        }
        out: dict[str, Any] = {name: array.astype(np.float32) for name, array in single.items()}
        return {**out, "bounds": bounds, "alphas": np.float64(self.alpha)}


_AXES = {
    "users": 1,
    "items": 1,
    "history": 1,
    "content": 1,
    "id_mean": 0,
    "id_precision": 0,
    "bounds": 0,
    "tables": 0,
    "alphas": 0,
}
