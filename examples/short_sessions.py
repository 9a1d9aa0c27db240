"""A variant of your own: hurried users, who leave after two slates without a click.

slategym train --import examples/short_sessions.py --variant acme/ShortSessions-v0 \
    --world WORLD --out RUN
"""

from slategym.envs.parts import Patience
from slategym.envs.registry import register_variant
from slategym.envs.variant import Variant

register_variant(
    Variant.standard(
        "acme/ShortSessions-v0",
        Patience(patience=2.0, patience_cap=2.0),
        description="Hurried users: a small screen, little patience, at most 20 slates.",
        slate_size=3,
        horizon=20,
    )
)
