"""Whether simulated values, choices and sequences are distributed as those of the log.

Letters: N rows or events, G sequences, R resamples, I items, Z topics.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from slategym.envs.arrays import DoubleArray, LongArray
from slategym.envs.card_rows import Held
from slategym.envs.card_scores import Clusters, centred_interval, interval
from slategym.envs.card_sequences import (
    Sequences,
    gini,
    ks_distance,
    topic_mass,
    total_variation,
)
from slategym.envs.world import World

MOST_LEVELS = 20  # a log with more distinct values is compared in bins of its range
_HALVES = 20
_SHOWN_TOPICS = 12
_DRAWS = 200


def value_marginals(
    held: Held, world: World, emitted_noise: float, clusters: Clusters, seed: int
) -> dict[str, Any]:
    """Return how simulated values on the judged rows compare with the values given.

    Args:
        held: later rows of held-out users.
        world: the world, for the log's scale.
        emitted_noise: deviation, in the log's units, with which the environment tells values.
        clusters: of the judged rows.
        seed: of the draws.

    Returns:
        ``levels``; the ``real`` histogram; for ``emitted`` (as the environment tells values) and
        ``fitted`` (with the residual deviation of the rating model) the ``noise``, the
        ``histogram``, the total variation ``tv`` and the Wasserstein-1 distance ``w1`` in the
        log's units, each with its interval.
    """
    levels, edges = _levels(world)
    real = np.digitize(held.values, edges)
    rng = np.random.default_rng((seed, 11))
    value = held.drawn(rng)
    said: dict[str, Any] = {
        "levels": [round(float(level), 4) for level in levels],
        "real": _histogram(real, len(levels)),
    }
    shares = _resampled(real, len(levels), clusters)
    for name, noise in (("emitted", emitted_noise), ("fitted", held.model.noise_std)):
        told = np.digitize(value + noise * rng.standard_normal(len(value)), edges)
        own = np.asarray(_histogram(told, len(levels)))
        gaps = np.asarray(said["real"]) - own
        drawn = shares - _resampled(told, len(levels), clusters)
        said[name] = {
            "noise": round(float(noise), 4),
            "histogram": own.tolist(),
            "tv": centred_interval(_tv(gaps), _tv(drawn)),
            "w1": centred_interval(_w1(gaps, levels), _w1(drawn, levels)),
        }
    return said


def _levels(world: World) -> tuple[DoubleArray, DoubleArray]:
    """Return the values a log knows, or bins of its range, and the borders between them."""
    levels = np.unique(world.log.values).astype(np.float64)
    if len(levels) > MOST_LEVELS:
        ends = np.linspace(world.info.value_low, world.info.value_high, MOST_LEVELS + 1)
        levels = 0.5 * (ends[1:] + ends[:-1])
    return levels, 0.5 * (levels[1:] + levels[:-1])


def _histogram(place: LongArray, size: int) -> list[float]:
    """Return the share of rows in each place."""
    share = np.bincount(place, minlength=size) / max(len(place), 1)
    return [round(float(x), 6) for x in share]


def _resampled(place: LongArray, size: int, clusters: Clusters) -> DoubleArray:
    """Return the histogram in each resample, (R, size)."""
    return np.stack([clusters.means((place == n).astype(float)) for n in range(size)], axis=1)


def _tv(gaps: DoubleArray) -> Any:  # noqa: ANN401 - a number, or one for each resample
    return 0.5 * np.abs(gaps).sum(axis=-1)


def _w1(gaps: DoubleArray, levels: DoubleArray) -> Any:  # noqa: ANN401 - likewise
    """Return the Wasserstein-1 distance: the area between the distribution functions."""
    return (np.abs(np.cumsum(gaps, axis=-1))[..., :-1] * np.diff(levels)).sum(axis=-1)


def sequence_marginals(
    real: Sequences, simulated: Sequences, world: World, seed: int
) -> dict[str, Any]:
    """Return how what simulated users consume compares with what users of the log took and liked.

    ``popularity``: KS distance of the public counts of consumed items, and Gini coefficients of
    how consumption spreads over items (the longer set cut to the number of events of the
    shorter). ``activity``: KS distance of events per sequence over their mean. ``topics``: total
    variation of the topic shares. Each distance stands beside its ``floor``: that of one random
    half of the log's users from the other half.
    """
    popularity = np.asarray(world.item_popularity, dtype=np.float64)
    topics = world.item_topics
    measures: dict[str, Callable[[Sequences, Sequences], float]] = {
        "popularity": lambda a, b: ks_distance(popularity[a.items], popularity[b.items]),
        "activity": lambda a, b: ks_distance(_relative(a), _relative(b)),
        "topics": lambda a, b: total_variation(
            topic_mass(a.items, topics), topic_mass(b.items, topics)
        ),
    }
    said: dict[str, Any] = {
        name: distance(real, simulated, measure, seed) for name, measure in measures.items()
    }
    rng = np.random.default_rng((seed, 12))
    events = min(len(real.items), len(simulated.items))
    ginis = [
        gini(np.bincount(rng.permutation(s.items)[:events], minlength=world.n_items).astype(float))
        for s in (real, simulated)
    ]
    said["popularity"]["gini"] = {
        "real": round(ginis[0], 6),
        "simulated": round(ginis[1], 6),
        "difference": round(ginis[1] - ginis[0], 6),
    }
    for name, s in (("real", real), ("simulated", simulated)):
        said["activity"][f"mean_{name}"] = round(float(s.lengths().mean()), 4)
    said["topics"]["shares"] = _topic_shares(real, simulated, world)
    return said


def distance(
    real: Sequences,
    simulated: Sequences,
    measure: Callable[[Sequences, Sequences], float],
    seed: int,
) -> dict[str, Any]:
    """Return a distance of two sets of sequences, its interval, and its floor.

    Sequences are resampled whole on both sides.
    """
    rng = np.random.default_rng((seed, 13))
    drawn = [
        measure(*(s.take(rng.integers(0, s.count, s.count)) for s in (real, simulated)))
        for _ in range(_DRAWS)
    ]
    halves = []
    for _ in range(_HALVES):
        order, middle = rng.permutation(real.count), real.count // 2
        halves.append(measure(real.take(order[:middle]), real.take(order[middle:])))
    estimate = measure(real, simulated)
    return {
        "distance": centred_interval(estimate, np.asarray(drawn)),
        "floor": round(float(np.mean(halves)), 6),
    }


def _relative(sequences: Sequences) -> DoubleArray:
    """Return events per sequence over their mean, (G,)."""
    lengths = sequences.lengths().astype(np.float64)
    return np.asarray(lengths / max(float(lengths.mean()), 1e-12))


def _topic_shares(real: Sequences, simulated: Sequences, world: World) -> list[dict[str, Any]]:
    """Return both shares of the most frequent topics."""
    shares = [topic_mass(s.items, world.item_topics) for s in (real, simulated)]
    order = np.argsort(-shares[0], kind="stable")[:_SHOWN_TOPICS]
    return [
        {
            "name": world.info.topic_names[z],
            "real": round(float(shares[0][z]), 6),
            "simulated": round(float(shares[1][z]), 6),
        }
        for z in order.tolist()
    ]


def transitions(real: Sequences, simulated: Sequences, world: World, seed: int) -> dict[str, Any]:
    """Return how one consumed item's topic leads to the next one's, in the log and simulated.

    ``joint``: total variation of the shares of topic pairs (an item of several topics counts in
    each in part). ``lift``: how much more often two items in a row share a topic than two items
    of the same sequence in random order would, as a difference of probabilities; 0 says that
    order does not matter. It is what satiation, boredom and drift would move.
    """
    topics = world.item_topics

    def joint(a: Sequences, b: Sequences) -> float:
        return total_variation(_pair_shares(a, topics), _pair_shares(b, topics))

    rng = np.random.default_rng((seed, 14))
    said = {"joint": distance(real, simulated, joint, seed)}
    said["lift"] = {
        name: _lift(s, topics, rng) for name, s in (("real", real), ("simulated", simulated))
    }
    return said


def _pair_shares(sequences: Sequences, topics: Any) -> DoubleArray:  # noqa: ANN401 - (I, Z)
    """Return the share of each pair of topics in a row, (Z * Z,)."""
    _, first, second = sequences.pairs()
    mass = topics[first].T.astype(np.float64) @ topics[second]
    return np.asarray(mass.ravel() / max(float(mass.sum()), 1e-12))


def _lift(sequences: Sequences, topics: Any, rng: np.random.Generator) -> dict[str, float | None]:  # noqa: ANN401
    """Return how much likelier than by chance a next item shares the topic, with its interval."""
    owner, first, second = sequences.pairs()
    shared = (topics[first] * topics[second]).sum(axis=1).astype(np.float64)
    # What any two different events of a sequence share, in expectation over their order.
    total = np.zeros((sequences.count, topics.shape[1]))
    np.add.at(total, sequences.owner, topics[sequences.items].astype(np.float64))
    own = (topics[sequences.items].astype(np.float64) ** 2).sum(axis=1)
    n = sequences.lengths().astype(np.float64)
    squares = np.bincount(sequences.owner, own, sequences.count)
    by_chance = ((total**2).sum(axis=1) - squares) / np.maximum(n * (n - 1), 1.0)
    gap = shared - by_chance[owner]
    if not len(gap):
        return interval(np.nan, np.zeros(0))
    clusters = Clusters(owner, _DRAWS, int(rng.integers(2**31)))
    return interval(float(gap.mean()), clusters.means(gap))
