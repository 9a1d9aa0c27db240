"""What the policy reads from an observation of a classic; it learns nothing."""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from gymnasium import spaces
from numpy.typing import NDArray
from torch import nn

from slategym.agents.classic_tables import ClassicTables
from slategym.agents.features import Inputs, Obs
from slategym.envs.classic_state import CONTEXT_SCALARS

# Shares of the past that memory traces keep per document clicked: from the last few to all.
DECAYS = (0.5, 0.7, 0.85, 0.95)
# What a topic's clicks and showings are compared with: so many steps of a whole episode.
PRIOR = 0.05
# Documents of one cluster in a history of interest evolution, more or less.
CLICKS = 10.0
# Counts as shares of an episode are small; times this they enter the trunk near unit scale.
COUNT_GAIN = 4.0
# The same of products of two numbers in [-1/2, 1/2].
ALIKE_GAIN = 4.0


class ClassicFeatures(nn.Module):
    """Reads ``ids`` and ``features`` observations of the classics alike.

    State: ``user`` and ``context``; where interests are seen, how many documents of each cluster
    the history holds (what is left of the time budget follows from it); elsewhere memory traces
    ``(1 - d) sum_h d^age (doc_h - 1/2)`` of the documents clicked for each d of `DECAYS`, and for
    each topic its clicks, its showings (both as shares of an episode) and the logarithm of their
    ratio to the overall click rate. Match features of a candidate: the user's interest in its
    cluster, which cluster that is, and their product; or its own vector, what was said of its
    topics, its product with each memory trace and, where it is a grade, its square.

    Args:
        tables: of the classic.
        space: the observation space.
    """

    table: torch.Tensor
    shift: torch.Tensor
    scale: torch.Tensor
    decays: torch.Tensor

    def __init__(self, tables: ClassicTables, space: spaces.Dict) -> None:
        super().__init__()
        self.tables = tables
        width, topics = tables.vectors.shape[1], tables.topics
        user, context = space["user"].shape, space["context"].shape
        assert user is not None
        assert context is not None
        self.state_size = user[0] + context[0]
        # Whether documents are graded numbers and not one-hot: then a middling one may be best.
        self._graded = topics == width
        self.match_size = 1 + 2 * width
        if tables.interests:
            self.state_size += width
        else:
            self.state_size += len(DECAYS) * width + 3 * topics
            self.match_size = width + 3 + len(DECAYS) + self._graded * width
        constants = {
            "table": torch.from_numpy(tables.vectors.copy()),
            "shift": torch.zeros(width),
            "scale": torch.ones(width),
            "decays": torch.tensor(DECAYS),
        }
        for name, tensor in constants.items():
            self.register_buffer(name, tensor, persistent=False)

    @torch.no_grad()
    def forward(self, obs: Obs) -> Inputs:
        """Return what the networks read of a batch of observations."""
        user, context = obs["user"].float(), obs["context"].float()
        candidates = obs["candidates"]
        if self.tables.interests:
            state = torch.cat([user, context, self._clicked(obs) / CLICKS], -1)
            return Inputs(state, self._interest(user, candidates))
        past = self._past(context)  # (B, 3, Z)
        traces = self._traces(obs)  # (B, decays, D)
        state = torch.cat([user, context, traces.flatten(1), past.flatten(1)], -1)
        rows = self.vectors(candidates)
        alike = (rows - 0.5) @ traces.transpose(1, 2)  # (B, C, decays)
        own = rows[..., -self.tables.topics :] @ past.transpose(1, 2)  # (B, C, 3)
        columns = [rows, own, ALIKE_GAIN * alike]
        if self._graded:
            columns.append(ALIKE_GAIN * (rows - 0.5).square())
        return Inputs(state, torch.cat(columns, -1))

    def vectors(self, items: torch.Tensor) -> torch.Tensor:
        """Return vectors ``(B, n, D)`` of ids ``(B, n)`` or of vectors inline ``(B, n * D)``."""
        if items.is_floating_point():
            return items.reshape(len(items), -1, len(self.shift))
        return F.embedding(items.long(), self.table)

    def _interest(self, user: torch.Tensor, candidates: torch.Tensor) -> torch.Tensor:
        """Return interest in each candidate, its vector, and their product ``(B, C, 1 + 2D)``."""
        rows = self.vectors(candidates)
        if candidates.is_floating_point():
            interest = rows @ user[..., None]
        else:
            interest = user.gather(1, candidates.long())[..., None]
        return torch.cat([interest, rows, interest * rows], -1)

    def _clicked(self, obs: Obs) -> torch.Tensor:
        """Return how many documents of each cluster the history holds ``(B, D)``."""
        items = obs["history"]
        if items.is_floating_point():
            return self.vectors(items).sum(1)  # a place without a document is all zeros
        counts = torch.zeros(len(items), len(self.table))
        ids = items.long()
        return counts.scatter_add_(1, ids, torch.ones(ids.shape))[:, :-1]

    def _traces(self, obs: Obs) -> torch.Tensor:
        """Return memory traces of the documents clicked ``(B, len(DECAYS), D)``."""
        present = obs["history_feedback"].float().reshape(len(obs["user"]), -1, 3)[..., 0]
        rows = (self.vectors(obs["history"]) - 0.5) * present[..., None]  # (B, H, D)
        ages = torch.arange(rows.shape[1] - 1, -1, -1, dtype=torch.float32)
        weights = (1 - self.decays[:, None]) * self.decays[:, None] ** ages  # (decays, H)
        return weights @ rows

    def _past(self, context: torch.Tensor) -> torch.Tensor:
        """Return clicks, showings and relative click rate of each topic ``(B, 3, Z)``."""
        over, rate = context[:, :1], context[:, 3:4]
        means = context[:, CONTEXT_SCALARS:].unflatten(1, (2, self.tables.topics))
        clicks, shown = means[:, 0] * over * rate, means[:, 1] * over
        lift = torch.log((clicks + PRIOR * rate.clamp_min(0.05)) / (shown + PRIOR))
        lift = lift - torch.log(rate.clamp_min(0.05))
        return torch.stack([COUNT_GAIN * clicks, COUNT_GAIN * shown, lift], 1)


def classic_targets(info: dict[str, Any]) -> dict[str, NDArray[Any]]:
    """Return the auxiliary targets that a classic has, in the names of `step_targets`.

    The rating of a document clicked is 1, but for long-term satisfaction, where it is the
    logarithm of the engagement, a twelfth of it: the same order of size as a rating in [0, 1].
    """
    response = info["response"]
    click = np.asarray(response["click"])
    engagement = response.get("engagement")
    rating = click if engagement is None else click * np.log1p(np.maximum(engagement, 0.0)) / 12
    user = np.zeros(len(click), np.int64)
    return {
        "click": click,
        "watch": rating,
        "rating": rating,
        "slate": info["slate"],
        "user": user,
    }
