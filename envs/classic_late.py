"""An observation that is put together when it is first looked at."""

from collections.abc import Callable
from typing import Any

from slategym.envs.arrays import AnyArray


def _late(name: str) -> Any:  # noqa: ANN401
    """Return a method of `dict` that puts the observation together first."""
    method = getattr(dict, name)

    def looked_at(self: "LateObservation", *arguments: Any) -> Any:  # noqa: ANN401
        return method(self.made(), *arguments)

    looked_at.__name__, looked_at.__doc__ = name, method.__doc__
    return looked_at


class LateObservation(dict[str, AnyArray]):
    """An observation by key, a dictionary like any other once anybody looks at it.

    Few callers look at the last observations of episodes in every step. To write these rows into
    arrays of the whole batch would take as long as a quarter of the step, for it touches memory
    that nothing else does.

    Args:
        make: returns the arrays by key; called once, or never.

    Example:
        >>> observation = LateObservation(lambda: {"user": [0.5]})
        >>> "user" in observation, len(observation)
        (True, 1)
    """

    def __init__(self, make: Callable[[], dict[str, Any]]) -> None:
        super().__init__()
        self._make: Callable[[], dict[str, Any]] | None = make

    def made(self) -> "LateObservation":
        """Return itself, put together."""
        make, self._make = self._make, None
        if make is not None:
            dict.update(self, make())
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Be copied and pickled as an ordinary dictionary."""
        return dict, (list(dict.items(self.made())),)

    __hash__ = None
    __contains__ = _late("__contains__")
    __delitem__ = _late("__delitem__")
    __eq__ = _late("__eq__")
    __getitem__ = _late("__getitem__")
    __ior__ = _late("__ior__")
    __iter__ = _late("__iter__")
    __len__ = _late("__len__")
    __ne__ = _late("__ne__")
    __or__ = _late("__or__")
    __repr__ = _late("__repr__")
    __reversed__ = _late("__reversed__")
    __ror__ = _late("__ror__")
    __setitem__ = _late("__setitem__")
    clear = _late("clear")
    copy = _late("copy")
    get = _late("get")
    items = _late("items")
    keys = _late("keys")
    pop = _late("pop")
    popitem = _late("popitem")
    setdefault = _late("setdefault")
    update = _late("update")
    values = _late("values")
