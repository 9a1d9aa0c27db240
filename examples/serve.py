"""Serve a trained agent: arrays in, slates out; and export it as TorchScript.

Run: python examples/serve.py RUN
"""

import sys

import numpy as np
import torch

from slategym.agents.serving import load_agent

agent = load_agent(sys.argv[1])
rng = np.random.default_rng(0)
observation = {
    name: rng.integers(0, 10, space.shape) if space.dtype.kind == "i" else rng.random(space.shape)
    for name, space in agent.space.spaces.items()
}
print("slate:", agent.act(observation))

module = torch.jit.load(agent.export("agent.pt"))  # needs torch alone, not slategym
tensors = {
    name: torch.from_numpy(np.asarray(value, agent.space[name].dtype))[None]
    for name, value in observation.items()
}
print("exported:", module(tensors)[0].numpy())
