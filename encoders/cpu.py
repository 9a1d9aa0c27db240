"""What the processor can do, and how many threads to use on it."""

import os
import platform
import re
from functools import cache
from pathlib import Path


@cache
def cpu_flags() -> frozenset[str]:
    """Return what the processor says it can do, as Linux names it; nothing on other systems."""
    if platform.machine() not in {"x86_64", "AMD64"}:
        return frozenset()
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return frozenset()
    found = re.search(r"^flags\s*:(.*)$", text, re.MULTILINE)
    return frozenset(found.group(1).split()) if found else frozenset()


def fast_int8() -> bool:
    """Return whether the products of `slategym.encoders.int8` run on this processor."""
    return {"avx2", "fma"} <= cpu_flags()


def threads() -> int:
    """Return ``OMP_NUM_THREADS`` if it is a number above 0, else the processors at hand."""
    chosen = os.environ.get("OMP_NUM_THREADS", "")
    if chosen.isdigit() and int(chosen):
        return int(chosen)
    at_hand = getattr(os, "sched_getaffinity", None)
    return len(at_hand(0)) if at_hand else os.cpu_count() or 1
