"""What statistics mean, in words: which side waits for the other, and the setting that would change it.

Each rule is a function of the statistics that returns advice, or None where it does not apply. The first one that
applies is given.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from typing import TYPE_CHECKING

from ..text import counted

if TYPE_CHECKING:
    from .stats import Stats

HARDLY = 0.05
"""Below this share of time, waiting for data is not worth a thought."""

EVIDENCE_SECONDS = 0.1
"""CPU clocks are read now and then; less CPU time than this tells nothing."""

BUSY = 0.8
"""From this share of time on, workers have no time left."""

QUICK_SECONDS = 20e-6
"""An item that is read in less costs mostly the Python around it."""

TINY_SECONDS = 60e-6
"""A loop that takes less for a batch, loading included, has nothing to do while others load."""

GUESS = 4
"""Advice multiplies a setting by this at most: what comes after the next bottleneck cannot be seen from here."""


def verdict(stats: Stats) -> str:
    """Whether the loader or the training step holds a run up, and what would help."""
    if stats.batches < 2:
        return "Too early to say: the first batch has to be waited for."
    share = steady_wait_share(stats)
    if share < HARDLY:
        return f"Compute-bound: training waited for data {share:.1%} of the time; a faster loader would not help."
    advice = next((text for rule in RULES if (text := rule(stats))), "")
    return f"Loader-bound: training waited for data {share:.0%} of the time. {advice}"


def steady_wait_share(stats: Stats) -> float:
    """The share of time that was waited for data, once the first batch was there."""
    elapsed = stats.elapsed - stats.first_wait
    return max(0.0, stats.waited - stats.first_wait) / elapsed if elapsed > 0 else 0.0


def quick_items(stats: Stats) -> str | None:
    """Rows are read one by one, though reading one takes hardly longer than asking for it."""
    seconds = stats.reading / max(1, stats.local_rows)
    if stats.way != "items" or seconds > QUICK_SECONDS or stats.placing > stats.reading + stats.batching:
        return None
    return (
        f"Rows are read one by one, in {seconds * 1e6:.1f} us each, which is mostly Python: read whole batches, with "
        "an ArrayDataset, map(fn, vectorized=True), or a dataset that has gather or __getitems__."
    )


def tiny_batches(stats: Stats) -> str | None:
    """Batches follow each other so fast that to hand them over from other threads would take as long."""
    seconds = (stats.elapsed - stats.first_wait) / stats.batches
    if seconds > TINY_SECONDS:
        return None
    return (
        f"A batch came every {seconds * 1e6:.1f} us, too fast for more threads to help: larger batches, or transforms "
        "of whole ones, map(fn, vectorized=True), would take less time for a row."
    )


def placing(stats: Stats) -> str | None:
    """Most of the work is moving batches to devices."""
    if stats.placing <= stats.reading + stats.batching:
        return None
    return (
        "Most of the loader's time goes into moving batches to devices: send less, such as uint8 images that the "
        "training step converts."
    )


def no_workers(stats: Stats) -> str | None:
    """Nothing is loaded while the training step computes."""
    if stats.kind != "caller":
        return None
    wanted = workers_wanted(stats)
    setting = ".prefetch(2)" if wanted == 1 else f".workers({wanted})"
    return f"Batches are loaded only when they are asked for: {setting} loads them while training computes."


def all_cores(stats: Stats) -> str | None:
    """The process has no CPU time left."""
    if stats.process_cpu < 0.9 * stats.cores * (stats.elapsed - stats.first_wait):
        return None
    cores = "The CPU core is" if stats.cores == 1 else f"All {stats.cores} CPU cores are"
    return f"{cores} busy: make the dataset's transforms cheaper, or keep their results with cache()."


def interpreter_lock(stats: Stats) -> str | None:
    """Threads are busy, but together get no more done than one could: they hold Python's lock in turn."""
    if stats.kind != "thread" or stats.workers < 2 or stats.cpu < EVIDENCE_SECONDS:
        return None
    processes = f'.workers({min(stats.workers, stats.cores)}, kind="process") gives each its own.'
    if stats.alone:
        return f"One thread loads, since {stats.workers} were no faster: only one at a time can run Python. {processes}"
    together = stats.cpu / stats.elapsed
    # With n threads, each gets the lock for an n-th of the time that it would work.
    if not 0.6 < together < 1.4 or stats.cpu > 1.4 * stats.busy / stats.workers:
        return None
    return (
        f"{stats.workers} threads used {together:.1f} CPU cores together, since only one at a time can run Python: "
        f"{processes}"
    )


def idle_workers(stats: Stats) -> str | None:
    """Workers had time left, yet batches were late: they may not work far enough ahead."""
    if stats.busy_share >= BUSY:
        return None
    asked = max(1, sum(stats.ready))
    empty, full = sum(stats.ready[:1]) / asked, sum(stats.ready[max(1, stats.prefetch) :]) / asked
    why = f"were busy {stats.busy_share:.0%} of the time"
    if empty and full:
        why = f"found all batches ready at {full:.0%} of the steps and none at {empty:.0%}: some take far longer"
    deeper = max(2 * stats.prefetch, stats.workers)
    return f"Workers {why}; .prefetch({deeper}) lets them work further ahead."


def busy_workers(stats: Stats) -> str | None:
    """Nothing but more hands would help."""
    wanted = max(stats.workers + 1, workers_wanted(stats))
    more = f".workers({wanted})"
    if stats.kind == "process":
        more = f'.workers({wanted}, kind="process")'
    busy = "The worker was" if stats.workers == 1 else f"The {stats.workers} workers were"
    unsure = ""
    if stats.kind == "thread" and stats.workers == 1 and stats.cpu > 0.5 * stats.busy:
        unsure = ', or processes, kind="process", if its work is Python'
    if wanted > stats.cores:
        unsure += f", as far as it waits for something: there are only {counted(stats.cores, 'CPU core')}"
    return f"{busy} busy {stats.busy_share:.0%} of the time: {more} would share the work{unsure}."


RULES: tuple[Callable[[Stats], str | None], ...] = (
    quick_items,
    tiny_batches,
    placing,
    no_workers,
    all_cores,
    interpreter_lock,
    idle_workers,
    busy_workers,
)


def workers_wanted(stats: Stats) -> int:
    """How many workers would load in the time that training computes."""
    work = stats.busy if stats.workers else stats.reading + stats.batching + stats.placing
    computing = stats.elapsed - stats.waited
    most = GUESS * max(1, stats.workers)
    return min(most, max(1, ceil(work / computing))) if computing > 0 else most
