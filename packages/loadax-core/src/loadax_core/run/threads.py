"""The worker threads of a window, and what becomes of them when the interpreter exits.

This is the only module that starts threads which load batches.
"""

from __future__ import annotations

import atexit
import contextvars
import sys
import threading
import weakref
from collections.abc import Callable
from queue import Empty, SimpleQueue
from time import perf_counter, process_time
from typing import Protocol

import numpy as np

from .slot import Unit
from .worker import Bench, Worker

CLOSE_SECONDS = 0.1
EXIT_SECONDS = 0.5
"""Seconds that closing and interpreter exit wait for busy workers; a read cannot be interrupted."""

COMPUTING_SECONDS = 5.0
"""The most seconds that interpreter exit waits for workers that compute in JAX."""

NUMPY_1 = np.lib.NumpyVersion(np.__version__) < "2.0.0"
"""Whether `errstate` is each thread's own. Since NumPy 2 it is a context variable."""


class Context:
    """The context in which an iterator was created: all work for it runs in this context, whatever the thread.

    It holds context variables, and NumPy's `errstate`. What else a thread has of its own, a worker does not share:
    JAX's context managers, such as `jax.enable_x64`, hold in one thread only.
    """

    def __init__(self) -> None:
        self._variables = contextvars.copy_context()
        self._errors = np.geterr()

    def run(self, work: Callable[[], None]) -> None:
        """Calls a function in a copy of the context, so that threads do not see each other's changes."""
        variables = self._variables.copy()
        if NUMPY_1:
            variables.run(self._with_errors, work)
        else:
            variables.run(work)

    def _with_errors(self, work: Callable[[], None]) -> None:
        with np.errstate(**self._errors):
            work()


class Team:
    """The worker threads that share a queue of units.

    Args:
        bench: Where they work.
        units: What is to be done, in the order of the steps; None ends one worker.
        workers: How many there are.
        context: What they run in.
        ahead: Whether each is sent one unit ahead, since the work is done elsewhere.

    Attributes:
        workers: What the workers work with, as they start.
        whole: Whether all have been started.
        stopped: Whether they are to end.
    """

    def __init__(
        self, bench: Bench, units: SimpleQueue[Unit | None], workers: int, context: Context, *, ahead: bool
    ) -> None:
        self._bench = bench
        self._units = units
        self._count = workers
        self._context = context
        self._ahead = ahead
        self._threads: list[threading.Thread] = []
        self.workers: list[Worker] = []
        self.whole = self.stopped = False

    def start(self, count: int) -> None:
        """Starts workers until `count` run, unless they are to end."""
        for number in range(len(self._threads), 0 if self.stopped else count):
            thread = threading.Thread(
                target=self._context.run, args=(Life(self, number),), name=f"loadax-{number}", daemon=True
            )
            self._threads.append(thread)
            thread.start()
        self.whole = len(self._threads) == self._count

    def stop(self) -> None:
        """Has each worker end after its unit. Takes no lock: `SimpleQueue.put` is reentrant."""
        self.stopped = True
        # One for each worker, started or not: a consumer in another thread may be about to start them.
        for _ in range(self._count):
            self._units.put(None)

    def join(self, deadline: float) -> bool:
        """Waits for the workers until `deadline`, a value of `perf_counter`; returns whether all have ended."""
        for thread in list(self._threads):
            # Another thread may be about to start it.
            if thread.is_alive() and thread is not threading.current_thread():
                thread.join(max(0.0, deadline - perf_counter()))
        return not any(thread.is_alive() for thread in list(self._threads))

    def next_unit(self) -> Unit | None:
        """Takes the next unit from the queue; None if there is none, or nothing to be done for it."""
        try:
            unit = self._units.get_nowait()
        except Empty:
            return None
        if unit is None:
            # The team has just been stopped, and this is for a worker that waits.
            self._units.put(None)
            return None
        return self._bench.undivided(unit)

    def _await_unit(self) -> Unit | None:
        """Waits for a unit with something to be done; None when the team is stopped."""
        while (unit := self._units.get()) is not None:
            # What is left of it is not referred to during the next wait.
            unit = self._bench.undivided(unit)
            if unit is not None:
                break
        return unit

    def work(self, number: int) -> None:
        """The life of a worker thread."""
        bench = self._bench
        worker = bench.worker(number)
        self.workers.append(worker)
        engine = worker.engine
        engine.open()
        unit, following = self._await_unit(), None
        while unit is not None and not self.stopped:
            if self._ahead:
                if unit is not following:
                    engine.send(unit.task)
                # A worker's process begins the unit that was sent ahead as soon as it has done the one before. There
                # must be more units than workers, or a worker that has nothing to do could begin it earlier.
                following = self.next_unit() if self._units.qsize() > self._count else None
                if following is not None:
                    engine.send(following.task)
            try:
                bench.run(unit, worker)
            except BaseException as error:
                bench.fail(unit.slot, error)
            # While it waits for work, a worker must not keep the last batch alive.
            del unit
            unit = following or self._await_unit()
        engine.close()


class Life:
    """Calls `work` of a team; unlike a closure, it shows the team to whoever looks for what keeps it alive."""

    def __init__(self, team: Team, number: int) -> None:
        self._team, self._number = team, number

    def __call__(self) -> None:
        """Works until the team is stopped."""
        self._team.work(self._number)


class Stoppable(Protocol):
    """A window, as interpreter exit sees it."""

    def stop(self) -> None:
        """Ends all background work without waiting for it."""
        ...

    def join(self, deadline: float, /) -> bool:
        """Waits for background work until `deadline`; returns whether all has ended."""
        ...


OPEN: weakref.WeakSet[Stoppable] = weakref.WeakSet()
"""The windows whose workers may still run, for interpreter exit."""


def stop_at_exit(window: Stoppable) -> None:
    """Has a window stopped when the interpreter exits."""
    OPEN.add(window)
    # Registered anew each time, so that it runs before the exit handlers of everything imported so far, JAX's among
    # them.
    atexit.unregister(stop_all)
    atexit.register(stop_all)


def stop_all() -> None:
    """Stops every window at interpreter exit, and waits for workers to leave code that must not be torn down.

    A read that never returns is left behind after `EXIT_SECONDS`, as daemon threads are. In a program that uses JAX,
    the wait goes on as long as the process computes: to compile or run a transform may take longer.
    """
    windows = list(OPEN)
    for window in windows:
        window.stop()
    began, computes = perf_counter(), True
    while computes:
        used, deadline = process_time(), perf_counter() + EXIT_SECONDS
        ended = [window.join(deadline) for window in windows]
        if all(ended) or "jaxlib" not in sys.modules:
            return
        computes = process_time() - used > 0.1 * EXIT_SECONDS and perf_counter() - began < COMPUTING_SECONDS
    keep_exit_status()


def keep_exit_status() -> None:
    """Lets the program end with its own status, though threads are left that compute in JAX.

    Such a thread may end the process in two ways, and the C functions that are registered here prevent both:

    * It returns from C++ to an interpreter that has been finalized, and is ended by `pthread_exit`. That unwinds its
      stack, and the C++ runtime aborts the process where it meets a function that may not throw. `abort` sends SIGABRT
      to its own thread first: the handler, `pause`, has the thread sleep for ever.
    * It runs compiled code while the main thread calls the exit handlers of C, and those of JAX before 0.7 free that
      code. In glibc, `_exit` as the first handler ends the process at once, with the status that `exit` was called
      with. Before it, `fcloseall` writes what C streams still hold. Handlers run in the reverse order.
    """
    if sys.platform == "win32":
        return
    import ctypes  # noqa: PLC0415 - needed by few programs, at their end
    import signal  # noqa: PLC0415

    libc = ctypes.CDLL(None)
    libc.signal(int(signal.SIGABRT), ctypes.cast(libc.pause, ctypes.c_void_p))
    if hasattr(libc, "on_exit"):
        libc.on_exit(libc["_exit"], None)
        libc.on_exit(libc.fcloseall, None)
