"""A score of each candidate that also looks at the others on offer."""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from slategym.agents.embeddings import CandidateItems


class JointScorer(nn.Module):
    """Two layers over user, item and their match, with the mean of all candidates in between.

    ``e_i = relu(A z_i + M match_i + U h)`` and ``score_i = v . relu(B e_i + P mean_j e_j)``: a set
    function (Zaheer et al. 2017, theorem 2) of the candidates, so that what an item is worth may
    depend on what else could be shown. v starts at 0.

    Args:
        state: W, width of the user's state h.
        item: E, width of the item embedding z.
        match: M, match features.
        width: of both layers.
    """

    def __init__(self, state: int, item: int, match: int, width: int = 32) -> None:
        super().__init__()
        self.width = width
        self.of_item = nn.Linear(item, width, bias=False)
        self.of_match = nn.Linear(match, width, bias=False)
        self.of_user = nn.Linear(state, width)
        self.inner = nn.Linear(width, width)
        self.of_others = nn.Linear(width, width, bias=False)
        self.score = nn.Linear(width, 1, bias=False)
        nn.init.zeros_(self.score.weight)

    def forward(
        self, hidden: torch.Tensor, items: CandidateItems, match: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return scores ``(B, C)`` and the mean over candidates ``(B, width)``.

        Args:
            hidden: h ``(B, W)``.
            items: candidates.
            match: ``(B, C, M)``.
        """
        rows = F.embedding(items.index, self.of_item(items.table))  # (B, C, width)
        rows = F.relu(rows + self.of_match(match) + self.of_user(hidden)[:, None])
        pooled = rows.mean(1)
        inner = F.relu(self.inner(rows) + self.of_others(pooled)[:, None])
        return self.score(inner)[..., 0], pooled
