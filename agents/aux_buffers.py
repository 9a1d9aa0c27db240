"""A rollout buffer that carries auxiliary targets beside its transitions."""

from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.buffers import DictRolloutBuffer

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


class Source(Protocol):
    """What the buffer asks for the targets of the step just taken."""

    last_info: dict[str, Any]


class Reader(Protocol):
    """What the buffer asks for the inputs of the slates just chosen."""

    inputs: Inputs


class AuxRolloutBuffer(DictRolloutBuffer):
    """A `DictRolloutBuffer` whose minibatches come with the targets of the same rows.

    ``add`` runs right after the environment's step, so the batched ``last_info`` of the adapter
    belongs to the transition being stored. Targets stay out of the observation: there, the
    response to the last slate of an episode would be lost at its reset.

    What the networks read of an observation is kept as well: it does not change with the weights,
    and reading it once and not in every epoch saves a quarter of the training time.

    Attributes:
        source: the adapter; set before the first ``add``.
        reader: the policy; set before the first ``add``.
        sampled: observations of the minibatch returned last.
        minibatch: targets of the same rows.
        inputs: what the networks read of the same rows.
        bootstrap: ``(B,)`` added once to the rewards of the next ``add``.
    """

    source: Source
    reader: Reader
    sampled: dict[str, torch.Tensor] | None
    minibatch: dict[str, torch.Tensor]
    inputs: Inputs | None
    bootstrap: NDArray[np.float32] | None = None

    def reset(self) -> None:
        """Forget all transitions."""
        super().reset()
        self._rows: dict[str, NDArray[Any]] = {}
        self._flat: dict[str, torch.Tensor] = {}
        self.sampled, self.minibatch, self.inputs = None, {}, None

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
        arrays = step_targets(self.source.last_info)
        arrays |= {name: part.cpu().numpy() for name, part in vars(self.reader.inputs).items()}
        for name, array in arrays.items():
            if name not in self._rows:
                self._rows[name] = np.zeros((self.buffer_size, *array.shape), array.dtype)
            self._rows[name][self.pos] = array
        if self.bootstrap is not None:
            reward = reward + self.bootstrap
            self.bootstrap = None
        super().add(obs, action, reward, episode_start, value, log_prob)

    def _get_samples(self, batch_inds: NDArray[Any], env: Any = None) -> Any:  # noqa: ANN401
        """Return the rows asked for, and set their targets."""
        if not self._flat:
            # The same (step, row) -> row-major order as SB3's swap_and_flatten.
            self._flat = {
                name: torch.as_tensor(rows.swapaxes(0, 1).reshape(-1, *rows.shape[2:]).copy())
                for name, rows in self._rows.items()
            }
        index = torch.as_tensor(batch_inds)
        rows = {name: flat[index].to(self.device) for name, flat in self._flat.items()}
        self.minibatch = {name: rows[name] for name in TARGETS}
        self.inputs = Inputs(rows["state"], rows["match"])
        samples = super()._get_samples(batch_inds, env)
        self.sampled = samples.observations
        return samples


def step_targets(info: dict[str, Any]) -> dict[str, NDArray[Any]]:
    """Return the auxiliary targets in the batched info of one step, by name."""
    response = info["response"]
    if "rating" in response:
        found = {name: response[name] for name in ("click", "watch", "rating")}
        found |= {"slate": info["slate"], "user": info["user"]}
    else:
        found = classic_targets(info)
    return {name: np.asarray(array, TARGETS[name]) for name, array in found.items()}
