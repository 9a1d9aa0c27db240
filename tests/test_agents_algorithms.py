"""What every learning algorithm promises: the same run twice, a kill survived, any candidates."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from stable_baselines3.common.type_aliases import DictReplayBufferSamples

from slategym.agents import training
from slategym.agents.algorithms import ALGORITHMS, algorithm
from slategym.agents.checkpoint import load_arrays
from slategym.agents.evaluation import evaluate
from slategym.agents.policy import make_policy
from slategym.agents.replay_aux import AuxReplayBuffer
from slategym.agents.sb3_env import as_sb3
from slategym.agents.slate_off_policy import SlateOffPolicy
from slategym.agents.slate_on_policy import SlateOnPolicy
from slategym.agents.train_config import TrainConfig
from slategym.agents.trained import TrainedPolicy, load_agent, tables_of
from slategym.agents.training import private_torch, seed_rollout, train
from slategym.envs.tiny import tiny_world
from slategym.envs.vector import SlateVectorEnv
from slategym.errors import UsageError

SMALL: dict[str, Any] = {
    "frames": 768,
    "num_envs": 16,
    "n_steps": 8,
    "batch_size": 64,
    "epochs": 2,
    "slate_size": 2,
    "num_candidates": 8,
    "evaluations": 2,
    "evaluation_users": 8,
    "checkpoint_every": 2,
    "gradients_every": 3,
}
OPTIONS: dict[str, dict[str, Any]] = {
    "slate_q": {"return_steps": 4, "buffer_size": 480},
    "proto_td3": {"neighbours": 4},
}
ALL = pytest.mark.parametrize("name", list(ALGORITHMS))
OFF = pytest.mark.parametrize(
    "name", [name for name in ALGORITHMS if issubclass(algorithm(name), SlateOffPolicy)]
)
Gradients = dict[str, torch.Tensor]


def config_of(name: str, **changes: object) -> TrainConfig:
    options = {"algo": name, "algo_options": OPTIONS.get(name, {})}
    return TrainConfig.from_json(SMALL | options | changes)


class KilledError(Exception):
    """Stands for SIGKILL: nothing after it is written."""


def stop_after(monkeypatch: pytest.MonkeyPatch, rollouts: int) -> None:
    """Let a run die after one more iteration whose results were not yet saved."""
    original, done = training._Trainer._iterate, []

    def iterate(self: training._Trainer, iteration: int) -> None:
        if len(done) == rollouts:
            self.model.iterate()
            raise KilledError
        done.append(iteration)
        original(self, iteration)

    monkeypatch.setattr(training._Trainer, "_iterate", iterate)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Runs nobody disturbed, one per algorithm, trained when first asked for."""
    folder = tmp_path_factory.mktemp("runs")

    def run(name: str) -> Path:
        if not (folder / name).exists():
            train(tiny_world(), folder / name, config_of(name))
        return folder / name

    return run


def weights(run: Path) -> dict[str, np.ndarray]:
    return load_arrays(run / "policy.safetensors")


@ALL
def test_a_killed_run_ends_as_an_unbroken_one(
    name: str,
    runs: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        stop_after(patch, 5)
        with pytest.raises(KilledError):
            train(tiny_world(), tmp_path / "run", config_of(name))
    np.random.seed(99)  # noqa: NPY002 - whatever the next process starts from must not matter
    torch.manual_seed(99)
    train(tiny_world(), tmp_path / "run", config_of(name))
    expected, found = weights(runs(name)), weights(tmp_path / "run")
    assert expected.keys() == found.keys()
    for key, array in expected.items():
        np.testing.assert_array_equal(found[key], array, err_msg=key)


@ALL
def test_another_seed_ends_elsewhere(
    name: str, runs: Callable[[str], Path], tmp_path: Path
) -> None:
    train(tiny_world(), tmp_path / "run", config_of(name, seed=1))
    expected, found = weights(runs(name)), weights(tmp_path / "run")
    assert any(not np.array_equal(found[key], array) for key, array in expected.items())


@ALL
def test_a_saved_agent_opens_and_acts_alike_alone_and_in_a_batch(
    name: str, runs: Callable[[str], Path]
) -> None:
    world = tiny_world()
    agent = load_agent(runs(name), world)
    venv = SlateVectorEnv(8, world=world, observation="ids", slate_size=2, num_candidates=8)
    seen, _ = venv.reset(seed=0)
    slate = agent.act(seen, np.random.default_rng(0))
    assert slate.shape == (8, 2)
    assert (slate[:, 0] != slate[:, 1]).all()
    for row in range(8):
        alone = agent.act({k: v[row : row + 1] for k, v in seen.items()}, np.random.default_rng(1))
        np.testing.assert_array_equal(alone[0], slate[row])


@ALL
def test_items_never_seen_and_ten_times_the_candidates_are_served(
    name: str, runs: Callable[[str], Path]
) -> None:
    world = tiny_world(items=200, users=30, seed=4)
    agent = load_agent(runs(name), world, transfer=True)
    venv = SlateVectorEnv(6, world=world, observation="ids", slate_size=2, num_candidates=80)
    seen, _ = venv.reset(seed=0)
    if name == "slate_q_full":
        with pytest.raises(UsageError, match="2 of 80 items make 3,160 slates"):
            agent.act(seen, np.random.default_rng(0))
        venv = SlateVectorEnv(6, world=world, observation="ids", slate_size=2, num_candidates=40)
        seen, _ = venv.reset(seed=0)
    scores = agent.scores(seen)
    assert np.isfinite(scores).all()
    # The order of the candidates does not matter to the scores.
    turned = {**seen, "candidates": seen["candidates"][:, ::-1].copy()}
    np.testing.assert_allclose(agent.scores(turned)[:, ::-1], scores, atol=1e-4, rtol=1e-4)


@ALL
def test_the_curve_tells_losses_and_gradients(name: str, runs: Callable[[str], Path]) -> None:
    lines = training.RunFolder(runs(name)).read_curve()
    last = [line for line in lines if line["kind"] == "rollout"][-1]
    assert {"rating", "item_features", "recommendation_features"} <= set(last["aux"])
    assert np.isfinite(last["value_loss"])
    norms = [line["gradient_norms"] for line in lines if line.get("gradient_norms")][-1]
    assert {"value", "rating", "item_features", "recommendation_features"} <= set(norms)
    assert all(norm > 0 for norm in norms.values())


def learning(name: str, **changes: object) -> Any:  # noqa: ANN401
    """An algorithm with a little experience, about to learn."""
    config = config_of(name, **changes)
    env = as_sb3(config.make_env(tiny_world(), config.num_envs, "ids"))
    model = algorithm(name).from_config(env, tables_of(env.venv), config)
    model.begin(10_000)
    return model


def gradients(model: SlateOffPolicy) -> Gradients:
    named = model.policy.named_parameters()
    found = {key: p.grad.clone() for key, p in named if p.grad is not None}
    model.policy.zero_grad()
    return found


def critic_loss(model: Any, data: DictReplayBufferSamples) -> torch.Tensor:  # noqa: ANN401
    """The loss of values on a batch from memory, against goals that are not learned from."""
    goal = data.rewards - 0.3
    if hasattr(model, "critic"):
        return sum(
            F.mse_loss(value, goal) for value in model.critic(data.observations, data.actions)
        )
    return F.smooth_l1_loss(model.q_net(data.observations).gather(1, data.actions), goal)


def explicit_terms(
    model: Any,  # noqa: ANN401
    data: DictReplayBufferSamples,
) -> dict[str, torch.Tensor]:
    """The auxiliary losses of the batch drawn last, computed apart from the value's pass."""
    policy, memory = model.policy, model.replay_buffer
    obs = dict(data.observations)  # a copy: nothing joins a batch that memory does not know
    inputs = memory.inputs_of(data.observations)
    if hasattr(model, "critic"):
        return policy.shown_terms(memory)[1]
    found = policy.values(obs, inputs)
    return policy.extra_terms(found[0] if isinstance(found, tuple) else found, memory)


@OFF
def test_the_joint_gradient_off_policy_is_the_sum_of_all_losses(name: str) -> None:
    with private_torch(1):
        model = learning(name, num_envs=32)
        seed_rollout(0, 0)
        model.learning_starts = 10_000
        model.iterate()
        data = model.replay_buffer.sample(64)
        critic_loss(model, data).backward()
        joint = gradients(model)
        terms = explicit_terms(model, data)
        total = model.policy.weighted({k: v for k, v in terms.items() if k != "choice"})
        total = total + terms.get("choice", 0.0) * getattr(model.policy, "choice", 0.0)
        model.policy.memory = Unjoined(model.replay_buffer)  # nothing joins now
        (critic_loss(model, data) + total).backward()
        explicit = gradients(model)
    assert joint.keys() == explicit.keys()
    assert {"aux_losses.item_features.generate.weight", "trunk.0.weight"} <= joint.keys()
    for key, gradient in explicit.items():
        torch.testing.assert_close(joint[key], gradient, atol=1e-5, rtol=1e-4, msg=key)


class Unjoined:
    """A memory that gives inputs but knows no batch."""

    sampled: dict[str, torch.Tensor] = {}

    def __init__(self, memory: AuxReplayBuffer) -> None:
        self.inputs_of = memory.inputs_of


@OFF
def test_stored_targets_belong_to_their_transitions(name: str) -> None:
    world = tiny_world()
    with private_torch(1):
        model = learning(name, num_envs=32)
        model.learning_starts = 10_000
        model.iterate()
    memory = model.replay_buffer
    for _ in range(3):
        data = memory.sample(64)
        target = memory.minibatch
        listed = data.observations["candidates"]
        position = target.get("position")
        shown = listed if position is None else listed.gather(1, position)
        torch.testing.assert_close(shown, target["slate"])
        profile = torch.from_numpy(world.user_profile[target["user"].numpy()])
        kept = memory.inputs_of(data.observations).state[:, : profile.shape[1]]
        torch.testing.assert_close(kept, profile.float(), atol=2e-3, rtol=2e-3)  # half precision


@ALL
def test_an_unknown_option_of_the_algorithm_is_refused(name: str) -> None:
    if issubclass(algorithm(name), SlateOnPolicy):
        pytest.skip("keywords of PPO and A2C are checked by Stable-Baselines3")
    with pytest.raises(UsageError, match=r"return_stepz.*Did you mean 'return_steps'"):
        learning(name, algo_options={"return_stepz": 3})


@pytest.mark.slow
@ALL
def test_a_few_thousand_frames_beat_random(name: str) -> None:
    world = tiny_world()
    with private_torch(1):
        model = learning(name, frames=16_384, num_envs=32, n_steps=8, batch_size=256, epochs=6)
        for iteration in range(64):
            seed_rollout(0, iteration)
            model.iterate()
    venv = SlateVectorEnv(512, world=world, observation="ids", slate_size=2, num_candidates=8)
    found = evaluate(TrainedPolicy(model.policy), venv, 7)["return"]
    base = evaluate(make_policy("random", world, 2), venv, 7)["return"]
    assert found > 1.15 * base
