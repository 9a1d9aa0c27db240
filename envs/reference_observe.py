"""What is observed of users and items, stated over batched arrays; see `slategym.envs.spaces`."""

import numpy as np

from slategym.envs.arrays import AnyArray, DoubleArray
from slategym.envs.parts_supply import Ageing
from slategym.envs.physics import CONTEXT_TOP
from slategym.envs.reference_scene import Scene
from slategym.envs.state import Views

_PROFILE_WEIGHT = 2.0  # how many consumed items the profile text weighs as much as


def observe(scene: Scene, views: Views) -> dict[str, AnyArray]:
    """Return every entry of the observation (B, ...); which are told is the space's matter."""
    state, ids = scene.state, scene.variant.observation == "ids"
    history, candidates = state.history.astype(np.int64), state.candidates.astype(np.int64)
    there = history >= 0
    scene.show(state.candidates)
    entries: dict[str, AnyArray] = {
        "user": _user(scene, views),
        "history_feedback": _feedback(scene, there),
        "context": _context(scene),
        "candidate_traits": _traits(scene),
        "query": views.topics[np.maximum(state.query, 0)] * (state.query >= 0)[:, None]
        if len(views.topics)
        else np.zeros((scene.batch, 0)),
    }
    if ids:
        entries["history"] = np.where(there, history, scene.world.n_items).astype(np.int32)
        entries["candidates"] = candidates.astype(np.int32)
        return {name: _told(entry) for name, entry in entries.items()}
    entries["history"] = views.vectors[np.where(there, history, 0)] * there[:, :, None]
    entries["candidates"] = views.vectors[candidates]
    return {name: _told(entry).reshape(scene.batch, -1) for name, entry in entries.items()}


def _told(entry: AnyArray) -> AnyArray:
    """Return a new array of a type that observations have."""
    return entry.astype(np.int32 if entry.dtype.kind == "i" else np.float32)


def _user(scene: Scene, views: Views) -> AnyArray:
    """Return the profile, its mean with the history in a language space, or what is hidden."""
    state = scene.state
    if scene.variant.observation == "latent":
        return np.concatenate([state.bias[:, None], state.taste, state.satiation], axis=1)
    profile = views.profile[state.user].astype(np.float64)
    if len(views.language) == 0:
        return profile
    known = (profile != 0).any(axis=1)
    weight = state.history_value.astype(np.float64) * scene.setting.recency
    weight = np.where(state.history >= 0, np.maximum(weight, 0.0), 0.0)  # (B, H)
    past = views.language[np.maximum(state.history, 0)].astype(np.float64)
    total = weight.sum(axis=1) + _PROFILE_WEIGHT * known
    mixed = _PROFILE_WEIGHT * profile + np.einsum("bh,bhd->bd", weight, past)
    return mixed / np.where(total > 0, total, 1.0)[:, None]


def _feedback(scene: Scene, there: AnyArray) -> AnyArray:
    """Return (B, H, 3): present, value, recency weight."""
    value = scene.state.history_value
    recency = np.broadcast_to(scene.setting.recency, value.shape)
    return np.stack([np.ones(value.shape), value, recency], axis=2) * there[:, :, None]


def _context(scene: Scene) -> DoubleArray:
    """Return what happened so far in the episode."""
    state, limits = scene.state, scene.setting.parameters
    told = [
        state.step / scene.variant.horizon,
        state.last_click,
        state.last_watch,
        state.clicks / 20,
        state.minutes / 100,
        np.zeros(scene.batch),
        *state.consumed.T,
        *state.shown.T,
    ]
    if scene.find("returning") is not None:
        told += [
            np.minimum(state.session / 10, CONTEXT_TOP),
            np.minimum(state.gap / 7, CONTEXT_TOP),
            np.minimum(state.day / limits["days"], 1.0),
            np.minimum(state.used / 100, CONTEXT_TOP),
        ]
    if scene.find("purchase") is not None:
        told.append(np.minimum(state.spent / 10, CONTEXT_TOP))
    return np.stack([np.asarray(entry, np.float64) for entry in told], axis=1)


def _traits(scene: Scene) -> DoubleArray:
    """Return (B, C, X): clickbait, freshness and ln price, those the parts care about."""
    told, ageing = [], scene.find("ageing")
    if scene.find("satisfaction") is not None:
        told.append(scene.clickbait)
    if isinstance(ageing, Ageing):
        told.append(ageing.freshness(ageing.age(scene, scene.items)))
    if scene.find("purchase") is not None:
        told.append(np.log(scene.price))
    return np.stack(told, axis=2) if told else np.zeros((*scene.items.shape, 0))
