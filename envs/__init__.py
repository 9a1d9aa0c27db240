"""Worlds, and the batched simulation of users who respond to slates of items."""

if __name__ != "slategym.envs":
    raise ImportError("import slategym.envs, not envs: run `pip install -e .` first")

# Registers slategym/World-v0 with gymnasium.
from slategym.envs import registry as registry
