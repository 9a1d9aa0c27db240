"""Training of LightGCN: vectors of users and items that fit the graph of who liked what.

Letters: U users, I items, V = U + I vertices, F factors, L layers, E pairs, b pairs of a batch.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sparse

from slategym.cf_baselines.interactions import FloatArray
from slategym.errors import UsageError

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class GraphTraining:
    """How LightGCN is trained; see `LightGcnConfig` for what the fields mean."""

    factors: int
    layers: int
    steps: int
    batch: int
    learning_rate: float
    penalty: float
    temperature: float
    negatives: int
    seed: int


def require_torch(model: str) -> Any:  # noqa: ANN401
    """Return torch, or say in one sentence how to get it.

    Raises:
        UsageError: torch is not installed.
    """
    try:
        import torch
    except ImportError:
        raise UsageError(
            f"{model} is trained with torch, which is not installed; run `pip install torch`."
        ) from None
    return torch


def normalised_adjacency(
    likes: sparse.csr_matrix, item_graph: sparse.csr_matrix | None = None
) -> tuple[sparse.csr_matrix, FloatArray]:
    """Return the graph's D^-1/2 A D^-1/2, (V, V), and D^-1/2, (V,), 0 for lonely vertices.

    Args:
        likes: (U, I) edges of users and items.
        item_graph: (I, I) symmetric edges among items; None for none.
    """
    blocks = [[None, likes], [likes.T, item_graph]]
    if item_graph is None:
        n_users, n_items = likes.shape
        blocks = [
            [sparse.csr_matrix((n_users, n_users)), likes],
            [likes.T, sparse.csr_matrix((n_items, n_items))],
        ]
    graph = sparse.csr_matrix(sparse.block_array(blocks), dtype=np.float64)
    degrees = np.asarray(graph.sum(axis=1)).ravel()
    root = np.where(degrees > 0, np.maximum(degrees, 1e-12) ** -0.5, 0.0)
    scale = sparse.diags_array(root)
    return sparse.csr_matrix(scale @ graph @ scale, dtype=np.float32), root.astype(np.float32)


def train_vectors(
    likes: sparse.csr_matrix, adjacency: sparse.csr_matrix, how: GraphTraining
) -> FloatArray:
    """Return the vectors of the items in layer 0, (I, F); the same for the same seed.

    Users have none: theirs are zeros in layer 0, and all they are comes from what they liked.
    A vertex's final vector is the mean of its vectors in layers 0 to L, each layer being the
    adjacency times the one before (He et al. 2020, "LightGCN", equations 7 and 8). The loss is a
    softmax over the liked item and a sample of all items, of cosines over a temperature (Wu et
    al. 2022, "On the effectiveness of sampled softmax loss", equation 2).
    """
    torch = require_torch("lightgcn")
    rng = np.random.default_rng(how.seed)
    n_users, n_items = likes.shape
    first = rng.standard_normal((n_items, how.factors)).astype(np.float32)
    vectors = torch.nn.Parameter(torch.from_numpy(0.1 * first))
    optimiser = torch.optim.Adam([vectors], lr=how.learning_rate)
    nobody = torch.zeros((n_users, how.factors))
    spread, drawn_at_once = _spreading(adjacency), min(how.negatives, n_items)
    users, items = (part.astype(np.int64) for part in likes.nonzero())
    for chosen in _batches(len(users), how, rng):
        drawn = rng.integers(0, n_items, drawn_at_once)
        batch = tuple(
            torch.from_numpy(rows)
            for rows in (users[chosen], n_users + items[chosen], n_users + drawn)
        )
        final = layer_mean(torch.cat([nobody, vectors]), spread, how.layers)
        loss = _loss(final, batch, how.temperature)
        loss = loss + how.penalty * vectors.square().sum() / n_items
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
    return np.asarray(vectors.detach().numpy(), dtype=np.float32)


def _batches(
    n_pairs: int, how: GraphTraining, rng: np.random.Generator
) -> Iterator[npt.NDArray[np.intp]]:
    """Yield the pairs of each step, (b,): passes over all pairs, each in a new order."""
    left = how.steps if n_pairs else 0
    while left > 0:
        order = rng.permutation(n_pairs)
        for at in range(0, n_pairs, how.batch)[:left]:
            yield order[at : at + how.batch]
            left -= 1


def _spreading(adjacency: sparse.csr_matrix) -> Any:  # noqa: ANN401
    """Return a function that multiplies by the adjacency and knows its own derivative."""
    import torch

    class Spread(torch.autograd.Function):
        """A is symmetric, so the derivative of A x is one more A g: no transpose is made.

        The product is scipy's: torch calls its sparse tables unfinished, and warns.
        """

        @staticmethod
        def forward(ctx: Any, x: "torch.Tensor") -> "torch.Tensor":  # noqa: ANN401, ARG004
            return torch.from_numpy(adjacency @ x.numpy())

        @staticmethod
        def backward(ctx: Any, g: "torch.Tensor") -> "torch.Tensor":  # noqa: ANN401, ARG004
            return torch.from_numpy(adjacency @ g.contiguous().numpy())

    return Spread.apply


def layer_mean(vectors: Any, spread: Any, layers: int) -> Any:  # noqa: ANN401
    """Return the mean of layers 0 to L, of the type and shape of ``vectors``, (V, F)."""
    layer, total = vectors, vectors
    for _ in range(layers):
        layer = spread(layer)
        total = total + layer
    return total / (layers + 1)


def _loss(
    final: "torch.Tensor",
    batch: tuple["torch.Tensor", "torch.Tensor", "torch.Tensor"],
    temperature: float,
) -> "torch.Tensor":
    """Return the sampled softmax loss of pairs (b,) with negatives they share."""
    import torch

    # index_select, not [rows]: its derivative adds up in one order whatever the threads.
    users, liked, others = (
        torch.nn.functional.normalize(torch.index_select(final, 0, rows), dim=1) for rows in batch
    )
    right = (users * liked).sum(1) / temperature  # (b,)
    wrong = users @ others.T / temperature  # (b, negatives)
    return (torch.logsumexp(torch.cat([right[:, None], wrong], 1), 1) - right).mean()


def content_graph(content: FloatArray, neighbours: int) -> sparse.csr_matrix:
    """Return a symmetric graph (I, I) of each item's nearest by content, edges of 1/2 or 1.

    Args:
        content: (I, D) vectors; items whose vector is all zeros get no edges.
        neighbours: Nearest by cosine, after columns are centred, at least 1.
    """
    n_items = len(content)
    there = np.abs(content).sum(axis=1) > 0
    centred = np.where(there[:, None], content - content[there].mean(axis=0), 0.0)
    unit = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-9)
    unit = unit.astype(np.float32)
    kept = min(neighbours, max(1, n_items - 1))
    rows, columns = [], []
    for at in range(0, n_items, 1024):
        chunk = np.arange(at, min(at + 1024, n_items))
        near = unit[chunk] @ unit.T
        near[:, ~there] = -np.inf
        near[np.arange(len(chunk)), chunk] = -np.inf
        best = np.argsort(-near, axis=1, kind="stable")[:, :kept]
        ok = np.isfinite(np.take_along_axis(near, best, 1)) & there[chunk][:, None]
        rows.append(np.repeat(chunk, kept)[ok.ravel()])
        columns.append(best.ravel()[ok.ravel()])
    where = (np.concatenate(rows), np.concatenate(columns))
    one_way = sparse.csr_matrix(
        (np.full(len(where[0]), 0.5, np.float32), where), (n_items, n_items)
    )
    return sparse.csr_matrix(one_way + one_way.T)


def standardised(content: npt.ArrayLike) -> FloatArray:
    """Return content (I, D) with columns of variance 1 over the items that have any."""
    table = np.array(content, dtype=np.float32)
    there = np.abs(table).sum(axis=1) > 0
    if there.any():
        table[there] = (table[there] - table[there].mean(0)) / (table[there].std(0) + 1e-6)
    return table
