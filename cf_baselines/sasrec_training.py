"""SASRec: a small transformer that reads a history in order and says what comes next.

Letters: B batch of users, I items, H length of a history, F factors.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from slategym.cf_baselines.interactions import FloatArray
from slategym.errors import UsageError

if TYPE_CHECKING:
    import torch

Rows = npt.NDArray[np.intp]
# Steps at least; a log of few users is gone over more often.
LEAST_STEPS = 40


@dataclass(frozen=True)
class SequenceTraining:
    """How SASRec is built and trained; see `SasRecConfig` for what the fields mean."""

    factors: int
    blocks: int
    heads: int
    length: int
    epochs: int
    batch: int
    learning_rate: float
    dropout: float
    seed: int


def require_torch() -> Any:  # noqa: ANN401
    """Return torch, or say in one sentence how to get it.

    Raises:
        UsageError: torch is not installed.
    """
    try:
        import torch
    except ImportError:
        raise UsageError(
            "sasrec is a torch model and torch is not installed; run `pip install torch`."
        ) from None
    return torch


@contextmanager
def one_thread() -> Iterator[None]:
    """Run a block on one thread of torch: sums of several come out in another order."""
    torch = require_torch()
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def first_weights(how: SequenceTraining, n_items: int) -> dict[str, FloatArray]:
    """Return the weights before training, by name; the same for the same seed."""
    rng = np.random.default_rng(how.seed)
    width = how.factors

    def drawn(*shape: int) -> FloatArray:
        return (rng.standard_normal(shape) / np.sqrt(width)).astype(np.float32)

    out = {"items": drawn(n_items, width), "places": 0.1 * drawn(how.length, width)}
    for block in range(how.blocks):
        for name in ("query", "key", "value", "out", "up", "down"):
            out[f"{block}.{name}"] = drawn(width, width)
        for name in ("norm1", "norm2"):
            out[f"{block}.{name}"] = np.ones(width, np.float32)
    out["norm"] = np.ones(width, np.float32)
    return {name: np.asarray(table, np.float32) for name, table in out.items()}


def tensors(weights: dict[str, FloatArray]) -> "dict[str, torch.Tensor]":
    """Return weights as tensors, copied: products round by how memory is aligned."""
    import torch

    return {name: torch.from_numpy(table).clone() for name, table in weights.items()}


def read_histories(
    weights: "dict[str, torch.Tensor]",
    histories: "torch.Tensor",
    how: SequenceTraining,
    noise: "torch.Generator | None" = None,
) -> "torch.Tensor":
    """Return what is expected after each entry, (B, H, F), in the space of the item vectors.

    Blocks of causal self-attention and a two-layer network, each after a root-mean-square norm
    and added to its input (Kang and McAuley 2018, "Self-attentive sequential recommendation",
    equations 2 to 6; the norm of Zhang and Sennrich 2019).

    Args:
        weights: As from `first_weights`, as tensors.
        histories: (B, H) item rows, the newest last; -1 before the first. H <= ``how.length``.
        how: Sizes, and the dropout.
        noise: For dropout in training; None for none.
    """
    import torch
    from torch.nn import functional

    there = histories >= 0
    # The gradient of indexing adds up in the order in which threads come; that of this does not.
    state = functional.embedding(histories.clamp(min=0), weights["items"]) * how.factors**0.5
    batch, length, width = state.shape
    state = _dropped(state + weights["places"][-length:], how.dropout, noise)
    causal = torch.ones(length, length, dtype=torch.bool).tril()
    # An entry may look at entries up to itself; a missing one at itself, so that no row is empty.
    sees = causal & (there[:, None, :] | torch.eye(length, dtype=torch.bool))  # (B, H, H)
    for block in range(how.blocks):
        mine = {name: weights[f"{block}.{name}"] for name in _BLOCK}
        read = functional.rms_norm(state, (width,), mine["norm1"])
        query, key, value = (
            (read @ mine[name]).view(batch, length, how.heads, -1).transpose(1, 2)
            for name in ("query", "key", "value")
        )
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=sees[:, None])
        mixed = mixed.transpose(1, 2).reshape(batch, length, width) @ mine["out"]
        state = state + _dropped(mixed, how.dropout, noise)
        inner = functional.rms_norm(state, (width,), mine["norm2"]) @ mine["up"]
        state = state + _dropped(torch.relu(inner) @ mine["down"], how.dropout, noise)
    return functional.rms_norm(state, (width,), weights["norm"])


_BLOCK = ("query", "key", "value", "out", "up", "down", "norm1", "norm2")


def _dropped(x: "torch.Tensor", rate: float, noise: "torch.Generator | None") -> "torch.Tensor":
    """Return x with a share of its entries zero and the others scaled up, if there is noise."""
    import torch

    if noise is None or rate == 0:
        return x
    kept = torch.rand(x.shape, generator=noise) >= rate
    return x * kept / (1 - rate)


def train_weights(
    histories: Sequence[tuple[Rows, npt.NDArray[np.int64]]], n_items: int, how: SequenceTraining
) -> dict[str, FloatArray]:
    """Return the trained weights, by name.

    The loss is the cross-entropy of the next entry over all items, at every place of a history
    (as in "Turning dross into gold loss", Klenitskiy and Vasilev 2023). Each pass sees up to
    ``length`` + 1 entries of each user in a row, from a random place. Entries of one time have
    no order, so every pass gives them a new one.

    Args:
        histories: Items and times of each user, (H,) each, oldest first; two entries at least.
        n_items: I.
        how: Sizes, passes and the seed.
    """
    torch = require_torch()
    rng = np.random.default_rng(how.seed + 1)
    noise = torch.Generator().manual_seed(how.seed)
    weights = tensors(first_weights(how, n_items))
    moments = {name: (torch.zeros_like(t), torch.zeros_like(t)) for name, t in weights.items()}
    step = 0
    a_pass = -(-len(histories) // how.batch)
    for _ in range(max(how.epochs, -(-LEAST_STEPS // a_pass))):
        order = rng.permutation(len(histories))
        for at in range(0, len(order), how.batch):
            chosen = [histories[row] for row in order[at : at + how.batch]]
            table = torch.from_numpy(_windows(chosen, how.length + 1, rng))
            for each in weights.values():
                each.requires_grad_(True)
            loss = next_loss(weights, table, how, noise)
            slopes = torch.autograd.grad(loss, list(weights.values()))
            step += 1
            with torch.no_grad():
                for (name, each), slope in zip(weights.items(), slopes, strict=True):
                    _adam(each, slope, moments[name], how.learning_rate, step)
    return {name: each.detach().numpy() for name, each in weights.items()}


def next_loss(
    weights: "dict[str, torch.Tensor]",
    table: "torch.Tensor",
    how: SequenceTraining,
    noise: "torch.Generator | None",
) -> "torch.Tensor":
    """Return the mean cross-entropy of the next entries of histories (B, H + 1)."""
    from torch.nn import functional

    seen, wanted = table[:, :-1], table[:, 1:]
    there = (seen >= 0) & (wanted >= 0)
    expected = read_histories(weights, seen, how, noise)[there]  # (N, F)
    return functional.cross_entropy(expected @ weights["items"].T, wanted[there])


def _adam(
    value: "torch.Tensor",
    slope: "torch.Tensor",
    moments: "tuple[torch.Tensor, torch.Tensor]",
    rate: float,
    step: int,
) -> None:
    """Move a weight in place (Kingma and Ba 2015, algorithm 1, decays 0.9 and 0.98)."""
    mean, square = moments
    mean.lerp_(slope, 0.1)
    square.lerp_(slope * slope, 0.02)
    size = rate * (1 - 0.98**step) ** 0.5 / (1 - 0.9**step)
    value.sub_(size * mean / (square.sqrt() + 1e-8))


def _windows(
    histories: Sequence[tuple[Rows, npt.NDArray[np.int64]]], length: int, rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Return entries in a row of each history, the newest last, -1 before.

    The shape is (B, length), or narrower where no history is that long.
    """
    length = min(length, max(len(items) for items, _ in histories))
    out = np.full((len(histories), length), -1, np.int64)
    for row, (items, times) in enumerate(histories):
        mixed = items[np.lexsort((rng.random(len(items)), times))]
        spare = len(mixed) - length
        # The newest window half of the time: it is what scoring will look like.
        end = len(mixed) - (
            int(rng.integers(0, spare + 1)) if spare > 0 and rng.random() < 0.5 else 0
        )
        part = mixed[max(0, end - length) : end]
        out[row, length - len(part) :] = part
    return out
