"""Training of LightGCN: vectors of users and items that fit the graph of who liked what.

Letters: U users, I items, V = U + I vertices, F factors, L layers, E pairs, b pairs of a batch.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sparse

from slategym.cf_baselines.interactions import FloatArray

# Adam's decays of the mean and of the mean square (Kingma and Ba 2015).
_ADAM = (0.9, 0.999)


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
    al. 2022, "On the effectiveness of sampled softmax loss", equation 2), its derivative written
    by hand: the adjacency is symmetric, so the way back through the layers is the way forth. The
    steps are Adam's (Kingma and Ba 2015, algorithm 1).
    """
    rng = np.random.default_rng(how.seed)
    n_users, n_items = likes.shape
    vectors = 0.1 * rng.standard_normal((n_items, how.factors)).astype(np.float32)
    mean, square = np.zeros_like(vectors), np.zeros_like(vectors)
    users, items = likes.nonzero()
    drawn_at_once = min(how.negatives, n_items)
    for step, chosen in enumerate(_batches(len(users), how, rng), start=1):
        drawn = rng.integers(0, n_items, drawn_at_once)
        rows = (users[chosen], n_users + items[chosen], n_users + drawn)
        final = layer_mean(_with_users(vectors, n_users), adjacency, how.layers)
        slope = softmax_loss(final, rows, how.temperature)[1]
        slope = layer_mean(slope, adjacency, how.layers)[n_users:]
        slope += np.float32(2 * how.penalty / n_items) * vectors
        mean += np.float32(1 - _ADAM[0]) * (slope - mean)
        square += np.float32(1 - _ADAM[1]) * (slope * slope - square)
        size = how.learning_rate * (1 - _ADAM[1] ** step) ** 0.5 / (1 - _ADAM[0] ** step)
        vectors -= np.float32(size) * mean / (np.sqrt(square) + np.float32(1e-8))
    return vectors


def _with_users(vectors: FloatArray, n_users: int) -> FloatArray:
    """Return layer 0 of all vertices, (V, F): zeros for users, then the items' vectors."""
    return np.concatenate([np.zeros((n_users, vectors.shape[1]), np.float32), vectors])


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


def layer_mean(layer: FloatArray, adjacency: sparse.csr_matrix, layers: int) -> FloatArray:
    """Return the mean of layers 0 to L, (V, F), given layer 0."""
    total = layer.copy()
    for _ in range(layers):
        layer = adjacency @ layer
        total += layer
    return np.asarray(total / np.float32(layers + 1), dtype=np.float32)


def softmax_loss(
    final: FloatArray, rows: tuple[npt.NDArray[np.intp], ...], temperature: float
) -> tuple[float, FloatArray]:
    """Return the sampled softmax loss of pairs and its derivative by the vectors, (V, F).

    Args:
        final: (V, F) vectors of the vertices.
        rows: Vertices of the users (b,), of what each liked (b,) and of the negatives (n,).
        temperature: Cosines are divided by it.
    """
    (user, liked, other), lengths = zip(*(_direction(final[row]) for row in rows), strict=True)
    right = (user * liked).sum(axis=1) / temperature  # (b,)
    wrong = user @ other.T / np.float32(temperature)  # (b, n)
    top = np.maximum(right, wrong.max(axis=1))
    wrong = np.exp(wrong - top[:, None])
    lead = np.exp(right - top)
    total = lead + wrong.sum(axis=1)
    loss = float((top + np.log(total) - right).mean())
    scale = np.float32(1 / (temperature * len(right)))
    wrong *= (scale / total)[:, None]
    pull = (scale * (lead / total - 1))[:, None]  # (b, 1)
    slopes = (wrong @ other + pull * liked, pull * user, wrong.T @ user)
    out = np.zeros_like(final)
    for row, unit, slope, length in zip(rows, (user, liked, other), slopes, lengths, strict=True):
        along = (slope - unit * (unit * slope).sum(axis=1, keepdims=True)) / length
        places = (np.ones(len(row), np.float32), (row, np.arange(len(row))))
        out += sparse.csr_matrix(places, (len(final), len(row))) @ along
    return loss, out


def _direction(vectors: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return vectors (N, F) of length 1, and their lengths (N, 1)."""
    length = np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.float32(1e-12))
    return vectors / length, length


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
