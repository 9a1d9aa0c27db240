"""Rules that rank without learning: quality, thresholds, and what usually follows what."""

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from slategym.agents.heuristics import CFGreedyPolicy, padded
from slategym.agents.policy import Observation, Slate, top_positions
from slategym.agents.public_model import FloatArray, PublicModel
from slategym.envs.spaces import CONTEXT_SCALARS
from slategym.envs.world import World
from slategym.errors import UsageError

# Users of the log whose predicted ratings say where a share of all ratings lies.
_SAMPLE = 512


class QualityPolicy:
    """The candidates the average user is predicted to rate highest, the same for everyone.

    Quality is the public model's rating by the mean of the training users: no history is read.
    """

    name = "quality"

    def __init__(self, world: World, slate_size: int) -> None:
        self.slate_size = slate_size
        model = PublicModel.from_world(world, noise_std=1.0)  # no fold-in, so no noise
        self._quality = model.mean + model.item_bias + model.item_rows @ model.prior_mean

    def scores(self, observation: Observation) -> FloatArray:
        """Return the quality ``(B, C)`` of the candidates in rating points."""
        return self._quality[observation["candidates"]]

    def act(self, observation: Observation, rng: np.random.Generator) -> Slate:  # noqa: ARG002
        """Return slates ``(B, K)``, best quality first."""
        return top_positions(self.scores(observation), self.slate_size)


class ThresholdPolicy(CFGreedyPolicy):
    """Shows what is good enough and not yet too familiar, before all else.

    A candidate qualifies if its predicted rating reaches a floor and the user's exposure to its
    topics stays below a ceiling. Those that qualify come first; each group is in order of the
    predicted rating.

    Args:
        world: only its public tables are read.
        slate_size: K.
        share: the floor is the rating that this share of all predicted ratings of training users
            reaches, in [0, 1]; 1 lets everything pass.
        ceiling: most exposure a candidate's topics may have, at least 0; 1 is what one item of
            that topic alone adds, and it decays by .85 a step.
        noise_std: as in `CFGreedyPolicy`.
    """

    name = "threshold"

    def __init__(
        self,
        world: World,
        slate_size: int,
        share: float = 0.5,
        ceiling: float = 0.6,
        noise_std: float | None = None,
    ) -> None:
        if not 0 <= share <= 1:
            raise UsageError(f"share is {share}; it must be in [0, 1].")
        if not ceiling >= 0:
            raise UsageError(f"ceiling is {ceiling}; it must be at least 0.")
        super().__init__(world, slate_size, noise_std)
        self.ceiling = ceiling
        self.floor = _floor(world, self.model, share)
        self._topics = padded(world.item_topics)

    def scores(self, observation: Observation) -> FloatArray:
        """Return ``(B, C)``: in (1, 2) what qualifies, in (0, 1) the rest, each by rating."""
        rating = super().scores(observation)
        size = self._topics.shape[1]
        exposure = observation["context"][:, CONTEXT_SCALARS : CONTEXT_SCALARS + size]  # (B, Z)
        topics = self._topics[observation["candidates"]]  # (B, C, Z)
        tired = np.einsum("bz,bcz->bc", exposure, topics)
        qualifies = (rating >= self.floor) & (tired < self.ceiling)
        far = (rating - self.floor) / (self.model.high - self.model.low)
        return qualifies + 0.5 + np.arctan(far) / np.pi

    def act(self, observation: Observation, rng: np.random.Generator) -> Slate:  # noqa: ARG002
        """Return slates ``(B, K)``, what qualifies first."""
        return top_positions(self.scores(observation), self.slate_size)


class SequencePolicy:
    """Shows what follows the user's last items in the sequences of the public log.

    Sequential rules (Ludewig and Jannach 2018, section 3.1): a pair (i, j) weighs the sum over
    users of 1 / steps from i to j, j at most ``window`` items after i. The score of j is

        sum_h r_h v_h w(i_h, j) / sum_j' w(i_h, j') ,

    over the items i_h of the user's history, v_h the value it gave to them and r_h their recency
    weight; popularity, at a thousandth, orders what follows nothing.

    Args:
        world: only its public log is read; the training users' histories where it keeps none.
        slate_size: K.
        window: most steps between the items of a pair, at least 1.
    """

    name = "sequence"

    def __init__(self, world: World, slate_size: int, window: int = 10) -> None:
        if window < 1:
            raise UsageError(f"window is {window}; it must be at least 1.")
        self.slate_size = slate_size
        self._size = world.n_items
        rules = sequential_rules(*_sequences(world), world.n_items, window).tocoo()
        pair = rules.row.astype(np.int64) * self._size + rules.col
        order = np.argsort(pair)
        self._pair, self._weight = pair[order], rules.data[order]
        popularity = np.asarray(world.item_popularity, np.float64)
        self._popularity = 1e-3 * popularity / max(popularity.sum(), 1.0)

    def scores(self, observation: Observation) -> FloatArray:
        """Return how much each candidate follows the history ``(B, C)``, in [0, H]."""
        history = np.asarray(observation["history"], np.int64)
        trust = np.prod(observation["history_feedback"], axis=2, dtype=np.float64)
        candidates = observation["candidates"]
        score = self._popularity[candidates]
        for place in range(history.shape[1]):
            followed = self.follows(history[:, place, None], candidates)
            score = score + trust[:, place, None] * followed
        return score

    def follows(self, first: NDArray[np.integer], second: NDArray[np.integer]) -> FloatArray:
        """Return how likely items are to follow others, in [0, 1], in the shape of both."""
        pair = first * self._size + second
        if len(self._pair) == 0:
            return np.zeros(pair.shape)
        place = np.minimum(np.searchsorted(self._pair, pair), len(self._pair) - 1)
        return np.where(self._pair[place] == pair, self._weight[place], 0.0)

    def act(self, observation: Observation, rng: np.random.Generator) -> Slate:  # noqa: ARG002
        """Return slates ``(B, K)``, the likeliest to follow first."""
        return top_positions(self.scores(observation), self.slate_size)


def sequential_rules(
    user: NDArray[np.integer], item: NDArray[np.integer], n_items: int, window: int
) -> sp.csr_array:
    """Return how likely item j is to follow item i, ``(I, I)``; rows sum to 1 or to 0.

    Args:
        user: whose event each is ``(N,)``; a user's events stand together, oldest first.
        item: item rows ``(N,)``.
        n_items: I.
        window: most steps from i to j.
    """
    total = sp.csr_array((n_items, n_items))
    for steps in range(1, min(window, max(len(user) - 1, 0)) + 1):
        pair = (user[steps:] == user[:-steps]) & (item[steps:] != item[:-steps])
        first, second = item[:-steps][pair], item[steps:][pair]
        weight = np.full(len(first), 1.0 / steps)
        total = total + sp.csr_array((weight, (first, second)), shape=(n_items, n_items))
    sums = np.asarray(total.sum(axis=1)).reshape(-1)
    return sp.csr_array(sp.diags_array(1.0 / np.where(sums > 0, sums, 1.0)) @ total)


def _sequences(world: World) -> tuple[NDArray[np.integer], NDArray[np.integer]]:
    """Return user and item of every public event, each user's oldest first."""
    if world.has_log:
        log = world.public_log
        order = np.lexsort((log.times, log.users))  # stable: ties keep the order of the log
        return log.users[order], log.items[order]
    train = np.flatnonzero(world.users["split"].to_numpy() == "train")
    history = np.asarray(world.user_history)[train]
    rows, _ = np.nonzero(history >= 0)
    return rows, history[history >= 0]


def _floor(world: World, model: PublicModel, share: float) -> float:
    """Return the rating that a share of the training users' predicted ratings reaches."""
    train = np.flatnonzero(world.users["split"].to_numpy() == "train")
    chosen = train[:: max(1, len(train) // _SAMPLE)]
    users = np.concatenate(
        [np.asarray(world.public_user_bias)[chosen, None], world.public_user_factors[chosen]],
        axis=1,
    ).astype(np.float64)
    rating = model.mean + model.item_bias[:-1] + users @ model.item_rows[:-1].T  # (U, I)
    return float(np.quantile(rating, 1.0 - share))
