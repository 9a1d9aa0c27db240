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
from slategym.encoders.tasks import Biases, FinetuneData, IntArray, Ratings, fit_biases

Tracker = Callable[[int, Mapping[str, float]], None]
_ENCODER = "encoder."


@dataclass(frozen=True, eq=False)
class TaskModel:
    """A fine-tuned model.

    Attributes:
        config: The settings.
        data: What it was trained on.
        biases: Of users and items.
        network: The parameters.
        history: A row per pass: relative loss of each task in training and validation.
    """

    config: FinetuneConfig
    data: FinetuneData
    biases: Biases
    network: TaskNetwork
    history: tuple[Mapping[str, float], ...]

    def scores(self, users: npt.ArrayLike, items: npt.ArrayLike) -> FloatArray:
        """Return what each task that is on says of B pairs, (B, S), in the order of `TASKS`.

        T1 is the rating less the biases; T2 the product of the user's known vector and the
        generated item vector; T3 the sum of the joint vector.
        """
        outputs = self.outputs(users, items)
        rows = np.asarray(users, np.int64)
        said = {
            "rating": outputs.rating,
            "item_features": (self.data.generated.users[rows] * outputs.generated).sum(axis=1),
            "recommendation_features": outputs.joint.sum(axis=1),
        }
        return np.stack([said[task] for task in self.config.tasks], axis=1).astype(np.float32)

    def outputs(self, users: npt.ArrayLike, items: npt.ArrayLike, *, block: int = 65536) -> Outputs:
        """Return the three heads of B pairs as arrays; a pair's own rating is not looked at."""
        import torch

        u, i = np.asarray(users, np.int64), np.asarray(items, np.int64)
        found = []
        with torch.no_grad():
            for start in range(0, len(u), block):
                part = slice(start, start + block)
                found.append(_forward(self.network, u[part], i[part], None, self.config, None))
        names = ("rating", "generated", "joint", "user", "item")
        return Outputs(
            *(np.concatenate([getattr(each, name).numpy() for each in found]) for name in names)
        )

    def item_vectors(self, dim: int | None = None) -> FloatArray:
        """Return the tuned vectors of all items, (I, width), cut to their first ``dim``."""
        import torch

        with torch.no_grad():
            every = torch.arange(self.data.n_items)
            vectors = self.network.item_side(self.network.content) + self.network.own(every)
        return np.asarray(vectors.numpy()[:, :dim], np.float32)


def finetune(
    data: FinetuneData,
    config: FinetuneConfig | None = None,
    *,
    out: Path | None = None,
    tracker: Tracker | None = None,
    encoder: Any = None,  # noqa: ANN401 - a text encoder of `slategym.encoders.text`
) -> TaskModel:
    """Return the model trained on the tasks that have a weight.

    After each pass the tasks are measured on the validation ratings; training stops when their
    weighted sum no longer falls, and the model of the best pass is returned. With ``out`` every
    pass is kept there: the same call goes on where a killed run was and ends with the same bytes.

    Args:
        data: Ratings, vectors and targets.
        config: The settings.
        out: A folder for the checkpoint; None keeps nothing.
        tracker: Told the pass and its measures.
        encoder: For the modes that train it: the text encoder, embedded MiniLM by default.

    Raises:
        UsageError: ``out`` holds a run of other data or settings, or the encoder is to be
            trained and there are no texts.
    """
    import torch

    config = config or FinetuneConfig()
    biases = fit_biases(data.train, data.n_users, data.n_items)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        network = TaskNetwork(data, biases, width=config.width, trunk=config.trunk)
        tuner = make_encoder_tuner(data, config, encoder)
        training = _Training(data, config, biases, network, tuner)
        history = training.run(out, tracker)
    return TaskModel(config, data, biases, network, history)


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

    def run(self, out: Path | None, tracker: Tracker | None) -> tuple[Mapping[str, float], ...]:
        """Train to the end; afterwards the parameters are those of the best pass."""
        identity = {"config": self.config.to_json(), "data": data_hash(self.data)}
        state = load_checkpoint(out, identity) if out is not None else None
        if state is None:
            state = Checkpoint(0, float("inf"), 0, (), self._arrays(), {})
        else:
            self._restore(state)
        while state.epoch < self.config.epochs and state.since < self.config.patience:
            state = self._pass(state)
            if out is not None:
                save_checkpoint(out, state, identity)
            if tracker is not None:
                tracker(state.epoch, state.history[-1])
        self._take(state.best)
        if self.tuner is not None:
            self.network.content = self.tuner.encode_all()
        return state.history

    def _pass(self, state: Checkpoint) -> Checkpoint:
        import torch

        epoch = state.epoch + 1
        torch.manual_seed((self.config.seed * 100_003 + epoch) % 2**31)
        totals: dict[str, float] = dict.fromkeys(self.config.tasks, 0.0)
        for rows in self._batches(epoch):
            self.optimiser.zero_grad()
            outputs, users, items = self._outputs(self.data.train, rows, training=True)
            losses = self.truth.losses(outputs, users, items, self.data.train.values[rows])
            self._total(losses, outputs, users, items, rows).backward()
            self.optimiser.step()
            for task in totals:
                totals[task] += float(losses[task].detach()) * len(rows) / len(self.data.train)
        held = self._held_out()
        value = sum(self.config.weights[task] * held[task] for task in self.config.tasks)
        better = value < state.lowest - 1e-4
        measures = {f"train/{task}": loss for task, loss in totals.items()}
        measures |= {f"validation/{task}": held[task] for task in self.config.tasks}
        return Checkpoint(
            epoch,
            min(value, state.lowest),
            0 if better else state.since + 1,
            (*state.history, {"epoch": epoch, **measures, "validation/total": value}),
            self._arrays() if better else state.best,
            self._optimiser_arrays(),
        )

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

    def _outputs(
        self, ratings: Ratings, rows: IntArray, *, training: bool
    ) -> tuple[Outputs, IntArray, IntArray]:
        users, items = ratings.users[rows], ratings.items[rows]
        counts = self.counts[rows] if ratings is self.data.train else None
        config, tuner = (self.config, self.tuner) if training else (None, None)
        outputs = _forward(self.network, users, items, counts, config, tuner)
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
        """Return the relative loss of each task on the validation ratings."""
        import torch

        with torch.no_grad():
            if self.tuner is not None:
                self.network.content = self.tuner.encode_all()
            held = self.data.validation
            outputs, users, items = self._outputs(held, np.arange(len(held)), training=False)
            losses = self.truth.losses(outputs, users, items, held.values)
            return {task: float(losses[task]) for task in self.config.tasks}

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
    config: FinetuneConfig | None, tuner: TunedEncoder | None,
) -> Outputs:  # fmt: skip
    """Return the heads of B pairs; with ``config`` and ``counts`` as in training: dropout."""
    import torch
    from torch.nn import functional

    u, i = torch.tensor(users), torch.tensor(items)
    # An item is read once a batch, however many of its rows are in it.
    chosen, places = np.unique(items, return_inverse=True)
    content = network.content[torch.from_numpy(chosen)] if tuner is None else tuner.content(chosen)
    own = network.own(i)
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
