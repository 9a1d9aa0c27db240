"""The variants that come with slategym."""

from slategym.envs import catalogue_music as catalogue_music
from slategym.envs import catalogue_news as catalogue_news
from slategym.envs import catalogue_shop as catalogue_shop
from slategym.envs import catalogue_video as catalogue_video
from slategym.envs import classic_tasks as classic_tasks
from slategym.envs.registry import register_variant
from slategym.envs.variant import STANDARD_PARTS, Variant

register_variant(
    Variant(
        id="slategym/World-v0",
        description="Slates for users fitted from a log, who drift, tire of topics and leave.",
        parts=STANDARD_PARTS,
    )
)
