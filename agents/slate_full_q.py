"""DQN over whole slates, for cases so small that every set of items can be valued."""

import copy
from dataclasses import replace
from itertools import combinations
from math import comb
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from gymnasium import spaces
from numpy.typing import NDArray
from torch import nn

from slategym.agents.core import Core, join
from slategym.agents.features import Inputs, Obs
from slategym.agents.replay_aux import AuxReplayBuffer, Read
from slategym.agents.slate_policy import SlatePolicy
from slategym.agents.slate_q import SlateQ, SlateReplayBuffer
from slategym.errors import UsageError

MOST_SETS = 1000


class Sets:
    """The sets of K out of C positions, numbered in the order of `itertools.combinations`.

    Raises:
        UsageError: there are more than `MOST_SETS`.
    """

    def __init__(self, count: int, size: int) -> None:
        total = comb(count, size)
        if not 1 <= total <= MOST_SETS:
            raise UsageError(
                f"{size} of {count} items make {total:,} slates; a full-slate value is kept for at "
                f"most {MOST_SETS:,}: lower slate_size or num_candidates, or use slate_q."
            )
        self.count = count
        self.table = np.array(list(combinations(range(count), size)), np.int64)  # (n, K)
        self._codes = self._code(self.table)

    def _code(self, slates: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return one number per row of ascending positions, ascending in the order of the table."""
        powers = self.count ** np.arange(slates.shape[1] - 1, -1, -1, dtype=np.int64)
        return slates @ powers

    def number(self, slates: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the numbers ``(B,)`` of slates ``(B, K)`` in any order."""
        return np.searchsorted(self._codes, self._code(np.sort(slates, axis=1)))


class FullSlateReplayBuffer(SlateReplayBuffer):
    """To the loss, the action is the number of the set shown."""

    sets: Sets

    def actions_of(self, step: NDArray[Any], row: NDArray[Any]) -> torch.Tensor:
        """Return the numbers ``(B, 1)`` of the sets shown."""
        slates = self._rows["action"][step, row].astype(np.int64)
        return torch.from_numpy(self.sets.number(slates))[:, None]


class FullSlateQPolicy(SlatePolicy):
    """A value for every set of K candidates: of the sum over its items, in one hidden layer.

    ``Q(s, A) = g V + w . relu(H h + sum_{i in A} (Z z_i + M match_i))``. No choice model, no
    assumption on who takes what; and nothing learned of one slate is known of another but what
    their items share.

    Args:
        *args: of `SlatePolicy`.
        horizon: g, steps that a value sums over.
        **options: of `SlatePolicy`.
    """

    def __init__(self, *args: Any, horizon: float = 20.0, **options: Any) -> None:  # noqa: ANN401
        self.horizon = horizon
        super().__init__(*args, **options)

    def _build(self, lr_schedule: Any) -> None:  # noqa: ANN401
        """Make the networks of `SlatePolicy` and the value of sets."""
        super()._build(lr_schedule)
        space = self.action_space
        self.count = int(space.n if isinstance(space, spaces.Discrete) else space.nvec[0])
        self.from_user = nn.Linear(self.width, self.width)
        self.from_item = nn.Linear(self.embedding, self.width, bias=False)
        self.from_match = nn.Linear(self.features.match_size, self.width, bias=False)
        self.to_value = nn.Linear(self.width, 1)
        self.memory: AuxReplayBuffer | None = None
        self.last_read = Read(Inputs(torch.zeros(0), torch.zeros(0)), torch.zeros(0))
        self._sets: dict[int, Sets] = {}
        self.optimizer = self.optimizer_class(
            self.parameters(), lr=lr_schedule(1), **self.optimizer_kwargs
        )

    def sets(self, count: int | None = None) -> Sets:
        """Return the sets of K out of ``count`` candidates; C of the action space if None."""
        count = self.count if count is None else count
        if count not in self._sets:
            self._sets[count] = Sets(count, self.slate.slate_size)
        return self._sets[count]

    @torch.no_grad()
    def read(self, obs: Obs) -> Read:
        """Return what the network reads of observations."""
        return Read(self.features(obs), obs["candidates"])

    def values(self, obs: Obs, inputs: Inputs | None = None) -> tuple[Core, torch.Tensor]:
        """Return the pass and the values ``(B, n)`` of all sets."""
        read = self.features(obs) if inputs is None else inputs
        core = super().core(obs, read)
        items = self.from_item(core.items.rows()) + self.from_match(read.match)  # (B, C, W)
        table = torch.from_numpy(self.sets(items.shape[1]).table)  # (n, K)
        sums = sum(items[:, column] for column in table.unbind(1))  # (B, n, W)
        hidden = torch.relu(self.from_user(core.state)[:, None] + sums)
        return core, self.horizon * core.value + self.to_value(hidden)[..., 0]

    def core(self, obs: Obs, inputs: Inputs | None = None) -> Core:
        """Return the pass with scores whose K best are the best set."""
        core, values = self.values(obs, inputs)
        table = torch.from_numpy(self.sets(core.scores.shape[1]).table)
        # An item scores as the best set that holds it; those of the best set share its value.
        scores = torch.full_like(core.scores, -torch.inf)
        for column in table.unbind(1):
            index = column.expand(len(values), -1)
            scores = scores.scatter_reduce(1, index, values, "amax")
        best = table[values.argmax(1)]
        return replace(core, scores=scores.scatter_add(1, best, torch.ones_like(best).float()))

    @torch.no_grad()
    def slates(self, obs: Obs) -> torch.Tensor:
        """Return the best slates ``(B, K)``, and remember what was read for the buffer."""
        self.last_read = self.read(obs)
        core, values = self.values(obs, self.last_read.inputs)
        return torch.from_numpy(self.sets(core.scores.shape[1]).table)[values.argmax(1)]

    def extra_terms(self, core: Core, memory: AuxReplayBuffer) -> dict[str, torch.Tensor]:
        """Return each auxiliary loss, unweighted, for the batch drawn last."""
        targets = memory.minibatch
        return self.aux_terms(core.shown(targets["position"]), targets)

    def forward(self, obs: Obs, deterministic: bool = False) -> Any:  # noqa: ANN401, ARG002
        """Return the values of all sets ``(B, n)``; see `SlateQPolicy.forward`."""
        memory = self.memory
        core, values = self.values(obs, None if memory is None else memory.inputs_of(obs))
        if memory is None or obs is not memory.sampled or not torch.is_grad_enabled():
            return values
        if not len(self.aux_losses):
            return values
        losses = self.extra_terms(core, memory)
        self._remember(losses)
        return join(values, self.weighted(losses))

    def _predict(self, observation: Obs, deterministic: bool = False) -> torch.Tensor:  # noqa: ARG002
        """Return the best slates ``(B, K)``; Stable-Baselines3's `predict` calls this."""
        return self.slates(observation).reshape(-1, *self.action_space.shape)


class _Target(nn.Module):
    """A copy of the network that values what follows."""

    def __init__(self, online: FullSlateQPolicy) -> None:
        super().__init__()
        shared = (online.tables, online.features, online.memory)
        same: dict[int, Any] = {id(part): part for part in shared}
        self.net = copy.deepcopy(online, same | {id(online.optimizer): None})

    def forward(self, obs: Obs) -> torch.Tensor:
        """Return the values of all sets ``(B, n)``."""
        self.net.forget_catalogue()
        return self.net(obs)


class FullSlateQ(SlateQ):
    """DQN whose actions are all sets of K of the C candidates; C choose K is at most 1,000.

    Args:
        policy: `FullSlateQPolicy` or a subclass.
        env: made by `as_sb3`.
        **options: of `SlateQ`, but for ``target`` and ``double``.
    """

    policy_class: ClassVar[type[SlatePolicy]] = FullSlateQPolicy
    policy_options: ClassVar[tuple[str, ...]] = ("horizon",)
    policy: FullSlateQPolicy
    replay_buffer: FullSlateReplayBuffer

    def __init__(self, policy: type[FullSlateQPolicy], env: Any, **options: Any) -> None:  # noqa: ANN401
        buffer = {"replay_buffer_class": FullSlateReplayBuffer}
        super().__init__(policy, env, **(buffer | options))

    @classmethod
    def own_options(cls) -> list[str]:
        """Return which keywords ``algo_options`` may hold."""
        absent = ("target", "double", "optimiser", "choice")
        return [name for name in SlateQ.own_options() if name not in absent]

    def _create_aliases(self) -> None:
        self.replay_buffer.reader = self.policy
        self.replay_buffer.sets = self.policy.sets()
        self.policy.memory = self.replay_buffer
        self.q_net, self.q_net_target = self.policy, _Target(self.policy)

    def losses_of(self, rows: int) -> dict[str, torch.Tensor]:
        """Return the value loss and the auxiliary losses."""
        memory = self.replay_buffer
        data = memory.sample(rows)
        with torch.no_grad():
            best = self.q_net_target(data.next_observations).amax(1, keepdim=True)
            goal = data.rewards + (1 - data.dones) * data.discounts * best
        core, values = self.policy.values(data.observations, memory.inputs_of(data.observations))
        losses = {"value": F.smooth_l1_loss(values.gather(1, data.actions), goal)}
        if len(self.policy.aux_losses):
            losses |= self.policy.extra_terms(core, memory)
        return losses
