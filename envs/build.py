"""From a catalogue and a log to a world."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import slategym
from slategym.cf_baselines.factorization import RatingModel
from slategym.cf_baselines.interactions import Interactions, Split, split_random
from slategym.encoders.base import Encoder, make_encoder
from slategym.encoders.catalog import MODALITIES, Catalog
from slategym.encoders.fuse import fuse
from slategym.encoders.pipeline import DEFAULT_ENCODERS, ItemVectors, encode_catalog
from slategym.envs import build_tables
from slategym.envs.arrays import FloatArray
from slategym.envs.build_attributes import ItemAttributes, item_attributes
from slategym.envs.build_models import FittedModels, assumptions, fit_models, no_click_logit
from slategym.envs.build_public import public_side
from slategym.envs.rng import DRAW_VERSION
from slategym.envs.world import SCHEMA_VERSION, World, WorldInfo, array_hash
from slategym.envs.world_files import MANIFEST, read_manifest
from slategym.envs.world_log import PUBLIC, TEST, VALIDATION
from slategym.errors import DataError, UsageError
from slategym.progress import Progress, Silent, stage

BUILD_VERSION = 4  # raised when the same input gives another world
HISTORY = 20  # H
PROFILE_DIM = 32

Encoders = Mapping[str, str | Encoder]


def build_world(
    catalog: Catalog,
    interactions: Interactions,
    *,
    split: Split | None = None,
    profiles: Sequence[str] | None = None,
    name: str | None = None,
    encoders: Encoders | None = None,
    factors: int = 16,
    content_dim: int = 64,
    held_out_users: float = 0.2,
    seed: int = 0,
    out: str | Path | None = None,
    progress: Progress | None = None,
) -> World:
    """Encode the items, fit the users on the log, calibrate their clicks; return the world.

    The public model and everything else that agents may see is made from the training rows. The
    simulator's own model is fitted on all rows from another seed, and stays hidden.

    Args:
        catalog: the I items.
        interactions: the log; its items are the catalogue's, in the catalogue's order.
        split: rows to fit, validate and test on; by default a random one (a fifth for test).
        profiles: (U,) a text about each user, or "".
        name: what the world is called; by default the log's name.
        encoders: modality to encoder, as for `slategym.encoders.pipeline.encode_catalog`.
        factors: F, dimensions of taste.
        content_dim: most columns of the content block.
        held_out_users: share of users in split "held_out", in [0, 0.9].
        seed: of every random choice.
        out: folder to save to. A world there that was built from the same input with the same
            settings is opened and returned at once.
        progress: told of every stage.

    Raises:
        DataError: the log's items are not the catalogue's, the profiles are not U, or the data
            cannot be fitted or encoded.
        UsageError: a setting out of range, or an unknown encoder.
    """
    _check(catalog, interactions, profiles, factors, content_dim, held_out_users)
    progress = progress or Silent()
    split = split or split_random(interactions, 0.2, seed)
    told = tuple(profiles) if profiles is not None else ("",) * len(interactions.user_ids)
    settings: dict[str, Any] = {
        "name": name or interactions.name,
        "factors": factors,
        "content_dim": content_dim,
        "held_out_users": held_out_users,
        "seed": seed,
    }
    with stage(progress, "hash the input"):
        provenance = _provenance(catalog, interactions, split, told, encoders or {}, settings)
    if out is not None and (Path(out) / MANIFEST).is_file():
        built = read_manifest(Path(out))["info"]["provenance"]
        if built.get("input_hash") == provenance["input_hash"]:
            progress.note(f"{out} is up to date")
            return World.open(out)
    world = _make(catalog, interactions, split, told, encoders or {}, provenance, progress)
    if out is None:
        return world
    with stage(progress, "save the world"):
        world.save(out)
    return World.open(out)


def _make(
    catalog: Catalog,
    log: Interactions,
    split: Split,
    profiles: tuple[str, ...],
    encoders: Encoders,
    provenance: dict[str, Any],
    progress: Progress,
) -> World:
    """Do the work of `build_world`, its input checked."""
    settings, seed = provenance["settings"], provenance["settings"]["seed"]
    vectors = encode_catalog(catalog, encoders=encoders, progress=progress)
    fused = fuse(vectors, settings["content_dim"])
    content = build_tables.spanned(fused.table)
    extra = item_attributes(catalog)
    found = {"content_explained": fused.explained, "item_attributes": extra.about}
    models = fit_models(log, split, content, settings["factors"], seed, progress)
    topics, topic_names = build_tables.topic_table(catalog, content, seed)
    scale = _scale(log)
    side = public_side(log, split.train, content, models.public, topics, scale, HISTORY)
    minutes = build_tables.durations(catalog)
    profile, user_text = _profile_vectors(profiles, log.user_ids, encoders, progress)
    info = WorldInfo(
        **_about(catalog, log, models, extra),
        name=settings["name"],
        no_click_logit=no_click_logit(models, seed),
        value_low=scale[0],
        value_high=scale[1],
        blocks=side.blocks,
        topic_names=topic_names,
        content_spread=tuple(fused.spread[: content.shape[1]].tolist()),
        provenance=provenance | found,
    )
    return World(
        info=info,
        items=build_tables.item_table(catalog, minutes, side.popularity, log.item_counts()),
        users=build_tables.user_table(log, split.train, profiles, settings["held_out_users"], seed),
        item_topics=topics,
        item_duration=minutes,
        item_price=extra.price,
        item_time=extra.time,
        item_creator=extra.creator,
        user_profile=profile,
        user_text=user_text,
        **side.arrays,
        **_hidden_arrays(models.simulator),
        **_encodings(vectors),
        **log_arrays(log, split),
        thumbnails=build_tables.thumbnails(catalog, progress),
    )  # fmt: skip


def _scale(log: Interactions) -> tuple[float, float]:
    """Return the lowest and the highest value of a log."""
    return (0.0, 1.0) if log.implicit else (float(log.values.min()), float(log.values.max()))


def _encodings(vectors: ItemVectors) -> dict[str, Any]:
    """Return the raw encodings of the items, by field name."""
    return {f"item_{modality}": array for modality, array in vectors.vectors.items()}


def _hidden_arrays(simulator: RatingModel) -> dict[str, Any]:
    """Return the simulator's own side, which agents do not see."""
    return {
        "item_factors": simulator.item_factors,
        "item_bias": simulator.item_bias,
        "user_factors": simulator.user_factors,
        "user_std": simulator.user_std,
        "user_bias": simulator.user_bias,
    }


def log_arrays(log: Interactions, split: Split) -> dict[str, Any]:
    """Return the log as a world keeps it, five arrays (N,), less what is in no part of the split.

    An implicit log is kept as it is: its positives, each with value 1.
    """
    part = np.full(len(log), 255, dtype=np.uint8)
    for number, rows in zip((PUBLIC, VALIDATION, TEST), split, strict=True):
        part[rows] = number
    kept = np.flatnonzero(part <= TEST)
    return {
        "log_user": log.users[kept],
        "log_item": log.items[kept],
        "log_value": log.values[kept],
        "log_time": log.times[kept],
        "log_split": part[kept],
    }


def _about(
    catalog: Catalog, log: Interactions, models: FittedModels, extra: ItemAttributes
) -> dict[str, Any]:
    """Return what a world's info takes over from its catalogue and from its models."""
    return {
        "synthetic": catalog.synthetic,
        "source": catalog.source,
        "licence": catalog.licence,
        "mean": models.simulator.mean,
        "public_mean": models.public.mean,
        "click_slope": models.click.slope,
        "click_intercept": models.click.intercept,
        "metrics": models.metrics,
        "assumptions": assumptions(models, _extra_assumptions(catalog, log, extra)),
    }


def _check(
    catalog: Catalog,
    log: Interactions,
    profiles: Sequence[str] | None,
    factors: int,
    content_dim: int,
    held_out_users: float,
) -> None:
    """Refuse input that does not fit together, before any work is done."""
    if log.item_ids != catalog.item_ids:
        raise DataError(
            f"the items of log {log.name!r} are not those of catalogue {catalog.name!r} in its "
            "order; load the log with load_interactions(path, catalog=catalog)."
        )
    if profiles is not None and len(profiles) != len(log.user_ids):
        raise DataError(
            f"{len(profiles)} profiles were given for the {len(log.user_ids)} users of log "
            f"{log.name!r}; give one for each, in the order of its user_ids."
        )
    for name, value in (("factors", factors), ("content_dim", content_dim)):
        if value < 1:
            raise UsageError(f"{name} is {value!r}; it must be at least 1.")
    if not 0 <= held_out_users <= 0.9:
        raise UsageError(f"held_out_users is {held_out_users!r}; it must be in [0, 0.9].")


def _provenance(
    catalog: Catalog,
    log: Interactions,
    split: Split,
    profiles: tuple[str, ...],
    encoders: Encoders,
    settings: dict[str, Any],
) -> dict[str, Any]:
    """Return what the world is made from; ``input_hash`` is the same for the same world."""
    columns = ("users", "items", "values", "times")
    log_hashes = [array_hash(getattr(log, column)) for column in columns]
    named = [list(log.user_ids), list(log.item_ids), log.implicit]
    facts: dict[str, Any] = {
        "catalog": {"name": catalog.name, "items": len(catalog), "hash": catalog.content_hash()},
        "log": {"name": log.name, "rows": len(log), "hash": _digest([*log_hashes, *named])},
        "split": _digest([array_hash(rows) for rows in split]),
        "profiles": _digest(list(profiles)),
        "encoders": _fingerprints(catalog, encoders, any(profiles)),
        "settings": settings,
        "versions": {"schema": SCHEMA_VERSION, "draws": DRAW_VERSION, "build": BUILD_VERSION},
    }
    return facts | {"input_hash": _digest(facts), "slategym": slategym.__version__}


def _fingerprints(catalog: Catalog, encoders: Encoders, told: bool) -> dict[str, str]:
    """Return the fingerprint of each encoder that will be used."""
    found: dict[str, str] = {}
    for modality in MODALITIES:
        chosen = encoders.get(modality, DEFAULT_ENCODERS[modality])
        wanted = catalog.has(modality).any() or (modality == "text" and told)
        if wanted and chosen != "":
            made = make_encoder(chosen, modality=modality) if isinstance(chosen, str) else chosen
            found[modality] = made.fingerprint
    return found


def _digest(value: object) -> str:
    """Return the sha256 of a JSON value."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _profile_vectors(
    profiles: tuple[str, ...], user_ids: tuple[str, ...], encoders: Encoders, progress: Progress
) -> tuple[FloatArray, FloatArray | None]:
    """Return the encoded profiles whitened (U, Dp), and as the text encoder gave them (U, Dt).

    Nothing told, or by one user only: one zero column, and None.
    """
    chosen = encoders.get("text", DEFAULT_ENCODERS["text"])
    if chosen == "" or len(set(profiles) - {""}) < 2:
        return np.zeros((len(profiles), 1), dtype=np.float32), None
    nothing = (None,) * len(profiles)
    people = Catalog(
        name="user profiles",
        item_ids=user_ids,
        titles=user_ids,
        text=profiles,
        images=nothing,
        audio=nothing,
        topics=((),) * len(profiles),
    )
    encoded: ItemVectors = encode_catalog(people, encoders={"text": chosen}, progress=progress)
    return build_tables.spanned(fuse(encoded, PROFILE_DIM).table), encoded.vectors["text"]


def _extra_assumptions(
    catalog: Catalog, log: Interactions, extra: ItemAttributes
) -> dict[str, bool]:
    """Return sentences that hold for some input only, and whether they hold here."""
    unknown = catalog.duration is None or not np.isfinite(catalog.duration).all()
    return {
        "Items without a known duration take the median of the known ones "
        f"({build_tables.DEFAULT_MINUTES:g} minutes if none is known).": unknown,
        f"Topics are {build_tables.CLUSTERS} or fewer clusters of the content, for the catalogue "
        "names none.": not any(catalog.topics),
        "The log has no negatives; they were sampled by popularity among items a user never "
        "touched.": log.implicit,
        "Items without a readable price or publication time take the median.": extra.guessed,
        "The catalogue is generated; its users are not real people.": catalog.synthetic,
    }
