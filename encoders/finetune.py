"""Multi-task fine-tuning: training with early stopping, resumable, the best model kept.

Letters: N ratings, B rows of a batch, I items, U users, S scores, one a task.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from slategym.encoders.base import FloatArray
from slategym.encoders.finetune_config import FinetuneConfig
from slategym.encoders.finetune_encoder import TunedEncoder, make_encoder_tuner
from slategym.encoders.finetune_model import Outputs, TaskNetwork, Truth, history_counts
from slategym.encoders.finetune_store import (
    Checkpoint,
    data_hash,
    load_checkpoint,
    save_checkpoint,
)
from slategym.encoders.tasks import Biases, FinetuneData, IntArray, fit_biases
from slategym.errors import DataError, unknown_name

Tracker = Callable[[int, Mapping[str, float]], None]
_ENCODER = "encoder."


@dataclass(frozen=True, eq=False)
class TaskModel:
    """A fine-tuned model: for each task, the parameters of the pass that was best at it.

    Attributes:
        config: The settings.
        data: What it was trained on.
        biases: Of users and items.
        networks: Task that is on to its parameters.
        history: A row per pass: relative loss of each task in training and validation.
    """

    config: FinetuneConfig
    data: FinetuneData
    biases: Biases
    networks: Mapping[str, TaskNetwork]
    history: tuple[Mapping[str, float], ...]

    def scores(self, users: npt.ArrayLike, items: npt.ArrayLike) -> FloatArray:
        """Return what each task that is on says of B pairs, (B, S), in the order of `TASKS`.

        T1 is the rating less the biases; T2 the product of the user's known vector and the
        generated item vector; T3 the sum of the joint vector.
        """
        rows = np.asarray(users, np.int64)
        found = []
        for task in self.config.tasks:
            outputs = self.outputs(task, users, items)
            if task == "rating":
                found.append(outputs.rating)
            elif task == "item_features":
                found.append((self.data.generated.users[rows] * outputs.generated).sum(axis=1))
            else:
                found.append(outputs.joint.sum(axis=1))
        return np.stack(found, axis=1).astype(np.float32)

    def outputs(
        self, task: str, users: npt.ArrayLike, items: npt.ArrayLike, *, block: int = 65536
    ) -> Outputs:
        """Return the heads of B pairs as arrays, by the parameters that were best at a task.

        Raises:
            UsageError: the task was not trained.
        """
        import torch

        network = self._network(task)
        u, i = np.asarray(users, np.int64), np.asarray(items, np.int64)
        found = []
        with torch.no_grad():
            for start in range(0, len(u), block):
                part = slice(start, start + block)
                found.append(_forward(network, u[part], i[part], None, None, None))
        names = ("rating", "generated", "joint", "user", "item")
        return Outputs(
            *(np.concatenate([getattr(each, name).numpy() for each in found]) for name in names)
        )

    def item_vectors(self, task: str, dim: int | None = None) -> FloatArray:
        """Return the vectors of all items tuned for a task, (I, width), cut to ``dim`` numbers.

        Raises:
            UsageError: the task was not trained.
        """
        import torch

        network = self._network(task)
        with torch.no_grad():
            every = torch.arange(self.data.n_items)
            vectors = network.item_side(network.content) + network.own(every)
        return np.asarray(vectors.numpy()[:, :dim], np.float32)

    def _network(self, task: str) -> TaskNetwork:
        if task not in self.networks:
            raise unknown_name("task of this model", task, self.networks)
        return self.networks[task]


def finetune(
    data: FinetuneData,
    config: FinetuneConfig | None = None,
    *,
    out: Path | None = None,
    tracker: Tracker | None = None,
    encoder: Any = None,  # noqa: ANN401 - a text encoder of `slategym.encoders.text`
) -> TaskModel:
    """Return the model trained on the tasks that have a weight.

    After each pass every task is measured on the validation ratings, and the parameters of its
    best pass are kept: tasks trained together do not ripen together. T2 is measured as if items
    were cold, for a warm item's vector is known. Training stops when no task gets better. With
    ``out`` every pass is kept there: the same call goes on where a killed run was and ends with
    the same bytes.

    Args:
        data: Ratings, vectors and targets.
        config: The settings.
        out: A folder for the checkpoint; None keeps nothing.
        tracker: Told the pass and its measures.
        encoder: For the modes that train it: the text encoder, embedded MiniLM by default.

    Raises:
        UsageError: ``out`` holds a run of other data or settings, or the encoder is to be
            trained and there are no texts.
        DataError: training diverged.
    """
    import torch

    config = config or FinetuneConfig()
    biases = fit_biases(data.train, data.n_users, data.n_items)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        network = TaskNetwork(data, biases, width=config.width, trunk=config.trunk)
        tuner = make_encoder_tuner(data, config, encoder)
        training = _Training(data, config, biases, network, tuner)
        networks, history = training.run(out, tracker)
    return TaskModel(config, data, biases, networks, history)


class _Training:
    """One run: its parameters, optimiser, and the best pass so far."""

    def __init__(
        self, data: FinetuneData, config: FinetuneConfig, biases: Biases, network: TaskNetwork,
        tuner: TunedEncoder | None,
    ) -> None:  # fmt: skip
        import torch

        self.data, self.config, self.biases = data, config, biases
        self.network, self.tuner = network, tuner
        self.parameters: dict[str, Any] = dict(network.parameters)
        if tuner is not None:
            named = tuner.parameters
            self.parameters |= {_ENCODER + name: value for name, value in named.items()}
        self.parameters |= {f"precision.{task}": torch.zeros(()) for task in config.tasks}
        groups = []
        for name, value in self.parameters.items():
            value.requires_grad_(True)
            encodes = name.startswith(_ENCODER)
            rate = config.encoder_learning_rate if encodes else config.learning_rate
            decay = config.own_decay if name.endswith(".own") else config.weight_decay
            decay = 0.0 if name.startswith("precision") or "bias" in name else decay
            groups.append({"params": [value], "lr": rate, "weight_decay": decay})
        self.optimiser = torch.optim.AdamW(groups)
        self.truth = Truth(data, biases)
        self.counts = history_counts(network.histories, data.train.users, data.train.items)

    def run(
        self, out: Path | None, tracker: Tracker | None
    ) -> tuple[dict[str, TaskNetwork], tuple[Mapping[str, float], ...]]:
        """Train to the end; return the network of each task's best pass, and the measures."""
        identity = {"config": self.config.to_json(), "data": data_hash(self.data)}
        state = load_checkpoint(out, identity) if out is not None else None
        if state is None:
            state = Checkpoint(0, dict.fromkeys(self.config.tasks, float("inf")), 0, (), {}, {})
        else:
            self._restore(state)
        while state.epoch < self.config.epochs and state.since < self.config.patience:
            state = self._pass(state)
            if out is not None:
                save_checkpoint(out, state, identity)
            if tracker is not None:
                tracker(state.epoch, state.history[-1])
        networks = {}
        for task in self.config.tasks:
            if not np.isfinite(state.lowest[task]):
                raise DataError(
                    f"the loss of task {task!r} was never a number; lower learning_rate "
                    f"(it is {self.config.learning_rate:g}), or look for huge item vectors."
                )
            self._take({name: state.best[f"{task}/{name}"] for name in self.parameters})
            if self.tuner is not None:
                self.network.content = self.tuner.encode_all()
            networks[task] = self.network.frozen_copy()
        return networks, state.history

    def _pass(self, state: Checkpoint) -> Checkpoint:
        import torch

        epoch = state.epoch + 1
        torch.manual_seed((self.config.seed * 100_003 + epoch) % 2**31)
        measures: dict[str, float] = {"epoch": epoch}
        measures |= {f"train/{task}": 0.0 for task in self.config.tasks}
        for rows in self._batches(epoch):
            self.optimiser.zero_grad()
            outputs, users, items = self._outputs(rows)
            losses = self.truth.losses(outputs, users, items, self.data.train.values[rows])
            self._total(losses, outputs, users, items, rows).backward()
            self.optimiser.step()
            for task in self.config.tasks:
                share = len(rows) / len(self.data.train)
                measures[f"train/{task}"] += float(losses[task].detach()) * share
        held = self._held_out()
        measures |= {f"validation/{task}": loss for task, loss in held.items()}
        better = [task for task in held if held[task] < state.lowest[task] - 1e-4]
        best = dict(state.best)
        for task in better:
            best |= {f"{task}/{name}": value for name, value in self._arrays().items()}
        lowest = {**state.lowest, **{task: held[task] for task in better}}
        since = 0 if better else state.since + 1
        history = (*state.history, measures)
        return Checkpoint(epoch, lowest, since, history, best, self._optimiser_arrays())

    def _batches(self, epoch: int) -> Iterator[IntArray]:
        """Yield the rows of each step; where the encoder is trained, all rows of a few items."""
        rng = np.random.default_rng([self.config.seed, epoch])
        rows = len(self.data.train)
        if self.tuner is None:
            steps = max(1, round(rows / self.config.batch))
            yield from np.array_split(rng.permutation(rows), steps)
            return
        items = rng.permutation(np.flatnonzero(self.data.rated))
        steps = max(1, round(len(items) / self.config.encoder_items))
        for chosen in np.array_split(items, steps):
            yield np.flatnonzero(np.isin(self.data.train.items, chosen))

    def _outputs(self, rows: IntArray) -> tuple[Outputs, IntArray, IntArray]:
        """Return the heads of training rows, with dropout and without their own ratings."""
        users, items = self.data.train.users[rows], self.data.train.items[rows]
        outputs = _forward(self.network, users, items, self.counts[rows], self.config, self.tuner)
        return outputs, users, items

    def _total(
        self, losses: Mapping[str, Any], outputs: Outputs, users: IntArray, items: IntArray,
        rows: IntArray,
    ) -> Any:  # noqa: ANN401  # fmt: skip
        """Return what is minimised: the weighted losses, at every nested width too."""
        total: Any = 0.0
        parts = [losses]
        if self.config.nested:
            values = self.data.train.values[rows]
            for cut in self.config.nested:
                shorter = _cut(self.network, outputs, cut)
                parts.append(self.truth.losses(shorter, users, items, values))
        for part in parts:
            for task in self.config.tasks:
                loss = self.config.weights[task] * part[task]
                if self.config.balance == "uncertainty":
                    free = self.parameters[f"precision.{task}"]
                    loss = 0.5 * (-free).exp() * loss + 0.5 * free
                total = total + loss / len(parts)
        return total

    def _held_out(self) -> dict[str, float]:
        """Return the relative loss of each task that is on, on the validation ratings."""
        import torch

        held = self.data.validation
        found = {}
        with torch.no_grad():
            if self.tuner is not None:
                self.network.content = self.tuner.encode_all()
            for cold in (False, True):
                outputs = _forward(
                    self.network, held.users, held.items, None, None, None, cold=cold
                )
                losses = self.truth.losses(outputs, held.users, held.items, held.values)
                for task in self.config.tasks:
                    if (task == "item_features") == cold:
                        found[task] = float(losses[task])
        return {task: found[task] for task in self.config.tasks}

    def _arrays(self) -> dict[str, FloatArray]:
        return {name: value.detach().numpy().copy() for name, value in self.parameters.items()}

    def _take(self, arrays: Mapping[str, FloatArray]) -> None:
        import torch

        with torch.no_grad():
            for name, value in self.parameters.items():
                value.copy_(torch.from_numpy(np.asarray(arrays[name])))

    def _optimiser_arrays(self) -> dict[str, FloatArray]:
        """Return parameters as they are now, and the optimiser's moments of each."""
        found = {f"now.{name}": value for name, value in self._arrays().items()}
        for name, value in self.parameters.items():
            for part, moment in self.optimiser.state[value].items():
                found[f"{part}.{name}"] = np.asarray(moment.numpy()).copy()
        return found

    def _restore(self, state: Checkpoint) -> None:
        import torch

        arrays = state.optimiser
        self._take({name: arrays[f"now.{name}"] for name in self.parameters})
        for name, value in self.parameters.items():
            kept = {
                part: torch.from_numpy(np.array(arrays[f"{part}.{name}"]))
                for part in ("step", "exp_avg", "exp_avg_sq")
                if f"{part}.{name}" in arrays
            }
            if kept:
                self.optimiser.state[value].update(kept)


def _forward(
    network: TaskNetwork, users: IntArray, items: IntArray, counts: FloatArray | None,
    config: FinetuneConfig | None, tuner: TunedEncoder | None, *, cold: bool = False,
) -> Outputs:  # fmt: skip
    """Return the heads of B pairs; with ``config`` and ``counts`` as in training: dropout.

    ``cold`` leaves out what was learned of the items one by one.
    """
    import torch
    from torch.nn import functional

    u, i = torch.tensor(users), torch.tensor(items)
    # An item is read once a batch, however many of its rows are in it.
    chosen, places = np.unique(items, return_inverse=True)
    content = network.content[torch.from_numpy(chosen)] if tuner is None else tuner.content(chosen)
    own = network.own(i) * (0.0 if cold else 1.0)
    if counts is not None and config is not None:
        content = functional.dropout(content, config.dropout)
        own = own * (torch.rand(len(i), 1) >= config.item_dropout)
    taken = None if counts is None else torch.from_numpy(counts)
    p = network.user_side(u, None if taken is None else i, taken)
    e = network.item_side(content)[torch.from_numpy(places)] + own
    return network.heads(p, e)


def _cut(network: TaskNetwork, outputs: Outputs, width: int) -> Outputs:
    """Return the heads when both sides are cut to their first ``width`` numbers."""
    import torch

    keep = (torch.arange(outputs.user.shape[1]) < width).float()
    return network.heads(outputs.user * keep, outputs.item * keep)
