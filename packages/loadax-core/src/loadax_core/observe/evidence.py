"""What the figures of a run say directly of its workers, the CPU cores and the GIL.

The time of loading has three parts: on a CPU core, ready to run and waiting for one, and neither, which is waiting for
storage, a network, the GIL or another lock. On a core that is free, only the first and the third would remain. So the
larger of these two says what loading is made of, however busy the cores are. Waiting for the GIL shows in how long the
consumer needs to run once its batch is ready.
"""

from __future__ import annotations

from typing import NamedTuple

from .figures import Figures

GIL_SECONDS = 0.2e-3
"""A consumer that gets the GIL later than this after its batch is ready, on average, waits for threads that hold it.

A thread of Python hands the GIL over after 5 ms, Python's switch interval, or when it waits for something. A consumer
that gets it from threads that run C, or wait, needs the time to wake up, far less than this.
"""


class Parts(NamedTuple):
    """The parts of the time of loading, between 0 and 1: on a core, waiting for a core, and neither of both."""

    cpu: float
    core_wait: float
    waiting: float

    @property
    def computes(self) -> bool:
        """Whether loading would mostly be CPU time if cores were free."""
        return self.cpu >= self.waiting

    @property
    def crowded(self) -> bool:
        """Whether a thread waited for a core more than half as long as it ran.

        A thread that waits for a core may hold the GIL meanwhile, whatever it runs, so that others wait for the GIL.
        """
        return self.core_wait > 0.5 * self.cpu


def parts(figures: Figures) -> Parts:
    """What the time of loading was spent on."""
    work = loading(figures)
    if work <= 0:
        return Parts(0.0, 0.0, 0.0)
    cpu = min(1.0, figures.cpu / work)
    core_wait = min(1.0 - cpu, figures.core_wait / work)
    return Parts(cpu, core_wait, 1.0 - cpu - core_wait)


def loading(figures: Figures) -> float:
    """Seconds of loading, summed over workers."""
    return figures.busy if figures.workers else figures.reading + figures.batching + figures.placing


def cores_used(figures: Figures, seconds: float) -> float:
    """How many CPU cores `seconds` of CPU time are, on average from the first batch on.

    Args:
        figures: The figures of the run.
        seconds: CPU time of workers, in all of their loading. The share of it that went into loading before the first
            batch is left out.
    """
    steady = figures.elapsed - figures.first_wait
    work = loading(figures)
    return seconds / steady * (work - figures.first_busy) / work if steady > 0 and work > 0 else 0.0


def process_cores(figures: Figures) -> float:
    """CPU cores that this process has used since the first batch, training included."""
    return figures.process_cpu / max(1e-9, figures.elapsed - figures.first_wait)


def workers_are_here(figures: Figures) -> bool:
    """Whether workers are threads of this process; those of an executor are if this process used their CPU time."""
    return figures.kind == "thread" or (
        figures.kind == "executor" and process_cores(figures) >= 0.8 * cores_used(figures, figures.cpu)
    )


def gil_is_late(figures: Figures) -> bool:
    """Whether the consumer, on a core of its own, gets the GIL late from workers that may hold it."""
    return may_hold_gil(figures, figures.wake_wait - figures.wake_core_wait)


def may_hold_gil(figures: Figures, seconds: float) -> bool:
    """Whether a consumer waited so long with its batch ready that workers must have held the GIL.

    Workers in other processes cannot hold it.

    Args:
        figures: The figures of the run.
        seconds: How long the consumer did not run though its batch was ready, in all.
    """
    return workers_are_here(figures) and seconds > GIL_SECONDS * max(1, sum(figures.ready[:1]))
