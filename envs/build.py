"""From a catalogue and a log to a world: encode, fit, calibrate, measure, freeze."""

import hashlib
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from slategym.cf_baselines.calibration import (
    ClickModel,
    evaluate_click_model,
    fit_click_model,
    labelled,
)
from slategym.cf_baselines.cold_items import evaluate_cold_items
from slategym.cf_baselines.content_map import fit_content_map
from slategym.cf_baselines.factorization import RatingModel, fit_rating_model
from slategym.cf_baselines.interactions import Interactions, Split, split_random
from slategym.encoders.catalog import Catalog
from slategym.encoders.fuse import fuse
from slategym.encoders.pipeline import encode_catalog
from slategym.envs import build_items as parts
from slategym.envs.arrays import FloatArray
from slategym.envs.no_click import calibrate_no_click
from slategym.envs.world import SCHEMA_VERSION, World, WorldInfo, array_hash
from slategym.errors import DataError, UsageError
from slategym.files import read_json
from slategym.progress import Progress, Silent, stage

HISTORY = 20  # H, places of a user's past that are kept
PROFILE_DIM = 32
FEWEST_ITEMS, FEWEST_USERS = 20, 10
RELIABILITY_BINS = 10


@dataclass(frozen=True)
class _Settings:
    """Everything but the data that decides what a world is."""

    name: str
    encoders: dict[str, str]
    factors: int
    content_dim: int
    held_out_users: float
    click_rate: float
    positive: float | None
    seed: int


def build_world(
    catalog: Catalog,
    interactions: Interactions,
    *,
    split: Split | None = None,
    profiles: Sequence[str] | None = None,
    name: str | None = None,
    encoders: Mapping[str, str] | None = None,
    factors: int = 16,
    content_dim: int = 64,
    held_out_users: float = 0.2,
    click_rate: float = 0.4,
    positive: float | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> World:
    """Return a world whose users respond as the log's users did.

    The public model is fitted on the training rows: it is what agents and baselines may see, and
    what the held-out metrics are measured with. The simulator's own model is fitted again on all
    rows from another start; it stays hidden. Items without ratings take their factors from their
    content, in both.

    Args:
        catalog: I items.
        interactions: The log; its items are the catalogue's, in that order.
        split: Rows to fit, calibrate and measure on; by default 72, 8 and 20 % at random.
        profiles: U texts about the users, ``""`` for none.
        name: What the world is called; by default the catalogue's name.
        encoders: Modality to encoder; see `slategym.encoders.pipeline.encode_catalog`.
        factors: F, dimensions of taste.
        content_dim: Columns of the fused content block, at most.
        held_out_users: Share of users that agents are not trained on, in [0, 1).
        click_rate: Probability that a random slate of five gets a click; assumed, in (0, 1).
        positive: Values from here on are worth a click; see `fit_click_model`.
        seed: For splits, start values and samples.
        out: Folder to save to. If it already holds the world of these inputs, that is returned.
        cache: Folder of kept encodings.
        progress: Told of every stage.

    Raises:
        DataError: items of log and catalogue differ, too few items or users, or the log cannot
            be fitted.
        UsageError: an option out of range.
    """
    progress = progress or Silent()
    people = tuple(profiles) if profiles is not None else ("",) * len(interactions.user_ids)
    settings = _Settings(
        name or catalog.name,
        dict(encoders or {}),
        factors,
        content_dim,
        held_out_users,
        click_rate,
        positive,
        seed,
    )
    _check(catalog, interactions, people, settings)
    parted = split or split_random(interactions, 0.2, seed, validation=0.1)
    inputs = _fingerprint(catalog, interactions, parted, people, settings)
    if out is not None and _holds(Path(out), inputs):
        progress.note(f"{out} already holds this world")
        return World.open(out)
    world = _build(catalog, interactions, parted, people, settings, inputs, cache, progress)
    if out is None:
        return world
    world.save(out)
    return World.open(out)


def _check(
    catalog: Catalog, log: Interactions, people: tuple[str, ...], settings: _Settings
) -> None:
    """Refuse inputs no world can be made of."""
    if tuple(log.item_ids) != tuple(catalog.item_ids):
        raise DataError(
            f"the log has {len(log.item_ids)} items and the catalogue {len(catalog)}, or in "
            "another order; load the log with `load_interactions(path, catalog=catalog)`."
        )
    if len(people) != len(log.user_ids):
        raise DataError(f"{len(people)} profiles for {len(log.user_ids)} users; give one each.")
    if len(catalog) < FEWEST_ITEMS or len(log.user_ids) < FEWEST_USERS:
        raise DataError(
            f"{len(catalog)} items and {len(log.user_ids)} users are too few for a world; "
            f"it needs at least {FEWEST_ITEMS} items and {FEWEST_USERS} users."
        )
    if not 0.0 <= settings.held_out_users < 1.0:
        raise UsageError(f"held_out_users must be in [0, 1), not {settings.held_out_users}.")
    if not 0.0 < settings.click_rate < 1.0:
        raise UsageError(f"click_rate must be in (0, 1), not {settings.click_rate}.")
    if settings.factors < 1 or settings.content_dim < 1:
        raise UsageError("factors and content_dim must be at least 1.")


def _fingerprint(
    catalog: Catalog,
    log: Interactions,
    split: Split,
    people: tuple[str, ...],
    settings: _Settings,
) -> dict[str, Any]:
    """Return hashes of everything a world is made of, as JSON values."""
    rows = hashlib.sha256()
    for array in (log.users, log.items, log.values, log.times, *split):
        rows.update(array_hash(np.asarray(array)).encode())
    rows.update("\x00".join((*log.user_ids, *people)).encode())
    return {
        "catalog": catalog.content_hash(),
        "log": rows.hexdigest(),
        "settings": {**vars(settings)},
        "slategym": version("slategym"),
        "schema": SCHEMA_VERSION,
    }


def _holds(folder: Path, inputs: dict[str, Any]) -> bool:
    """Return True if the folder is a world made of these inputs."""
    manifest = folder / "world.json"
    if not manifest.is_file():
        return False
    try:
        found = read_json(manifest)["info"]["provenance"].get("inputs")
    except (DataError, KeyError, TypeError, AttributeError):
        return False
    return bool(found == inputs)


def _build(
    catalog: Catalog,
    log: Interactions,
    split: Split,
    people: tuple[str, ...],
    settings: _Settings,
    inputs: dict[str, Any],
    cache: Path | None,
    progress: Progress,
) -> World:
    """Do the work of `build_world`."""
    vectors = encode_catalog(catalog, encoders=settings.encoders, cache=cache, progress=progress)
    content = fuse(vectors, min(settings.content_dim, len(catalog) - 1))
    seed, factors = settings.seed, settings.factors
    public = fit_rating_model(log, split.train, factors=factors, seed=seed, progress=progress)
    click = fit_click_model(public, log, split.validation, positive=settings.positive, seed=seed)
    with stage(progress, "measure on held-out rows"):
        metrics = _measure(public, click, log, split, content.table, settings)
    hidden = fit_rating_model(log, factors=factors, seed=seed + 1, progress=progress)
    public_items, public_bias = _with_content(public, content.table, seed)
    hidden_items, hidden_bias = _with_content(hidden, content.table, seed)
    topics, names = parts.topic_rows(catalog, content.table)
    popularity = log.item_counts(split.train)
    item_vectors, blocks = _item_vectors(
        content.table, public_items, public_bias, topics, popularity
    )
    past, values = parts.histories(log, split.train, HISTORY, public.low, public.high)
    profile = parts.profile_vectors(
        people, settings.encoders.get("text"), PROFILE_DIM, cache, progress
    )
    with stage(progress, "draw thumbnails"):
        pictures = parts.thumbnails(catalog.images)
    minutes = parts.durations(catalog)
    logits = _random_slates(hidden, hidden_items, hidden_bias, click, seed)
    info = WorldInfo(
        name=settings.name,
        synthetic=catalog.synthetic,
        mean=hidden.mean,
        public_mean=public.mean,
        click_slope=click.slope,
        click_intercept=click.intercept,
        no_click_logit=calibrate_no_click(logits, settings.click_rate),
        value_low=hidden.low,
        value_high=hidden.high,
        blocks=blocks,
        topic_names=names,
        source=catalog.source,
        licence=catalog.licence,
        provenance={
            "inputs": inputs,
            "encoders": dict(vectors.fingerprints),
            "content_explained": content.explained,
            "versions": {"python": platform.python_version(), "numpy": np.__version__},
            "rows": {
                "train": len(split.train),
                "validation": len(split.validation),
                "test": len(split.test),
            },
        },
        metrics=metrics,
        assumptions=_assumptions(catalog, settings, click),
    )
    return World(
        info=info,
        items=parts.item_table(catalog, minutes, popularity, log.item_counts()),
        users=parts.user_table(log, people, settings.held_out_users, seed),
        item_vectors=item_vectors,
        item_factors=hidden_items,
        item_bias=hidden_bias,
        user_factors=hidden.user_factors,
        user_std=hidden.user_std,
        user_bias=hidden.user_bias,
        public_item_factors=public_items,
        public_item_bias=public_bias,
        public_user_factors=public.user_factors,
        public_user_bias=public.user_bias,
        item_topics=topics,
        item_duration=minutes,
        item_popularity=popularity.astype(np.float32),
        user_history=past,
        user_history_value=values,
        user_profile=profile,
        item_text=vectors.vectors.get("text"),
        item_image=vectors.vectors.get("image"),
        item_audio=vectors.vectors.get("audio"),
        thumbnails=pictures,
    )


def _with_content(
    model: RatingModel, content: FloatArray, seed: int
) -> tuple[FloatArray, FloatArray]:
    """Return item factors and biases, blended with what content says where evidence is thin."""
    mapped = fit_content_map(model, content, seed=seed)
    return mapped.blend(content, model.item_factors, model.item_bias, model.counts)


def _item_vectors(
    content: FloatArray,
    factors: FloatArray,
    bias: FloatArray,
    topics: FloatArray,
    popularity: Any,  # noqa: ANN401 (counts, any integer type)
) -> tuple[FloatArray, dict[str, tuple[int, int]]]:
    """Return the public item table (I, D) and the column range of each block."""
    prior = np.stack([bias, np.log1p(popularity)], axis=1)
    blocks = {
        "content": content,
        "collaborative": parts.standardised(factors),
        "topics": topics,
        "prior": parts.standardised(prior),
    }
    ends = np.cumsum([block.shape[1] for block in blocks.values()]).tolist()
    starts = [0, *ends[:-1]]
    ranges = {name: (a, b) for name, a, b in zip(blocks, starts, ends, strict=True)}
    return np.concatenate(list(blocks.values()), axis=1).astype(np.float32), ranges


def _random_slates(
    model: RatingModel, factors: FloatArray, bias: FloatArray, click: ClickModel, seed: int
) -> Any:  # noqa: ANN401 (a float64 array)
    """Return click logits (N, 5) of random users, drawn as the simulator draws them."""
    rng = np.random.default_rng([seed, 2])
    users = rng.integers(0, len(model.user_factors), 4000)
    shown = rng.integers(0, len(factors), (4000, 5))
    taste = model.user_factors[users] + model.user_std[users] * rng.standard_normal(
        model.user_factors[users].shape
    )
    value = model.mean + model.user_bias[users][:, None] + bias[shown]
    value = value + np.einsum("nf,nkf->nk", taste, factors[shown])
    return np.asarray(click.intercept + click.slope * value, np.float64)


def _measure(
    model: RatingModel,
    click: ClickModel,
    log: Interactions,
    split: Split,
    content: FloatArray,
    settings: _Settings,
) -> dict[str, Any]:
    """Return what the public model does on rows it has not seen, as JSON values."""
    clicks = evaluate_click_model(click, model, log, split, seed=settings.seed)
    clicks["reliability"] = _reliability(model, click, log, split, settings.seed)
    metrics: dict[str, Any] = {"click": clicks}
    if not log.implicit:
        test = log.take(split.test)
        error = model.predict_rows(test, clip=True) - test.values
        flat = float(log.values[split.train].mean()) - test.values
        metrics["rating"] = {
            "rmse": float(np.sqrt(np.mean(error.astype(np.float64) ** 2))),
            "mae": float(np.mean(np.abs(error.astype(np.float64)))),
            "rmse_global_mean": float(np.sqrt(np.mean(flat.astype(np.float64) ** 2))),
            "rows": len(test),
        }
        metrics["cold_items"] = evaluate_cold_items(
            log, content, factors=settings.factors, seed=settings.seed
        )
    return metrics


def _reliability(
    model: RatingModel, click: ClickModel, log: Interactions, split: Split, seed: int
) -> list[dict[str, float]]:
    """Return predicted and observed shares of positives in bins of equal mass."""
    test = labelled(log, split.test, click.threshold, seed=seed + 2)
    probability = click.probability(model.predict_rows(test)).astype(np.float64)
    order = np.argsort(probability, kind="stable")
    return [
        {
            "predicted": float(probability[rows].mean()),
            "observed": float(test.values[rows].mean()),
            "rows": len(rows),
        }
        for rows in np.array_split(order, RELIABILITY_BINS)
        if len(rows)
    ]


def _assumptions(catalog: Catalog, settings: _Settings, click: ClickModel) -> tuple[str, ...]:
    """Return what was assumed and not learned, one sentence each."""
    said = [
        f"A value of {click.threshold:g} or more in the log is taken as worth a click.",
        f"Choosing nothing is as attractive as makes a random slate of five clicked with "
        f"probability {settings.click_rate:g}; the log does not tell what was shown in vain.",
        "Satiation, interest drift, patience, watch time and position bias are assumed forms with "
        "stated constants; the log has no slates to learn them from.",
        "Users are drawn from the posterior of the fitted population, each dimension by itself.",
    ]
    if catalog.duration is None:
        said.append(f"Every item takes {parts.DEFAULT_MINUTES:g} minutes; the catalogue says none.")
    if catalog.synthetic:
        said.insert(0, "Items, users and log are synthetic: generated, not observed.")
    return tuple(said)
