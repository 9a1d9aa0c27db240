"""What the policy reads from an observation: the user's state and how candidates match it."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from gymnasium import spaces
from torch import nn

from slategym.agents.item_tables import PublicTables, Table
from slategym.envs.spaces import CONTEXT_SCALARS

Obs = Mapping[str, torch.Tensor]

DOT_BLOCKS = ("content", "collaborative")
# Means of a few unit-scale vectors are short; doubled, they enter the trunk near unit scale.
MEAN_GAIN = 2.0


@dataclass(frozen=True)
class History:
    """A user's observed past, summarised; no gradient flows into it."""

    liked: torch.Tensor  # (B, D) mean of consumed vectors, weighted by value and recency
    passed: torch.Tensor  # (B, D) the same, weighted by 1 - value
    evidence: torch.Tensor  # (B, 2) the two sums of weights
    taste: torch.Tensor  # (B, 1 + F) posterior mean of [bias, factors] under the public model


@dataclass(frozen=True)
class Inputs:
    """What the networks read of a batch of observations; it does not depend on their weights.

    But for the last part: what was predicted when a slate was chosen, kept while learning from
    it. Anew, the prediction would move the policy while its own gradient is being followed.
    """

    state: torch.Tensor  # (B, S)
    match: torch.Tensor  # (B, C, M)
    response: torch.Tensor | None = None  # (B, C, 2); None: to be predicted


@dataclass(frozen=True)
class Extras:
    """What the parts of a variant add to the observation; see `slategym.envs.spaces`."""

    context: int = 0
    """Entries behind the topic exposures."""
    traits: int = 0
    """X, traits of a candidate."""
    query: bool = False
    """Whether a visit may begin with a search."""

    @classmethod
    def of(cls, space: spaces.Dict, tables: PublicTables) -> "Extras":
        """Return what an observation space holds beyond that of ``slategym/World-v0``."""
        known = CONTEXT_SCALARS + 2 * tables.topics
        context = space["context"].shape[0] - known if "context" in space.spaces else 0
        traits = 0
        if "candidate_traits" in space.spaces:
            shape, listed = space["candidate_traits"].shape, space["candidates"]
            inline = listed.dtype.kind == "f"
            count = listed.shape[0] // (len(tables.shift) if inline else 1)
            traits = shape[0] // count if inline else shape[1]
        return cls(context, traits, "query" in space.spaces)


class ObservationFeatures(nn.Module):
    """Reads ``ids`` and ``features`` observations alike; holds tables, learns nothing.

    Match features of a candidate, in order: liked . candidate and passed . candidate in the
    content block and in the collaborative block (divided by the square root of the width),
    liked topics . topics, consumed exposure . topics, shown exposure . topics, the prior block
    (public item bias, log popularity), and the rating that the public model predicts once the
    history is folded in; then, where the variant has them, the candidate's traits and how near it
    is to what was searched for.

    Args:
        tables: public tables of the world.
        profile: Dp, width of the profile vector.
        extras: what the variant's parts add to the observation.
    """

    table: torch.Tensor
    shift: torch.Tensor
    scale: torch.Tensor
    fold_table: torch.Tensor
    fold: torch.Tensor
    taste_mean: torch.Tensor
    taste_precision: torch.Tensor
    taste_std: torch.Tensor

    def __init__(self, tables: PublicTables, profile: int, extras: "Extras | None" = None) -> None:
        super().__init__()
        self.tables = tables
        self.extras = extras or Extras()
        factors = tables.fold.shape[1] - 2
        width = tables.vectors.shape[1]
        self.state_size = profile + 2 * width + 2 + 1 + factors + CONTEXT_SCALARS
        self.state_size += 2 * tables.topics + self.extras.context
        start, stop = tables.blocks["prior"]
        self.match_size = 2 * len(DOT_BLOCKS) + 3 + (stop - start) + 1
        self.match_size += self.extras.traits + self.extras.query
        ones = np.ones((len(tables.vectors), 1), np.float32)
        folded = np.concatenate([tables.vectors, ones], axis=1) @ tables.fold
        folded[-1] = 0.0
        self._keep("table", tables.vectors)
        self._keep("shift", tables.shift)
        self._keep("scale", tables.scale)
        self._keep("fold_table", folded)
        self._keep("fold", tables.fold)
        self._keep("taste_mean", tables.taste_mean)
        self._keep("taste_precision", tables.taste_precision)
        self._keep("taste_std", tables.taste_std)

    def _keep(self, name: str, array: Table) -> None:
        """Hold a table that belongs to the world, so that it is not saved with the weights."""
        tensor = torch.as_tensor(np.array(array, np.float32))
        self.register_buffer(name, tensor, persistent=False)

    @torch.no_grad()
    def forward(self, obs: Obs) -> Inputs:
        """Return what the networks read of a batch of observations."""
        history = self.history(obs)
        candidates = self.vectors(obs["candidates"])
        return Inputs(self.state(obs, history), self.match(obs, candidates, history))

    def vectors(self, items: torch.Tensor) -> torch.Tensor:
        """Return standardised vectors ``(B, n, D)`` of ids ``(B, n)`` or raw ``(B, n * D)``."""
        if items.is_floating_point():
            return (items.reshape(len(items), -1, len(self.shift)) - self.shift) * self.scale
        return F.embedding(items.long(), self.table)

    def history(self, obs: Obs) -> History:
        """Return the summary of the observed past."""
        items, feedback = obs["history"], obs["history_feedback"].float()
        feedback = feedback.reshape(len(feedback), -1, 3)  # flat where vectors are inline
        present, value, recency = feedback.unbind(-1)  # each (B, H)
        weight = present * recency
        liked, passed = weight * value, weight * (1 - value)
        evidence = torch.stack([liked.sum(1), passed.sum(1)], -1)
        scale = 1 / evidence.clamp_min(0.5)
        if items.is_floating_point():
            rows = self.vectors(items)
            sums = torch.stack([liked, passed], 1) @ rows  # (B, 2, D)
            padded = torch.cat([rows, torch.ones_like(rows[..., :1])], -1)
            folded = padded @ self.fold
        else:
            ids = items.long()
            both = [self._bag(ids, weights) for weights in (liked, passed)]
            sums = torch.stack(both, 1)
            folded = F.embedding(ids, self.fold_table)
        means = sums * scale[..., None]
        taste = self._taste(folded, value, present)
        return History(means[:, 0], means[:, 1], evidence, taste)

    def _bag(self, ids: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """Return weighted sums ``(B, D)`` of table rows without materialising them."""
        return F.embedding_bag(ids, self.table, mode="sum", per_sample_weights=weights)

    def _taste(
        self, folded: torch.Tensor, value: torch.Tensor, present: torch.Tensor
    ) -> torch.Tensor:
        """Return the posterior mean ``(B, 1 + F)`` of users, as `PublicModel.fold_in` does."""
        tables = self.tables
        bias, rows = folded[..., 0], folded[..., 1:]  # (B, H), (B, H, 1 + F)
        residual = (value - tables.rating_offset) * tables.rating_span - bias
        trusted = rows * (present / tables.noise_std**2)[..., None]
        precision = self.taste_precision + trusted.transpose(1, 2) @ rows
        target = self.taste_precision @ self.taste_mean
        target = target + (trusted * residual[..., None]).sum(1)
        factor = torch.linalg.cholesky(precision)
        return torch.cholesky_solve(target[..., None], factor)[..., 0]

    def state(self, obs: Obs, history: History) -> torch.Tensor:
        """Return what the trunk reads ``(B, S)``."""
        parts = [
            obs["user"].float(),
            MEAN_GAIN * history.liked,
            MEAN_GAIN * history.passed,
            torch.log1p(history.evidence),
            (history.taste - self.taste_mean) / self.taste_std,
            obs["context"].float(),
        ]
        return torch.cat(parts, -1)

    def match(self, obs: Obs, candidates: torch.Tensor, history: History) -> torch.Tensor:
        """Return match features ``(B, C, M)`` of candidates with vectors ``(B, C, D)``."""
        columns = []
        for name in DOT_BLOCKS:
            start, stop = self.tables.blocks[name]
            past = torch.stack([history.liked, history.passed], 1)[..., start:stop]
            columns.append(_dot(candidates[..., start:stop], past) / (stop - start) ** 0.5)
        start, stop = self.tables.blocks["topics"]
        last = CONTEXT_SCALARS + 2 * (stop - start)
        exposure = obs["context"].float()[:, CONTEXT_SCALARS:last].unflatten(1, (2, stop - start))
        past = torch.cat([history.liked[:, None, start:stop], exposure], 1)  # (B, 3, Z)
        columns.append(_dot(candidates[..., start:stop], past))
        start, stop = self.tables.blocks["prior"]
        columns.append(candidates[..., start:stop])
        columns.append(self._predicted(obs["candidates"], candidates, history)[..., None])
        if self.extras.traits:
            traits = obs["candidate_traits"].float()  # flat where vectors are inline
            columns.append(traits.reshape(*candidates.shape[:2], self.extras.traits))
        if self.extras.query:
            columns.append(self._asked(obs["query"].float(), candidates))
        return torch.cat(columns, -1)

    def _asked(self, query: torch.Tensor, candidates: torch.Tensor) -> torch.Tensor:
        """Return how near candidates are to what was searched for ``(B, C, 1)``; 0 without."""
        searched = (query != 0).any(1, keepdim=True)
        point = torch.where(searched, (query - self.shift) * self.scale, torch.zeros_like(query))
        return _dot(candidates, point[:, None]) / query.shape[1] ** 0.5

    def _predicted(
        self, items: torch.Tensor, vectors: torch.Tensor, history: History
    ) -> torch.Tensor:
        """Return the public model's prediction ``(B, C)`` for folded-in users, unit scale."""
        if items.is_floating_point():
            ones = torch.ones_like(vectors[..., :1])
            folded = torch.cat([vectors, ones], -1) @ self.fold
        else:
            folded = F.embedding(items.long(), self.fold_table)
        affinity = (folded[..., 1:] @ history.taste[..., None])[..., 0]
        return (folded[..., 0] + affinity) / self.tables.score_std


def _dot(items: torch.Tensor, users: torch.Tensor) -> torch.Tensor:
    """Return dot products ``(B, C, n)`` of items ``(B, C, D)`` and n user vectors ``(B, n, D)``."""
    return items @ users.transpose(1, 2)
