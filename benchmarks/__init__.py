"""Comparing policies on the same users with the same luck, and the report of it."""

if __name__ != "slategym.benchmarks":
    raise ImportError("import slategym.benchmarks, not benchmarks: run `pip install -e .` first")
