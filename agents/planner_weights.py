"""Weights of the index planner by variant, as `slategym.benchmarks.planning_search` found them."""

WEIGHTS: dict[str, dict[str, float]] = {
    "slategym/News-v0": {
        "click": -0.3, "tired": 0.2, "load": -0.9, "bait": -1.2, "credit": 1.5, "sow": 0.4,
        "shown_tired": 0.4, "shown_load": -0.25,
    },
    "slategym/Shop-v0": {"click": 0.1, "bait": -0.4, "credit": 1.0},
    "slategym/World-v0": {
        "click": 0.12, "taste": 0.24, "tired": -0.15, "load": -0.26, "shown_tired": 0.1,
    },
}  # fmt: skip
"""Variant id -> weight by name; see `slategym.agents.index_features.IndexFeatures`."""
