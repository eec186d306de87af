"""What a place where work is done has to offer: one engine for each worker thread, made by a crew."""

from __future__ import annotations

from typing import Protocol

from ..protocols import Alloc
from .task import Done, Task, Watch


class Engine(Protocol):
    """Where one worker thread has its tasks done. Used by that thread alone, but for `where`."""

    def open(self) -> None:
        """Gets ready; what goes wrong is the outcome of every task. Called by the worker thread when it starts."""
        ...

    def send(self, task: Task, /) -> None:
        """Hands a task over, where it is done elsewhere; called for each, in the order in which they are performed.

        What goes wrong is the outcome of the task.
        """
        ...

    def perform(self, task: Task, alloc: Alloc, watch: Watch, /) -> Done:
        """Does a task, or waits for the outcome of the first one that was sent and not waited for yet.

        Args:
            task: What to read.
            alloc: Provides the memory of what is made here.
            watch: Is told what is being done, as far as that is known here.

        Returns:
            The outcome; whatever is raised on the way is part of it.
        """
        ...

    def where(self) -> tuple[int | None, float, str] | None:
        """For a consumer that waits too long, in its thread: the row that is being read, since when, and the stack.

        None if this process's own thread knows better.
        """
        ...

    def close(self) -> None:
        """Gives up what the engine holds. Called by the worker thread when it ends."""
        ...


class Crew(Protocol):
    """Makes the engines of a window's worker threads.

    Attributes:
        unit_seconds: How much work a task should hold, for handing it over not to matter.
        remote: Whether the work is done elsewhere, so that parts of a batch have to travel.
    """

    unit_seconds: float
    remote: bool

    def engine(self) -> Engine:
        """An engine for one worker thread."""
        ...

    def stop(self) -> None:
        """Makes every engine that waits return soon. Takes no lock, as a signal handler may call it."""
        ...
