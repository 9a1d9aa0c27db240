"""The slate policy: one item scorer shared by all candidates, under a Plackett-Luce slate."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Literal, cast

import torch
from gymnasium import spaces
from stable_baselines3.common.policies import ActorCriticPolicy
from torch import nn

from slategym.agents.aux_buffers import AuxRolloutBuffer
from slategym.agents.aux_kernels import Responses
from slategym.agents.aux_losses import AuxLoss, RatingLoss, Targets, make_aux_losses
from slategym.agents.aux_weights import AuxWeighting, AuxWeights
from slategym.agents.classic_features import ClassicFeatures
from slategym.agents.classic_tables import ClassicTables
from slategym.agents.core import Core, join
from slategym.agents.embeddings import CandidateItems, rows_at
from slategym.agents.features import Extras, Inputs, Obs, ObservationFeatures
from slategym.agents.item_tables import Tables
from slategym.agents.joint_scorer import JointScorer
from slategym.agents.slates import PlackettLuce
from slategym.errors import UsageError

# The weights of direct inputs start at 0 and Adam moves each by about the learning rate per step;
# the gain lets them reach the size of a decided score within some ten rollouts.
DIRECT_GAIN = 4.0

RankBy = Literal["policy", "response"]
Scorer = Literal["product", "joint"]
AuxTargets = Literal["true", "shuffled"]


class SlatePolicy(ActorCriticPolicy):
    """Scores candidates with one network and draws ordered slates without repeats.

    With trunk output h and item embedding z_i,
    ``score_i = <Q h, z_i> / sqrt(E) + w . match_i + v . response_i``, where match_i are dot
    products between history and candidate (`ObservationFeatures`) and response_i is the
    predicted click logit and rating, detached. Q and w start at 0, v at (``response_weight``, 0):
    at 1 the policy begins as one that ranks by predicted clicks, and the policy gradient moves it
    from there (docs/results.md). The value is read from
    ``[h, mean z]``. ``scorer="joint"`` adds the score of a `JointScorer`. Nothing depends on the
    number of candidates, nor, but for the tables, on the catalogue.

    Args:
        observation_space: the ``ids`` or the ``features`` encoding.
        action_space: ``MultiDiscrete([C] * K)`` or ``Discrete(C)``.
        lr_schedule: learning rate over remaining progress.
        tables: of the world, or of the classic.
        aux: weight of each auxiliary loss; see `make_aux_losses`.
        aux_weighting: what becomes of these weights in training; see `AuxWeights`.
        rank_by: "policy", or "response": scores are the predicted click logit and no policy
            gradient exists, the supervised control.
        width: W, width of the trunk.
        embedding: E, width of the item embedding.
        scorer: "product", or "joint": also score user, item and the other candidates together.
        aux_targets: "true", or "shuffled": every target is that of another row of the minibatch,
            a control for what the losses do apart from what they say.
        response_weight: v of the predicted click logit at the start. 1: what the supervised
            control ranks by; 0: nothing, for tasks in which what is clicked now is not what pays.
        **options: further arguments of `ActorCriticPolicy`.
    """

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        lr_schedule: Any,  # noqa: ANN401
        *,
        tables: Tables,
        aux: Mapping[str, float] | None = None,
        aux_weighting: AuxWeighting = "fixed",
        rank_by: RankBy = "policy",
        width: int = 64,
        embedding: int = 32,
        scorer: Scorer = "product",
        aux_targets: AuxTargets = "true",
        response_weight: float = 1.0,
        **options: Any,  # noqa: ANN401
    ) -> None:
        self.tables = tables
        self.aux_weights = dict(aux or {})
        self.aux_weighting: AuxWeighting = aux_weighting
        self.rank_by = rank_by
        self.width, self.embedding = width, embedding
        self.scorer: Scorer = scorer
        self.aux_targets: AuxTargets = aux_targets
        self.response_weight = response_weight
        if rank_by not in ("policy", "response"):
            raise UsageError(f"rank_by is {rank_by!r}; it must be 'policy' or 'response'.")
        if rank_by == "response" and not self.aux_weights.get(RatingLoss.name):
            raise UsageError(
                "rank_by='response' ranks by what the rating loss learns; give that a weight > 0."
            )
        if options.get("optimizer_class", torch.optim.Adam) is torch.optim.Adam:
            # Stable-Baselines3's epsilon; one pass over all weights takes a fifth of the time.
            options = {"optimizer_kwargs": {"eps": 1e-5, "fused": True}} | options
        super().__init__(observation_space, action_space, lr_schedule, **options)

    def _build(self, lr_schedule: Any) -> None:  # noqa: ANN401
        """Make the networks and the optimiser."""
        nvec = getattr(self.action_space, "nvec", None)
        self.slate = PlackettLuce(1 if nvec is None else len(nvec))
        space = self.observation_space
        self.features = _reader(self.tables, space)
        width, embedding = self.width, self.embedding
        self.trunk = nn.Sequential(
            nn.Linear(self.features.state_size, width),
            nn.Tanh(),
            nn.Linear(width, width),
            nn.Tanh(),
        )
        inputs = self.tables.vectors.shape[1]
        self.item_net = nn.Sequential(
            nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, embedding)
        )
        # Zero, so that a policy begins as what it is told (below) and not as noise around it.
        self.query = _zeroed(width, embedding, bias=True)
        self.match_score = _zeroed(self.features.match_size, 1)
        self.joint: JointScorer | None = None
        if self.scorer == "joint":
            self.joint = JointScorer(width, embedding, self.features.match_size, embedding)
        pooled = 0 if self.joint is None else self.joint.width
        self.value_net = nn.Sequential(
            nn.Linear(width + embedding + pooled, width), nn.Tanh(), nn.Linear(width, 1)
        )
        self.aux_losses = make_aux_losses(self.aux_weights, width, embedding, self.tables)
        weights = {name: loss.weight for name, loss in self._losses().items()}
        self.weigh = AuxWeights(weights, self.aux_weighting)
        if RatingLoss.name in self.aux_losses:
            # Its bias, common to all users, is the item's own term.
            self.response_query = nn.Linear(width, 2 * embedding)
            self.response_user = nn.Linear(width, 2)
            self.response_match = _zeroed(self.features.match_size, 2)
            start = [self.response_weight / DIRECT_GAIN, 0.0]
            self.response_score = nn.Parameter(torch.tensor(start))
        self.targets: AuxRolloutBuffer | None = None
        self.inputs = Inputs(torch.zeros(0), torch.zeros(0))  # of the last slates chosen
        self._memo: tuple[torch.Tensor, torch.Tensor] | None = None
        self._totals: dict[str, torch.Tensor] = {}
        self._batches = 0
        self.optimizer = self.optimizer_class(
            self.parameters(), lr=lr_schedule(1), **self.optimizer_kwargs
        )

    def core(self, obs: Obs, inputs: Inputs | None = None) -> Core:
        """Return everything one pass computes for a batch of observations.

        Args:
            obs: the batch.
            inputs: what was read from it before; read anew if None.
        """
        read = self.features(obs) if inputs is None else inputs
        hidden = self.trunk(read.state)
        items = self._items(obs["candidates"])
        summary = [hidden, items.mean()]
        together: torch.Tensor | None = None
        if self.joint is not None:
            together, pooled = self.joint(hidden, items, read.match)
            summary.append(pooled)
        value = self.value_net(torch.cat(summary, -1))
        product = items.dot(self.query(hidden)[:, None])[:, 0] / self.embedding**0.5
        respond, response = self._responder(hidden, items, read.match), read.response
        if respond is not None and response is None:
            # Without a gradient: the policy's may weigh the prediction but not bend it.
            with torch.no_grad():
                response = respond(None)
        scores = self._scores(product, read.match, response)
        if together is not None and self.rank_by == "policy":
            scores = scores + together
        return Core(hidden, items, scores, value, response, respond)

    def _scores(
        self, product: torch.Tensor, match: torch.Tensor, response: torch.Tensor | None
    ) -> torch.Tensor:
        """Return scores ``(B, C)``."""
        if response is None:
            return product + DIRECT_GAIN * self.match_score(match)[..., 0]
        if self.rank_by == "response":
            return response[..., 0]
        direct = self.match_score(match)[..., 0] + response @ self.response_score
        return product + DIRECT_GAIN * direct

    def _responder(
        self, hidden: torch.Tensor, items: CandidateItems, match: torch.Tensor
    ) -> Callable[[torch.Tensor | None], torch.Tensor] | None:
        """Return what predicts click logit and rating ``(B, K, 2)``; None without a rating loss.

        It takes positions ``(B, K)``, or None for all candidates. The loss needs a gradient for
        the slate alone, which is a small part of them.
        """
        if RatingLoss.name not in self.aux_losses:
            return None
        queries = self.response_query(hidden).unflatten(1, (2, self.embedding))
        queries = queries / self.embedding**0.5
        user = self.response_user(hidden)

        def respond(slate: torch.Tensor | None) -> torch.Tensor:
            listed, seen = items, match
            if slate is not None:
                listed, seen = items.at(slate), rows_at(match, slate)
            weight = DIRECT_GAIN * self.response_match.weight
            if listed.compiled:
                return Responses.apply(queries, user, listed.table, weight, listed.index, seen)
            return listed.dot(queries).transpose(1, 2) + user[:, None] + seen @ weight.T

        return respond

    def _items(self, candidates: torch.Tensor) -> CandidateItems:
        """Return candidate embeddings.

        A catalogue smaller than the batch of candidates is embedded once and gathered from;
        a larger one is never touched beyond the rows in the batch.
        """
        if candidates.is_floating_point() or candidates.numel() < len(self.features.table):
            vectors = self.features.vectors(candidates)
            rows = self.item_net(vectors.flatten(0, 1))
            return CandidateItems(rows, torch.arange(len(rows)).view(vectors.shape[:2]))
        return CandidateItems(self._catalogue(), candidates.long())

    def forget_catalogue(self) -> None:
        """Forget kept embeddings; after writes that weights do not count, as a target's are."""
        self._memo = None

    def _catalogue(self) -> torch.Tensor:
        """Return embeddings of the whole catalogue, kept while weights stand still."""
        if torch.is_grad_enabled():
            return self.item_net(self.features.table)
        weights = torch.nn.utils.parameters_to_vector(self.item_net.parameters())
        # Compared, not counted by version: a fused optimiser's step leaves versions as they were.
        if self._memo is None or not torch.equal(self._memo[0], weights):
            self._memo = weights, self.item_net(self.features.table)
        return self._memo[1]

    def forward(
        self, obs: Obs, deterministic: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return slates ``(B, K)``, values ``(B, 1)`` and log-probabilities ``(B,)``."""
        self.inputs = self.features(obs)
        core = self.core(obs, self.inputs)
        self.inputs = replace(self.inputs, response=core.response)
        slate = self.slate.proba_distribution(core.scores)
        actions = slate.get_actions(deterministic)
        log_prob = slate.log_prob(actions)
        return actions.reshape(-1, *self.action_space.shape), core.value, log_prob

    def evaluate_actions(
        self, obs: Obs, actions: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return values, log-probabilities and entropies of slates.

        For the minibatch that the attached buffer returned last, and while gradients are on, the
        value carries the auxiliary losses (see `join`).
        """
        actions = actions.long().reshape(-1, self.slate.slate_size)
        held = self.targets
        if held is not None and held.sampled is not obs:
            held = None
        core = self.core(obs, None if held is None else held.inputs)
        slate = self.slate.proba_distribution(core.scores)
        log_prob = slate.log_prob(actions)
        value = core.value
        if len(self.aux_losses) and held is not None and torch.is_grad_enabled():
            losses = self.aux_terms(core.shown(actions), held.minibatch)
            self._remember(losses)
            value = join(value, self.weighted(losses))
        return value, log_prob, slate.entropy()

    def aux_terms(self, shown: Core, targets: Targets) -> dict[str, torch.Tensor]:
        """Return each auxiliary loss, unweighted, by name."""
        if self.aux_targets == "shuffled":
            order = torch.randperm(len(shown.state))
            targets = {name: rows[order] for name, rows in targets.items()}
        return {name: loss.loss(shown, targets) for name, loss in self._losses().items()}

    def weighted(self, losses: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Return the weighted sum of auxiliary losses, a scalar."""
        return self.weigh(losses)

    def _losses(self) -> dict[str, AuxLoss]:
        return cast("dict[str, AuxLoss]", dict(self.aux_losses.items()))

    def _remember(self, losses: Mapping[str, torch.Tensor]) -> None:
        """Add this minibatch to the running means of the curves."""
        figures = {name: loss.detach() for name, loss in losses.items()}
        for name, loss in self._losses().items():
            figures |= {f"{name}/{part}": value for part, value in loss.parts.items()}
        for name, value in figures.items():
            self._totals[name] = self._totals.get(name, torch.zeros(())) + value
        self._batches += 1

    def take_aux_means(self) -> dict[str, float]:
        """Return the mean of each auxiliary figure since the last call."""
        means = {name: float(total) / self._batches for name, total in self._totals.items()}
        self._totals, self._batches = {}, 0
        return means

    def predict_values(self, obs: Obs) -> torch.Tensor:
        """Return values ``(B, 1)``."""
        return self.core(obs).value

    def get_distribution(self, obs: Obs) -> PlackettLuce:
        """Return the slate distribution of a batch of observations."""
        return self.slate.proba_distribution(self.core(obs).scores)

    def _predict(self, observation: Obs, deterministic: bool = False) -> torch.Tensor:
        """Return slates ``(B, K)``; Stable-Baselines3's `predict` calls this."""
        return self.get_distribution(observation).get_actions(deterministic)


def _reader(tables: Tables, space: spaces.Dict) -> ObservationFeatures | ClassicFeatures:
    """Return what reads the observations of a space."""
    if isinstance(tables, ClassicTables):
        return ClassicFeatures(tables, space)
    return ObservationFeatures(tables, space["user"].shape[0], Extras.of(space, tables))


def _zeroed(inputs: int, outputs: int, *, bias: bool = False) -> nn.Linear:
    """Return a linear map that starts at 0."""
    layer = nn.Linear(inputs, outputs, bias=bias)
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer
