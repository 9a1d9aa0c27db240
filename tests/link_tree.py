"""Makes `.links/slategym`, the package as static tools want to see it: one folder of links.

The folders `envs/`, `agents/`, ... are installed as `slategym.envs`, ... by setuptools'
package-dir, whose editable import hook type checkers cannot follow.
"""

import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("agents", "benchmarks", "cf_baselines", "encoders", "envs")


def make(root: Path = ROOT) -> Path:
    """Make the link tree anew and return its folder."""
    links = root / ".links"
    shutil.rmtree(links, ignore_errors=True)
    package = links / "slategym"
    package.mkdir(parents=True)
    for entry in sorted((root / "slategym").iterdir()):
        if entry.name != "__pycache__":
            (package / entry.name).symlink_to(entry)
    for folder in FOLDERS:
        (package / folder).symlink_to(root / folder)
    return links


if __name__ == "__main__":
    make()
