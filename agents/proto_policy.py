"""The networks of a proto-item agent: an actor that points at items, critics, and the trunk."""

import copy
from typing import Any

import torch
from gymnasium import spaces
from stable_baselines3.common.distributions import SquashedDiagGaussianDistribution
from torch import nn

from slategym.agents.core import Core, join
from slategym.agents.embeddings import CandidateItems
from slategym.agents.features import Inputs, Obs
from slategym.agents.proto_space import Metric, ProtoSpace, Search
from slategym.agents.replay_aux import AuxReplayBuffer, Read
from slategym.agents.slate_policy import SlatePolicy
from slategym.agents.slates import NOTHING

# Of the actor's normal, before it is squashed.
LOG_DEVIATION = (-5.0, 1.0)


class ProtoActor(nn.Module):
    """Maps the user's state to a proto-item; reads the trunk but does not train it.

    Args:
        policy: whose trunk and features it reads.
        inputs: width of what it reads.
        width: of its hidden layers.
        dims: E, numbers per proto-item.
    """

    optimizer: torch.optim.Optimizer

    def __init__(self, policy: "ProtoPolicy", inputs: int, width: int, dims: int) -> None:
        super().__init__()
        self.owner = [policy]  # in a list: the trunk is not the actor's
        self.body = nn.Sequential(
            nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()
        )
        self.mean, self.deviation = nn.Linear(width, dims), nn.Linear(width, dims)
        self.law = SquashedDiagGaussianDistribution(dims)

    def _normal(self, obs: Obs) -> tuple[torch.Tensor, torch.Tensor]:
        policy = self.owner[0]
        state = policy.state_of(obs)
        with torch.no_grad():
            hidden = policy.trunk(state)
        body = self.body(torch.cat([hidden, state], -1))
        return self.mean(body), self.deviation(body).clamp(*LOG_DEVIATION)

    def forward(self, obs: Obs, deterministic: bool = True) -> torch.Tensor:
        """Return proto-items ``(B, E)`` in [-1, 1]."""
        mean, deviation = self._normal(obs)
        return self.law.actions_from_params(mean, deviation, deterministic=deterministic)

    def draw(self, obs: Obs, noise: torch.Tensor) -> torch.Tensor:
        """Return proto-items of the law for standard normal numbers ``(B, E)``."""
        mean, deviation = self._normal(obs)
        return torch.tanh(mean + deviation.exp() * noise)

    def target(self) -> "ProtoActor":
        """Return a copy that reads the same trunk."""
        left_out = {id(self.optimizer): None}
        twin = copy.deepcopy(self, {id(self.owner): self.owner} | left_out)
        twin.requires_grad_(False)
        return twin

    def action_log_prob(self, obs: Obs) -> tuple[torch.Tensor, torch.Tensor]:
        """Return drawn proto-items and their log-density ``(B,)``."""
        return self.law.log_prob_from_params(*self._normal(obs))


class ProtoCritic(nn.Module):
    """Two values of a proto-item in a state, on one trunk.

    Args:
        policy: whose features it reads.
        trunk: the shared representation; a target critic has its own copy.
        width: of trunk and hidden layers.
        dims: E.
        horizon: the value's unit, in scaled rewards.
    """

    optimizer: torch.optim.Optimizer

    def __init__(
        self, policy: "ProtoPolicy", trunk: nn.Module, width: int, dims: int, horizon: float
    ) -> None:
        super().__init__()
        self.owner = [policy]
        self.trunk, self.horizon = trunk, horizon
        self.first, self.second = (
            nn.Sequential(nn.Linear(width + dims, width), nn.ReLU(), nn.Linear(width, 1))
            for _ in range(2)
        )

    def forward(self, obs: Obs, actions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return two values ``(B, 1)``; of stored actions they carry the auxiliary losses."""
        policy = self.owner[0]
        if actions.requires_grad or not torch.is_grad_enabled():
            # The actor's pass: it moves the action alone.
            with torch.no_grad():
                hidden = self.trunk(policy.state_of(obs))
            return self.values(hidden, actions)
        hidden, loss = policy.joined(obs)
        first, second = self.values(hidden, actions)
        return (first if loss is None else join(first, loss)), second

    def q1_forward(self, obs: Obs, actions: torch.Tensor) -> torch.Tensor:
        """Return the first value ``(B, 1)``, as TD3's actor climbs it."""
        return self(obs, actions)[0]

    def values(self, hidden: torch.Tensor, actions: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return two values ``(..., 1)`` for trunk outputs and actions."""
        both = torch.cat([hidden, actions], -1)
        return self.horizon * self.first(both), self.horizon * self.second(both)

    def target(self) -> "ProtoCritic":
        """Return a copy with a trunk of its own."""
        left_out = {id(self.optimizer): None}
        twin = copy.deepcopy(self, {id(self.owner): self.owner} | left_out)
        twin.requires_grad_(False)
        return twin


class ProtoPolicy(SlatePolicy):
    """A proto-item answered by the items nearest to it (Dulac-Arnold et al. 2015).

    The trunk learns from the critics and the auxiliary losses. With ``neighbours`` k above the
    slate's size, the k nearest items are ranked by the critics' value of pointing straight at
    each (the Wolpertinger policy). Without ``candidates`` in the observation, the whole catalogue
    is searched.

    Args:
        observation_space: see `SlatePolicy`.
        action_space: of slates, unless ``slate_space`` is given.
        *args: of `SlatePolicy`.
        slate_space: the space of slates where the algorithm acts in another.
        dims: most numbers of the item's vector.
        metric: see `ProtoSpace`.
        search: see `ProtoSpace`.
        neighbours: k; 0 = the nearest are the slate.
        matched: an item's place for a user is its vector and, beside it, its match features with
            that user's history; not where the whole catalogue is searched.
        horizon: the value's unit: 1 / (1 - gamma), or of that order.
        **options: of `SlatePolicy`.
    """

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        *args: Any,  # noqa: ANN401
        slate_space: spaces.Space[Any] | None = None,
        dims: int = 20,
        metric: Metric = "dot",
        search: Search = "exact",
        neighbours: int = 0,
        matched: bool = True,
        horizon: float = 20.0,
        use_sde: bool = False,  # noqa: ARG002 - Stable-Baselines3 passes it
        **options: Any,  # noqa: ANN401
    ) -> None:
        self.dims, self.metric, self.search = dims, metric, search
        self.neighbours, self.matched, self.horizon = neighbours, matched, horizon
        acts_in = action_space if slate_space is None else slate_space
        super().__init__(observation_space, acts_in, *args, **options)

    def _build(self, lr_schedule: Any) -> None:  # noqa: ANN401
        """Make the networks of `SlatePolicy`, actor and critics."""
        super()._build(lr_schedule)
        self.space = ProtoSpace(self.features, self.dims, self.metric, self.search)
        self.matched = self.matched and "candidates" in self.observation_space.spaces
        self.proto_dims = self.space.dims + self.matched * self.features.match_size
        inputs = self.features.state_size + self.width
        self.actor = ProtoActor(self, inputs, self.width, self.proto_dims)
        self.critic = ProtoCritic(self, self.trunk, self.width, self.proto_dims, self.horizon)
        self._seen: tuple[Obs, Inputs] | None = None
        self.memory: AuxReplayBuffer | None = None
        self.last_read = Read(Inputs(torch.zeros(0), torch.zeros(0)), torch.zeros(0))
        others = [p for name, p in self.named_parameters() if not name.startswith("actor.")]
        made = self.optimizer_class, self.optimizer_kwargs
        self.critic.optimizer = made[0](others, lr=lr_schedule(1), **made[1])
        self.actor_optimizer = made[0](self.actor.parameters(), lr=lr_schedule(1), **made[1])
        self.actor.optimizer = self.actor_optimizer

    def whole(self, obs: Obs) -> Inputs:
        """Return what is read of a batch: kept, where the memory drew it or it was just read."""
        kept = None if self.memory is None else self.memory.inputs_of(obs)
        if kept is not None:
            return kept
        if self._seen is None or self._seen[0] is not obs:
            first = obs if "candidates" in obs else self._shown(obs, self._first(obs))
            self._seen = obs, self.features(first)
        return self._seen[1]

    def state_of(self, obs: Obs) -> torch.Tensor:
        """Return the state features ``(B, S)``."""
        return self.whole(obs).state

    def places(self, read: Read) -> torch.Tensor:
        """Return where items lie for the users they were read for ``(B, n, E)``."""
        places = self.space.embed(read.items)
        return torch.cat([places, read.inputs.match], -1) if self.matched else places

    def points(self, obs: Obs) -> torch.Tensor:
        """Return where candidates lie for these users ``(B, C, E)``."""
        return self.places(Read(self.whole(obs), obs["candidates"]))

    def joined(self, obs: Obs) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return trunk outputs ``(B, W)`` and the auxiliary loss of the batch drawn last."""
        memory = self.memory
        if memory is None or obs is not memory.sampled or not len(self.aux_losses):
            return self.trunk(self.state_of(obs)), None
        core, losses = self.shown_terms(memory)
        self._remember(losses)
        return core.state, self.weighted(losses)

    def shown_terms(self, memory: AuxReplayBuffer) -> tuple[Core, dict[str, torch.Tensor]]:
        """Return the pass over the slates of the batch drawn last and its auxiliary losses."""
        # What the memory keeps as candidates are the items shown, in their order.
        core = super().core(memory.sampled, memory.inputs_of(memory.sampled))
        positions = torch.arange(core.scores.shape[1]).expand(core.scores.shape)
        return core, self.aux_terms(core.shown(positions), memory.minibatch)

    def read(self, obs: Obs, slate: torch.Tensor | None = None) -> Read:
        """Return what is read of observations for the items of slates of positions ``(B, K)``.

        Args:
            obs: the batch.
            slate: positions; the first K candidates if None (where nothing was shown).
        """
        slate = self._first(obs) if slate is None else slate
        shown = self._shown(obs, slate)
        if "candidates" not in obs:
            return Read(self.features(shown), slate)
        inputs = self.whole(obs)
        index = slate[..., None].expand(-1, -1, inputs.match.shape[2])
        return Read(Inputs(inputs.state, inputs.match.gather(1, index)), shown["candidates"])

    def _first(self, obs: Obs) -> torch.Tensor:
        """Return the first K positions ``(B, K)``."""
        return torch.arange(self.slate.slate_size).expand(len(obs["user"]), -1)

    def _shown(self, obs: Obs, slate: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return observations with the items of slates ``(B, K)`` as candidates."""
        shown: dict[str, torch.Tensor] = dict(obs)
        if "candidates" not in obs:
            shown["candidates"] = slate
            return shown
        shown["candidates"] = _at(obs["candidates"], slate, len(self.features.shift))
        return shown

    @torch.no_grad()
    def answer(self, obs: Obs, actions: torch.Tensor) -> torch.Tensor:
        """Return the slates ``(B, K)`` that answer proto-items ``(B, E)``."""
        size = self.slate.slate_size
        if "candidates" not in obs:
            count = max(size, self.neighbours)
            rows = self.space.catalogue(actions, count)
            if self.neighbours <= size:
                return rows
            value = self._value(obs, self.space.embed(rows))
            return rows.gather(1, value.topk(size, dim=-1).indices)
        return self._keys(obs, actions).topk(size, dim=-1).indices

    def _keys(self, obs: Obs, actions: torch.Tensor) -> torch.Tensor:
        """Return numbers ``(B, C)`` whose K largest candidates are the slate."""
        points = self.points(obs)
        near = self.space.nearness(actions, points)
        if self.neighbours <= self.slate.slate_size:
            return near
        count = min(self.neighbours, near.shape[1])
        chosen = near.topk(count, dim=-1).indices
        within = points.gather(1, chosen[..., None].expand(-1, -1, points.shape[-1]))
        value = self._value(obs, within)
        # All others come after the neighbours, still by nearness.
        far = near - near.amax(-1, keepdim=True) + value.amin(-1, keepdim=True) - 1.0
        return far.scatter(1, chosen, value)

    def _value(self, obs: Obs, points: torch.Tensor) -> torch.Tensor:
        """Return the lesser of both values of pointing at items ``(B, n)``."""
        hidden = self.trunk(self.state_of(obs))[:, None].expand(-1, points.shape[1], -1)
        first, second = self.critic.values(hidden, self.space.as_actions(points))
        return torch.minimum(first, second)[..., 0]

    def core(self, obs: Obs, inputs: Inputs | None = None) -> Core:  # noqa: ARG002
        """Return the pass with the scores that an agent in service ranks by."""
        actions = self.actor(obs)
        if "candidates" in obs:
            scores = self._keys(obs, actions)
            points = self.points(obs)
            index = torch.arange(points.shape[0] * points.shape[1]).view(points.shape[:2])
            items = CandidateItems(points.flatten(0, 1), index)
        else:
            slate = self.answer(obs, actions)
            scores = torch.full((len(slate), self.tables.n_items), NOTHING)
            place = torch.arange(slate.shape[1], 0, -1, dtype=scores.dtype)
            scores = scores.scatter(1, slate, place.expand(len(slate), -1))
            items = CandidateItems(self.space.embed(slate).flatten(0, 1), slate)
        hidden = self.trunk(self.state_of(obs))
        first, second = self.critic.values(hidden, actions)
        return Core(hidden, items, scores, torch.minimum(first, second), None)

    def _predict(self, observation: Obs, deterministic: bool = False) -> torch.Tensor:
        """Return slates ``(B, K)``; Stable-Baselines3's `predict` calls this."""
        actions = self.actor(observation, deterministic)
        return self.answer(observation, actions)


def _at(array: torch.Tensor, slate: torch.Tensor, width: int) -> torch.Tensor:
    """Return the entries of candidates at positions ``(B, K)``, in the array's own form."""
    if not array.is_floating_point():
        return array.gather(1, slate)
    rows = array.reshape(len(array), -1, width)
    picked = rows.gather(1, slate[..., None].expand(-1, -1, width))
    return picked.flatten(1) if array.dim() == 2 else picked


def proto_box(dims: int) -> spaces.Box:
    """Return the action space of proto-items of E numbers."""
    return spaces.Box(-1.0, 1.0, (dims,))
