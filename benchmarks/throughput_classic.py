"""How fast the classics step, beside RecSim itself in the same run."""

import json
import subprocess
from pathlib import Path

import gymnasium
import numpy as np

import slategym.envs  # noqa: F401 - registers the environments
from slategym.benchmarks.throughput_world import Row, rate, step_rate
from slategym.errors import UsageError

CLASSICS = {
    "slategym/InterestEvolution-v0": "interest_evolution",
    "slategym/InterestExploration-v0": "interest_exploration",
    "slategym/LongTermSatisfaction-v0": "long_term_satisfaction",
}
SIZES = {"slate_size": 3, "num_candidates": 10}
BATCH = 4096

# Run by the interpreter that has recsim. Importing an environment imports gin and, through it,
# TensorFlow; empty modules stand in for both, as the simulation itself needs neither.
_RECSIM = """
import json, sys, time, types
gin = types.ModuleType("gin")
gin.configurable = lambda f=None, **k: f if f is not None else (lambda g: g)
gin.tf = types.ModuleType("gin.tf")
sys.modules["gin"], sys.modules["gin.tf"] = gin, gin.tf
sys.modules["recsim.simulator.runner_lib"] = types.ModuleType("recsim.simulator.runner_lib")
import numpy as np
from recsim.environments import interest_evolution, interest_exploration, long_term_satisfaction
config = {"slate_size": 3, "num_candidates": 10, "resample_documents": True, "seed": 0}
rng, found = np.random.RandomState(0), {}
slates = [rng.permutation(10)[:3] for _ in range(512)]
for module in (interest_evolution, interest_exploration, long_term_satisfaction):
    env, best = module.create_environment(config), 0.0
    for _ in range(3):
        env.reset()
        steps, start = 0, time.process_time()
        while time.process_time() - start < float(sys.argv[1]):
            for slate in slates[:64]:
                if env.step(slate)[2]:
                    env.reset()
                steps += 1
        best = max(best, steps / (time.process_time() - start))
    found[module.__name__.rpartition(".")[2]] = best
print(json.dumps(found))
"""


def recsim_rates(python: Path, *, seconds: float = 1.5) -> dict[str, float]:
    """Return user-steps per CPU-second of RecSim's three environments, 3 of 10, random slates.

    Args:
        python: an interpreter that can import recsim 0.2.4 (numpy < 1.24, gym 0.26.2).
        seconds: CPU seconds of each of three tries; the best counts.

    Raises:
        UsageError: the interpreter is not there, or cannot run RecSim.
    """
    try:
        run = subprocess.run(
            [str(python), "-I", "-c", _RECSIM, str(seconds)],
            capture_output=True,
            text=True,
            check=True,
        )
    except OSError as error:
        raise UsageError(f"--recsim {python}: {error.strerror or error}.") from None
    except subprocess.CalledProcessError as error:
        last = error.stderr.strip().splitlines()[-1] if error.stderr.strip() else "no message"
        raise UsageError(f"--recsim {python} cannot run recsim: {last}.") from None
    rates: dict[str, float] = json.loads(run.stdout.splitlines()[-1])
    return rates


def single_rate(variant: str, *, seconds: float = 1.0, tries: int = 3) -> float:
    """Return steps per CPU-second of `gymnasium.make`, resets included."""
    env = gymnasium.make(variant, **SIZES)
    env.reset(seed=0)
    draw = np.random.default_rng(0)
    slates = [draw.permutation(SIZES["num_candidates"])[: SIZES["slate_size"]] for _ in range(512)]

    def work() -> None:
        for slate in slates:
            _, _, ended, cut, _ = env.step(slate)
            if ended or cut:
                env.reset()

    return rate(work, len(slates), seconds=seconds, tries=tries)


def classic_rows(recsim: Path | None = None, *, rounds: int = 3) -> list[Row]:
    """Return the rows of the classics, batched and single, with their ratio to RecSim.

    Args:
        recsim: an interpreter that has recsim 0.2.4, to compare with.
        rounds: how often everything is measured, in turn; the best of each counts, since a busy
            machine slows one side or the other by up to a half.
    """
    best: dict[str, float] = {}
    for _ in range(rounds):
        found = {} if recsim is None else recsim_rates(recsim)
        for variant, family in CLASSICS.items():
            found[variant] = step_rate(gymnasium.make_vec(variant, num_envs=BATCH, **SIZES))
            found[f"one {family}"] = single_rate(variant)
        best = {name: max(rate, best.get(name, 0.0)) for name, rate in found.items()}
    rows = []
    for variant, family in CLASSICS.items():
        base = best.get(family)
        name = variant.removeprefix("slategym/").removesuffix("-v0")
        measured = {f"batch {BATCH:,}": variant, "gymnasium.make": f"one {family}"}
        for what, key in measured.items():
            ratio = None if base is None else best[key] / base
            rows.append(Row(f"{name}, 3 of 10, {what}", best[key], ratio))
        if base is not None:
            rows.append(Row(f"RecSim {family}, 3 of 10", base))
    return rows
