"""The space that proto-items lie in, and the items nearest to one."""

from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from slategym.agents.classic_features import ClassicFeatures
from slategym.agents.features import ObservationFeatures
from slategym.envs.nearest import NearestItems
from slategym.errors import UsageError

Metric = Literal["dot", "euclidean"]
Search = Literal["exact", "approximate"]
METRICS, SEARCHES = ("dot", "euclidean"), ("exact", "approximate")

# Axes have unit deviation; a proto-item may point this many deviations out.
REACH = 2.0


class ProtoSpace(nn.Module):
    """A fixed linear picture of item vectors in E numbers; learns nothing.

    The principal axes of the standardised item vectors, each at unit deviation. Fixed, because an
    action must mean the same all through training.

    Args:
        features: what turns ids and raw vectors into standardised vectors.
        dims: most axes kept; fewer where items vary in fewer.
        metric: "dot": the nearest item has the greatest inner product with the proto-item;
            "euclidean": the least distance.
        search: how the whole catalogue is searched: "exact", or "approximate" by inverted lists.

    Raises:
        UsageError: an unknown metric or search.
    """

    axes: torch.Tensor
    centre: torch.Tensor

    def __init__(
        self,
        features: ObservationFeatures | ClassicFeatures,
        dims: int = 20,
        metric: Metric = "dot",
        search: Search = "exact",
    ) -> None:
        for what, name, known in (("metric", metric, METRICS), ("search", search, SEARCHES)):
            if name not in known:
                listed = " or ".join(repr(one) for one in known)
                raise UsageError(f"the {what} of proto-items is {name!r}; it must be {listed}.")
        super().__init__()
        self.metric, self.search = metric, search
        table = features.table[:-1].double().numpy()
        centre, axes = np.zeros(table.shape[1]), np.eye(table.shape[1])
        if len(table):  # else items are not rows of a table, and their features are the axes
            centre = table.mean(0)
            axes = _axes(table - centre, dims)
        # Saved with the weights: what an action means must not depend on the catalogue served.
        self.register_buffer("axes", torch.as_tensor(axes, dtype=torch.float32))
        self.register_buffer("centre", torch.as_tensor(centre, dtype=torch.float32))
        self.features = [features]  # in a list: its tables are not this module's
        self._index: tuple[int, NearestItems] | None = None

    @property
    def dims(self) -> int:
        """E, numbers per proto-item."""
        return int(self.axes.shape[1])

    def embed(self, items: torch.Tensor) -> torch.Tensor:
        """Return items ``(B, n)`` or raw vectors ``(B, n * D)`` as points ``(B, n, E)``."""
        return (self.features[0].vectors(items) - self.centre) @ self.axes

    def as_actions(self, points: torch.Tensor) -> torch.Tensor:
        """Return points as actions in [-1, 1]."""
        return (points / REACH).clamp(-1.0, 1.0)

    def nearness(self, actions: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
        """Return how near points ``(B, n, E)`` are to actions ``(B, E)``, greater is nearer."""
        product = (points @ (REACH * actions)[..., None])[..., 0]
        if self.metric == "dot":
            return product
        return product - 0.5 * points.square().sum(-1)

    def catalogue(self, actions: torch.Tensor, count: int) -> torch.Tensor:
        """Return the rows ``(B, count)`` of the nearest items of the whole catalogue."""
        table = self.features[0].table[:-1]
        if self._index is None or self._index[0] != len(table):
            points = ((table - self.centre) @ self.axes).numpy()
            approximate = self.search == "approximate"
            self._index = len(table), NearestItems(self._lifted(points), approximate=approximate)
        queries = (REACH * actions).numpy()
        if self.metric == "dot":
            queries = np.concatenate([queries, np.zeros((len(queries), 1), np.float32)], axis=1)
        return torch.from_numpy(self._index[1].search(queries, count))

    def _lifted(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return points whose Euclidean neighbours are what the metric asks for.

        With one more coordinate ``sqrt(M^2 - |e|^2)`` all have length M, and the nearest has the
        greatest inner product (Bachrach et al. 2014, "Speeding up the Xbox recommender system").
        """
        if self.metric == "euclidean":
            return points
        square = np.einsum("ie,ie->i", points, points)
        rest = np.sqrt(np.maximum(square.max(initial=0.0) - square, 0.0))
        return np.concatenate([points, rest[:, None].astype(np.float32)], axis=1)


def _axes(table: NDArray[Any], dims: int) -> NDArray[np.float64]:
    """Return the map ``(D, E)`` onto the first principal axes, each at unit deviation."""
    values, vectors = np.linalg.eigh(table.T @ table / len(table))
    order = np.argsort(-values)[:dims]
    order = order[values[order] > 1e-8 * max(float(values.max()), 1e-12)]
    axes = vectors[:, order]
    # An eigenvector has no sign of its own; its largest entry is made positive.
    signs = np.sign(axes[np.abs(axes).argmax(0), np.arange(axes.shape[1])])
    return axes * signs / np.sqrt(values[order])
