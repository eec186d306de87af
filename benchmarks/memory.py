"""Measures the memory of this process and its children, as Linux counts it."""

from __future__ import annotations

import re
from pathlib import Path

OWN = Path("/proc/self")


def reset_peak() -> None:
    """Resets the peak of this process, if the system allows it."""
    try:
        (OWN / "clear_refs").write_text("5")
    except OSError:
        return


def current_mb() -> float:
    """The memory that this process uses now."""
    return _field(OWN / "status", "VmRSS")


def peak_mb() -> float:
    """The peak of this process since `reset_peak`."""
    return _field(OWN / "status", "VmHWM")


def children_mb() -> float:
    """The memory that the descendants of this process use now and do not share."""
    total = 0.0
    for child in (OWN / "task").glob("*/children"):
        for pid in child.read_text().split():
            total += _private_mb(Path("/proc") / pid)
    return total


def _private_mb(process: Path) -> float:
    try:
        own = sum(_field(process / "smaps_rollup", name) for name in ("Private_Clean", "Private_Dirty"))
        below = [pid for path in (process / "task").glob("*/children") for pid in path.read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return 0.0  # the process has just ended
    return own + sum(_private_mb(Path("/proc") / pid) for pid in below)


def _field(path: Path, name: str) -> float:
    found = re.search(rf"^{name}:\s+(\d+) kB", path.read_text(), re.MULTILINE)
    return int(found[1]) / 1024 if found else 0.0
