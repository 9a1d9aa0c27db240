"""Worlds, and the batched simulation of users who respond to slates of items."""

if __name__ != "slategym.envs":
    raise ImportError("import slategym.envs, not envs: run `pip install -e .` first")

# The built-in variants, and the ids of installed packages, become known to gymnasium.
from slategym.envs import catalogue as catalogue
from slategym.envs import entry_points as entry_points

entry_points.announce()
