"""Weights of the index planner by variant, as `slategym.benchmarks.planning_search` found them."""

WEIGHTS: dict[str, dict[str, float]] = {}
"""Variant id -> weight by name; see `slategym.agents.index_features.IndexFeatures`."""
