"""Weights of the index planner by variant, as `slategym.benchmarks.planning_search` found them."""

WEIGHTS: dict[str, dict[str, float]] = {
    "slategym/Video-v0": {
        "click": -0.6204, "taste": 0.3427, "tired": -1.2374, "load": -0.7902, "bait": -2.0001,
        "credit": 2.7964, "minutes": 0.6957, "shown_tired": 0.1232, "shown_load": -0.4331,
    },
    "slategym/Music-v0": {
        "click": 2.9267, "taste": 0.7424, "tired": -1.6477, "load": -0.6941, "edge": -1.6115,
        "bored": -0.463, "bait": 0.013, "credit": 1.8544, "skip": -0.8097, "plays": 0.3513,
        "sow": 0.1913, "shown_tired": 0.568, "shown_load": -1.457,
    },
    "slategym/News-v0": {
        "click": -0.3, "tired": 0.2, "load": -0.9, "bait": -1.2, "credit": 1.5, "sow": 0.4,
        "shown_tired": 0.4, "shown_load": -0.25,
    },
    "slategym/Shop-v0": {"click": 0.1, "bait": -0.8, "credit": 1.0},
    "slategym/World-v0": {
        "click": 0.12, "taste": 0.24, "tired": -0.15, "load": -0.26, "shown_tired": 0.1,
    },
}  # fmt: skip
"""Variant id -> weight by name; see `slategym.agents.index_features.IndexFeatures`."""
