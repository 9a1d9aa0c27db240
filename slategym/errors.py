"""The errors a user can cause, and the exit codes the command line gives them."""

import difflib
from collections.abc import Iterable


class SlateGymError(Exception):
    """An error with a one-sentence message: what came, what is allowed, where, what to do."""

    exit_code = 1


class UsageError(SlateGymError):
    """The call itself is wrong: an unknown option, variant, encoder or policy."""

    exit_code = 2


class DataError(SlateGymError):
    """The data given is wrong: a file, a row, a column, a damaged world or run folder."""

    exit_code = 3


class MissingModelError(SlateGymError):
    """A pretrained model is needed, is not in the cache and cannot be fetched."""

    exit_code = 1


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the known name nearest to ``name``, or ``""``."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" Did you mean {close[0]!r}?" if close else ""


def unknown_name(kind: str, name: str, known: Iterable[str]) -> UsageError:
    """Return the error for a name that is not registered, with the nearest known one."""
    names = sorted(known)
    listed = ", ".join(names)
    return UsageError(f"unknown {kind} {name!r}.{nearest(name, names)} Known: {listed}.")
