"""What would help a run that waits for its data.

Each rule is a function of the figures that returns advice, or None where it does not apply. The first one that applies
is given. A rule decides from what was measured directly. The time of loading has three parts: on a CPU core, ready to
run and waiting for one, and neither, which is waiting for storage, a network, the GIL or another lock. On a core that
is free, only the first and the third part would remain, so that the larger of these two says what loading is made of,
however busy the cores are. Waiting for the GIL shows in how long the consumer needs to run once a batch is ready.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from typing import NamedTuple

from ..text import counted
from .figures import Figures

EVIDENCE_SECONDS = 0.1
"""Clocks are read once in 5 ms of each worker; less work than this tells nothing."""

BUSY = 0.8
"""From this share of time on, workers have no time left."""

SOMETIMES = 0.05
"""All batches were sometimes ready if they were at this share of the steps; less may be the start and chance."""

GIL_SECONDS = 0.2e-3
"""A consumer that gets the GIL later than this after its batch is ready, on average, waits for threads that hold it.

Measured on 2 cores: 0.01 to 0.1 ms for rows that wait for storage or run in C, and 0.6 to 12 ms for 1 to 4 threads of
Python, which hand the GIL over after 5 ms, Python's switch interval.
"""

IN_TURN = (0.4, 1.4)
"""CPU cores that all workers together use or wait for, if they hold the GIL in turn."""

CORE_WAIT = 0.4
"""From this share of the loading on, waiting for a core is what limits it."""

QUICK_SECONDS = 20e-6
"""An item that is read in less than 20 us costs mostly the Python around it."""

TINY_SECONDS = 60e-6
"""A loop that takes less than 60 us for a batch, loading included, has nothing to do while others load."""

CHEAPER = "make the dataset's transforms cheaper, or keep their results with cache()"
"""What helps where cores have no time left."""

GUESS = 4
"""Advice multiplies a setting by this at most: what comes after the next bottleneck cannot be seen from here."""


class Parts(NamedTuple):
    """The parts of the time of loading, between 0 and 1: on a core, waiting for a core, and neither of both."""

    cpu: float
    core_wait: float
    waiting: float

    @property
    def computes(self) -> bool:
        """Whether loading would mostly be CPU time if cores were free."""
        return self.cpu >= self.waiting


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
    """CPU cores for a part of the loading, on average since the first batch; without what was loaded for that one."""
    steady = figures.elapsed - figures.first_wait
    work = loading(figures)
    return seconds / steady * (work - figures.first_busy) / work if steady > 0 and work > 0 else 0.0


def process_cores(figures: Figures) -> float:
    """CPU cores that this process has used since the first batch, training included."""
    return figures.process_cpu / max(1e-9, figures.elapsed - figures.first_wait)


def workers_are_here(figures: Figures) -> bool:
    """Whether workers are threads of this process, as those of an executor are if its CPU time has theirs."""
    return figures.kind == "thread" or (
        figures.kind == "executor" and process_cores(figures) >= 0.8 * cores_used(figures, figures.cpu)
    )


def gil_wait(figures: Figures) -> float:
    """Seconds from the moment when a late batch is ready to that when the consumer has the GIL, on a core of its own."""
    return (figures.wake_wait - figures.wake_core_wait) / max(1, sum(figures.ready[:1]))


def quick_items(figures: Figures) -> str | None:
    """Rows are read one by one, though reading one takes hardly longer than asking for it."""
    seconds = figures.reading / max(1, figures.local_rows)
    read_alone = figures.read_method == "items"
    if not read_alone or seconds > QUICK_SECONDS or figures.placing > figures.reading + figures.batching:
        return None
    return (
        f"Rows are read one by one, in {seconds * 1e6:.1f} us each, which is mostly Python: read whole batches, with "
        "an ArrayDataset, map(fn, vectorized=True), or a dataset that has gather or __getitems__."
    )


def tiny_batches(figures: Figures) -> str | None:
    """Batches follow each other so fast that to hand them over from other threads would take as long."""
    seconds = (figures.elapsed - figures.first_wait) / figures.batches
    if seconds > TINY_SECONDS:
        return None
    return (
        f"A batch came every {seconds * 1e6:.1f} us, too fast for more threads to help: larger batches, or transforms "
        "of whole ones, map(fn, vectorized=True), would take less time for a row."
    )


def placing(figures: Figures) -> str | None:
    """Most of the work is moving batches to devices."""
    if figures.placing <= figures.reading + figures.batching:
        return None
    return (
        "Most of the loader's time goes into moving batches to devices: send less, such as uint8 images that the "
        "training step converts."
    )


def no_workers(figures: Figures) -> str | None:
    """Nothing is loaded while the training step computes."""
    if figures.kind != "caller":
        return None
    wanted = workers_wanted(figures)
    setting = ".prefetch(2)" if wanted == 1 else f".workers({wanted})"
    return f"Batches are loaded only when they are asked for: {setting} loads them while training computes."


def too_short(figures: Figures) -> str | None:
    """Workers have worked for too short a time to be measured."""
    if figures.busy >= EVIDENCE_SECONDS:
        return None
    return f"Workers have worked for {figures.busy:.2f} s, which is too short to say what limits them."


def interpreter_lock(figures: Figures) -> str | None:
    """Threads of this process hold the GIL in turn, and the consumer has to wait for it as well."""
    together = cores_used(figures, figures.cpu)
    runnable = cores_used(figures, figures.cpu + figures.core_wait)
    if not workers_are_here(figures) or figures.cores < 2 or parts(figures).core_wait >= CORE_WAIT:
        return None
    if gil_wait(figures) <= GIL_SECONDS or not IN_TURN[0] <= runnable <= IN_TURN[1]:
        return None
    wanted = min(figures.cores, max(figures.workers, workers_wanted(figures)))
    return (
        f"The GIL is the bottleneck: {counted(figures.workers, 'thread')} used {together:.1f} CPU cores, since only "
        f'one at a time can run Python. Use processes: .workers({wanted}, kind="process").'
    )


def starved_loop(figures: Figures) -> str | None:
    """The batch was ready for most of the wait, and the loop's thread waited for a core."""
    waited = figures.waited - figures.first_wait
    if figures.wake_core_wait < 0.5 * waited:
        return None
    return (
        f"For {figures.wake_core_wait / waited:.0%} of that the batch was ready, and the loop waited for a CPU core: "
        f"{other_programs(figures)}. No setting of the loader frees one."
    )


def uneven_batches(figures: Figures) -> str | None:
    """Workers had time left, and the window was full at some steps and empty at others."""
    asked = max(1, sum(figures.ready))
    empty, full = sum(figures.ready[:1]) / asked, sum(figures.ready[max(1, figures.prefetch) :]) / asked
    if figures.busy_share >= BUSY or not empty or full < SOMETIMES:
        return None
    deeper = max(2 * figures.prefetch, figures.workers)
    return (
        f"All {figures.prefetch} batches were ready at {full:.0%} of the steps and none at {empty:.0%}: some "
        f"batches take far longer than others. .prefetch({deeper}) lets workers load further ahead."
    )


def waiting_workers(figures: Figures) -> str | None:
    """Workers have no time left, and mostly wait for something that is no core and not the GIL."""
    of = parts(figures)
    in_gil = workers_are_here(figures) and gil_wait(figures) > GIL_SECONDS
    if figures.busy_share < BUSY or of.computes or (in_gil and of.core_wait >= CORE_WAIT):
        return None
    wanted = max(figures.workers + 1, workers_wanted(figures))
    return (
        f"{busy(figures)}, and waited for storage, a network or a lock in {of.waiting:.0%} of it. "
        f"{setting(figures, wanted)} would wait for more rows at the same time."
    )


def cores_of_others(figures: Figures) -> str | None:
    """Workers were ready to run, and waited for a core; more of them would wait as well."""
    of = parts(figures)
    if of.core_wait < CORE_WAIT:
        return None
    return (
        f"Workers waited {of.core_wait:.0%} of their time for a CPU core: {other_programs(figures)}. "
        "No setting of the loader frees one."
    )


def all_cores(figures: Figures) -> str | None:
    """Loading is computing, and the process has no CPU time left."""
    used = process_cores(figures)
    if figures.kind == "process":
        used += cores_used(figures, figures.cpu)
    if not parts(figures).computes or used < 0.9 * figures.cores:
        return None
    cores = "The CPU core is" if figures.cores == 1 else f"All {figures.cores} CPU cores are"
    return f"{cores} busy: {CHEAPER}."


def idle_workers(figures: Figures) -> str | None:
    """Workers had time left, yet batches were late."""
    if figures.busy_share >= BUSY:
        return None
    working = figures.busy_share * figures.workers
    if figures.prefetch < figures.workers and working >= BUSY * (figures.prefetch + 1):
        return (
            f"Workers were busy {figures.busy_share:.0%} of the time: with prefetch({figures.prefetch}), only "
            f"{counted(figures.prefetch + 1, 'batch', 'batches')} can be loaded at a time. "
            f".prefetch({figures.workers}) gives each worker one."
        )
    return (
        f"Workers were busy {figures.busy_share:.0%} of the time, and batches were late all the same: a timeline shows "
        "what each worker does when (batches.timeline())."
    )


def busy_workers(figures: Figures) -> str | None:
    """Workers compute; another one needs a core of its own."""
    here = figures.kind == "process" or workers_are_here(figures)
    if here and figures.workers >= figures.cores:
        return (
            f"{busy(figures)}, mostly computing, and there are no more than {counted(figures.cores, 'CPU core')}: "
            f"{CHEAPER}."
        )
    wanted = max(figures.workers + 1, workers_wanted(figures))
    return f"{busy(figures)}, mostly computing. {setting(figures, wanted)} would share the work."


RULES: tuple[Callable[[Figures], str | None], ...] = (
    quick_items,
    tiny_batches,
    placing,
    no_workers,
    too_short,
    interpreter_lock,
    starved_loop,
    uneven_batches,
    waiting_workers,
    cores_of_others,
    all_cores,
    idle_workers,
    busy_workers,
)


def workers_wanted(figures: Figures) -> int:
    """How many workers would load in the time that training computes; to compute, no more than there are cores."""
    work, computing = loading(figures), figures.elapsed - figures.waited
    most = GUESS * max(1, figures.workers)
    if parts(figures).computes and figures.kind != "executor":
        most = min(most, figures.cores)
    return min(most, max(1, ceil(work / computing))) if computing > 0 else most


def setting(figures: Figures, workers: int) -> str:
    """The setting that gives a loader so many workers, of the kind that it has."""
    if figures.kind == "process":
        return f'.workers({workers}, kind="process")'
    return f"An executor of {workers} workers" if figures.kind == "executor" else f".workers({workers})"


def busy(figures: Figures) -> str:
    """How busy the workers were, as the beginning of a sentence."""
    who = "The worker was" if figures.workers == 1 else f"The {figures.workers} workers were"
    return f"{who} busy {figures.busy_share:.0%} of the time"


def other_programs(figures: Figures) -> str:
    """Who has the cores."""
    return (
        f"other programs, other threads of this one, or a limit of its container keep the "
        f"{counted(figures.cores, 'core')} busy"
    )
