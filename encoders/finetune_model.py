"""The model that three tasks train together: two sides, a shared trunk, three heads.

Letters: B rows of a batch, D numbers of a frozen item vector, W width of the sides, H width of
the trunk, F and G numbers of the targets of T2 and T3.
"""

from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from slategym.encoders.base import FloatArray
from slategym.encoders.tasks import Biases, FinetuneData, IntArray

if TYPE_CHECKING:
    import torch

_TINY = 1e-6


@dataclass(frozen=True, eq=False)
class Outputs:
    """What the heads say of B pairs of user and item.

    Attributes:
        rating: (B,) T1, less the biases.
        generated: (B, F) T2.
        joint: (B, G) T3.
        user: (B, W) the user's side.
        item: (B, W) the item's side.
    """

    rating: Any
    generated: Any
    joint: Any
    user: Any
    item: Any


@dataclass(frozen=True, eq=False)
class Histories:
    """What users looked at, as sums over items that a row's own item can be taken out of.

    Attributes:
        matrix: (U, I) sparse; how much each item counts for each user.
        squares: (U,) sum of squared counts.
    """

    matrix: Any
    squares: FloatArray


def fit_histories(data: FinetuneData, biases: Biases) -> Histories:
    """Return the histories of the training ratings: 1 an item, and how well it was liked.

    An item counts ``1 + r - b`` with r its rating and b what biases expect, so that items rated
    low count less than items liked, and may count against.
    """
    from scipy.sparse import csr_matrix

    rest = data.train.values - biases.predict(data.train.users, data.train.items)
    values = (1 + rest).astype(np.float32)
    shape = (data.n_users, data.n_items)
    matrix = csr_matrix((values, (data.train.users, data.train.items)), shape)
    squares = np.asarray(matrix.multiply(matrix).sum(axis=1), np.float32).ravel()
    return Histories(matrix, squares)


class TaskNetwork:
    """The parameters of the model, and what it computes with them.

    The item's side is ``e = W c + W2 gelu(W1 c) + own`` with c its standardised vector and
    ``own`` learned for the item, left out for a share of rows in training and for every item
    without ratings (DropoutNet, Volkovs et al. 2017). The user's side is the same of the history
    that leaves the row's item out. The trunk is ``x = gelu(A [p, e, p * e])``.

    Attributes:
        parameters: Name to tensor; all that is trained.
    """

    def __init__(self, data: FinetuneData, biases: Biases, *, width: int, trunk: int) -> None:
        """Draw the start from torch's current random state."""
        import torch

        there = np.abs(data.item_vectors).sum(axis=1) > 0
        mean = data.item_vectors[there].mean(axis=0) if there.any() else np.float32(0)
        centred = np.where(there[:, None], data.item_vectors - mean, 0).astype(np.float32)
        level = max(float(np.sqrt((centred**2).sum(axis=1)[there].mean())), _TINY)
        # (I, D) of length 1 on average. Histories stay in the frozen vectors; what is said of the
        # item itself follows the encoder where that is trained.
        self.frozen = torch.from_numpy(centred / level)
        self.content = self.frozen
        self.rated = torch.from_numpy(data.rated.astype(np.float32))
        self.histories = fit_histories(data, biases)
        dim = data.item_vectors.shape[1]
        matrix = self.histories.matrix
        self.sums = torch.from_numpy(np.asarray(matrix @ self.frozen.numpy(), np.float32))
        self.squares = torch.from_numpy(self.histories.squares)
        shapes = {
            "item.linear": (dim, width), "item.inner": (dim, 2 * width),
            "item.outer": (2 * width, width), "item.own": (data.n_items, width),
            "user.linear": (dim, width), "user.own": (data.n_users, width),
            "trunk.weight": (3 * width, trunk), "trunk.bias": (trunk,),
            "rating.item": (width, 1), "rating.trunk": (trunk, 1),
            "generated.item": (width, data.generated.items.shape[1]),
            "generated.trunk": (trunk, data.generated.items.shape[1]),
            "joint.product": (width, data.joint.items.shape[1]),
            "joint.trunk": (trunk, data.joint.items.shape[1]),
            "generated.bias": (data.generated.items.shape[1],),
            "joint.bias": (data.joint.items.shape[1],),
        }  # fmt: skip
        zero = ("item.outer", "item.own", "user.own", "rating.trunk", "rating.item", "bias")
        self.parameters: dict[str, torch.Tensor] = {}
        for name, shape in shapes.items():
            started = torch.randn(shape) / shape[0] ** 0.5
            self.parameters[name] = torch.zeros(shape) if name.endswith(zero) else started

    def item_side(self, content: "torch.Tensor") -> "torch.Tensor":
        """Return what content (B, D) says of items, (B, W); their own vectors come on top."""
        from torch.nn import functional

        weights = self.parameters
        inner = functional.gelu(content @ weights["item.inner"])
        return content @ weights["item.linear"] + inner @ weights["item.outer"]

    def user_side(
        self, users: "torch.Tensor", items: "torch.Tensor | None", counts: "torch.Tensor | None"
    ) -> "torch.Tensor":
        """Return p of users (B,), (B, W); their item's own part of the history is taken out.

        Args:
            users: (B,) rows of users.
            items: (B,) items to leave out, or None where no item of the history is asked for.
            counts: (B,) how much each of ``items`` counted in the history.
        """
        # The history is a sum, so it is projected once a user and once an item, not once a row.
        weight = self.parameters["user.linear"]
        pooled, squares = (self.sums @ weight)[users], self.squares[users]
        if items is not None and counts is not None:
            pooled = pooled - counts[:, None] * (self.frozen @ weight)[items]
            squares = squares - counts**2
        pooled = pooled / squares.clamp(min=1.0).sqrt()[:, None]
        return pooled + self.parameters["user.own"][users]

    def heads(self, p: "torch.Tensor", e: "torch.Tensor") -> Outputs:
        """Return what the three heads say of B pairs, given their sides (B, W) each."""
        import torch
        from torch.nn import functional

        weights = self.parameters
        both = p * e
        x = torch.cat([p, e, both], dim=1) @ weights["trunk.weight"] + weights["trunk.bias"]
        x = functional.gelu(x)
        rating = both.sum(dim=1) / p.shape[1] ** 0.5
        rating = rating + (e @ weights["rating.item"] + x @ weights["rating.trunk"])[:, 0]
        generated = e @ weights["generated.item"] + x @ weights["generated.trunk"]
        joint = both @ weights["joint.product"] + x @ weights["joint.trunk"]
        generated, joint = generated + weights["generated.bias"], joint + weights["joint.bias"]
        return Outputs(rating, generated, joint, p, e)

    def own(self, items: "torch.Tensor") -> "torch.Tensor":
        """Return the items' own vectors (B, W), 0 for those without training ratings."""
        return self.parameters["item.own"][items] * self.rated[items][:, None]

    def arrays(self) -> dict[str, FloatArray]:
        """Return the parameters as arrays."""
        return {name: value.detach().numpy().copy() for name, value in self.parameters.items()}

    def frozen_copy(self) -> "TaskNetwork":
        """Return this network as it is now, with parameters that are trained no more."""
        copied = copy(self)
        copied.parameters = {
            name: value.detach().clone() for name, value in self.parameters.items()
        }
        return copied


def history_counts(histories: Histories, users: IntArray, items: IntArray) -> FloatArray:
    """Return how much each item counts in its user's history, (B,); 0 where it is not in it."""
    return np.asarray(histories.matrix[users, items], np.float32).ravel()


class Truth:
    """The targets of the tasks, and losses relative to always saying the mean."""

    def __init__(self, data: FinetuneData, biases: Biases) -> None:
        import torch

        self.biases = biases
        self.known = torch.from_numpy(data.generated.known.astype(np.float32))
        self.item_target = torch.from_numpy(np.asarray(data.generated.items, np.float32))
        self.joint_users = torch.from_numpy(np.asarray(data.joint.users, np.float32))
        self.joint_items = torch.from_numpy(np.asarray(data.joint.items, np.float32))
        self.joint_known = torch.from_numpy(data.joint.known.astype(np.float32))
        train = data.train
        rest = train.values - biases.predict(train.users, train.items)
        items = data.generated.items[train.items]
        joint = data.joint.users[train.users] * data.joint.items[train.items]
        self.levels = {
            "rating": max(float(rest.var()), _TINY),
            "item_features": max(float(items.var(axis=0).sum()), _TINY),
            "recommendation_features": max(float(joint.var(axis=0).sum()), _TINY),
        }

    def losses(
        self, outputs: Outputs, users: IntArray, items: IntArray, values: FloatArray
    ) -> "dict[str, torch.Tensor]":
        """Return each task's loss on B rows: L1, L2 and L3 over observed pairs, over their level.

        Items whose targets nothing is known of take no part in L2 and L3.
        """
        import torch

        u, i = torch.tensor(users), torch.tensor(items)
        rest = torch.from_numpy(values - self.biases.predict(users, items))
        generated = ((outputs.generated - self.item_target[i]) ** 2).sum(dim=1)
        joint = ((outputs.joint - self.joint_users[u] * self.joint_items[i]) ** 2).sum(dim=1)
        known, joint_known = self.known[i], self.joint_known[i]
        return {
            "rating": ((outputs.rating - rest) ** 2).mean() / self.levels["rating"],
            "item_features": (generated * known).sum()
            / known.sum().clamp(min=1)
            / self.levels["item_features"],
            "recommendation_features": (joint * joint_known).sum()
            / joint_known.sum().clamp(min=1)
            / self.levels["recommendation_features"],
        }
