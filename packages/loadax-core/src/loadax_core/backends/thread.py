"""Work done by the worker threads themselves."""

from __future__ import annotations

from ..protocols import Alloc
from ..read.epochs import Epochs
from .base import Engine
from .task import Done, Task, Watch, perform


class Threads:
    """The crew of a window whose worker threads do the work themselves.

    Args:
        epochs: The fetch of each epoch.
    """

    unit_seconds = 1e-3
    remote = False

    def __init__(self, epochs: Epochs) -> None:
        self._epochs = epochs

    def engine(self) -> Engine:
        """An engine that works in the calling thread."""
        return _Here(self._epochs)

    def stop(self) -> None:
        """Does nothing: no engine waits."""


class _Here:
    def __init__(self, epochs: Epochs) -> None:
        self._epochs = epochs
        # The epoch that was entered last.
        self._epoch = -1
        self._fetch = epochs.base

    def open(self) -> None:
        pass

    def send(self, task: Task) -> None:
        pass

    def perform(self, task: Task, alloc: Alloc, watch: Watch) -> Done:
        if task.epoch != self._epoch:
            try:
                self._fetch = self._epochs.enter(task.epoch, task.following)
            except BaseException as error:
                return Done([], error, "preparing")
            self._epoch = task.epoch
        return perform(self._fetch, task, alloc, watch)

    def where(self) -> None:
        return None

    def close(self) -> None:
        pass
