"""How the consumer waits for a batch: until it is there, or a worker has taken longer than the timeout."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter

from ..text import describe
from .slot import Slot
from .worker import Worker


def wait(slot: Slot, timeout: float | None, workers: Sequence[Worker]) -> None:
    """Waits until a slot is done.

    Args:
        slot: The slot.
        timeout: The most seconds that a stage, or the read of one row, may take; None for any time.
        workers: Who may be working on it.

    Raises:
        TimeoutError: If one has taken longer.
    """
    if timeout is None:
        slot.ready.acquire()
        return
    patience = timeout
    while not slot.ready.acquire(timeout=max(0.0, patience)):
        busy = [worker for worker in list(workers) if worker.slot is slot]
        oldest = min(busy, key=lambda worker: worker.activity.since, default=None)
        patience, complaint = overdue(oldest, timeout) if oldest else (timeout, "")
        if complaint:
            raise TimeoutError(complaint)


def overdue(worker: Worker, timeout: float) -> tuple[float, str]:
    """How many more seconds a worker may take; and if that is 0, the message of the `TimeoutError`."""
    activity, slot = worker.activity, worker.slot
    # Looked at once: meanwhile, the worker may go on to another stage.
    what, rows, row = activity.stage, activity.rows, activity.row
    seconds, stack = perf_counter() - activity.since, ""
    elsewhere = worker.engine.where()
    if elsewhere is not None:
        row, seconds, stack = elsewhere
    elif not what:
        # It waits for the epoch to be opened, which is no read.
        return timeout, ""
    if seconds < timeout:
        return timeout - seconds, ""
    if row is not None:
        what += f" row {row}"
    elif rows is not None:
        what += f" rows {describe(rows)}"
    steps = slot.steps if slot and len(slot.steps) > 1 else [activity.step]
    of = str(steps[0]) if len(steps) == 1 else f"{steps[0]} to {steps[-1]}"
    stands = stack or activity.stack()
    return 0.0, f"{what} ({of}) has taken longer than the timeout of {timeout} s; the worker stands at:\n{stands}"
