"""The log a world keeps: which rows were public, and whether they fit the world.

Letters: N rows of the log, U users, I items.
"""

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from slategym.cf_baselines.interactions import Interactions
from slategym.errors import DataError

if TYPE_CHECKING:
    from slategym.envs.world import World

ByteArray = npt.NDArray[np.uint8]

# WITHHELD: public once, taken away by a scenario; neither learned from nor measured on.
PUBLIC, VALIDATION, TEST, WITHHELD = 0, 1, 2, 3
LOG_ARRAYS: dict[str, tuple[tuple[str, ...], str]] = {
    "log_user": (("N",), "int32"),
    "log_item": (("N",), "int32"),
    "log_value": (("N",), "float32"),
    "log_time": (("N",), "int64"),
    "log_split": (("N",), "uint8"),
}


def check_log(world: "World") -> None:
    """Refuse a log that is there in part only, or that names what is not there.

    Raises:
        DataError: some arrays of the log are missing, an index or a split is out of range, or a
            value is not finite.
    """
    missing = [name for name in LOG_ARRAYS if getattr(world, name) is None]
    if len(missing) == len(LOG_ARRAYS):
        return
    if missing:
        raise DataError(f"world {world.info.name!r} has a log without {', '.join(missing)}.")
    limits = {"log_user": world.n_users, "log_item": world.n_items, "log_split": WITHHELD + 1}
    for name, limit in limits.items():
        array = getattr(world, name)
        if len(array) and not (array.min() >= 0 and array.max() < limit):
            raise DataError(f"world {world.info.name!r}: {name} has entries outside [0, {limit}).")
    if world.log_value is not None and not np.isfinite(world.log_value).all():
        raise DataError(f"world {world.info.name!r}: log_value holds numbers that are not finite.")


def whole_log(world: "World") -> Interactions:
    """Return the log of a world in index form, implicit if every value is 1.

    Raises:
        DataError: the world keeps no log.
    """
    parts = (world.log_user, world.log_item, world.log_value, world.log_time)
    users, items, values, times = parts
    if users is None or items is None or values is None or times is None:
        raise DataError(
            f"world {world.info.name!r} keeps no log, for an older slategym built it; "
            "build it again from its catalogue and log."
        )
    return Interactions(
        user_ids=tuple(world.users["user_id"].astype(str)),
        item_ids=tuple(world.items["item_id"].astype(str)),
        users=users,
        items=items,
        values=values,
        times=times,
        implicit=bool((values == 1).all()),
        name=world.info.name,
    )
