"""``python -m slategym.benchmarks.off_policy FOLDER`` recomputes every number of reference cases.

The folder holds ``reference.json`` and one npz file for each case. A line is printed for each case
and key (ours, the reference, the error), the worst error last; the exit code is 1 if an error is
above 1e-6. Keys that the arrays say nothing about are listed as not checked and counted.
"""

import argparse
import sys
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from slategym.benchmarks.off_policy_cases import (
    BanditCase,
    Case,
    MipsCase,
    SequenceCase,
    SlateCase,
)
from slategym.benchmarks.off_policy_diversity import DiversityCase
from slategym.errors import DataError, SlateGymError
from slategym.files import read_json

TOLERANCE = 1e-6
# What makes a case this kind: the arrays it has. The first that fits is taken.
_KINDS: tuple[tuple[frozenset[str], type[Case]], ...] = (
    (
        frozenset({"rec_items", "rec_scores", "train", "test", "genres", "embeddings"}),
        DiversityCase,
    ),
    (frozenset({"state", "action", "reward", "alive", "pi_b", "pi_e"}), SequenceCase),
    (frozenset({"action", "reward", "pscore_slate", "pi_e_slate"}), SlateCase),
    (frozenset({"action", "reward", "embed", "p_e_a", "pi_e", "pi_b"}), MipsCase),
    (frozenset({"action", "reward", "pscore", "pi_e"}), BanditCase),
)
# Numbers that go in, and words.
_GIVEN = frozenset({"gamma", "on_policy_eval_clicks", "on_policy_eval_n"})
_TRUTHS = (
    "on_policy_eval_mean",
    "ground_truth_exact",
    "ground_truth_expected",
    "ground_truth_expected_first300",
)


@dataclass(frozen=True)
class Check:
    """One key of one case.

    Attributes:
        case: name of the case.
        key: path in its JSON, joined by dots.
        ours: what was computed, ``None`` if the arrays say nothing about the key.
        reference: what the JSON says.
        error: absolute difference, of lists the largest; infinite if one is not a number.
    """

    case: str
    key: str
    ours: float | list[int] | None
    reference: float | list[int]
    error: float

    @property
    def checked(self) -> bool:
        """Whether there was something to compare."""
        return self.ours is not None


def check_folder(folder: Path | str) -> Iterator[Check]:
    """Yield a check for each number of each case in a folder.

    Args:
        folder: holds ``reference.json`` and npz files.

    Raises:
        DataError: the JSON is missing, damaged or has no cases; no npz file is there, or one is
            damaged or of no known kind. Cases without their file are not checked.
    """
    base = Path(folder)
    told = read_json(base / "reference.json")
    cases = told.get("cases") if isinstance(told, dict) else None
    if not isinstance(cases, dict) or not cases:
        raise DataError(
            f"{base / 'reference.json'} has no cases; it needs an object 'cases' with a name "
            "for each npz file."
        )
    present = {name: one for name, one in cases.items() if _file(base, name, one) is not None}
    if not present:
        raise DataError(f"{base} has no npz file of the {len(cases)} cases in reference.json.")
    for name, one in cases.items():
        if name in present:
            yield from check_case(name, one, load_arrays(base, name, one))
        else:
            for path, reference in _numbers(one):
                yield Check(name, ".".join(path), None, reference, np.nan)


def check_case(
    name: str, told: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[np.generic]]
) -> Iterator[Check]:
    """Yield a check for each number the JSON of a case lists.

    Args:
        name: name of the case.
        told: its JSON.
        arrays: content of its npz file.

    Raises:
        DataError: the arrays are of no known kind.
    """
    for needed, kind in _KINDS:
        if needed <= set(arrays):
            try:
                case = kind(arrays, told)  # type: ignore[call-arg]
            except KeyError as missing:
                raise DataError(f"case {name!r} lacks {missing.args[0]!r}.") from None
            break
    else:
        raise DataError(
            f"case {name!r} has arrays {', '.join(sorted(arrays))}; that is no kind of case known "
            "here: bandit, embedding, slate, sequence or diversity."
        )
    for path, reference in _numbers(told):
        relative = path[0] == "rel_error" and len(path) == 2
        ours = _relative_error(case, told, path[1]) if relative else case.value(path)
        yield Check(name, ".".join(path), ours, reference, _error(ours, reference))


def load_arrays(folder: Path, name: str, told: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arrays of a case: of the file its JSON names, looked for in the folder itself.

    Raises:
        DataError: the file is missing or damaged.
    """
    path = _file(folder, name, told)
    if path is None:
        raise DataError(f"case {name!r} has no npz file in {folder}.")
    try:
        # A file opened here is closed here: np.load leaves a damaged one open.
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
            return {key: stored[key] for key in stored.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise DataError(
            f"{path} is not a readable npz file ({error}); it was damaged or cut short."
        ) from None


def _file(folder: Path, name: str, told: Mapping[str, Any]) -> Path | None:
    """Return the npz file of a case, ``None`` if it is not there."""
    named = str(told.get("fixture", f"{name}.npz"))
    choices = [folder / named, folder / Path(named).name, folder / f"{name}.npz"]
    return next((choice for choice in choices if choice.is_file()), None)


def _numbers(
    told: Mapping[str, Any], path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield the path and value of each number and each list of numbers."""
    for key, value in told.items():
        if isinstance(value, Mapping):
            yield from _numbers(value, (*path, key))
        elif isinstance(value, list) or (isinstance(value, int | float) and key not in _GIVEN):
            yield (*path, key), value


def _relative_error(case: Case, told: Mapping[str, Any], estimator: str) -> float | None:
    """Return |estimate - truth| / |truth|, the truth being ours where the arrays give it."""
    ours = case.value(("estimates", estimator))
    named = next((name for name in _TRUTHS if name in told), None)
    if named is None or not isinstance(ours, float):
        return None
    known = case.value((named,))
    truth = known if isinstance(known, float) else float(told[named])
    return abs(ours - truth) / abs(truth) if truth else np.nan


def _error(ours: float | list[int] | None, reference: float | list[int]) -> float:
    """Return the largest absolute difference, infinite where shapes or NaN differ."""
    if ours is None:
        return np.nan
    try:
        first, second = np.asarray(ours, np.float64), np.asarray(reference, np.float64)
    except (TypeError, ValueError):
        return np.inf
    if first.shape != second.shape:
        return np.inf
    both = np.isnan(first) & np.isnan(second)
    gaps = np.where(both, 0.0, np.abs(first - second))
    return float(np.where(np.isnan(gaps), np.inf, gaps).max(initial=0.0))


def _line(check: Check) -> str:
    """Return the line of a check."""
    start = f"{check.case}  {check.key}  "
    if not check.checked:
        return f"{start}not checked  reference {_said(check.reference)}"
    return (
        f"{start}ours {_said(check.ours)}  reference {_said(check.reference)}  "
        f"error {check.error:.2e}{'' if check.error <= TOLERANCE else '  ABOVE 1e-6'}"
    )


def _said(value: float | list[int] | None) -> str:
    """Return a number with all its digits, or a list."""
    return str(value) if isinstance(value, list) else f"{value!r}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Check a folder and return 0, 1 for an error above 1e-6, or the code of bad input."""
    parser = argparse.ArgumentParser(
        prog="python -m slategym.benchmarks.off_policy", description=__doc__
    )
    parser.add_argument("folder", type=Path, help="folder with reference.json and npz files")
    parser.add_argument("--quiet", action="store_true", help="print only what is wrong or unknown")
    given = parser.parse_args(arguments)
    worst: Check | None = None
    checked = left = 0
    try:
        for check in check_folder(given.folder):
            if not given.quiet or not check.checked or check.error > TOLERANCE:
                sys.stdout.write(_line(check) + "\n")
            checked, left = checked + check.checked, left + (not check.checked)
            if check.checked and (worst is None or check.error > worst.error):
                worst = check
    except SlateGymError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    sys.stdout.write(f"{checked} numbers checked, {left} not checked\n")
    if worst is None:
        sys.stdout.write("worst error: nothing was checked\n")
        return 1
    sys.stdout.write(f"worst error: {worst.error:.2e} ({worst.case}  {worst.key})\n")
    return int(worst.error > TOLERANCE)


if __name__ == "__main__":
    raise SystemExit(main())
