"""Auxiliary losses: what else the shared representation must be able to predict.

Three tasks share the trunk and the item embeddings with the policy. The literal reading of the
method regresses the rating in all three, from the user's side, the item's side and both
(``L = 1/(MN) sum (R_ij - f(.))^2``). Taken so, the second and third are weaker copies of the
first. Here each predicts what its name says: the rating, the item's features, and the joint
feature of user and item; sums run over observed entries only.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from slategym.agents.aux_kernels import JointError
from slategym.agents.classic_tables import ClassicTables
from slategym.agents.core import Core
from slategym.agents.item_tables import PublicTables, Table, Tables
from slategym.errors import UsageError, unknown_name

# Targets of one minibatch, for the slate shown: click (B, K) in {0, 1}; watch (B, K) and
# rating (B, K) in [0, 1], 0 where not clicked; slate (B, K) item rows, -1 = empty slot;
# user (B,) rows of the population.
Targets = Mapping[str, torch.Tensor]

# Ratings in [0, 1] are spread to the five-star scale, or their squared error (about 0.05)
# would count for nothing beside a cross-entropy (about 0.6).
RATING_SPAN = 4.0
RATING_CENTRE = 0.5
# Products of two normals have heavy tails; beyond four deviations they are noise.
JOINT_LIMIT = 4.0


class AuxLoss(nn.Module, ABC):
    """One auxiliary task.

    Attributes:
        name: the key under which weight and curve are kept.
        weight: multiplies the loss; the curve shows it unweighted.
        parts: figures of the last call worth a curve of their own.
    """

    name: ClassVar[str]

    def __init__(self, weight: float) -> None:
        super().__init__()
        if not weight > 0:
            raise UsageError(f"the weight of {self.name} is {weight}; it must be above 0.")
        self.weight = weight
        self.parts: dict[str, torch.Tensor] = {}

    @abstractmethod
    def loss(self, core: Core, targets: Targets) -> torch.Tensor:
        """Return the unweighted loss, a scalar.

        Args:
            core: the forward pass restricted to the slate shown (``Core.shown``).
            targets: what the environment said about that slate.
        """


class RatingLoss(AuxLoss):
    """T1, rating prediction: will each shown item be clicked, and how is it rated then?

    Binary cross-entropy on the click of every shown item, plus the squared error of the rating
    (five-star points) of the clicked ones. Both come from the policy's bilinear response head on
    the trunk and on the item embedding the scorer uses. A head on the slate's mean embedding
    gets half the gain.
    """

    name = "rating"

    def loss(self, core: Core, targets: Targets) -> torch.Tensor:
        """Return cross-entropy of clicks plus squared error of ratings."""
        if core.response is None:
            raise UsageError("the rating loss needs a policy with a response head.")
        click, filled = targets["click"], (targets["slate"] >= 0).float()
        logit, rating = core.response.unbind(-1)
        entropy = F.binary_cross_entropy_with_logits(logit, click, reduction="none")
        click_loss = _mean(entropy, filled)
        truth = (targets["rating"] - RATING_CENTRE) * RATING_SPAN
        rating_loss = _mean((rating - truth).square(), click)
        self.parts = {"click": click_loss.detach(), "rating": rating_loss.detach()}
        return click_loss + rating_loss


class ItemFeaturesLoss(AuxLoss):
    """T2, item-feature generation: which features will the clicked item have?

    A linear map from the trunk to the standardised content and collaborative vector of the
    clicked item; squared error summed over dimensions (its mean over dimensions is some 100
    times too small to reach the trunk). ``parts["relative"]`` divides by the error of predicting
    the catalogue's mean: 1 = nothing learned.
    """

    name = "item_features"
    table: torch.Tensor
    squares: torch.Tensor

    def __init__(self, weight: float, width: int, tables: PublicTables) -> None:
        super().__init__(weight)
        blocks = [tables.block(name) for name in ("content", "collaborative")]
        table = np.concatenate(blocks, axis=1)
        whole = torch.as_tensor(table.copy())
        self.register_buffer("table", whole, persistent=False)
        self.register_buffer("squares", whole.square().sum(1), persistent=False)
        self.generate = nn.Linear(width, table.shape[1])

    def loss(self, core: Core, targets: Targets) -> torch.Tensor:
        """Return the squared error of the clicked items' vectors, summed over dimensions."""
        slate, click = targets["slate"].clamp_min(0), targets["click"]
        # sum_k c_k |g - t_k|^2 = g . (g sum_k c_k - 2 sum_k c_k t_k) + sum_k c_k |t_k|^2: nothing
        # of size (B, K, Dc) is made.
        clicks = click.sum(1, keepdim=True)
        truth = F.embedding_bag(slate, self.table, mode="sum", per_sample_weights=click)
        square = (click * self.squares[slate]).sum()
        made = self.generate(core.state)  # (B, Dc)
        count = clicks.sum().clamp_min(1.0)
        result = ((made * (clicks * made - 2.0 * truth)).sum() + square) / count
        plain = square / count
        self.parts = {"relative": (result / plain.clamp_min(1e-6)).detach()}
        return result


class RecommendationFeaturesLoss(AuxLoss):
    """T3, recommendation-feature generation: the joint feature of user and shown item.

    ``(U h) * (V z_i)`` predicts the elementwise product of the user's and the item's public
    factors, standardised over all pairs; their sum is the predicted taste. The target is the
    public model's, never the simulator's. Summed over factors as in T2; ``parts["relative"]``
    divides by the error of predicting the mean.
    """

    name = "recommendation_features"
    items: torch.Tensor
    users: torch.Tensor
    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, weight: float, width: int, embedding: int, tables: PublicTables) -> None:
        super().__init__(weight)
        constants: dict[str, Table] = {
            "items": tables.joint_items,
            "users": tables.joint_users,
            "mean": tables.joint_mean,
            "std": tables.joint_std,
        }
        for name, array in constants.items():
            self.register_buffer(name, torch.as_tensor(array.copy()), persistent=False)
        factors = tables.joint_items.shape[1]
        self.user_side = nn.Linear(width, factors)
        self.item_side = nn.Linear(embedding, factors)

    def loss(self, core: Core, targets: Targets) -> torch.Tensor:
        """Return the squared error of the joint feature, summed over factors."""
        slate, user = targets["slate"], self.users[targets["user"]]
        mine, theirs = self.user_side(core.state), core.items.mapped(self.item_side)
        if theirs.compiled:
            result, plain = JointError.apply(
                JOINT_LIMIT, mine, theirs.table, theirs.index, user, self.items, slate, self.mean,
                self.std,
            )  # fmt: skip
        else:
            filled = (slate >= 0).float()
            product = user[:, None] * F.embedding(slate.clamp_min(0), self.items)
            truth = ((product - self.mean) / self.std).clamp(-JOINT_LIMIT, JOINT_LIMIT)
            joint = mine[:, None] * theirs.rows()  # (B, K, F)
            result = _mean((joint - truth).square().sum(-1), filled)
            plain = _mean(truth.square().sum(-1), filled)
        self.parts = {"relative": (result / plain.clamp_min(1e-6)).detach()}
        return result


AUX_LOSSES = (RatingLoss.name, ItemFeaturesLoss.name, RecommendationFeaturesLoss.name)


def make_aux_losses(
    weights: Mapping[str, float], width: int, embedding: int, tables: Tables
) -> nn.ModuleDict:
    """Return the auxiliary losses of non-zero weight, by name.

    Args:
        weights: name -> weight, at least 0; 0 leaves the task out.
        width: W, width of the trunk.
        embedding: E, width of the item embedding.
        tables: of the world or the classic.

    Raises:
        UsageError: an unknown name, a negative weight, or a task that a classic cannot have.
    """
    for name in weights:
        if name not in AUX_LOSSES:
            raise unknown_name("auxiliary loss", name, AUX_LOSSES)
    made: dict[str, AuxLoss] = {}
    wanted = {name: float(weight) for name, weight in weights.items() if weight != 0}
    if RatingLoss.name in wanted:
        made[RatingLoss.name] = RatingLoss(wanted.pop(RatingLoss.name))
    if isinstance(tables, ClassicTables):
        if wanted:
            name, weight = next(iter(wanted.items()))
            raise UsageError(
                f"the auxiliary loss {name} has weight {weight:g}, but a classic has no public "
                f"factors to be its target; set {name} to 0 (rating works)."
            )
        return nn.ModuleDict(made)
    if ItemFeaturesLoss.name in wanted:
        weight = wanted[ItemFeaturesLoss.name]
        made[ItemFeaturesLoss.name] = ItemFeaturesLoss(weight, width, tables)
    if RecommendationFeaturesLoss.name in wanted:
        weight = wanted[RecommendationFeaturesLoss.name]
        loss = RecommendationFeaturesLoss(weight, width, embedding, tables)
        made[RecommendationFeaturesLoss.name] = loss
    return nn.ModuleDict(made)


def _mean(error: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Return the weighted mean of ``(B, K)`` errors, 0 if nothing counts."""
    return (error * weight).sum() / weight.sum().clamp_min(1.0)
