"""The number of CPU cores, and how long a thread ran on one, or waited for one."""

from __future__ import annotations

import os
import sys
from time import thread_time
from typing import NamedTuple

from ..errors import is_interrupt


class Clocks(NamedTuple):
    """Seconds of work of a thread, and how long it ran on a core meanwhile, or waited for one.

    Attributes:
        seconds: Seconds that went by.
        cpu: Seconds that the thread ran on a core.
        core_wait: Seconds that it was ready to run and waited for one.
    """

    seconds: float
    cpu: float
    core_wait: float


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def thread_clocks() -> tuple[float, float]:
    """Seconds that the calling thread ran on a core, and that it was ready to run and waited for one.

    Linux counts both in `/proc/thread-self/schedstat`, in nanoseconds; see `Documentation/scheduler/sched-stats.rst` of
    the kernel. Elsewhere the second is 0.
    """
    if sys.platform == "linux":
        try:
            fd = os.open("/proc/thread-self/schedstat", os.O_RDONLY)
            try:
                ran, waited, _ = os.read(fd, 128).split()
            finally:
                os.close(fd)
        except (OSError, ValueError) as error:
            if is_interrupt(error):
                raise
            return thread_time(), 0.0
        return int(ran) * 1e-9, int(waited) * 1e-9
    return thread_time(), 0.0
