"""The boutique is known by its id, keeps slategym's contract, and its window works."""

import gymnasium
import numpy as np

import slategym.envs  # noqa: F401 - makes the ids of installed packages known
from slategym.envs.checks import check_variant


def test_the_id_is_known_wherever_slategym_is() -> None:
    envs = gymnasium.make_vec("acme/Boutique-v0", num_envs=8, observation="ids")
    observation, _ = envs.reset(seed=0)
    assert observation["candidates"].shape == (8, 20)


def test_the_contract_is_kept() -> None:
    assert check_variant("acme/Boutique-v0") == []


def test_what_was_on_show_is_passed_by() -> None:
    utilities = []
    for fade in (0.0, 2.0):
        envs = gymnasium.make_vec(
            "acme/Boutique-v0", 64, observation="ids", privileged=True, window_fade=fade
        )
        before, _ = envs.reset(seed=0)
        slates = np.tile([0, 1, 2], (64, 1))
        after, _, ended, cut, info = envs.step(slates)
        utilities.append(info["privileged"]["utility"])
    shown = np.take_along_axis(before["candidates"], slates, 1)
    seen = (after["candidates"][:, :, None] == shown[:, None, :]).any(axis=2)
    going_on = ~(ended | cut)
    assert seen[going_on].any()
    lost = (utilities[0] - utilities[1])[going_on]
    np.testing.assert_allclose(lost, 2.0 * seen[going_on], atol=1e-5)
