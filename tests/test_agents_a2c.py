"""A2C with the Plackett-Luce head: without auxiliary losses it is Stable-Baselines3's own."""

from typing import Any

import torch
from stable_baselines3 import A2C

from slategym.agents.item_tables import PublicTables
from slategym.agents.sb3_env import as_sb3
from slategym.agents.slate_a2c import SlateA2C
from slategym.agents.slate_policy import SlatePolicy
from slategym.agents.training import private_torch, seed_rollout
from slategym.envs.tiny import tiny_world
from slategym.envs.vector import SlateVectorEnv


def make_model(kind: type[A2C], aux: dict[str, float], **options: object) -> Any:  # noqa: ANN401
    env = as_sb3(SlateVectorEnv(16, world=tiny_world(), observation="ids"))
    network = {"tables": PublicTables.from_world(tiny_world()), "aux": aux} | options
    settings: dict[str, Any] = {"n_steps": 8, "seed": 3, "learning_rate": 1e-3, "gamma": 0.97}
    settings |= {"gae_lambda": 0.95, "ent_coef": 0.003, "normalize_advantage": True}
    return kind(SlatePolicy, env, device="cpu", policy_kwargs=network, **settings)


def test_without_auxiliary_losses_the_agent_is_plain_a2c_bit_for_bit() -> None:
    with private_torch(1):
        ours = make_model(SlateA2C, {})
        ours.policy.targets = None  # kept inputs differ from inputs read anew by rounding
        seed_rollout(1, 1)
        ours.learn(3 * 128)
        plain = make_model(A2C, {}, optimizer_class=torch.optim.Adam)
        seed_rollout(1, 1)
        plain.learn(3 * 128)
    theirs = plain.policy.state_dict()
    for name, mine in ours.policy.state_dict().items():
        torch.testing.assert_close(mine, theirs[name], rtol=0, atol=0, msg=name)


def test_auxiliary_losses_join_the_one_step_of_a_rollout() -> None:
    with private_torch(1):
        model = make_model(SlateA2C, {"rating": 1.0})
        model.begin(1000)
        before = model.policy.response_query.weight.detach().clone()
        model.iterate()
    assert set(model.policy.take_aux_means()) == {"rating", "rating/click", "rating/rating"}
    assert not torch.equal(before, model.policy.response_query.weight)
    assert set(model.gradient_norms()) == {"policy", "value", "rating"}
