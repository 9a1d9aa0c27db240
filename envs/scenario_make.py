"""The public side of a world made anew from fewer rows and modalities."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from slategym.cf_baselines.calibration import fit_click_model
from slategym.cf_baselines.factorization import RatingModel
from slategym.cf_baselines.interactions import Interactions, Split, default_threshold
from slategym.encoders.catalog import Modality
from slategym.encoders.fuse import fuse
from slategym.encoders.pipeline import ItemVectors
from slategym.envs import build_tables
from slategym.envs.arrays import BoolArray, FloatArray, LongArray
from slategym.envs.build_models import fit_with_content, measure
from slategym.envs.build_public import public_side
from slategym.envs.world import SCHEMA_VERSION, World
from slategym.envs.world_log import PUBLIC, TEST, VALIDATION, WITHHELD
from slategym.errors import DataError


def thinned_world(
    world: World,
    kept: LongArray,
    modalities: tuple[str, ...] | None,
    *,
    name: str,
    facts: Mapping[str, Any],
) -> World:
    """Return the world with its public side made from some of its public rows and modalities.

    Args:
        world: one that keeps its log.
        kept: rows of the log that stay public, ascending.
        modalities: which encodings exist; None for all.
        name: of the new world.
        facts: of the scenario, for ``info.provenance``.

    Raises:
        DataError: too little is left to fit a model.
    """
    log, split = world.log, np.asarray(world.log_split).copy()
    factors, seed, dim = fit_settings(world)
    content, spread = _content(world, modalities, dim)
    model, about = fit_with_content(log, kept, content, factors, seed)
    scale = (world.info.value_low, world.info.value_high)
    length = world.user_history.shape[1]
    side = public_side(log, kept, content, model, world.item_topics, scale, length)
    withheld = split == PUBLIC
    withheld[kept] = False
    split[withheld] = WITHHELD
    info = replace(
        world.info,
        name=name,
        public_mean=model.mean,
        blocks=side.blocks,
        content_spread=spread,
        schema_version=SCHEMA_VERSION,
        provenance=world.info.provenance | {"scenario": dict(facts)},
        metrics={"content_map": about, **_metrics(world, log, kept, model, seed)},
    )
    lacking: dict[str, Any] = {} if modalities is None else _without(world, modalities)
    return replace(
        world,
        info=info,
        items=world.items.assign(popularity=side.popularity.astype(np.float64)),
        users=world.users.assign(n_ratings=log.user_counts(kept).astype(np.int64)),
        log_split=split,
        **lacking,
        **side.arrays,
    )


def fit_settings(world: World) -> tuple[int, int, int]:
    """Return factors, seed and content columns with which a world's public model was fitted."""
    given = world.info.provenance.get("settings", {})
    start, stop = world.info.blocks["content"]
    return (
        int(given.get("factors", world.public_item_factors.shape[1])),
        int(given.get("seed", 0)),
        int(given.get("content_dim", stop - start)),
    )


def content_of(world: World) -> FloatArray:
    """Return the whitened content block (I, Dc) of a world's item table."""
    start, stop = world.info.blocks["content"]
    return np.ascontiguousarray(world.item_vectors[:, start:stop])


def _content(
    world: World, modalities: tuple[str, ...] | None, dim: int
) -> tuple[FloatArray, tuple[float, ...]]:
    """Return the content block, and the deviation of each of its columns before whitening."""
    if modalities is None:
        return content_of(world), world.info.content_spread
    if not modalities:
        return np.zeros((world.n_items, 1), dtype=np.float32), (0.0,)
    vectors: dict[Modality, FloatArray] = {}
    present: dict[Modality, BoolArray] = {}
    for name in modalities:
        modality: Modality = name  # type: ignore[assignment]  # checked by the scenario
        vectors[modality] = getattr(world, f"item_{name}")
        present[modality] = (vectors[modality] != 0).any(axis=1)
    made = world.info.provenance.get("encoders", {})
    fused = fuse(ItemVectors(vectors, present, {m: made.get(m, "unknown") for m in vectors}), dim)
    content = build_tables.spanned(fused.table)
    return content, tuple(fused.spread[: content.shape[1]].tolist())


def _without(world: World, modalities: tuple[str, ...]) -> dict[str, Any]:
    """Return the raw encodings that do not exist any more, as changes of the world."""
    gone = [f"item_{name}" for name in ("text", "image", "audio") if name not in modalities]
    if "text" not in modalities:
        gone.append("user_text")
    return {name: None for name in gone if getattr(world, name) is not None}


def _metrics(
    world: World, log: Interactions, kept: LongArray, model: RatingModel, seed: int
) -> dict[str, Any]:
    """Return how well the public model does on the test rows, cold items and users apart.

    Clicks are calibrated on all validation rows: they belong to the measurement, not to what
    the platform knows.
    """
    split = np.asarray(world.log_split)
    parts = Split(kept, np.flatnonzero(split == VALIDATION), np.flatnonzero(split == TEST))
    threshold = click_threshold(world)
    try:
        click = fit_click_model(model, log, parts.validation, positive=threshold, seed=seed)
    except DataError as error:  # so little is left that the model knows nothing: worth saying
        return {"click": {"failed": str(error)}}
    metrics = measure(model, click, log, parts, seed)
    if len(parts.test) and not log.implicit:
        test = log.take(parts.test)
        square = (model.predict_rows(test, clip=True) - test.values.astype(np.float64)) ** 2
        cold_item = log.item_counts(kept)[test.items] == 0
        cold_user = log.user_counts(kept)[test.users] == 0
        groups = {
            "cold_items": cold_item,
            "cold_users": cold_user,
            "warm": ~(cold_item | cold_user),
        }
        for group, among in groups.items():
            if among.any():
                metrics["rating"][f"rmse_{group}"] = float(np.sqrt(square[among].mean()))
    return metrics


def click_threshold(world: World) -> float:
    """Return the value from which a row counts as positive, as in the world's click model.

    A world that was not fitted on its log records none: then it is the value at which its click
    model is undecided.
    """
    measured = world.info.metrics.get("click", {})
    if "threshold" in measured:
        return float(measured["threshold"])
    if world.log.implicit:
        return default_threshold(world.log)
    return -world.info.click_intercept / world.info.click_slope
