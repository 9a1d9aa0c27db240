"""A boutique as a slategym environment, with a part that slategym does not have."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from slategym.envs.arrays import AnyArray, DoubleArray
from slategym.envs.part import number, register_part
from slategym.envs.parts import Like, Patience, Reward
from slategym.envs.parts_change import Change
from slategym.envs.variant import Variant

if TYPE_CHECKING:
    from slategym.envs.reference_scene import Scene


@register_part
@dataclass(frozen=True)
class Window(Change):
    """What was on show a moment ago is passed by.

    The utility of an item that the slate before this one held loses ``window_fade``.
    """

    name = "window"
    window_fade: float = number(1.0, 0.0, 50.0, "logit lost by what the last slate held")

    def arrays(self, scene: "Scene") -> dict[str, AnyArray]:
        """Return what is remembered of each user: the last slate, item rows plus one (B, K)."""
        return {"last": np.zeros((scene.batch, scene.variant.slate_size), np.int32)}

    def utility(self, scene: "Scene") -> DoubleArray:
        """Return (B, N) what is added to the utility of ``scene.items``, natural-log odds."""
        last = scene.own[self.name]["last"]
        seen = (last[:, None, :] == scene.items[:, :, None] + 1).any(axis=2)
        return np.where(seen, -self.window_fade, 0.0)

    def after(self, scene: "Scene") -> None:
        """Remember the slate; an empty place is 0, which is no item."""
        scene.own[self.name]["last"][:] = scene.slate + 1


BOUTIQUE = Variant.standard(
    "acme/Boutique-v0",
    Window(),
    Like(),
    Patience(patience=3.0, patience_cap=3.0),
    Reward(watch_weight=0.5, like_weight=1.0),
    description="Three things on show, little patience, and nobody looks at a thing twice.",
    slate_size=3,
    horizon=30,
)
