"""The network of SlateQ: how likely an item is taken, and what taking it is worth from then on."""

import copy
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from slategym.agents.core import Core, join
from slategym.agents.features import Inputs, Obs
from slategym.agents.replay_aux import AuxReplayBuffer, Read
from slategym.agents.slate_policy import DIRECT_GAIN, SlatePolicy
from slategym.agents.slate_q_kernels import (
    OPTIMISERS,
    Optimiser,
    Worth,
    best_slate,
    slate_keys,
)
from slategym.errors import UsageError


@dataclass(frozen=True)
class ItemValues:
    """What one pass says of the candidates."""

    core: Core  # its scores are choice logits against 0 for taking nothing
    worth: Worth
    values: torch.Tensor  # (B, C + 1) Q of taking each, the last one of taking nothing


class SlateQPolicy(SlatePolicy):
    """`SlatePolicy` whose scores are a choice model, with a value of every item beside them.

    On the trunk output h and the item embedding z_i, ``logit_i = score_i + c . h``,
    ``Q_i = g V + <Q_q h, z_i> / sqrt(E) + w_q . match_i`` and ``Q_0 = g V + n . h``: V is common to
    what can be taken in a state, as in Wang et al. 2016 ("Dueling network architectures").
    Q is in units of scaled rewards.

    Deployed, ``core(obs).scores`` ranks by what the slate optimiser ranks by, so that the K best
    are its slate.

    Args:
        *args: of `SlatePolicy`.
        optimiser: how slates are found; see `best_slate`.
        choice: weight of the choice model's cross-entropy.
        horizon: g, steps that a value sums over: 1 / (1 - gamma), or of that order.
        **options: of `SlatePolicy`.
    """

    def __init__(
        self,
        *args: Any,  # noqa: ANN401
        optimiser: Optimiser = "exact",
        choice: float = 1.0,
        horizon: float = 20.0,
        **options: Any,  # noqa: ANN401
    ) -> None:
        if optimiser not in OPTIMISERS:
            listed = ", ".join(repr(name) for name in OPTIMISERS)
            raise UsageError(f"slate optimiser is {optimiser!r}; it must be one of {listed}.")
        self.optimiser: Optimiser = optimiser
        self.choice, self.horizon = choice, horizon
        super().__init__(*args, **options)

    def _build(self, lr_schedule: Any) -> None:  # noqa: ANN401
        """Make the networks of `SlatePolicy` and the value of items."""
        super()._build(lr_schedule)
        self.choice_user = nn.Linear(self.width, 1)
        self.item_query = nn.Linear(self.width, self.embedding)
        self.item_match = nn.Linear(self.features.match_size, 1, bias=False)
        nn.init.zeros_(self.item_match.weight)
        self.idle = nn.Linear(self.width, 1)
        self.memory: AuxReplayBuffer | None = None
        self.last_read = Read(Inputs(torch.zeros(0), torch.zeros(0)), torch.zeros(0))
        self.optimizer = self.optimizer_class(
            self.parameters(), lr=lr_schedule(1), **self.optimizer_kwargs
        )

    @torch.no_grad()
    def read(self, obs: Obs) -> Read:
        """Return what the network reads of observations."""
        return Read(self.features(obs), obs["candidates"])

    def values(self, obs: Obs, inputs: Inputs | None = None) -> ItemValues:
        """Return choice model and values of a batch of observations."""
        read = self.features(obs) if inputs is None else inputs
        core = super().core(obs, read)
        hidden, items = core.state, core.items
        logits = core.scores + self.choice_user(hidden)
        product = items.dot(self.item_query(hidden)[:, None])[:, 0] / self.embedding**0.5
        above = product + DIRECT_GAIN * self.item_match(read.match)[..., 0]
        common = self.horizon * core.value
        quality, idle = common + above, common + self.idle(hidden)
        worth = Worth.of(logits.detach(), quality, idle)
        return ItemValues(replace(core, scores=logits), worth, torch.cat([quality, idle], -1))

    def core(self, obs: Obs, inputs: Inputs | None = None) -> Core:
        """Return the pass with the scores that an agent in service ranks by."""
        found = self.values(obs, inputs)
        keys = slate_keys(found.worth, self.slate.slate_size, self.optimiser)
        return replace(found.core, scores=keys)

    @torch.no_grad()
    def slates(self, obs: Obs) -> torch.Tensor:
        """Return the best slates ``(B, K)``, and remember what was read for the buffer."""
        self.last_read = self.read(obs)
        found = self.values(obs, self.last_read.inputs)
        return best_slate(found.worth, self.slate.slate_size, self.optimiser)

    def choice_loss(
        self, found: ItemValues, slate: torch.Tensor, taken: torch.Tensor
    ) -> torch.Tensor:
        """Return the cross-entropy of what was taken of slates, "nothing" being one answer.

        Args:
            found: the pass.
            slate: ``(B, K)`` positions shown.
            taken: ``(B,)`` slot taken; K = nothing.
        """
        logits = found.core.scores.gather(1, slate)
        return F.cross_entropy(torch.cat([logits, torch.zeros_like(logits[:, :1])], -1), taken)

    def extra_terms(self, found: ItemValues, memory: AuxReplayBuffer) -> dict[str, torch.Tensor]:
        """Return the choice loss and each auxiliary loss, unweighted, for the batch drawn last."""
        targets = memory.minibatch
        slate = targets["position"]
        click = targets["click"] > 0
        nothing = torch.full_like(slate[:, 0], slate.shape[1])
        taken = torch.where(click.any(1), click.float().argmax(1), nothing)
        losses = {"choice": self.choice_loss(found, slate, taken)}
        return losses | self.aux_terms(found.core.shown(slate), targets)

    def forward(self, obs: Obs, deterministic: bool = False) -> Any:  # noqa: ANN401, ARG002
        """Return values of taking each item and, last, of taking nothing ``(B, C + 1)``.

        For the batch that the attached memory returned last, and while gradients are on, they
        carry the choice loss and the auxiliary losses (see `join`).
        """
        memory = self.memory
        inputs = None if memory is None else memory.inputs_of(obs)
        found = self.values(obs, inputs)
        if memory is None or obs is not memory.sampled or not torch.is_grad_enabled():
            return found.values
        losses = self.extra_terms(found, memory)
        self._remember(losses)
        auxiliary = {name: loss for name, loss in losses.items() if name != "choice"}
        total = self.choice * losses["choice"]
        if auxiliary:
            total = total + self.weighted(auxiliary)
        return join(found.values, total)

    def _predict(self, observation: Obs, deterministic: bool = False) -> torch.Tensor:  # noqa: ARG002
        """Return the best slates ``(B, K)``; Stable-Baselines3's `predict` calls this."""
        return self.slates(observation).reshape(-1, *self.action_space.shape)


class SlateQTarget(nn.Module):
    """What the next state is worth: the target network's value of the slate shown there.

    The candidates are those of the NEXT state, and so are its users: RecSim's own agent values
    the slate with the current state's features (an open fault, recsim #26).

    Args:
        online: the network that is trained.
        sarsa: value the slate that was shown next; else the best one.
        double: find the best slate by the online network (van Hasselt et al. 2016).
    """

    def __init__(self, online: SlateQPolicy, *, sarsa: bool, double: bool) -> None:
        super().__init__()
        shared = (online.tables, online.features, online.memory)
        # The catalogue is not copied, and the optimiser left out.
        same: dict[int, Any] = {id(part): part for part in shared}
        self.net = copy.deepcopy(online, same | {id(online.optimizer): None})
        self.net.set_training_mode(False)
        self.sarsa, self.double = sarsa, double
        self.online = [online]  # in a list: its weights are not this module's

    @torch.no_grad()
    def forward(self, obs: Obs) -> torch.Tensor:
        """Return the value ``(B, 1)`` of the observations that follow the batch drawn last."""
        (online,) = self.online
        memory = online.memory
        self.net.forget_catalogue()
        inputs = None if memory is None else memory.inputs_of(obs)
        worth = self.net.values(obs, inputs).worth
        guide = online.values(obs, inputs).worth if self.double else worth
        slate = best_slate(guide, online.slate.slate_size, online.optimiser)
        if self.sarsa and memory is not None:
            # Where an episode was cut nothing was shown next; the best slate stands in.
            slate = torch.where(memory.next_known[:, None], memory.next_action.long(), slate)
        return worth.slate_value(slate)
