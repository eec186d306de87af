"""The protocols of the places where tasks are done: a `Crew` for each run, and an `Engine` for each worker thread."""

from __future__ import annotations

from typing import Protocol

from ..protocols import Alloc
from .task import Done, Task, Watch


class Engine(Protocol):
    """Does the tasks of one worker thread, here or elsewhere. That thread alone uses it, but for `where`."""

    def open(self) -> None:
        """Gets ready, in the worker thread, when it starts. An error is not raised: it is the outcome of every task."""
        ...

    def send(self, task: Task, /) -> None:
        """Sends a task to where it is done; does nothing if that is the worker thread itself.

        Tasks are sent in the order in which they are performed. An error is not raised: it is the task's outcome.
        """
        ...

    def perform(self, task: Task, alloc: Alloc, watch: Watch, /) -> Done:
        """Does a task, or waits for the outcome of the first one that was sent and not waited for yet.

        Args:
            task: What to read.
            alloc: Provides the memory of what is made here.
            watch: Is told what is being done, if that is done in this process.

        Returns:
            The outcome, which holds what was raised.
        """
        ...

    def where(self) -> tuple[int | None, float, str] | None:
        """Where a process that does the tasks stands; called in the thread of a consumer that has waited too long.

        Returns:
            The row that is being read, for how many seconds, and the stack; None if the worker thread's own `Activity`
            is to be asked, or the process does not answer.
        """
        ...

    def close(self) -> None:
        """Frees what the engine holds, in the worker thread, when it ends."""
        ...


class Crew(Protocol):
    """Makes the engines of a window's worker threads.

    Attributes:
        unit_seconds: Seconds of work that a task should hold: the time to hand a task over is then small beside it.
        remote: Whether tasks are done in other processes, which send their outcomes back.
    """

    unit_seconds: float
    remote: bool

    def engine(self) -> Engine:
        """An engine for one worker thread."""
        ...

    def stop(self) -> None:
        """Makes every engine that waits return soon. Takes no lock, as a signal handler may call it."""
        ...
