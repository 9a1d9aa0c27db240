"""What the two faces ask of a simulation: one batch of users who meet slates step by step."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from gymnasium import spaces

from slategym.envs.arrays import AnyArray, BoolArray, FloatArray, KeyArray, LongArray
from slategym.errors import UsageError


class Step(NamedTuple):
    """What B users did in one step. Every array is new and is never written to again."""

    reward: FloatArray
    """(B,) float32."""
    terminated: BoolArray
    """(B,) the episode ended by itself: the user left for good, or the budget is spent."""
    truncated: BoolArray
    """(B,) the horizon was reached; never together with ``terminated``."""
    info: dict[str, Any]
    """Arrays with leading axis B, in nested dicts: ``response``, ``slate``, ``reward_terms``."""


@runtime_checkable
class Simulation(Protocol):
    """B users at once; row b depends on its own counters only, never on the other rows.

    A simulation may also offer ``turn(actions, privileged)``, which returns what
    `SlateVectorEnv.step` returns; the face calls it where step, autoreset and observation in one
    pass are faster than apart. Likewise ``turn_one(action, privileged)`` for `SlateEnv.step`.
    """

    batch: int
    observation_space: spaces.Dict
    """Of one user."""
    action_space: spaces.Space[Any]
    """Of one user."""

    def begin(self, seed: KeyArray, stream: KeyArray) -> None:
        """Start episode 0 of user stream (seed, stream) in every row; both are (B,)."""

    def next_episode(self, rows: BoolArray) -> None:
        """Start the next episode of the same user streams in ``rows`` (B,)."""

    def step(self, actions: AnyArray) -> Step:
        """Take one step.

        Raises:
            UsageError: the actions have another shape, kind or range; nothing has changed then.
        """

    def observe(self, rows: BoolArray | None = None) -> dict[str, AnyArray]:
        """Return the present observation in new arrays; rows not asked for are zero."""

    def privileged(self) -> dict[str, AnyArray]:
        """Return what only an oracle may know of the users and of the next candidates."""

    def get_state(self) -> dict[str, AnyArray]:
        """Return a copy of everything that changes."""

    def set_state(self, snapshot: Mapping[str, AnyArray]) -> None:
        """Go back to a snapshot of `get_state`; the next step is the same bits as it was then."""

    def ansi(self, row: int) -> str:
        """Return the last slate of a row as text."""


@runtime_checkable
class AnyVariant(Protocol):
    """A task as data, of any family; frozen."""

    @property
    def id(self) -> str:
        """``namespace/Name-vN``."""

    @property
    def description(self) -> str:
        """One line for listings."""

    @property
    def family(self) -> str:
        """Which simulation runs it."""

    @property
    def slate_size(self) -> int:
        """K, items shown per step."""

    @property
    def num_candidates(self) -> int:
        """C, items to choose the slate from."""

    @property
    def horizon(self) -> int:
        """Steps after which an episode is truncated."""

    @property
    def observation(self) -> str:
        """How items are observed: "features", "ids", ..."""

    @property
    def parameters(self) -> dict[str, Any]:
        """Every parameter that can be overridden, flat, with its value."""

    def to_json(self) -> dict[str, Any]:
        """Return the variant as plain JSON values, ``family`` among them."""

    def override(self, **changes: Any) -> "AnyVariant":  # noqa: ANN401
        """Return the variant with some parameters changed."""

    def simulation(
        self,
        batch: int,
        world: Any = None,  # noqa: ANN401
        users: str = "all",
    ) -> Simulation:
        """Return ``batch`` users in this task."""


def positions(actions: AnyArray, batch: int, size: int) -> LongArray:
    """Return slates as a C-contiguous (B, K) int64 array; the range is not looked at.

    Args:
        actions: (B, K) integers, or (B,) if K is 1.
        batch: B.
        size: K.

    Raises:
        UsageError: another shape, or no integers.
    """
    array = np.asarray(actions)
    if array.shape != (batch, size) and not (size == 1 and array.shape == (batch,)):
        raise UsageError(f"actions have shape {array.shape}; they must be {(batch, size)}.")
    if array.dtype.kind not in "iu":
        raise UsageError(f"actions are {array.dtype}; they must be integer positions.")
    return np.ascontiguousarray(array.reshape(batch, size), dtype=np.int64)


def out_of_range(actions: AnyArray, count: int) -> UsageError:
    """Return the error of positions outside [0, count)."""
    return UsageError(
        f"actions reach from {actions.min()} to {actions.max()}; positions must be in [0, {count})."
    )


def restore(state: Mapping[str, AnyArray], snapshot: Mapping[str, AnyArray]) -> None:
    """Write a snapshot into the arrays of a state, all of it or nothing.

    Raises:
        UsageError: the snapshot is of another batch size, world or variant.
    """
    for name, array in state.items():
        given = snapshot.get(name)
        if given is None or given.shape != array.shape or given.dtype != array.dtype:
            raise UsageError(
                f"state array {name!r} does not fit this environment (expected {array.dtype} "
                f"{array.shape}); restore it into one made with the same world, variant and "
                "num_envs."
            )
    for name, array in state.items():
        array[...] = snapshot[name]
