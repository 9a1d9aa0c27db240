"""Every number a compiled step needs, packed into one record."""

from dataclasses import fields
from typing import Any

import numpy as np

from slategym.envs.arrays import AnyArray
from slategym.envs.parts import BUILT_IN
from slategym.envs.parts_reward import REWARD_TERMS
from slategym.envs.state import FACTORS
from slategym.envs.traits import most_topics
from slategym.envs.users import VECTORS, Layout
from slategym.envs.variant import Variant
from slategym.envs.world import World

# Codes of the parts of which exactly one is there; the kernel branches on them.
CANDIDATE_CODES = {"uniform": 0, "popular": 1, "retrieved": 2, "fixed": 3, "catalogue": 4}
CHOICE_CODES = {"logit": 0, "proportional": 1, "exp_cascade": 2, "prop_cascade": 3, "position": 4}

_WORLD = ("mean", "click_slope", "click_intercept", "value_low", "value_high")
_NUMBERS = sorted({entry.name for part in BUILT_IN for entry in fields(part)} | set(_WORLD))
_SWITCHES = sorted(part.name for part in BUILT_IN if part.slot in ("feedback", "change", "leaving"))

RULES = np.dtype(
    [(name, "f8") for name in _NUMBERS]
    + [(f"on_{name}", "i8") for name in _SWITCHES]
    + [(f"at_{name}", "i8") for name in VECTORS]
    + [(name, "i8") for name in ("candidate_code", "choice_code", "horizon", "paid")]
    + [(name, "i8") for name in ("factors", "topics", "at_topics", "topics_each")]
)
"""One field per parameter of a built-in part and per number of the world. ``on_<part>`` is 1 where
the part is there; ``at_<vector>`` is where a vector of `Users.numbers` begins; ``paid`` counts the
leading reward terms that can be other than zero; ``factors`` is F, ``topics`` Z, ``at_topics`` the
column of `Items.rows` at which topics begin, ``topics_each`` how many an item has at most."""


def rules_of(world: World, variant: Variant, layout: Layout) -> AnyArray:
    """Return the rules (1,) of a variant over a world, dtype `RULES`."""
    rules = np.zeros(1, dtype=RULES)
    info = world.info
    given: dict[str, Any] = {name: getattr(info, name) for name in _WORLD}
    for part in variant.parts:
        given |= part.rules()
        if f"on_{part.name}" in (RULES.names or ()):
            given[f"on_{part.name}"] = 1
    # None stands for the number that was fitted to the world.
    given = {key: info.no_click_logit if value is None else value for key, value in given.items()}
    given["candidate_code"] = CANDIDATE_CODES.get(variant["candidates"].name, 0)
    given["choice_code"] = CHOICE_CODES.get(variant["choice"].name, 0)
    given["horizon"] = variant.horizon
    given |= {f"at_{name}": start for name, start in layout.offsets.items()}
    given["factors"], given["topics"] = world.user_factors.shape[1], world.n_topics
    given["at_topics"] = FACTORS + world.user_factors.shape[1]
    given["topics_each"] = most_topics(world.item_topics)
    weights = [float(given.get(f"{term}_weight", 0.0)) for term in REWARD_TERMS]
    given["paid"] = 1 + max((row for row, weight in enumerate(weights) if weight), default=0)
    for name, value in given.items():
        if name in (RULES.names or ()):
            rules[name] = value
    return rules
