"""How episodes and sessions begin, and what users remember of a step, over batched arrays."""

import numpy as np

from slategym.envs import rng
from slategym.envs.arrays import BoolArray
from slategym.envs.physics import EXPOSURE_DECAY
from slategym.envs.reference_scene import Scene


def draw_users(scene: Scene, rows: BoolArray) -> None:
    """Draw the user of a new episode in ``rows`` (B,); everything else of them begins at zero."""
    state, world = scene.state, scene.world
    for name, array in state.asdict().items():
        if name not in ("seed", "stream", "episode", "candidates"):
            array[rows] = -1 if name in ("query", "owned") else 0
    user = scene.setting.pool[scene.below(rng.USER, 0, len(scene.setting.pool))]
    spread = float(scene.setting.parameters.get("taste_spread", 0.0))
    noise = scene.normal(rng.TASTE, np.arange(state.taste.shape[1]))
    taste = world.user_factors[user] + spread * world.user_std[user].astype(np.float64) * noise
    state.user[rows], state.bias[rows] = user[rows], world.user_bias[user[rows]]
    state.taste[rows] = taste[rows]
    state.history[rows] = world.user_history[user[rows]]
    state.history_value[rows] = world.user_history_value[user[rows]]
    if scene.find("ageing") is not None:
        period = int(scene.setting.parameters["calendar"])
        state.start[rows] = scene.below(rng.START, 0, period)[rows]


def remember(scene: Scene) -> None:
    """Write what was taken into the histories, newest last, and add up clicks and minutes."""
    state, watch, minutes = scene.state, scene.signal("watch"), scene.signal("minutes")
    state.last_watch[:] = 0.0
    for k, rows in enumerate(scene.click.T):
        for kept, new in ((state.history, scene.items), (state.history_value, watch)):
            kept[rows] = np.concatenate([kept[rows, 1:], new[rows, k : k + 1]], axis=1)
        state.last_watch[rows] = watch[rows, k]
        for total in (state.minutes, state.used):
            total[rows] = total[rows].astype(np.float64) + minutes[rows, k]
    clicks = scene.click.sum(axis=1)
    state.last_click[:] = clicks > 0
    state.clicks[:] = state.clicks + clicks
    scene.consumed = np.einsum("bkz,bk->bz", scene.topics, scene.click)


def expose(scene: Scene) -> None:
    """Let the exposure to topics that a platform can observe decay, and add that of the step."""
    for exposure, new in (
        (scene.state.consumed, scene.consumed),
        (scene.state.shown, scene.shown),
    ):
        exposure[:] = EXPOSURE_DECAY * exposure.astype(np.float64) + new
