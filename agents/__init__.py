"""Policies, Stable-Baselines3 slate agents and their auxiliary losses."""

if __name__ != "slategym.agents":
    raise ImportError("import slategym.agents, not agents: run `pip install -e .` first")
