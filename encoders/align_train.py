"""Contrastive alignment: heads that start from canonical correlations and learn from there.

Letters: N items of a batch, M modalities, Dm numbers per vector of modality m, D shared numbers.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from slategym.encoders.align import Alignment, fit_cca, recall_at
from slategym.encoders.catalog import Modality
from slategym.encoders.pipeline import ItemVectors
from slategym.errors import DataError, UsageError

if TYPE_CHECKING:
    import torch

MIN_VALIDATION = 8


@dataclass(frozen=True)
class ContrastConfig:
    """Settings of contrastive alignment."""

    loss: Literal["infonce", "siglip"] = "infonce"
    """InfoNCE (van den Oord et al. 2018, eq. 4, both ways) or SigLIP (Zhai et al. 2023, eq. 1)."""
    dim: int = 128
    """Numbers in the shared space."""
    strength: float = 1.0
    """Ridge penalty of the canonical correlations the heads start from."""
    power: float = 1.0
    """Exponent of the correlations at the start."""
    hidden: int = 0
    """Hidden units added to each head; 0 keeps heads linear."""
    dropout: float = 0.2
    """Share of input numbers set to 0 in training, in [0, 1)."""
    modality_dropout: float = 0.3
    """Chance that a modality is left out of what an item is matched with, in [0, 1)."""
    learning_rate: float = 1e-3
    """Adam's step."""
    weight_decay: float = 1e-2
    """Pull of the heads towards their start, per step, in units of the learning rate."""
    batch: int = 512
    """Items per step; the others of the batch are the wrong answers."""
    epochs: int = 150
    """Passes at most."""
    patience: int = 20
    """Passes without a better validation loss before training stops."""
    validation: float = 0.15
    """Share of the items held out to stop by, in (0, 1)."""
    seed: int = 0
    """Decides the items held out, the batches and the dropout."""

    def __post_init__(self) -> None:
        if self.loss not in ("infonce", "siglip"):
            raise UsageError(f"the loss is 'infonce' or 'siglip', not {self.loss!r}.")
        for name in ("dropout", "modality_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise UsageError(f"{name} must be in [0, 1), not {getattr(self, name)}.")
        if not 0 < self.validation < 1:
            raise UsageError(f"validation must be in (0, 1), not {self.validation}.")
        for name in ("dim", "batch", "epochs", "patience"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} must be at least 1, not {getattr(self, name)}.")
        if self.hidden < 0 or not self.learning_rate > 0 or self.weight_decay < 0:
            raise UsageError("hidden and weight_decay must be >= 0, learning_rate > 0.")


def fit_contrastive(
    vectors: ItemVectors,
    config: ContrastConfig | None = None,
    *,
    rows: npt.ArrayLike | None = None,
) -> Alignment:
    """Return heads trained so that an item's modalities find each other.

    Training starts at `fit_cca` of the training items and stops when the loss on held-out items
    no longer falls. It is then done again on all items, for as many passes as were best: none
    where nothing was gained, so that `fit_cca` of all items is returned. Each
    modality of an item is matched with the mean of a random choice of its other modalities
    (modality dropout), so that heads do not rely on all of them being there.

    Args:
        vectors: Items with at least two modalities.
        config: The settings.
        rows: Items to fit on, by position or mask (I,); all by default.

    Raises:
        DataError: too few items have two modalities.
    """
    import torch

    config = config or ContrastConfig()
    chosen = np.arange(len(vectors))[slice(None) if rows is None else np.asarray(rows)]
    several = np.sum([vectors.present[modality][chosen] for modality in vectors.vectors], axis=0)
    order = np.random.default_rng(config.seed).permutation(chosen[several >= 2])
    held = round(len(order) * config.validation)
    if held < MIN_VALIDATION:
        raise DataError(
            f"contrastive alignment needs {MIN_VALIDATION} held-out items with two modalities; "
            f"a share of {config.validation} of {len(order)} gives {held}: use fit_cca instead."
        )
    train = np.setdiff1d(chosen, order[:held])
    start = _start(vectors, config, train)
    with torch.random.fork_rng(devices=[]):
        trainer = _Trainer(vectors, start, config)
        epochs, measured = trainer.run(order[held:], order[:held])
        stopped = trainer.alignment({})
        # The held-out items have said when to stop; now they are learned from as well.
        whole = _start(vectors, config, chosen)
        trainer = _Trainer(vectors, whole, config)
        trainer.passes(order, epochs)
    report: dict[str, float | int | str] = {
        **whole.report,
        **{name: value for name, value in asdict(config).items() if name != "dim"},
        "method": "contrastive",
        **measured,
        "passes": epochs,
        "held_out_recall_at_10": _recall(stopped, vectors, order[:held]),
        "held_out_recall_at_10_at_start": _recall(start, vectors, order[:held]),
    }
    return trainer.alignment(report)


def _start(vectors: ItemVectors, config: ContrastConfig, rows: npt.NDArray[np.int64]) -> Alignment:
    """Return the canonical correlations that training starts from."""
    return fit_cca(vectors, dim=config.dim, strength=config.strength, power=config.power, rows=rows)


def _recall(alignment: Alignment, vectors: ItemVectors, rows: npt.NDArray[np.int64]) -> float:
    """Return recall at 10 of the second modality asked for by the first, on held-out items."""
    first, second = list(alignment.heads)[:2]
    both = rows[vectors.present[first][rows] & vectors.present[second][rows]]
    if len(both) == 0:
        return 0.0
    return recall_at(
        alignment.project(first, vectors.vectors[first][both]),
        alignment.project(second, vectors.vectors[second][both]),
        10,
    )


class _Trainer:
    """The heads of an alignment as torch parameters, and their training."""

    def __init__(self, vectors: ItemVectors, start: Alignment, config: ContrastConfig) -> None:
        import torch

        torch.manual_seed(config.seed)
        self.start, self.config = start, config
        self.inputs = {
            modality: torch.from_numpy((vectors.vectors[modality] - head.mean) * head.scale)
            for modality, head in start.heads.items()
        }
        self.present = {
            modality: torch.from_numpy(vectors.present[modality]) for modality in start.heads
        }
        self.parameters: dict[str, torch.Tensor] = {}
        for modality, head in start.heads.items():
            width, dim = head.weight.shape
            self.parameters[f"{modality}.weight"] = torch.from_numpy(head.weight.copy())
            if config.hidden:
                hidden = torch.randn(width, config.hidden) / width**0.5
                self.parameters[f"{modality}.hidden"] = hidden
                self.parameters[f"{modality}.hidden_bias"] = torch.zeros(config.hidden)
                self.parameters[f"{modality}.out"] = torch.zeros(config.hidden, dim)
        # CLIP's start of the temperature (Radford et al. 2021), and SigLIP's of the bias.
        self.parameters["scale"] = torch.tensor(np.log(1 / 0.07), dtype=torch.float32)
        self.parameters["bias"] = torch.tensor(-10.0 if config.loss == "siglip" else 0.0)
        self.initial = {name: value.clone() for name, value in self.parameters.items()}

    def run(
        self, train: npt.NDArray[np.int64], held: npt.NDArray[np.int64]
    ) -> tuple[int, dict[str, float]]:
        """Train until the held-out loss no longer falls; keep and count the best passes."""
        first = lowest = self._held_out_loss(held)
        best, epoch, since, passes = self._copy(), 0, 0, 0
        steps = self._steps(train)
        while epoch < self.config.epochs and since < self.config.patience:
            epoch += 1
            next(steps)
            loss = self._held_out_loss(held)
            since += 1
            if loss < lowest - 1e-4:
                lowest, best, since, passes = loss, self._copy(), 0, epoch
        self.parameters = best
        return passes, {"held_out_loss_at_start": first, "held_out_loss": lowest}

    def passes(self, rows: npt.NDArray[np.int64], epochs: int) -> None:
        """Train for so many passes over the items."""
        steps = self._steps(rows)
        for _ in range(epochs):
            next(steps)

    def _steps(self, rows: npt.NDArray[np.int64]) -> Iterator[None]:
        """Train for one pass each time it is asked."""
        import torch

        torch.manual_seed(self.config.seed)
        for value in self.parameters.values():
            value.requires_grad_(True)
        optimiser = torch.optim.Adam(self.parameters.values(), lr=self.config.learning_rate)
        order = np.random.default_rng([self.config.seed, 1])
        while True:
            shuffled = order.permutation(rows)
            for part in np.array_split(shuffled, max(1, round(len(rows) / self.config.batch))):
                optimiser.zero_grad()
                self._loss(torch.from_numpy(part), training=True).backward()
                optimiser.step()
                self._pull()
            yield

    def alignment(self, report: Mapping[str, float | int | str]) -> Alignment:
        """Return the heads as they are now."""
        heads = {}
        for modality, head in self.start.heads.items():
            names = ("weight", "hidden", "hidden_bias", "out")
            arrays: dict[str, Any] = {
                name: self.parameters[f"{modality}.{name}"].detach().numpy().copy()
                for name in names
                if f"{modality}.{name}" in self.parameters
            }
            heads[modality] = replace(head, **arrays)
        return Alignment(heads, report)

    def _copy(self) -> "dict[str, torch.Tensor]":
        return {name: value.detach().clone() for name, value in self.parameters.items()}

    def _pull(self) -> None:
        """Draw the heads a little towards their start: a prior that the start is nearly right."""
        import torch

        share = self.config.learning_rate * self.config.weight_decay
        with torch.no_grad():
            for name, value in self.parameters.items():
                if name not in ("scale", "bias"):
                    value.lerp_(self.initial[name], share)

    def _held_out_loss(self, rows: npt.NDArray[np.int64]) -> float:
        import torch

        with torch.no_grad():
            return float(self._loss(torch.from_numpy(rows), training=False))

    def _project(self, modality: Modality, rows: "torch.Tensor", *, training: bool) -> Any:  # noqa: ANN401
        """Return a modality of N items in the shared space, (N, D), length 1."""
        import torch
        from torch.nn import functional

        x = functional.dropout(self.inputs[modality][rows], self.config.dropout, training)
        z = x @ self.parameters[f"{modality}.weight"]
        if self.config.hidden:
            inner = x @ self.parameters[f"{modality}.hidden"]
            inner = torch.relu(inner + self.parameters[f"{modality}.hidden_bias"])
            z = z + inner @ self.parameters[f"{modality}.out"]
        return functional.normalize(z, dim=1)

    def _loss(self, rows: "torch.Tensor", *, training: bool) -> "torch.Tensor":
        """Return the mean loss of matching each modality with a choice of the others."""
        import torch
        from torch.nn import functional

        names = list(self.inputs)
        there = torch.stack([self.present[name][rows] for name in names])  # (M, N)
        space = torch.stack([self._project(name, rows, training=training) for name in names])
        losses = []
        for number in range(len(names)):
            others = there.clone()
            others[number] = False
            if training and len(names) > 2:
                dropped = torch.rand(others.shape) < self.config.modality_dropout
                kept = others & ~dropped
                others = torch.where(kept.any(dim=0), kept, others)
            usable = there[number] & others.any(dim=0)
            if int(usable.sum()) < 2:
                continue
            answer = (space * others[..., None]).sum(dim=0)[usable]
            losses.append(
                self._contrast(space[number][usable], functional.normalize(answer, dim=1))
            )
        return torch.stack(losses).mean()

    def _contrast(self, queries: "torch.Tensor", answers: "torch.Tensor") -> "torch.Tensor":
        """Return the loss of N queries and their answers, (N, D) each."""
        import torch
        from torch.nn import functional

        # The temperature stays where float32 logits are safe, as in CLIP.
        logits = queries @ answers.T * self.parameters["scale"].clamp(max=np.log(100.0)).exp()
        if self.config.loss == "siglip":
            signs = 2 * torch.eye(len(logits)) - 1
            wrong = -functional.logsigmoid(signs * (logits + self.parameters["bias"]))
            return wrong.sum(dim=1).mean()
        right = torch.arange(len(logits))
        both = functional.cross_entropy(logits, right) + functional.cross_entropy(logits.T, right)
        return both / 2
