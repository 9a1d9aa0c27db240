"""Whether baseline policies keep their order when the assumed dynamics of users change.

Letters: S settings, P policies, B user streams, R resamples.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from slategym.agents.policy import for_variant, make_policy, with_privileged
from slategym.benchmarks.rollout import make_env
from slategym.benchmarks.statistics import UserBootstrap, percentile_interval
from slategym.envs.registry import get_variant
from slategym.envs.world import World
from slategym.errors import UsageError
from slategym.progress import Progress, Silent, stage

FloatArray = npt.NDArray[np.float64]

BASE = "as assumed"
POLICIES = ("random", "popularity", "cf-greedy", "cf-mmr", "cf-rested", "oracle-myopic")
# Setting -> changes of the variant. One at a time, then all at once in both directions.
GRID: dict[str, dict[str, float]] = {
    BASE: {},
    "no satiation": {"satiation_weight": 0.0},
    "twice the satiation": {"satiation_weight": 3.0},
    "satiation lasts": {"satiation_decay": 0.97},
    "no boredom": {"boredom": 0.0},
    "three times the boredom": {"boredom": 1.5},
    "half the patience": {"patience": 2.5, "patience_cap": 3.0},
    "twice the patience": {"patience": 10.0, "patience_cap": 12.0},
    "no drift": {"interest_drift": 0.0},
    "five times the drift": {"interest_drift": 0.15},
    "all weak": {
        "satiation_weight": 0.5,
        "boredom": 0.1,
        "patience": 10.0,
        "patience_cap": 12.0,
        "interest_drift": 0.0,
    },
    "all strong": {
        "satiation_weight": 3.0,
        "boredom": 1.5,
        "patience": 2.5,
        "patience_cap": 3.0,
        "interest_drift": 0.15,
    },
}
_STAGE = "rank policies under other dynamics"
_STREAM = 0xCA2D  # keeps a policy's own draws apart from any other use of (seed, step)


def rank_stability(
    world: World,
    *,
    policies: Sequence[str] = POLICIES,
    grid: Mapping[str, Mapping[str, float]] = GRID,
    variant: str = "slategym/World-v0",
    users: int = 512,
    draws: int = 1000,
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Return how the ranking of policies by mean return changes over assumed dynamics.

    Kendall's tau-b (Kendall 1945) compares each setting's ranking with that of `BASE`: 1 is the
    same order, 0 none in common, -1 the reverse. Its interval resamples users whole, the same
    ones in every setting and for every policy. Users are held-out ones where there are any.

    Args:
        world: the world.
        policies: at least two names of built-in policies.
        grid: name to changes of the variant; `BASE` must be there. A setting that names a
            parameter the variant does not have is left out.
        variant: a registered id of a world variant.
        users: user streams B.
        draws: resamples R.
        seed: of the streams and the resamples.
        progress: told of every rollout.

    Returns:
        JSON-ready: ``policies``; ``noise``, the mean tau between the ranking as it is and on a
        resample of the same users; ``settings``: for each its ``changes``, mean ``returns`` by
        policy, ``tau`` with its interval, and the ``best`` policy; ``left_out`` settings; the
        smallest tau as ``least`` (None if no other setting has one) and in how many settings the
        best stayed, ``best_stays``.

    Raises:
        UsageError: fewer than two policies, no base setting, or a bad variant.
    """
    if len(policies) < 2 or BASE not in grid:
        raise UsageError(f"rank_stability needs two policies or more and the setting {BASE!r}.")
    known = get_variant(variant).parameters
    kept = {name: dict(change) for name, change in grid.items() if change.keys() <= known.keys()}
    told = progress or Silent()
    split = "held_out" if (world.users["split"] == "held_out").any() else "all"
    table: dict[str, FloatArray] = {}
    owners = np.zeros(users, dtype=np.int64)
    with stage(told, _STAGE, len(kept) * len(policies)):
        for name, change in kept.items():
            rows = []
            for policy in policies:
                returns, owners = _returns(world, policy, variant, split, users, seed, change)
                rows.append(returns)
                told.advance(_STAGE)
            table[name] = np.stack(rows)  # (P, B)
    bootstrap = UserBootstrap(owners, replicates=draws, seed=seed)
    said = {"variant": variant, "users": users, "left_out": sorted(set(grid) - set(kept))}
    return said | _summary(table, kept, list(policies), bootstrap)


def _returns(
    world: World,
    name: str,
    variant: str,
    split: str,
    users: int,
    seed: int,
    change: Mapping[str, float],
) -> tuple[FloatArray, npt.NDArray[np.int64]]:
    """Return the return (B,) of each stream's first session, and whose it was (B,)."""
    env = make_env(
        world, variant=variant, num_envs=users, users=split,
        privileged=name.startswith("oracle"), **change,
    )  # fmt: skip
    policy = for_variant(make_policy(name, world, int(env.variant.slate_size)), env.variant)
    observation, info = env.reset(seed=seed)
    alive, total = np.ones(users, dtype=np.bool_), np.zeros(users)
    owners = np.zeros(users, dtype=np.int64)
    step = 0
    while alive.any():
        seen = with_privileged(policy, observation, info)
        slate = policy.act(seen, np.random.default_rng((_STREAM, seed, step)))
        observation, reward, ended, cut, info = env.step(slate.reshape(env.action_space.shape))
        if step == 0:
            owners = np.asarray(info["user"]).astype(np.int64)
        total += np.where(alive, reward, 0.0)
        alive &= ~(ended | cut)
        step += 1
    return total, owners


def _summary(
    table: Mapping[str, FloatArray],
    kept: Mapping[str, Mapping[str, float]],
    policies: list[str],
    bootstrap: UserBootstrap,
) -> dict[str, Any]:
    """Return the taus of returns (P, B) by setting."""
    means = {name: returns.mean(axis=1) for name, returns in table.items()}
    drawn = {
        name: np.stack([bootstrap.mean_replicates(row) for row in returns], axis=1)  # (R, P)
        for name, returns in table.items()
    }
    base = means[BASE]
    settings: list[dict[str, Any]] = []
    for name in table:
        tau = float(kendall_tau(base, means[name]))
        ends = percentile_interval(tau, kendall_tau(drawn[BASE], drawn[name]))
        settings.append(
            {
                "name": name,
                "changes": dict(kept[name]),
                "returns": dict(zip(policies, means[name].round(6).tolist(), strict=True)),
                "tau": ends.to_json(),
                "best": policies[int(means[name].argmax())],
            }
        )
    others = [entry for entry in settings if entry["name"] != BASE]
    taus = [entry["tau"]["estimate"] for entry in others if entry["tau"]["estimate"] is not None]
    best = policies[int(base.argmax())]
    noise = kendall_tau(base, drawn[BASE])
    return {
        "policies": policies,
        "noise": float(np.nanmean(noise)) if np.isfinite(noise).any() else None,
        "settings": settings,
        "least": min(taus, default=None),
        "best_stays": sum(entry["best"] == best for entry in others),
    }


def kendall_tau(first: FloatArray, second: FloatArray) -> FloatArray:
    """Return Kendall's tau-b over the last axis: scores (..., P) of the same P things.

    ``(concordant - discordant) / sqrt(pairs untied in one * pairs untied in the other)``
    (Kendall 1945, "The treatment of ties in ranking problems"); NaN where all are tied.
    """
    one, two = np.triu_indices(first.shape[-1], 1)
    a = np.sign(first[..., one] - first[..., two])
    b = np.sign(second[..., one] - second[..., two])
    untied = np.sqrt((a != 0).sum(axis=-1) * (b != 0).sum(axis=-1))
    agree = (a * b).sum(axis=-1)
    return np.divide(agree, untied, out=np.full(np.shape(agree), np.nan), where=untied > 0)
