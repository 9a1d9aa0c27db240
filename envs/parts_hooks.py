"""What any part may do in a batched step, whatever its slot: keep state, begin, and change."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from slategym.envs.arrays import AnyArray, BoolArray, DoubleArray
from slategym.envs.part import Part

if TYPE_CHECKING:
    from slategym.envs.reference_scene import Scene


@dataclass(frozen=True)
class HookedPart(Part):
    """A part whose hooks the NumPy step calls; each does nothing unless a class states it.

    A hook sees all B users at once in a `slategym.envs.reference_scene.Scene`, and may write to
    its own arrays (``scene.own[self.name]``) and to nothing else that was handed to it. The
    compiled step computes the same for the parts that come with slategym.
    """

    def arrays(self, scene: "Scene") -> dict[str, AnyArray]:  # noqa: ARG002
        """Return the state the part keeps, by name: zeros with leading axis B.

        It is set to zero when an episode begins, and is part of every snapshot.
        """
        return {}

    def begin(self, scene: "Scene", rows: BoolArray) -> None:
        """Set the part's own arrays where an episode begins (``rows`` (B,))."""

    def visit(self, scene: "Scene", rows: BoolArray) -> None:
        """Set them where a session begins (``rows`` (B,)), the first of an episode too."""

    def after(self, scene: "Scene") -> None:
        """Change them at the end of a step, when all feedback is given."""

    def away(self, scene: "Scene", days: DoubleArray) -> None:
        """Change them for users who were away for ``days`` (B,); 0: the session goes on."""
