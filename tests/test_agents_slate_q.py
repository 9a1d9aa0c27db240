"""SlateQ: the best slate is found, targets are of the next state, memory is a trajectory."""

from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import linprog

from slategym.agents.features import Inputs
from slategym.agents.replay_aux import AuxReplayBuffer, Read
from slategym.agents.sb3_env import as_sb3
from slategym.agents.slate_full_q import Sets
from slategym.agents.slate_q import SlateQ
from slategym.agents.slate_q_kernels import OPTIMISERS, Worth, best_slate, slate_keys
from slategym.agents.slate_q_policy import SlateQPolicy
from slategym.agents.train_config import TrainConfig
from slategym.agents.trained import tables_of
from slategym.agents.training import private_torch
from slategym.envs.tiny import tiny_world
from slategym.envs.vector import SlateVectorEnv
from slategym.errors import DataError, UsageError


def worth_of(batch: int, count: int, seed: int) -> Worth:
    generator = torch.Generator().manual_seed(seed)
    choice, quality = 2 * torch.randn(2, batch, count, generator=generator, dtype=torch.float64)
    idle = torch.randn(batch, 1, generator=generator, dtype=torch.float64)
    return Worth.of(choice, quality, idle)


def best_of_all(worth: Worth, size: int) -> torch.Tensor:
    every = torch.tensor(list(combinations(range(worth.weight.shape[1]), size)))
    values = [worth.slate_value(one.expand(len(worth.weight), -1)) for one in every]
    return torch.cat(values, 1).amax(1, keepdim=True)


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_the_exact_slate_is_the_best_of_all(size: int) -> None:
    worth = worth_of(40, 7, size)
    found = best_slate(worth, size, "exact")
    torch.testing.assert_close(worth.slate_value(found), best_of_all(worth, size))
    # What an agent in service ranks by gives the same slate.
    keys = slate_keys(worth, size, "exact")
    assert torch.equal(keys.topk(size).indices.sort().values, found.sort().values)


def test_the_exact_slate_is_the_optimum_of_the_linear_program() -> None:
    worth, size = worth_of(10, 8, 3), 3
    found = worth.slate_value(best_slate(worth, size, "exact"))[:, 0]
    for row in range(10):
        weight, quality = worth.weight[row].numpy(), worth.quality[row].numpy()
        none, idle = worth.nothing[row].numpy(), worth.idle[row].numpy()
        # Charnes and Cooper: y = t x, t = 1 / (v_0 + sum v x); sum x = K, 0 <= x <= 1.
        gain = -np.concatenate([weight * quality, none * idle])
        equal = np.array([np.append(weight, none), np.append(np.ones(8), -size)])
        upper = np.concatenate([np.eye(8), -np.ones((8, 1))], axis=1)
        solved = linprog(gain, upper, np.zeros(8), equal, [1.0, 0.0], bounds=(0, None))
        assert float(found[row]) == pytest.approx(-solved.fun, abs=1e-9)


def test_greedy_adds_what_adds_most_and_topk_takes_the_largest_products() -> None:
    worth = worth_of(30, 6, 5)
    greedy, top = best_slate(worth, 2, "greedy"), best_slate(worth, 2, "topk")
    for row in range(30):
        one = Worth(*(part[row : row + 1] for part in worth))
        first = max(range(6), key=lambda i: float(one.slate_value(torch.tensor([[i]]))))
        others = [i for i in range(6) if i != first]
        second = max(others, key=lambda i: float(one.slate_value(torch.tensor([[first, i]]))))
        assert greedy[row].tolist() == [first, second]
        product = (one.weight * one.quality)[0]
        assert top[row].tolist() == product.argsort(descending=True)[:2].tolist()
    assert torch.equal(slate_keys(worth, 2, "greedy").topk(2).indices, greedy)


def test_no_optimiser_beats_the_exact_one() -> None:
    worth = worth_of(200, 10, 8)
    exact = worth.slate_value(best_slate(worth, 3, "exact"))
    for name in OPTIMISERS:
        other = worth.slate_value(best_slate(worth, 3, name))
        assert (other <= exact + 1e-12).all()
        assert name == "exact" or (other < exact - 1e-6).any()


def test_large_logits_do_not_overflow() -> None:
    worth = Worth.of(torch.tensor([[900.0, -900.0]]), torch.ones(1, 2), torch.zeros(1, 1))
    assert worth.slate_value(torch.tensor([[0, 1]])).item() == pytest.approx(1.0)


def test_sets_are_numbered_in_any_order_of_their_items() -> None:
    sets = Sets(6, 3)
    assert sets.table.shape == (20, 3)
    turned = sets.table[:, [2, 0, 1]]
    np.testing.assert_array_equal(sets.number(turned), np.arange(20))
    with pytest.raises(UsageError, match="5 of 20 items make 15,504 slates"):
        Sets(20, 5)


def test_an_unknown_optimiser_or_target_is_refused() -> None:
    with pytest.raises(UsageError, match="'lp'; it must be one of 'exact', 'greedy', 'topk'"):
        made(optimiser="lp")
    with pytest.raises(UsageError, match="'mc'; it must be 'q' or 'sarsa'"):
        made(target="mc")


def made(horizon: int = 60, **options: object) -> SlateQ:
    config = TrainConfig.from_json(
        {
            "algo": "slate_q",
            "algo_options": options,
            "num_envs": 8,
            "n_steps": 12,
            "slate_size": 2,
            "num_candidates": 6,
            "horizon": horizon,
            "batch_size": 32,
        }
    )
    env = as_sb3(config.make_env(tiny_world(), 8, "ids"))
    model = SlateQ.from_config(env, tables_of(env.venv), config)
    model.begin(1000)
    model.learning_starts = 10_000
    return model


def gathered(horizon: int = 60, **options: object) -> SlateQ:
    with private_torch(1):
        torch.manual_seed(0)
        model = made(horizon, **options)
        for _ in range(3):
            model.iterate()
    return model


def test_the_target_values_the_next_state_and_its_own_candidates() -> None:
    model = gathered(double=False)
    data = model.replay_buffer.sample(64)
    found = model.q_net_target(data.next_observations)
    net = model.q_net_target.net
    inputs = model.replay_buffer.inputs_of(data.next_observations)
    worth = net.values(data.next_observations, inputs).worth
    torch.testing.assert_close(found, best_of_all(worth, 2))
    # The fault of RecSim's agent: the same candidates valued for the state before.
    before = model.replay_buffer.inputs_of(data.observations)
    wrong = net.values(data.next_observations, Inputs(before.state, inputs.match)).worth
    assert not torch.allclose(best_of_all(wrong, 2), found, atol=1e-3)


def test_a_sarsa_target_values_the_slate_that_was_shown_next() -> None:
    model = gathered(target="sarsa")
    memory = model.replay_buffer
    data = memory.sample(64)
    worth = model.q_net_target.net.values(
        data.next_observations, memory.inputs_of(data.next_observations)
    ).worth
    found = model.q_net_target(data.next_observations)
    known = memory.next_known
    assert known.any()
    expected = worth.slate_value(memory.next_action.long())
    torch.testing.assert_close(found[known], expected[known])


def test_the_action_of_the_loss_is_what_was_taken_or_nothing() -> None:
    model = gathered()
    data, target = model.replay_buffer.sample(64), model.replay_buffer.minibatch
    for row in range(64):
        taken = target["click"][row].nonzero().flatten().tolist()
        expected = target["position"][row, taken[0]].item() if taken else 6
        assert data.actions[row].item() == expected
    assert 0 < (data.actions == 6).float().mean() < 1


class Plain:
    """A reader that keeps one number, the time, so that what is read can be told apart."""

    def __init__(self) -> None:
        self.last_read = self.at(0, 2)

    @staticmethod
    def at(time: float, rows: int) -> Read:
        """Return what is read of rows at a time."""
        state = torch.full((rows, 1), float(time))
        return Read(Inputs(state, torch.zeros(rows, 1, 1)), torch.zeros(rows, 1, dtype=torch.long))

    def read(self, obs: dict[str, torch.Tensor]) -> Read:
        """Return the time of an observation."""
        return self.at(float(obs["time"][0]), len(obs["time"]))


class Quiet:
    """A source that has nothing to tell."""

    last_info: dict[str, Any] = {
        "response": {name: np.zeros((2, 1), np.float32) for name in ("click", "watch", "rating")},
        "slate": np.zeros((2, 1), np.int64),
        "user": np.zeros(2, np.int64),
    }


def filled(steps: int, size: int, ends: dict[int, bool]) -> AuxReplayBuffer:
    """Two rows, reward t at time t; ``ends`` maps a time to whether the horizon cut the row 0."""
    venv = SlateVectorEnv(2, world=tiny_world(), slate_size=1, observation="ids")
    buffer = AuxReplayBuffer(
        2 * size, venv.single_observation_space, venv.single_action_space, n_envs=2
    )
    buffer.source, buffer.reader = Quiet(), Plain()
    for time in range(steps):
        buffer.reader.last_read = Plain.at(time, 2)
        done, infos = np.array([time in ends, False]), [{}, {}]
        if ends.get(time):
            last = {"time": np.array(1000 + time)}
            infos[0] = {"TimeLimit.truncated": True, "terminal_observation": last}
        buffer.add(None, None, np.zeros((2, 1), int), np.full(2, time), done, infos)
    return buffer


def test_returns_of_many_steps_end_with_the_episode_and_bootstrap_from_where_it_was_cut() -> None:
    buffer = filled(8, 8, {3: True, 5: False})
    buffer.n_step, buffer.gamma = 3, 0.5
    step = np.array([0, 1, 2, 3, 4, 4])
    data = buffer._get_samples(step, np.array([0, 0, 0, 0, 0, 1]))
    sums = [0 + 0.5 + 0.5, 1 + 1 + 0.75, 2 + 1.5, 3, 4 + 2.5, 4 + 2.5 + 1.5]
    assert data.rewards.flatten().tolist() == sums
    assert data.discounts.flatten().tolist() == [0.125, 0.125, 0.25, 0.5, 0.25, 0.125]
    assert data.dones.flatten().tolist() == [0, 0, 0, 0, 1, 0]
    following = buffer.inputs_of(data.next_observations).state.flatten().tolist()
    assert following[:4] == [3, 1003, 1003, 1003]  # cut at time 3
    assert following[5] == 7
    assert buffer.next_known.tolist() == [True, False, False, False, False, True]


def test_a_ring_that_came_round_gives_only_what_it_holds() -> None:
    buffer = filled(11, 5, {})
    data = buffer.sample(500)
    now = buffer.inputs_of(data.observations).state.flatten()
    assert set(now.tolist()) == {6, 7, 8, 9}
    torch.testing.assert_close(buffer.inputs_of(data.next_observations).state.flatten(), now + 1)
    torch.testing.assert_close(data.rewards.flatten(), now)


def test_a_memory_put_back_gives_the_same_batches() -> None:
    buffer = filled(12, 7, {3: True, 8: True, 10: False})
    twin = filled(1, 7, {})
    twin.set_state(buffer.get_state())
    buffer.rng, twin.rng = np.random.default_rng(4), np.random.default_rng(4)
    one, other = buffer.sample(200), twin.sample(200)
    for name in ("rewards", "dones", "discounts"):
        assert torch.equal(getattr(one, name), getattr(other, name))
    for mine, theirs in zip(buffer._read, twin._read, strict=True):
        assert torch.equal(mine.state, theirs.state)
    with pytest.raises(DataError, match="holds 7 steps, this one 9"):
        filled(1, 9, {}).set_state(buffer.get_state())


def test_a_user_who_takes_several_items_is_beyond_slate_q() -> None:
    model = gathered()
    model.replay_buffer._rows["click"][:] = 1
    with pytest.raises(UsageError, match="took several items of one slate"):
        model.replay_buffer.sample(8)


def test_the_choice_model_learns_who_takes_what() -> None:
    model = gathered()
    policy = model.policy
    assert isinstance(policy, SlateQPolicy)
    with private_torch(1):
        optimizer = torch.optim.Adam(policy.parameters(), lr=0.01)
        losses = []
        for _ in range(40):
            data = model.replay_buffer.sample(128)
            found = policy.values(
                data.observations, model.replay_buffer.inputs_of(data.observations)
            )
            loss = policy.extra_terms(found, model.replay_buffer)["choice"]
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    assert np.mean(losses[-5:]) < 0.9 * losses[0]
