"""The README's ten lines: a world, an environment, an agent, a benchmark, a report."""

import gymnasium

from slategym.agents.train_config import TrainConfig
from slategym.agents.training import train
from slategym.benchmarks.report import write_report
from slategym.benchmarks.suite import run_benchmark
from slategym.envs.world import World

world = World.open("runs/demo/world")  # what `python3 run.py` built
envs = gymnasium.make_vec("slategym/World-v0", num_envs=512, world=world)  # for any RL library
observation, info = envs.reset(seed=0)
observation, reward, terminated, truncated, info = envs.step(envs.action_space.sample())

run = train(world, "runs/mine", TrainConfig(frames=50_000, rating=1.0)).run  # or for ours
run_benchmark(world, ["random", "cf-greedy"], [run], "runs/mine-bench", users=256)
print(write_report("runs/mine-bench"))
