"""Weights of the index planner by variant, as `slategym.benchmarks.planning_search` found them.

On the tiny world and on one built from MovieLens 100K together
(``--world tiny --world FOLDER``), then rounded.
"""

WEIGHTS: dict[str, dict[str, float]] = {
    "slategym/Video-v0": {
        "click": -1.07, "taste": 0.15, "tired": -1.24, "load": -0.8, "bait": -2.23,
        "credit": 3.24, "minutes": 0.89, "shown_tired": 0.02, "shown_load": -0.31,
    },
    "slategym/Music-v0": {
        "click": 4.02, "taste": 0.38, "tired": -2.11, "load": -0.97, "edge": -2.11, "bored": -0.64,
        "bait": 0.3, "credit": 2.47, "skip": -1.04, "plays": 0.19, "sow": 0.57,
        "shown_tired": 0.36, "shown_load": -0.88,
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
