"""What is worth saying about a world, as JSON values and as lines."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slategym.console import print_table

if TYPE_CHECKING:
    from slategym.envs.world import World


def world_summary(world: "World", folder: Path) -> dict[str, Any]:
    """Return name, sizes, modalities, held-out measures and assumptions of a world."""
    modalities = {
        name: int(array.shape[1])
        for name, array in (
            ("text", world.item_text),
            ("image", world.item_image),
            ("audio", world.item_audio),
        )
        if array is not None
    }
    info = world.info
    return {
        "world": str(folder),
        "name": info.name,
        "synthetic": info.synthetic,
        "hash": world.hash,
        "users": world.n_users,
        "held_out_users": int((world.users["split"] == "held_out").sum()),
        "items": world.n_items,
        "topics": world.n_topics,
        "modalities": modalities,
        "item_vector": int(world.item_vectors.shape[1]),
        "metrics": dict(info.metrics),
        "assumptions": list(info.assumptions),
        "source": info.source,
        "licence": info.licence,
    }


def print_world(summary: Mapping[str, Any]) -> None:
    """Print the summary of a world for people."""
    made_up = " (synthetic)" if summary["synthetic"] else ""
    modalities = ", ".join(f"{name} ({size})" for name, size in summary["modalities"].items())
    lines = [
        ("world", f"{summary['name']}{made_up}"),
        ("users", f"{summary['users']:,}, of which {summary['held_out_users']:,} held out"),
        ("items", f"{summary['items']:,} in {summary['topics']} topics"),
        ("encoded", modalities or "nothing: the items have no text, picture or sound"),
        ("item vector", f"{summary['item_vector']} numbers"),
        ("hash", summary["hash"][:16]),
        ("folder", summary["world"]),
    ]
    width = max(len(name) for name, _ in lines)
    print("\n".join(f"{name:<{width}}  {value}" for name, value in lines))
    _print_fit(summary["metrics"])


def _print_fit(metrics: Mapping[str, Any]) -> None:
    """Print how well the response model does on rows it was not fitted on."""
    from slategym.benchmarks.fidelity import log_loss_table

    rating = metrics.get("rating", {})
    if "rmse" in rating:
        beside = [
            f"{name.removeprefix('rmse_').replace('_', ' ')} {value:.4f}"
            for name, value in sorted(rating.items())
            if name.startswith("rmse_")
        ]
        print(f"held-out RMSE {rating['rmse']:.4f} ({', '.join(beside)})")
    table = log_loss_table(metrics)
    if table is not None:
        rows = [[row["name"], *row["values"]] for row in table["rows"]]
        columns = ["held-out clicks", *(name.lower() for name in table["columns"])]
        print_table("", columns, rows)
