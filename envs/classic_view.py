"""The last step of one user of a classic, ready to be written as text or drawn."""

import numpy as np

from slategym.envs.classic_family import Family
from slategym.envs.classic_output import Told
from slategym.envs.classic_state import STEP, STREAM, State
from slategym.envs.classic_variant import ClassicVariant
from slategym.envs.render_view import Card, Gauge, SlateView


def slate_view(
    family: Family, variant: ClassicVariant, state: State, response: Told | None, row: int
) -> SlateView:
    """Return the view of one row; without a response, no slate was shown yet.

    Args:
        family: of the variant.
        variant: gives the horizon and the budget.
        state: the users after the step.
        response: the last step of the batch.
        row: which user.
    """
    counters = state.counters[row]
    heading = f"user stream {int(counters[STREAM])}"
    if response is None:
        return SlateView(heading)
    terminated, truncated = bool(response.ended[0, row]), bool(response.ended[1, row])
    cards = tuple(_card(family, response, row, place) for place in range(variant.slate_size))
    reward = float(response.reward[0, row])
    step = int(counters[STEP])
    return SlateView(
        heading,
        cards,
        facts=(f"step {step}",) if step else (),
        gauges=_gauges(variant, state, row),
        reward=reward,
        terms=((family.reward_term, reward),),
        ending="the time is spent" if terminated else "cut at the horizon" if truncated else "",
    )


def _card(family: Family, response: Told, row: int, place: int) -> Card:
    """Return one place of the slate."""
    known = {name: float(response.real[i, row, place]) for i, name in enumerate(family.names)}
    cluster = int(response.whole[1, row, place])
    taken = known.pop("click") > 0
    position = int(response.whole[0, row, place])
    if not family.has_clusters:
        clickbait = known["clickbait"]
        return Card(
            f"document {position}",
            group=int(clickbait * 10),
            facts=(f"clickbait {clickbait:.2f}",),
            taken=taken,
            outcome=f"engagement {known['engagement']:.1f}" if taken else "",
            share=clickbait,
        )
    minutes = known.get("watch_time", 0.0)
    outcome = f"watched {minutes:.1f} min" if minutes else "clicked"
    return Card(
        f"document {position}",
        group=cluster,
        facts=(f"cluster {cluster}", f"quality {known['quality']:+.2f}"),
        taken=taken,
        outcome=outcome if taken else "",
    )


def _gauges(variant: ClassicVariant, state: State, row: int) -> tuple[Gauge, ...]:
    """Return the time that is left, where a task has a budget."""
    budget = variant.parameters.get("time_budget")
    if budget is None:
        return ()
    left = max(float(state.user[row, -1]), 0.0)
    return (Gauge("time left", float(np.clip(left / budget, 0, 1)), f"{left:.1f} of {budget:g}"),)
