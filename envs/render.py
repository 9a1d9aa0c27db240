"""A world's step as text or as a view to draw: which items were shown, what the user did."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from slategym.envs.arrays import AnyArray
from slategym.envs.parts_leaving import Patience
from slategym.envs.protocol import Step
from slategym.envs.render_view import Card, Gauge, SlateView, as_text, with_scores
from slategym.envs.users import Named
from slategym.envs.variant import Variant
from slategym.envs.world import World

# Response arrays (B, K) that say an item was taken, and the words for those that are 0 or 1.
_TAKEN = ("click", "cart", "purchase")
_WORDS = {
    "like": "liked",
    "skip": "skipped",
    "share": "shared",
    "cart": "in the cart",
    "purchase": "bought",
}
_SHARES = ("watch", "dwell", "read", "listen")  # of the item's length, in [0, 1]
_PAST = {"watch": "watched", "dwell": "stayed for", "read": "read", "listen": "heard"}


def ansi(world: World, step: Step | None, row: int, **told: Any) -> str:  # noqa: ANN401
    """Return one user's last slate as text, one item per line, those taken marked.

    Args:
        world: gives titles and topics.
        step: the last step, or None before the first.
        row: which user of the batch.
        **told: as in `slate_view`.
    """
    return as_text(slate_view(world, step, row, **told))


def slate_view(
    world: World,
    step: Step | None,
    row: int,
    *,
    slots: int = 0,
    user: int | None = None,
    facts: Sequence[str] = (),
    gauges: Sequence[Gauge] = (),
    scores: AnyArray | None = None,
) -> SlateView:
    """Return what one user of a batch was shown and did.

    Args:
        world: gives titles, topics, durations, prices and pictures.
        step: the last step; None before the first. Of ``step.info`` it reads ``slate`` (B, K)
            item rows with -1 for an empty place, ``response`` with arrays (B, K), and where they
            are there ``user`` (B,) and ``reward_terms``.
        row: which user of the batch.
        slots: K, so that a picture before the first step has the size of those after it.
        user: the user's row in the world; None: read it from ``step.info``.
        facts: the context, such as ``("step 3 of 60", "search: red shoes")``.
        gauges: bars, such as the patience that is left.
        scores: (K,) how attractive each place was, in natural-log odds, where it may be told.
    """
    if step is not None and user is None:
        user = int(step.info["user"][row])
    name = "" if user is None else str(world.users["user_id"].iloc[user])
    heading = name if name.lower().startswith("user") else f"user {name}".rstrip()
    common: dict[str, Any] = {"facts": tuple(facts), "gauges": tuple(gauges)}
    if step is None:
        return SlateView(heading, (None,) * slots, **common)
    slate = step.info["slate"][row]
    response = {name: array[row] for name, array in step.info["response"].items()}
    cards = tuple(
        _card(world, int(item), {name: float(values[place]) for name, values in response.items()})
        if item >= 0
        else None
        for place, item in enumerate(slate)
    )
    terms = step.info.get("reward_terms", {})
    view = SlateView(
        heading,
        cards,
        reward=float(step.reward[row]),
        terms=tuple((name, float(values[row])) for name, values in terms.items()),
        ending=_ending(step, row),
        **common,
    )
    return view if scores is None else with_scores(view, scores.tolist())


def _ending(step: Step, row: int) -> str:
    if step.terminated[row]:
        return "the user left"
    return "the horizon is reached" if step.truncated[row] else ""


def context_of(
    world: World, variant: Variant, state: Named, step: Step | None, row: int
) -> dict[str, Any]:
    """Return the ``facts`` and ``gauges`` of `slate_view` that the hidden state tells.

    They are for people who watch; no observation holds them. Where the step ended the episode
    or the session, the state is already that of the next one, and is not told.
    """
    if step is None or (step.info["session"]["over"][row] if "session" in step.info else False):
        return {"facts": _session(step, row)}
    number = int(state.step[row])
    if number == 0:  # the next episode has begun
        return {"facts": _session(step, row)}
    facts = [f"step {number} of {variant.horizon}", *_session(step, row)]
    if variant.find("needs") is not None and state.query[row] >= 0:
        facts.append(f"search: {world.info.topic_names[int(state.query[row])]}")
    return {"facts": tuple(facts), "gauges": tuple(_gauges(variant, state, row))}


def _session(step: Step | None, row: int) -> tuple[str, ...]:
    """Return which session it was and what came after it, where users return."""
    told = {} if step is None else step.info.get("session", {})
    if not told:
        return ()
    named = f"session {int(told['index'][row]) + 1}"
    days = float(told["days_away"][row])
    return (f"{named} is over; back in {days:.1f} days",) if days > 0 else (named,)


def _gauges(variant: Variant, state: Named, row: int) -> Iterator[Gauge]:
    """Yield what runs out in a session: patience, minutes, money."""
    limits = variant.parameters
    patience = variant.find("patience")
    if isinstance(patience, Patience):
        left = max(float(state.patience[row]), 0.0)
        yield Gauge("patience", left / patience.most, f"{left:.1f}")
    budget = limits.get("minute_budget", 0.0)
    if budget > 0:
        left = max(budget - float(state.used[row]), 0.0)
        yield Gauge("minutes left", left / budget, f"{left:.0f}")


def _card(world: World, item: int, response: Mapping[str, float]) -> Card:
    """Return the card of an item with one user's response to it."""
    taken = any(response.get(name, 0.0) > 0 for name in _TAKEN)
    share = next((response[name] for name in _SHARES if name in response), None)
    return Card(
        title=str(world.items["title"].iloc[item]) or str(world.items["item_id"].iloc[item]),
        group=int(np.argmax(world.item_topics[item])) if world.n_topics else 0,
        facts=_facts(world, item),
        picture=world.thumbnail(item),
        taken=taken,
        outcome=outcome(response),
        share=share if taken else None,
    )


def _facts(world: World, item: int) -> tuple[str, ...]:
    """Return topics, duration and price of an item, as far as it has them."""
    told = [", ".join(json.loads(world.items["topics"].iloc[item]))]
    minutes = float(world.item_duration[item])
    told.append(f"{minutes:.0f} min" if minutes >= 10 else f"{minutes:.1f} min")
    prices = getattr(world, "item_price", None)
    if prices is not None and np.isfinite(prices[item]) and prices[item] > 0:
        told.append(f"price {prices[item]:,.2f}")
    return tuple(fact for fact in told if fact)


def outcome(response: Mapping[str, float]) -> str:
    """Return in words what a user did with one item; empty if nothing.

    Args:
        response: feedback by name, such as click, watch (a share), minutes, rating in [0, 1].

    Example:
        >>> outcome({"click": 1.0, "watch": 0.5, "minutes": 12.0, "rating": 0.75, "like": 1.0})
        'watched 50 %, 12.0 min, rated 0.75, liked'
        >>> outcome({"click": 0.0, "watch": 0.0})
        ''
    """
    told = [
        _feedback(name, value)
        for name, value in response.items()
        if name != "click" and value and np.isfinite(value)
    ]
    if not told and response.get("click"):
        return "clicked"
    return ", ".join(told)


def _feedback(name: str, value: float) -> str:
    """Return one kind of feedback in words; a kind not known here keeps its name."""
    if name in _SHARES:
        return f"{_PAST[name]} {100 * value:.0f} %"
    if name == "minutes":
        return f"{value:.1f} min"
    if name == "rating":
        return f"rated {value:.2f}"
    return _WORDS.get(name) or f"{name.replace('_', ' ')} {value:.2f}"
