"""The tables a step reads, made from a world once for all environments over it."""

from weakref import WeakKeyDictionary

import numpy as np

from slategym.envs import traits
from slategym.envs.arrays import AnyArray, FloatArray, frozen
from slategym.envs.parts_candidates import PopularCandidates, alias_table
from slategym.envs.state import Items, People, Views
from slategym.envs.variant import Variant
from slategym.envs.world import World
from slategym.errors import UsageError, nearest

SPLITS = ("all", "train", "held_out", "cold")
RECENCY_DECAY = 0.9  # weight of a history place relative to the next newer one

_ITEMS: "WeakKeyDictionary[World, dict[str, AnyArray]]" = WeakKeyDictionary()


def items_of(world: World, variant: Variant) -> Items:
    """Return what a step of this variant reads of the catalogue."""
    packed = _packed(world)
    return Items(
        rows=packed["rows"],
        **_part_tables(world, variant),
    )


def people_of(world: World, variant: Variant, users: str) -> People:
    """Return the population, and the rows of it that episodes are drawn from."""
    if users not in SPLITS:
        allowed = ", ".join(repr(word) for word in SPLITS)
        raise UsageError(f"users is {users!r}; allowed: {allowed}.{nearest(str(users), SPLITS)}")
    length = world.user_history.shape[1]
    age = np.arange(length - 1, -1, -1)
    retrieved = variant["candidates"].name == "retrieved"
    return People(
        factors=world.user_factors,
        std=world.user_std,
        bias=world.user_bias,
        history=world.user_history,
        history_value=world.user_history_value,
        public=world.public_user_factors if retrieved else np.zeros((0, 0), np.float32),
        pool=frozen(world.user_rows(users)),
        recency=frozen((RECENCY_DECAY**age).astype(np.float32)),
    )


def views_of(world: World, variant: Variant) -> Views:
    """Return what observations of this variant are made of."""
    profile, language = _user_tables(world, variant)
    nothing = np.zeros((0, 0), np.float32)
    asked = variant.find("needs") is not None
    return Views(
        vectors=_packed(world)["latent"] if variant.observation == "latent" else world.item_vectors,
        profile=profile,
        language=language,
        topics=frozen(traits.topic_vectors(world)) if asked else nothing,
    )


def _packed(world: World) -> dict[str, AnyArray]:
    """Return what a step needs of every item, packed; made once per world."""
    if world not in _ITEMS:
        ids, shares = traits.sparse_topics(world.item_topics)
        columns = [world.item_bias, world.item_duration, traits.prices(world)]
        columns.append(traits.clickbait(world))
        # Topic numbers are small and whole: float32 holds them exactly.
        blocks = [np.stack(columns, axis=1), world.item_factors, ids.astype(np.float32), shares]
        rows = np.concatenate(blocks, axis=1)
        latent = np.concatenate([world.item_bias[:, None], world.item_factors], axis=1)
        packed = {"rows": rows, "latent": latent}
        _ITEMS[world] = {name: frozen(array) for name, array in packed.items()}
    return _ITEMS[world]


def _part_tables(world: World, variant: Variant) -> dict[str, AnyArray]:
    """Return the tables that only some parts need; empty where the part is absent."""
    no_ids = np.zeros(0, np.int32)
    made: dict[str, AnyArray] = {
        "weight": np.zeros(0), "chance": np.zeros((0, 2)), "creator": no_ids, "birth": no_ids,
        "public": np.zeros((0, 0), np.float32),
    }  # fmt: skip
    source, parameters = variant["candidates"], variant.parameters
    if isinstance(source, PopularCandidates):
        made["weight"] = source.weights(world.item_popularity)
        made["chance"] = np.stack(alias_table(made["weight"]), axis=1)
    if source.name == "retrieved":
        bias = world.public_item_bias[:, None]
        made["public"] = np.concatenate([bias, world.public_item_factors], axis=1)
    if variant.find("creators") is not None:
        made["creator"] = traits.creators(world, int(parameters["creators"]))
    if variant.find("ageing") is not None:
        made["birth"] = traits.births(world, int(parameters["calendar"]))
    return {name: frozen(array) for name, array in made.items()}


def _user_tables(world: World, variant: Variant) -> tuple[FloatArray, FloatArray]:
    """Return the profiles (U, Du), and the items in the language model's space or (0, 0)."""
    if variant.user_state == "profile":
        return world.user_profile, np.zeros((0, 0), np.float32)
    if world.item_text is None:
        raise UsageError(
            f"user_state is 'language', but world {world.info.name!r} has no text encodings; "
            "build it from a catalogue with text, or use user_state='profile'."
        )
    items, people = traits.language(world)
    return frozen(people), frozen(items)
