"""A rollout buffer that carries auxiliary targets beside its transitions.

Letters: T steps, N rows stepped together, B transitions of a minibatch.
"""

from collections.abc import Generator, Iterator, Mapping
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.buffers import DictRolloutBuffer
from stable_baselines3.common.type_aliases import DictRolloutBufferSamples

from slategym.agents.classic_features import classic_targets
from slategym.agents.features import Inputs

# Name -> dtype in a minibatch.
TARGETS = {
    "click": np.float32,
    "watch": np.float32,
    "rating": np.float32,
    "slate": np.int64,
    "user": np.int64,
}
_SCALARS = ("values", "log_probs", "advantages", "returns")


class Source(Protocol):
    """What the buffer asks for the targets of the step just taken."""

    last_info: dict[str, Any]


class Reader(Protocol):
    """What the buffer asks for the inputs of the slates just chosen, and who wants targets."""

    inputs: Inputs
    aux_losses: torch.nn.ModuleDict


class Steps(Mapping[str, NDArray[Any]]):
    """Arrays of the steps of a rollout ``(T, N, ...)`` by name, put together when asked for.

    What an environment has handed out is not written to later, so no step is copied before.
    """

    def __init__(self) -> None:
        self._steps: list[Mapping[str, NDArray[Any]]] = []
        self._made: dict[str, NDArray[Any]] = {}

    def append(self, step: Mapping[str, NDArray[Any]]) -> None:
        """Add the arrays ``(N, ...)`` of one step."""
        self._steps.append(step)
        self._made = {}

    def __getitem__(self, name: str) -> NDArray[Any]:
        if name not in self._made:
            self._made[name] = np.stack([step[name] for step in self._steps])
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._steps[0] if self._steps else ())

    def __len__(self) -> int:
        return len(self._steps[0]) if self._steps else 0


class Rows(Mapping[str, torch.Tensor]):
    """Transitions ``(B, ...)`` of a rollout by name, gathered when asked for, each name once.

    Args:
        flat: tensors ``(T * N, ...)`` by name.
        index: ``(B,)``, which of them.
    """

    def __init__(self, flat: "Flat", index: torch.Tensor) -> None:
        self._flat, self._index = flat, index
        self._made: dict[str, torch.Tensor] = {}

    def __getitem__(self, name: str) -> torch.Tensor:
        if name not in self._made:
            self._made[name] = self._flat[name].index_select(0, self._index)
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._flat.steps)

    def __len__(self) -> int:
        return len(self._flat.steps)


class Flat:
    """The steps of a rollout as tensors ``(T * N, ...)``; whole numbers as int64."""

    def __init__(self, steps: Steps, device: torch.device) -> None:
        self.steps, self.device = steps, device
        self._made: dict[str, torch.Tensor] = {}

    def __getitem__(self, name: str) -> torch.Tensor:
        if name not in self._made:
            whole = torch.from_numpy(self.steps[name])
            kind = whole.dtype if whole.is_floating_point() else torch.int64
            self._made[name] = whole.flatten(0, 1).to(self.device, kind)
        return self._made[name]


class AuxRolloutBuffer(DictRolloutBuffer):
    """A `DictRolloutBuffer` whose minibatches come with the targets of the same rows.

    ``add`` runs right after the environment's step, so the batched ``last_info`` of the adapter
    belongs to the transition being stored. Targets stay out of the observation: there, the
    response to the last slate of an episode would be lost at its reset.

    What the networks read of an observation is kept as well: it does not change with the weights,
    and reading it once and not in every epoch saves a quarter of the training time. Observations
    and targets are gathered for a minibatch only where something asks for them.

    Attributes:
        source: the adapter; set before the first ``add``.
        reader: the policy; set before the first ``add``.
        sampled: observations of the minibatch returned last.
        minibatch: targets of the same rows; none without auxiliary losses.
        inputs: what the networks read of the same rows.
        bootstrap: ``(N,)`` added once to the rewards of the next ``add``.
    """

    source: Source
    reader: Reader
    sampled: Mapping[str, torch.Tensor] | None
    minibatch: Mapping[str, torch.Tensor]
    inputs: Inputs | None
    bootstrap: NDArray[np.float32] | None = None
    observations: Any
    _read: dict[str, torch.Tensor] | None = None

    def reset(self) -> None:
        """Forget all transitions."""
        shape = (self.buffer_size, self.n_envs)
        self.observations, self._targets = Steps(), Steps()
        self._seen = Flat(self.observations, self.device)
        self._told = Flat(self._targets, self.device)
        self.actions = np.zeros((*shape, self.action_dim), np.int64)
        for name in ("rewards", "episode_starts", *_SCALARS):
            setattr(self, name, np.zeros(shape, np.float32))
        self._flat: dict[str, torch.Tensor] = {}
        self.sampled, self.minibatch, self.inputs = None, {}, None
        self.pos, self.full, self.generator_ready = 0, False, False

    def add(
        self,
        obs: dict[str, NDArray[Any]],
        action: NDArray[Any],
        reward: NDArray[Any],
        episode_start: NDArray[Any],
        value: torch.Tensor,
        log_prob: torch.Tensor,
    ) -> None:
        """Store one step of all rows, and what the environment said about it."""
        step = self.pos
        self.observations.append(obs)
        if len(self.reader.aux_losses):
            self._targets.append(step_targets(self.source.last_info))
        parts = {k: part for k, part in vars(self.reader.inputs).items() if part is not None}
        if self._read is None:
            # Kept from rollout to rollout: new memory costs more than what is written into it.
            size = self.buffer_size
            self._read = {k: part.new_empty((size, *part.shape)) for k, part in parts.items()}
        for name, part in parts.items():
            self._read[name][step] = part
        self.actions[step] = action.reshape(self.n_envs, self.action_dim)
        self.rewards[step] = reward if self.bootstrap is None else reward + self.bootstrap
        self.bootstrap = None
        self.episode_starts[step] = episode_start
        self.values[step] = value.flatten().cpu().numpy()
        self.log_probs[step] = log_prob.cpu().numpy()
        self.pos += 1
        self.full = self.pos == self.buffer_size

    def get(self, batch_size: int | None = None) -> Generator[DictRolloutBufferSamples, None, None]:
        """Yield all transitions once, in an order drawn from NumPy's global generator.

        Args:
            batch_size: transitions at a time; all at once if None.
        """
        assert self.full, "the rollout is not complete"
        count = self.buffer_size * self.n_envs
        order = np.random.permutation(count)  # noqa: NPY002 - as Stable-Baselines3 draws it
        size = count if batch_size is None else batch_size
        for start in range(0, count, size):
            yield self._get_samples(order[start : start + size])

    def _get_samples(self, batch_inds: NDArray[Any], env: Any = None) -> DictRolloutBufferSamples:  # noqa: ANN401, ARG002
        """Return transitions, numbered row by row (n * T + t), and set their targets."""
        if not self._flat:
            assert self._read is not None
            arrays = {name: torch.from_numpy(getattr(self, name)) for name in _SCALARS}
            arrays |= {"actions": torch.from_numpy(self.actions)} | self._read
            self._flat = {k: rows.flatten(0, 1).to(self.device) for k, rows in arrays.items()}
        row, step = np.divmod(batch_inds, self.buffer_size)
        index = torch.from_numpy(step * self.n_envs + row).to(self.device)
        found = {name: flat.index_select(0, index) for name, flat in self._flat.items()}
        self.inputs = Inputs(**{name: found[name] for name in self._read or ()})
        self.minibatch = Rows(self._told, index)
        self.sampled = Rows(self._seen, index)
        return DictRolloutBufferSamples(
            observations=self.sampled,
            actions=found["actions"],
            old_values=found["values"],
            old_log_prob=found["log_probs"],
            advantages=found["advantages"],
            returns=found["returns"],
        )


def step_targets(info: dict[str, Any]) -> dict[str, NDArray[Any]]:
    """Return the auxiliary targets in the batched info of one step, by name."""
    response = info["response"]
    if "rating" in response:
        found = {name: response[name] for name in ("click", "watch", "rating")}
        found |= {"slate": info["slate"], "user": info["user"]}
    else:
        found = classic_targets(info)
    return {name: np.asarray(array, TARGETS[name]) for name, array in found.items()}
