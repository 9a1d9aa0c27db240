"""The policies that wrote a log, made again by their names and held to its probabilities.

A log holds how likely the items were that were shown. Estimators that pool items also ask how
likely those were that were not: only the policy itself knows. Letters: N impressions, K slots.
"""

import re
from collections.abc import Sequence
from typing import cast

import numpy as np

from slategym.agents.classic_rules import make_classic_policy
from slategym.agents.policy import Policy, for_variant, make_policy
from slategym.agents.stochastic import StochasticPolicy, with_propensities
from slategym.benchmarks.log_schema import FloatArray, Log
from slategym.envs.classic_variant import ClassicVariant
from slategym.envs.protocol import AnyVariant
from slategym.envs.world import World
from slategym.errors import DataError, SlateGymError

_WRAPPED = re.compile(r"(?P<name>.+), (?P<wrap>temperature|epsilon) (?P<number>[-+.0-9e]+)")
_EXACT = 1e-6  # in log-probability: a number in a name is given to six digits


def remade_policies(
    log: Log, variant: AnyVariant, world: World | None, base: Policy | None = None
) -> tuple[StochasticPolicy, ...]:
    """Return the policies that wrote a log, in the order of ``log.info.policies``.

    Args:
        log: says what they were called, such as ``cf-greedy, temperature 0.7``.
        variant: the task.
        world: what it was written in; None for a classic.
        base: the policy inside, where its name is not that of a registered one.

    Raises:
        DataError: a name that no registered policy has.
    """
    made = []
    for told in log.info.policies:
        found = _WRAPPED.fullmatch(told)
        name = told if found is None else found["name"]
        wrap = {} if found is None else {found["wrap"]: float(found["number"])}
        try:
            inside = _registered(name, variant, world) if base is None else base
            made.append(with_propensities(inside, **wrap))
        except SlateGymError:
            raise DataError(
                f"the log was written by {told!r}, which cannot be asked again by that name; name "
                "the folder of the agent, or leave out what needs it."
            ) from None
    return tuple(cast("StochasticPolicy", for_variant(one, variant)) for one in made)


def _registered(name: str, variant: AnyVariant, world: World | None) -> Policy:
    """Return a registered policy."""
    if world is None:
        return make_classic_policy(name, cast("ClassicVariant", variant))
    return make_policy(name, world, variant.slate_size)


def logged_shares(log: Log, policies: Sequence[StochasticPolicy], rows: slice) -> FloatArray:
    """Return how likely each candidate was at each slot, given the slots before ``(n, K, C)``.

    Args:
        log: was written by them.
        policies: by the log's numbers of policies.
        rows: which impressions.

    Raises:
        DataError: they give the slates of the log other probabilities than it holds.
    """
    seen, shown = log.observed, log.positions[rows]
    out = np.zeros((*shown.shape, log.candidates.shape[1]))
    for number, policy in enumerate(policies):
        mine = np.flatnonzero(log.policy[rows] == number)
        if not len(mine):
            continue
        law = policy.law({key: array[rows][mine] for key, array in seen.items()})
        gap = np.abs(np.exp(law.log_slots(shown[mine])) - np.exp(log.logp_slot[rows][mine]))
        if not (gap <= _EXACT).all():
            raise DataError(
                f"{policy.name!r} gives slates of the log other probabilities than the log does "
                f"(by up to {np.nanmax(gap):.2g}), so it is not what wrote it."
            )
        out[mine] = law.slots(shown[mine])
    return out
