"""Golden rollouts of the world environments: their numbers stay what they are."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slategym.envs.checks import actions_for
from slategym.envs.registry import get_variant, list_variants
from slategym.envs.tiny import tiny_world
from slategym.envs.vector import SlateVectorEnv

GOLDEN = Path(__file__).parent / "golden"
REWRITE = "SLATEGYM_REWRITE_GOLDEN"
OURS = [
    name
    for name in list_variants()
    if name.startswith("slategym/") and get_variant(name).family == "world"
]


def golden_rollout(variant_id: str) -> dict[str, Any]:
    """Twenty steps of three users on the tiny world."""
    env = SlateVectorEnv(3, variant=variant_id, observation="ids", world=tiny_world())
    env.reset(seed=2026)
    steps = []
    for step in range(20):
        observation, reward, terminated, truncated, info = env.step(
            actions_for(env, step, np.arange(3))
        )
        told = {
            "user": info["user"],
            "slate": info["slate"],
            "reward": reward,
            "terminated": terminated,
            "truncated": truncated,
            "candidates": observation["candidates"],
            "context": observation["context"],
        }
        if "candidate_traits" in observation:
            told["traits"] = observation["candidate_traits"]
        if "session" in info:
            told |= {"over": info["session"]["over"], "away": info["session"]["days_away"]}
        told |= info["response"]
        steps.append({name: np.asarray(value).tolist() for name, value in told.items()})
    found = {"world": env.world.hash, "steps": steps}
    return dict(json.loads(json.dumps(found), parse_float=lambda text: round(float(text), 7)))


def parted(found: dict[str, Any], golden: dict[str, Any]) -> list[tuple[int, str]]:
    """The steps and quantities in which two rollouts differ."""
    return [
        (step, key)
        for step, (ours, theirs) in enumerate(zip(found["steps"], golden["steps"], strict=True))
        for key in sorted(ours.keys() | theirs.keys())
        if key not in ours
        or key not in theirs
        or not np.allclose(ours[key], theirs[key], atol=1e-5)
    ]


@pytest.mark.parametrize("variant_id", OURS)
def test_the_golden_rollout(variant_id: str) -> None:
    """A changed number is a new version; rewrite with SLATEGYM_REWRITE_GOLDEN=1 if it is meant."""
    name = variant_id.removeprefix("slategym/").replace("-", "_").lower()
    path = GOLDEN / f"{name}_tiny.json"
    found = golden_rollout(variant_id)
    if os.environ.get(REWRITE):
        path.write_text(json.dumps(found, separators=(",", ":")) + "\n")
    golden = json.loads(path.read_text())
    assert found["world"] == golden["world"]
    assert parted(found, golden) == []
    steps = golden["steps"]
    assert 0.1 < np.mean([np.sum(step["click"], axis=1) for step in steps]) < 0.95
    assert any(any(step["terminated"]) or any(step.get("over", [])) for step in steps)


def test_a_rollout_that_differs_is_told_apart() -> None:
    golden = {"steps": [{"reward": [1.0, 2.0], "click": [[0, 1]]}, {"reward": [0.0, 0.0]}]}
    other = {"steps": [{"reward": [1.0, 2.1], "click": [[0, 1]]}, {"reward": [0.0, 0.0], "new": 1}]}
    assert parted(golden, golden) == []
    assert parted(other, golden) == [(0, "reward"), (1, "new")]
