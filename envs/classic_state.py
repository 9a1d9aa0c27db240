"""The arrays the compiled classics work on: users, responses, observations, rules."""

from typing import NamedTuple

import numpy as np

from slategym.envs.arrays import (
    AnyArray,
    BoolArray,
    DoubleArray,
    FloatArray,
    IntArray,
    KeyArray,
    LongArray,
)

SEED, STREAM, EPISODE, STEP, KEY, DRAWN = range(6)
"""Columns of `State.counters`. KEY is the episode's key; DRAWN the key of the candidates."""
LAST_CLICK, LAST_VALUE, CLICKS, VALUES, MEANS = range(5)
"""Columns of `State.tally`; from MEANS on, sums of features of what was consumed and shown."""
CONTEXT_SCALARS = 5
"""Entries of the context before the means."""
RECENCY_DECAY = 0.9
"""Weight of a place of the history relative to the next newer one."""


class State(NamedTuple):
    """B users in the middle of an episode: one row each, no array shared with a caller."""

    counters: KeyArray  # (B, 6) see SEED and the others
    user: DoubleArray  # (B, U) the true user; the family's rules name the columns
    tally: FloatArray  # (B, 4 + 2Z) see LAST_CLICK and the others
    cluster: AnyArray  # (B, C) uint8 cluster or topic of each candidate
    feature: FloatArray  # (B, C) what else is seen of a candidate; (B, 0) in evolution
    past_cluster: AnyArray  # (B, H) uint8, newest last
    past_feature: FloatArray  # (B, H)
    past_value: FloatArray  # (B, H) in [0, 1]; -1 where nothing was clicked yet


class Sizes(NamedTuple):
    """The sizes of everything that B users need, by the letters of `slategym.envs.arrays`."""

    batch: int
    """B."""
    count: int  # type: ignore[assignment]  # nobody counts values of these tuples
    """C, candidates."""
    slate: int
    """K."""
    past: int
    """H, places of the history."""
    seen: int
    """Du, entries of ``user`` in the observation."""
    document: int
    """D, entries of a document in the observation; 0 in ids mode."""
    context: int
    """X, entries of the context."""
    quantities: int
    """R, quantities of a response."""
    ids: bool
    """Whether documents are observed as cluster numbers."""


class Output(NamedTuple):
    """Everything that one step hands out, in three flat buffers; `slategym.envs.classic_output`."""

    real: FloatArray
    whole: IntArray
    ended: BoolArray


class Response(NamedTuple):
    """What the N users of a block did in one step, as the loops write it."""

    click: FloatArray  # (N, K)
    second: FloatArray  # (N, K) the family's other quantities, in the order of its names;
    third: FloatArray  # (0, K) where it has none
    fourth: FloatArray
    slate: IntArray  # (N, K) candidate positions
    cluster: IntArray  # (N, K)
    reward: FloatArray  # (N,)
    term: FloatArray  # (N,) the reward's only term
    terminated: BoolArray  # (N,)
    truncated: BoolArray  # (N,)


class Work(NamedTuple):
    """Scratch for a block of N users."""

    real: DoubleArray  # (4, N * max(C, K + 1, 2))
    order: LongArray  # (N * max(C, K + 1, 2) + 1,)
    bits: KeyArray  # (N * max(C, K + 1, 2),)


class Luck(NamedTuple):
    """What chance decides in a step, what weighs on it and what follows, for a block of N users.

    Users come last, so that a loop over them reads and writes numbers that lie side by side.
    Such loops have no branches and are turned into vector instructions.
    """

    at: KeyArray  # (N,) key of the step
    clocks: DoubleArray  # (K + 1, N) uniform numbers, from which the clocks of a race are made
    weights: DoubleArray  # (K + 1, N) see `slategym.envs.classic_choice.weigh`
    quality: DoubleArray  # (K, N) of what is shown, in evolution
    mean: DoubleArray  # (K, N) scratch: mean quality of the cluster
    drift: DoubleArray  # (N,) uniform number: whether a click raises or lowers the interest
    most: DoubleArray  # (N,) scratch of the race
    slot: LongArray  # (N,) the place that was clicked, -1 for none
    value: DoubleArray  # (N,) value of the click for the history, in [0, 1]
    work: Work


class Blocks(NamedTuple):
    """What is observed of B users; D is 0 in ids mode, and the ids have no rows otherwise."""

    user: FloatArray  # (B, Du)
    history: FloatArray  # (B, H * D)
    candidates: FloatArray  # (B, C * D)
    feedback: FloatArray  # (B, H * 3)
    context: FloatArray  # (B, X)
    past_ids: IntArray  # (B, H)
    ids: IntArray  # (B, C)


class EvolutionRules(NamedTuple):
    """The numbers of interest evolution; user columns: 20 interests, then the time budget."""

    choice_model: int
    no_click_mass: float
    min_normalizer: float
    attention_prob: float
    score_scaling: float
    alpha_x_intercept: float
    alpha_y_intercept: float
    time_budget: float
    step_penalty: float
    video_length: float
    quality_stddev: float
    user_update_alpha: float
    user_quality_factor: float
    document_quality_factor: float
    horizon: int
    resample_documents: bool
    cluster_means: DoubleArray  # (20,)


class ExplorationRules(NamedTuple):
    """The numbers of interest exploration; user columns: affinity of each topic, the type."""

    choice_model: int
    no_click_mass: float
    min_normalizer: float
    attention_prob: float
    score_scaling: float
    horizon: int
    resample_documents: bool
    topics: DoubleArray  # (3, Z) cumulative chance, mean and stddev of log quality
    types: DoubleArray  # (Y,) cumulative chance
    affinity: DoubleArray  # (2, Y, Z) mean and stddev of log affinity


class SatisfactionRules(NamedTuple):
    """The numbers of long-term satisfaction; user columns: exposure, satisfaction, budget."""

    memory_discount: float
    sensitivity: float
    innovation_stddev: float
    choc_mean: float
    choc_stddev: float
    kale_mean: float
    kale_stddev: float
    time_budget: float
    horizon: int
    resample_documents: bool


Rules = EvolutionRules | ExplorationRules | SatisfactionRules


def new_state(batch: int, sizes: dict[str, int]) -> State:
    """Return a state of ``batch`` users with every array zero.

    Args:
        batch: B.
        sizes: columns of ``user``, ``tally``, ``cluster``, ``feature`` and ``past``.
    """
    past = sizes["past"]
    return State(
        counters=np.zeros((batch, 6), np.uint64),
        user=np.zeros((batch, sizes["user"]), np.float64),
        tally=np.zeros((batch, sizes["tally"]), np.float32),
        cluster=np.zeros((batch, sizes["cluster"]), np.uint8),
        feature=np.zeros((batch, sizes["feature"]), np.float32),
        past_cluster=np.zeros((batch, past), np.uint8),
        past_feature=np.zeros((batch, past), np.float32),
        past_value=np.zeros((batch, past), np.float32),
    )
