"""The task of a training run with nothing but the items that it held out."""

from dataclasses import replace
from pathlib import Path

from slategym.agents.held_out import HeldItems
from slategym.agents.run_folder import RunFolder
from slategym.agents.train_config import TrainConfig
from slategym.envs.registry import get_variant, list_variants, register_variant
from slategym.envs.variant import Variant
from slategym.files import read_json


def held_variant(run: Path | str) -> str | None:
    """Return the id of a run's variant with held-out items alone, registered if it was not.

    Args:
        run: RUN folder.

    Returns:
        None where the run held out none.

    Raises:
        DataError: the folder is no run.
    """
    config = TrainConfig.from_json(read_json(RunFolder(Path(run)).agent)["config"])
    task, share = get_variant(config.variant), config.validation_items
    if share == 0 or not isinstance(task, Variant):
        return None
    name, _, version = task.id.rpartition("-v")
    held = f"{name}-held-out-{share:g}".replace(".", "_") + f"-v{version}"
    if held not in list_variants():
        register_variant(replace(task.override(parts=[HeldItems(share, 1.0)]), id=held))
    return held
