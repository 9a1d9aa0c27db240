"""A replay buffer of what the networks read, with auxiliary targets beside its transitions.

Letters: T steps kept, N rows stepped together, S state features, M match features, A numbers per
action.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.buffers import BaseBuffer, ReplayBuffer
from stable_baselines3.common.type_aliases import DictReplayBufferSamples

from slategym.agents.aux_buffers import Source, step_targets
from slategym.agents.constraint import Constraint
from slategym.agents.features import Inputs, Obs
from slategym.errors import DataError

AnyArray = NDArray[Any]
Rows = dict[str, AnyArray]

# Targets come as int64 for torch; item and user rows fit into half of that.
_KEPT = {"slate": np.int32, "user": np.int32}
# Standardised features and dot products of a few units: half precision keeps three digits.
_HALF = ("state", "match")


class Read(NamedTuple):
    """What a policy reads of a batch of observations, and the items it reads it for."""

    inputs: Inputs
    items: torch.Tensor  # (N, C) ids, or (N, C * D) raw vectors


class ReplayReader(Protocol):
    """What the buffer asks of the policy whose transitions it keeps."""

    last_read: Read
    """Of the observations just acted on."""

    def read(self, obs: Obs) -> Read:
        """Return what the policy would read of observations it has not acted on."""


class AuxReplayBuffer(ReplayBuffer):
    """A ring of the last T steps of N rows, each step stored once.

    Not the observation is kept but what networks read of it, which does not change with their
    weights: a history of 50 items becomes some hundred numbers, in half precision. The state
    after a transition is the next step of the row; only where the horizon cut an episode is
    another observation behind it, kept in a side list.

    ``sample`` returns as observations dictionaries whose identity says what they are: `inputs_of`
    gives the inputs of ``sampled`` and ``following``.

    Attributes:
        source: the adapter, whose ``last_info`` belongs to the transition being added.
        reader: the policy.
        rng: draws the rows of `sample`; the algorithm sets it anew before each iteration.
        reward_scale: rewards are multiplied by it when sampled.
        n_step: rewards summed before the value of what follows; they end with the episode. Above
            1 they are those of the policy that acted, without correction, as in Peng's Q(lambda)
            (Kozuno et al. 2021).
        gamma: discount of that sum per step.
        constraint: adds its part to the rewards when they are sampled; None: nothing. To be set
            before the first ``add``.
        sampled: observations of the batch returned last.
        following: the observations after them.
        minibatch: auxiliary targets of the batch.
        next_action: ``(B, A)`` actions taken after it, for SARSA targets.
        next_known: ``(B,)`` whether that action is of the same episode.
    """

    source: Source
    reader: ReplayReader
    rng: np.random.Generator
    constraint: Constraint | None = None
    pos: int

    def __init__(
        self,
        buffer_size: int,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        device: torch.device | str = "cpu",
        n_envs: int = 1,
        optimize_memory_usage: bool = False,
    ) -> None:
        # Not ReplayBuffer's own: that would reserve memory for whole observations, twice.
        BaseBuffer.__init__(self, buffer_size, observation_space, action_space, device, n_envs)
        self.buffer_size = max(buffer_size // n_envs, 3)
        self.optimize_memory_usage = optimize_memory_usage
        self.rng = np.random.default_rng(0)
        self.reward_scale, self.n_step, self.gamma = 1.0, 1, 1.0
        self.reset()

    def reset(self) -> None:
        """Forget all transitions."""
        super().reset()
        self._rows: Rows = {}
        self._cut: list[tuple[AnyArray, Rows]] = [_NOTHING_CUT] * self.buffer_size
        self.sampled: dict[str, torch.Tensor] = {}
        self.following: dict[str, torch.Tensor] = {}
        self._read: tuple[Inputs | None, Inputs | None] = (None, None)
        self.minibatch: dict[str, torch.Tensor] = {}
        self.next_action = torch.zeros(0)
        self.next_known = torch.zeros(0, dtype=torch.bool)

    def add(
        self,
        obs: Any,  # noqa: ANN401, ARG002
        next_obs: Any,  # noqa: ANN401, ARG002
        action: AnyArray,
        reward: AnyArray,
        done: AnyArray,
        infos: list[dict[str, Any]],
    ) -> None:
        """Store one step of all rows; the observation acted on is the reader's ``last_read``."""
        ended = np.asarray(done, bool)
        cut = np.array([info.get("TimeLimit.truncated", False) for info in infos], bool)
        arrays = _compact(self.reader.last_read)
        arrays |= {
            name: np.asarray(array, _KEPT.get(name, array.dtype))
            for name, array in step_targets(self.source.last_info).items()
        }
        arrays |= {
            "action": np.asarray(action).reshape(self.n_envs, -1),
            "reward": np.asarray(reward, np.float32),
            "ended": ended,
            "cut": cut,
        }
        if self.constraint is not None:
            arrays["gap"] = np.asarray(self.constraint.gap, np.float32)
        for name, array in arrays.items():
            if name not in self._rows:
                self._rows[name] = np.zeros((self.buffer_size, *array.shape), array.dtype)
            self._rows[name][self.pos] = array
        self._cut[self.pos] = self._last_of(np.flatnonzero(cut), infos)
        self.pos += 1
        if self.pos == self.buffer_size:
            self.full, self.pos = True, 0

    def _last_of(self, rows: AnyArray, infos: list[dict[str, Any]]) -> tuple[AnyArray, Rows]:
        """Return the rows that the horizon cut and what would be read of them."""
        if not len(rows):
            return _NOTHING_CUT
        last = [infos[row]["terminal_observation"] for row in rows.tolist()]
        stacked = {key: torch.as_tensor(np.stack([one[key] for one in last])) for key in last[0]}
        return rows, _compact(self.reader.read(stacked))

    @property
    def steps(self) -> int:
        """Steps held."""
        return self.buffer_size if self.full else self.pos

    def unit_scale(self) -> float:
        """Return what brings the rewards held to unit deviation; 1 if they do not vary."""
        spread = float(self._rows["reward"][: self.steps].std(dtype=np.float64))
        return 1.0 / spread if spread > 1e-6 else 1.0

    def sample(self, batch_size: int, env: Any = None) -> DictReplayBufferSamples:  # noqa: ANN401, ARG002
        """Return transitions drawn uniformly; the newest steps wait for what follows them."""
        whole = self.steps - min(self.n_step, self.steps - 1)
        drawn = self.rng.integers(0, whole * self.n_envs, batch_size)
        oldest = self.pos if self.full else 0
        step, row = (oldest + drawn // self.n_envs) % self.buffer_size, drawn % self.n_envs
        return self._get_samples(step, row)

    def _get_samples(self, batch_inds: AnyArray, env: Any = None) -> DictReplayBufferSamples:  # noqa: ANN401
        """Return transitions of steps ``batch_inds`` and rows ``env``, and set their targets."""
        step, row = batch_inds, env
        earned, last, count = self._earned(step, row)
        after = (last + 1) % self.buffer_size
        ended, cut = self._rows["ended"][last, row], self._rows["cut"][last, row]
        self.sampled, now = self._observed(step, row)
        self.following, then = self._observed(after, row, np.flatnonzero(cut), last)
        self._read = (now, then)
        names = step_names(self._rows)
        self.minibatch = {name: self._tensor(name, step, row) for name in names}
        self.next_action = self._tensor("action", after, row)
        self.next_known = torch.from_numpy(~ended)
        discount = torch.from_numpy((self.gamma**count).astype(np.float32))[:, None]
        return DictReplayBufferSamples(
            observations=self.sampled,
            actions=self.actions_of(step, row),
            next_observations=self.following,
            dones=torch.from_numpy((ended & ~cut).astype(np.float32))[:, None],
            rewards=torch.from_numpy(earned)[:, None],
            discounts=discount,
        )

    def _earned(self, step: AnyArray, row: AnyArray) -> tuple[AnyArray, AnyArray, AnyArray]:
        """Return discounted rewards, the last step they come from, and how many there are."""
        count = min(self.n_step, self.steps - 1)
        window = (step[:, None] + np.arange(count)) % self.buffer_size  # (B, n)
        ended = self._rows["ended"][window, row[:, None]]
        going = np.ones(ended.shape, bool)
        going[:, 1:] = ~np.logical_or.accumulate(ended, axis=1)[:, :-1]
        factors = np.float32(self.reward_scale) * np.float32(self.gamma) ** np.arange(count)
        reward = self._rows["reward"][window, row[:, None]]
        if self.constraint is not None:
            price = np.float32(self.constraint.multiplier * self.constraint.scale)
            reward = reward + price * self._rows["gap"][window, row[:, None]]
        earned = (reward * going) @ factors.astype(np.float32)
        taken = going.sum(1)
        return earned, window[np.arange(len(step)), taken - 1], taken

    def actions_of(self, step: AnyArray, row: AnyArray) -> torch.Tensor:
        """Return the actions ``(B, A)`` as the loss wants them."""
        return self._tensor("action", step, row)

    def inputs_of(self, obs: Obs) -> Inputs | None:
        """Return what was read of observations that `sample` returned last, else None."""
        if obs is self.sampled:
            return self._read[0]
        return self._read[1] if obs is self.following else None

    def _tensor(self, name: str, step: AnyArray, row: AnyArray) -> torch.Tensor:
        """Return stored rows ``(B, ...)`` in the types that torch computes with."""
        return _wide(name, self._rows[name][step, row])

    def _observed(
        self,
        step: AnyArray,
        row: AnyArray,
        cut: AnyArray | None = None,
        last: AnyArray | None = None,
    ) -> tuple[dict[str, torch.Tensor], Inputs]:
        """Return observations and inputs, those at positions ``cut`` from the side list."""
        found = {name: self._rows[name][step, row] for name in ("items", *_HALF)}
        if cut is not None and last is not None:
            for place in cut:
                rows, kept = self._cut[last[place]]
                at = int(np.searchsorted(rows, row[place]))
                for name, array in found.items():
                    array[place] = kept[name][at]
        tensors = {name: _wide(name, array) for name, array in found.items()}
        return {"candidates": tensors["items"]}, Inputs(tensors["state"], tensors["match"])

    def get_state(self) -> Rows:
        """Return the filled part of the ring as arrays."""
        arrays = {name: rows[: self.steps].copy() for name, rows in self._rows.items()}
        arrays["position"] = np.array([self.pos, self.full], np.int64)
        counts = np.array([len(rows) for rows, _ in self._cut], np.int64)
        arrays["cut_counts"] = counts
        held = [(rows, kept) for rows, kept in self._cut if len(rows)]
        if held:
            arrays["cut_rows"] = np.concatenate([rows for rows, _ in held])
            for name in held[0][1]:
                arrays[f"cut.{name}"] = np.concatenate([kept[name] for _, kept in held])
        return arrays

    def set_state(self, arrays: Mapping[str, AnyArray]) -> None:
        """Hold what `get_state` returned.

        Raises:
            DataError: it is of a buffer of another size.
        """
        counts = arrays["cut_counts"]
        if len(counts) != self.buffer_size:
            raise DataError(
                f"the saved replay buffer holds {len(counts)} steps, this one {self.buffer_size}; "
                "continue with the options the run was begun with."
            )
        self.reset()
        self.pos, self.full = int(arrays["position"][0]), bool(arrays["position"][1])
        named = {k: v for k, v in arrays.items() if not k.startswith("cut") or k == "cut"}
        for name, array in named.items():
            if name != "position":
                whole = np.zeros((self.buffer_size, *array.shape[1:]), array.dtype)
                whole[: self.steps] = array
                self._rows[name] = whole
        ends = np.cumsum(counts)
        kept = {k.removeprefix("cut."): v for k, v in arrays.items() if k.startswith("cut.")}
        for step in np.flatnonzero(counts):
            part = slice(ends[step] - counts[step], ends[step])
            rows = np.array(arrays["cut_rows"][part])
            self._cut[step] = rows, {name: np.array(array[part]) for name, array in kept.items()}


_NOTHING_CUT: tuple[AnyArray, Rows] = (np.zeros(0, np.int64), {})


def step_names(rows: Mapping[str, AnyArray]) -> list[str]:
    """Return which stored arrays are auxiliary targets."""
    own = ("items", "action", "reward", "gap", "ended", "cut", *_HALF)
    return [name for name in rows if name not in own]


def _compact(read: Read) -> Rows:
    """Return what was read as arrays of the smallest sufficient type."""
    rows: Rows = {}
    for name, tensor in vars(read.inputs).items():
        if tensor is None:
            continue
        rows[name] = tensor.detach().cpu().numpy().astype(np.float16)
    items = read.items.detach().cpu().numpy()
    rows["items"] = items.astype(np.float32 if items.dtype.kind == "f" else np.int32)
    return rows


def _wide(name: str, array: AnyArray) -> torch.Tensor:
    """Return an array in the type torch computes with."""
    if name in _HALF:
        return torch.from_numpy(array.astype(np.float32))
    if array.dtype.kind == "i":
        return torch.from_numpy(array.astype(np.int64))
    return torch.from_numpy(np.array(array))
