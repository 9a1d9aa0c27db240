"""The world card: is a simulator like the log it came from, where was that checked, where not?

The protocol, in order: likelihood on rows and on users that no fit has seen, against simpler
ways; calibration, overall and in parts; marginals; a classifier that tries to tell real from
simulated; transitions from one item to the next; sensitivity to the selection of the log. Every
interval resamples users whole. Whether baseline policies keep their order when the assumed
dynamics change is measured by `slategym.benchmarks.card_sensitivity`.
"""

from typing import Any

import numpy as np

import slategym
from slategym.envs import card_marginals as marginals
from slategym.envs import card_twosample as twosample
from slategym.envs.arrays import BoolArray
from slategym.envs.card_rows import Held, held_out_users, judged_rows
from slategym.envs.card_scores import (
    Clusters,
    Judged,
    calibration,
    quantile_groups,
    score_ways,
    slices,
)
from slategym.envs.card_selection import selection_sensitivity
from slategym.envs.card_sequences import Sequences, logged_sequences, simulated_sequences
from slategym.envs.scenario_make import click_threshold
from slategym.envs.world import World
from slategym.errors import DataError
from slategym.progress import Progress, Silent, stage

CARD_VERSION = 1
DECILES, ACTIVITIES, TOPICS = 10, 5, 12
NOT_VALIDATED = (
    "The log holds what people chose to take and not what they were shown: rows are missing not "
    "at random, there are no exposures and no propensities. No likelihood on such a log validates "
    "what people would have done with other recommendations, which is what a simulator is asked."
)
NOT_LEARNED = (
    "What people were shown, and that they saw and left it.",
    "How choosing one item of a slate depends on the others and on the place.",
    "How satiation, boredom, patience, drift and leaving work, and how strong they are.",
    "How many minutes are watched, and how a watched fraction follows from taste.",
)


def world_card(
    world: World,
    *,
    seed: int = 0,
    draws: int = 1000,
    sessions: int = 2000,
    variant: str = "slategym/World-v0",
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Return the card of a world: plain JSON values.

    Args:
        world: one that keeps its log.
        seed: of every resample and simulation; equal seeds give equal cards.
        draws: resamples of users, at least 100.
        sessions: simulated for the comparison of sequences.
        variant: the environment whose sequences are judged.
        progress: told of every stage.

    Returns:
        A dict with the keys ``world``, ``settings``, ``held_out_rows``, ``held_out_users``,
        ``values``, ``sequences``, ``transitions``, ``two_sample``, ``selection`` and
        ``statements``. A section that cannot be made is ``{"missing": reason}``.

    Raises:
        DataError: the world keeps no log.
    """
    told, log = progress or Silent(), world.log
    card: dict[str, Any] = {
        "format": "slategym world card",
        "version": CARD_VERSION,
        "slategym": slategym.__version__,
        "world": _about(world),
        "settings": {"seed": seed, "draws": draws, "sessions": sessions, "variant": variant},
    }
    with stage(told, "judge held-out rows"):
        rows = judged_rows(world, seed)
        card["held_out_rows"] = _judge(rows, world, draws, seed, "the world has no test rows")
    with stage(told, "refit without the held-out users and judge their later rows"):
        held, why = _held(world, seed)
        judged = None if held is None else held.rows
        card["held_out_users"] = _judge(judged, world, draws, seed, why)
    with stage(told, "compare values and sequences"):
        card |= _compared(world, held, why, seed, draws, sessions, variant)
    with stage(told, "reweight the log by popularity"):
        card["selection"] = _reweighted(world, draws, seed)
    return card | {"statements": _statements(world, implicit=log.implicit)}


def _about(world: World) -> dict[str, Any]:
    """Return what the world is."""
    info, log = world.info, world.log
    return {
        "name": info.name,
        "hash": world.hash,
        "synthetic": info.synthetic,
        "source": info.source,
        "licence": info.licence,
        "users": world.n_users,
        "held_out_users": int((world.users["split"] == "held_out").sum()),
        "items": world.n_items,
        "topics": world.n_topics,
        "rows": len(log),
        "rows_by_split": np.bincount(np.asarray(world.log_split), minlength=4).tolist(),
        "implicit": log.implicit,
        "threshold": click_threshold(world),
        "scenario": info.provenance.get("scenario"),
    }


def _missing(why: str) -> dict[str, str]:
    """Return what stands for a section that cannot be made."""
    return {"missing": why}


def _held(world: World, seed: int) -> tuple[Held | None, str]:
    """Return the judged rows of held-out users, or why there are none."""
    try:
        held = held_out_users(world, seed)
    except DataError as error:
        return None, str(error)
    return held, "no user is held out, or none of them has two rows"


def _reweighted(world: World, draws: int, seed: int) -> dict[str, Any]:
    """Return the sensitivity to the selection of the log, or why it cannot be measured."""
    try:
        return selection_sensitivity(world, draws=draws, seed=seed)
    except DataError as error:
        return _missing(str(error))


def _judge(rows: Judged | None, world: World, draws: int, seed: int, why: str) -> dict[str, Any]:
    """Return scores, calibration and slices of judged rows; ``why`` there are none."""
    if rows is None:
        return _missing(why)
    clusters = Clusters(rows.users, draws, seed)
    activity = np.asarray(world.users["n_ratings"])[rows.users]
    popularity = world.item_popularity[rows.items]
    groups = {
        "item_popularity": quantile_groups(popularity, DECILES),
        "user_activity": quantile_groups(activity, ACTIVITIES),
        "topic": _topics(rows, world),
    }
    return {
        **score_ways(rows, clusters),
        "calibration": calibration(rows, clusters, seed),
        "slices": {name: slices(rows, masks, clusters) for name, masks in groups.items()},
    }


def _topics(rows: Judged, world: World) -> dict[str, BoolArray]:
    """Return masks (N,) of the rows on each of the most frequent topics."""
    there = world.item_topics[rows.items] > 0
    order = np.argsort(-there.sum(axis=0), kind="stable")[:TOPICS]
    return {world.info.topic_names[z]: there[:, z] for z in order.tolist()}


def _compared(
    world: World, held: Held | None, why: str, seed: int, draws: int, sessions: int, variant: str
) -> dict[str, Any]:
    """Return the sections that compare the log with what is simulated."""
    real = logged_sequences(world, click_threshold(world))
    simulated = simulated_sequences(world, sessions=sessions, seed=seed, variant=variant)
    said: dict[str, Any] = {"values": _missing(why), "two_sample": {"responses": _missing(why)}}
    if held is not None:
        examples = twosample.response_examples(held, world, seed)
        said["two_sample"]["responses"] = twosample.classifier_auc(*examples, seed)
        said["values"] = _missing("the log is implicit: it has no values")
    if held is not None and not world.log.implicit:
        clusters = Clusters(held.rows.users, draws, seed)
        noise = _emitted_noise(variant)
        said["values"] = marginals.value_marginals(held, world, noise, clusters, seed)
    short = min(len(real.items), len(simulated.items)) < twosample.LENGTH
    if short or min(real.count, simulated.count) < 2:
        nothing = _missing("too few sequences in the log or from the simulator")
        said["two_sample"]["sequences"] = nothing
        return said | {"sequences": nothing, "transitions": nothing}
    said["two_sample"]["sequences"] = _told_apart(real, simulated, world, seed)
    return said | {
        "sequences": marginals.sequence_marginals(real, simulated, world, seed),
        "transitions": marginals.transitions(real, simulated, world, seed),
    }


def _told_apart(real: Sequences, simulated: Sequences, world: World, seed: int) -> dict[str, Any]:
    """Return how well sequences of the log are told from those of the simulator."""
    first, groups = twosample.sequence_examples(real, world, seed, 0)
    second, others = twosample.sequence_examples(simulated, world, seed, real.count)
    return twosample.classifier_auc(first, [second], (groups, others), seed)


def _emitted_noise(variant: str) -> float:
    """Return the deviation, in the log's units, with which an environment tells a value."""
    from slategym.envs.registry import get_variant

    return float(get_variant(variant).parameters.get("rating_noise", 0.0))


def _statements(world: World, *, implicit: bool) -> dict[str, Any]:
    """Return what was assumed and not learned, and what was judged."""
    judged = [
        "Held-out rows judge the public model that is in the world. The simulator's own factors "
        "were fitted on all rows, so no row of the log can judge them; held-out users judge a "
        "model of the same kind, fitted without them.",
    ]
    if implicit:
        judged.append(
            "The log has no negatives: they were sampled among items a user never touched."
        )
    if world.info.synthetic:
        judged.append("The world is generated: the card says how well a generator was recovered.")
    return {
        "assumed": list(world.info.assumptions),
        "not_learned": list(NOT_LEARNED),
        "selection_bias": NOT_VALIDATED,
        "judged": judged,
    }
