"""What statistics mean, in words: which side waits for the other, and the setting that would change it.

Each rule is a function of the figures that returns advice, or None where it does not apply. The first one that applies
is given. A rule decides from what was measured directly, and gives no advice where that says nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil

from ..text import counted
from .figures import Figures

HARDLY = 0.05
"""Below this share of time, waiting for data is not worth a change."""

EVIDENCE_SECONDS = 0.1
"""CPU clocks are read once in 5 ms; less CPU time than this tells nothing."""

BUSY = 0.8
"""From this share of time on, workers have no time left."""

GIL_SECONDS = 1e-3
"""To wake a consumer takes about 0.1 ms; one that waits for a thread to release the GIL may be kept for 5 ms each time.

5 ms is Python's switch interval. 4 threads of pure Python kept the consumer for 3.7 to 4.6 ms a batch.
"""

CORE_WAIT = 0.4
"""From this share of workers' time on, waiting for a core is what limits them."""

QUICK_SECONDS = 20e-6
"""An item that is read in less than 20 us costs mostly the Python around it."""

TINY_SECONDS = 60e-6
"""A loop that takes less than 60 us for a batch, loading included, has nothing to do while others load."""

STARTING = 0.5
"""If the wait for the first batch was this share of the run, the run is too short to tell more."""

GUESS = 4
"""Advice multiplies a setting by this at most: what comes after the next bottleneck cannot be seen from here."""


def verdict(figures: Figures) -> str:
    """Whether the loader or the training step limits a run, and what would help."""
    if figures.total is not None and not figures.batches:
        return "Too early to say: no batch was yielded in this interval."
    # An interval of one batch tells something, unless that is the first batch of the run.
    if figures.batches < 2 and (figures.total is None or figures.first_wait):
        return "Too early to say: the first batch has to be waited for."
    if figures.first_wait > STARTING * figures.elapsed:
        return (
            f"Too early to say: {figures.first_wait / figures.elapsed:.0%} of the run was the wait for the first "
            "batch, when nothing could be ready."
        )
    share = figures.steady_wait_share
    if share < HARDLY:
        return f"Compute-bound: training waited for data {share:.1%} of the time; a faster loader would not help."
    advice = next((text for rule in RULES if (text := rule(figures))), "")
    return f"Loader-bound: training waited for data {share:.0%} of the time. {advice}"


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


def all_cores(figures: Figures) -> str | None:
    """The process has no CPU time left."""
    if figures.process_cpu < 0.9 * figures.cores * (figures.elapsed - figures.first_wait):
        return None
    cores = "The CPU core is" if figures.cores == 1 else f"All {figures.cores} CPU cores are"
    return f"{cores} busy: make the dataset's transforms cheaper, or keep their results with cache()."


def cores_of_others(figures: Figures) -> str | None:
    """Worker threads were ready to run, and waited for a core; more of them would wait as well."""
    if figures.core_wait < max(EVIDENCE_SECONDS, CORE_WAIT * figures.busy):
        return None
    return (
        f"Workers waited {figures.core_wait / figures.busy:.0%} of their time for a CPU core: other programs, or other "
        f"threads of this one, keep the {counted(figures.cores, 'core')} busy. No setting of the loader helps."
    )


def interpreter_lock(figures: Figures) -> str | None:
    """Threads are busy, but together get no more done than one could: they hold the GIL in turn."""
    if figures.kind != "thread" or figures.workers < 2 or figures.cpu < EVIDENCE_SECONDS:
        return None
    together = figures.cpu / figures.elapsed
    # With n threads that all want the GIL, each has it for an n-th of the time that it works.
    in_turn = figures.cpu <= 1.4 * figures.busy / figures.workers
    # If their batches are quick, they seem idle: the consumer, which wants the GIL too, gives them no work meanwhile.
    consumer_waits = figures.wake_wait > GIL_SECONDS * max(1, sum(figures.ready[:1]))
    if not (0.6 < together < 1.4 and (in_turn or consumer_waits)):
        return None
    return (
        f"The GIL is the bottleneck: {figures.workers} threads used {together:.1f} CPU cores together, since only one "
        f'at a time can run Python. Use processes: .workers({min(figures.workers, figures.cores)}, kind="process").'
    )


def idle_workers(figures: Figures) -> str | None:
    """Workers had time left, yet batches were late."""
    if figures.busy_share >= BUSY:
        return None
    asked = max(1, sum(figures.ready))
    empty, full = sum(figures.ready[:1]) / asked, sum(figures.ready[max(1, figures.prefetch) :]) / asked
    if empty and full:
        deeper = max(2 * figures.prefetch, figures.workers)
        return (
            f"All {figures.prefetch} batches were ready at {full:.0%} of the steps and none at {empty:.0%}: some "
            f"batches take far longer than others. .prefetch({deeper}) lets workers load further ahead."
        )
    if figures.prefetch < figures.workers:
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
    """Nothing but more workers would help."""
    wanted = max(figures.workers + 1, workers_wanted(figures))
    more = f".workers({wanted})"
    if figures.kind == "process":
        more = f'.workers({wanted}, kind="process")'
    busy = "The worker was" if figures.workers == 1 else f"The {figures.workers} workers were"
    if figures.kind == "thread" and figures.workers == 1 and figures.cpu > 0.5 * figures.busy:
        more += ', or kind="process" if transforms are Python,'
    unsure = ""
    if wanted > figures.cores:
        unsure = f" It helps if rows wait for a disk or a network: there are only {counted(figures.cores, 'CPU core')}."
    return f"{busy} busy {figures.busy_share:.0%} of the time. {more} would share the work.{unsure}"


RULES: tuple[Callable[[Figures], str | None], ...] = (
    quick_items,
    tiny_batches,
    placing,
    no_workers,
    cores_of_others,
    all_cores,
    interpreter_lock,
    idle_workers,
    busy_workers,
)


def workers_wanted(figures: Figures) -> int:
    """How many workers would load in the time that training computes."""
    work = figures.busy if figures.workers else figures.reading + figures.batching + figures.placing
    computing = figures.elapsed - figures.waited
    most = GUESS * max(1, figures.workers)
    return min(most, max(1, ceil(work / computing))) if computing > 0 else most
