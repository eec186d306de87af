"""What would help a run that waits for its data.

Each rule is a function of the figures that returns advice, or None where it does not apply. The first one that applies
is given. A rule decides from what was measured directly (`evidence`), and gives no advice where that says nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil

from ..text import counted
from .evidence import cores_used, gil_is_late, loading, may_hold_gil, parts, process_cores, workers_are_here
from .figures import Figures

EVIDENCE_SECONDS = 0.1
"""Less than 0.1 s of work for each worker, or of waiting in the loop, tells nothing.

A thread's clocks are read once in 5 ms, and the kernel counts late: of 0.05 s, a quarter and more may be missing.
"""

BUSY = 0.8
"""From this share of time on, workers have no time left."""

SOMETIMES, SOME_STEPS = 0.05, 5
"""Batches are uneven if all were ready at 5% of the steps or more, and at 5 steps or more, and none at 5 or more.

With fewer steps, it may be the start of the run, or chance.
"""

ONE_AT_A_TIME = (0.4, 1.4)
"""If the GIL is the bottleneck, the process uses 0.4 cores or more, and workers run on, or wait for, 1.4 or less."""

CORE_WAIT, SOME_CORE_WAIT = 0.4, 0.1
"""From 40% of the loading on, waiting for a core is what limits it; below 10%, it explains nothing."""

SLOW_SHARE = 0.5
"""A read that takes half of the time that the loop waited explains it."""

QUICK_SECONDS = 20e-6
"""An item that is read in less than 20 us costs mostly the Python around it."""

TINY_SECONDS = 60e-6
"""A loop that takes less than 60 us for a batch, loading included, has nothing to do while others load."""

CHEAPER = "make the dataset's transforms cheaper, or keep their results with cache()"
"""What helps where cores have no time left."""

GUESS = 4
"""Advice multiplies the number of workers by 4 at most: with more, something else may be the bottleneck."""


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
    """Batches follow each other so fast that handing them over from other threads would take as long."""
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
    if figures.busy >= EVIDENCE_SECONDS * figures.workers:
        return None
    return f"Workers have worked for {figures.busy:.2f} s, which is too short to say what limits them."


def interpreter_lock(figures: Figures) -> str | None:
    """The consumer has to wait for the GIL, and so have the threads, of which about one runs at a time."""
    of, runnable = parts(figures), cores_used(figures, figures.cpu + figures.core_wait)
    if not gil_is_late(figures) or of.crowded or figures.wake_core_wait > 0.5 * figures.wake_wait or figures.cores < 2:
        return None
    if runnable > ONE_AT_A_TIME[1] or process_cores(figures) < ONE_AT_A_TIME[0]:
        return None
    wanted = min(figures.cores, max(figures.workers, workers_wanted(figures)))
    return (
        f"The GIL is the bottleneck: {counted(figures.workers, 'thread')} used {cores_used(figures, figures.cpu):.1f} "
        "CPU cores, since only one at a time can run Python. Use processes: "
        f'.workers({wanted}, kind="process").'
    )


def starved_loop(figures: Figures) -> str | None:
    """The batch was ready for most of the wait, and the loop's thread waited for a core."""
    waited = figures.waited - figures.first_wait
    if waited < EVIDENCE_SECONDS or figures.wake_core_wait < 0.5 * waited:
        return None
    return (
        f"For {figures.wake_core_wait / waited:.0%} of that the batch was ready, and the loop waited for a CPU core: "
        f"{other_programs(figures)}. No setting of the loader frees one."
    )


def uneven_batches(figures: Figures) -> str | None:
    """Workers had time left, and the window was full at some steps and empty at others."""
    asked, none = max(1, sum(figures.ready)), sum(figures.ready[:1])
    all_ready = sum(figures.ready[max(1, figures.prefetch) :])
    empty, full = none / asked, all_ready / asked
    if figures.busy_share >= BUSY or min(none, all_ready) < SOME_STEPS or full < SOMETIMES:
        return None
    deeper = max(2 * figures.prefetch, figures.workers)
    return (
        f"All {figures.prefetch} batches were ready at {full:.0%} of the steps and none at {empty:.0%}: some "
        f"batches take far longer than others. .prefetch({deeper}) lets workers load further ahead."
    )


def waiting_workers(figures: Figures) -> str | None:
    """Workers have no time left, and mostly wait for something that is no core and not the GIL."""
    of = parts(figures)
    if figures.busy_share < BUSY or of.computes or (of.crowded and gil_is_late(figures)):
        return None
    wanted = max(figures.workers + 1, workers_wanted(figures))
    return (
        f"{busy(figures)}, and waited for storage, a network or a lock in {of.waiting:.0%} of it. "
        f"{setting(figures, wanted)} would wait for more rows at the same time."
    )


def cores_of_others(figures: Figures) -> str | None:
    """Workers were ready to run, and waited for a core; more of them would wait as well.

    Less of it counts where nothing else explains a loop that gets the GIL late, or workers that have time left.
    """
    of = parts(figures)
    idle = figures.busy_share < BUSY and of.core_wait >= SOME_CORE_WAIT
    if of.core_wait < CORE_WAIT and not (of.crowded and (gil_is_late(figures) or idle)):
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


def slow_read(figures: Figures) -> str | None:
    """Workers had time left, and one read took about as long as the loop waited, the first batch aside."""
    waited = figures.waited - figures.first_wait
    if figures.busy_share >= BUSY or not figures.slowest or figures.slowest[0].seconds < SLOW_SHARE * waited:
        return None
    slow = figures.slowest[0]
    usual = max(0.0, figures.reading - sum(read.seconds for read in figures.slowest)) / max(1, figures.local_rows)
    # What makes the first batch late, such as an import, may make the reads beside it slow as well.
    if slow.seconds < 5 * usual * slow.rows or slow.seconds < 2 * figures.first_wait:
        return None
    return f"One read took about as long: {slow}. Look at what was read there."


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
    advice = setting(figures, max(figures.workers + 1, workers_wanted(figures)))
    if may_hold_gil(figures, figures.wake_wait) or (workers_are_here(figures) and figures.workers == 1):
        # Or the loop waited for a core: that cannot be told. A single thread that holds the GIL may give it up between
        # two batches, so that the loop has it at once.
        advice += ', or kind="process" if transforms are Python,'
    return f"{busy(figures)}, mostly computing. {advice} would share the work."


RULES: tuple[Callable[[Figures], str | None], ...] = (
    quick_items,
    tiny_batches,
    placing,
    no_workers,
    starved_loop,
    too_short,
    interpreter_lock,
    uneven_batches,
    waiting_workers,
    cores_of_others,
    all_cores,
    slow_read,
    idle_workers,
    busy_workers,
)


def workers_wanted(figures: Figures) -> int:
    """How many workers would load as fast as training computes; if loading computes, no more than there are cores."""
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
    """What may keep the cores busy, as a part of a sentence."""
    cores = "core" if figures.cores == 1 else f"{figures.cores} cores"
    return f"other programs, other threads of this one, or a limit of its container keep the {cores} busy"
