"""Work done by the worker threads themselves."""

from __future__ import annotations

from ..protocols import Alloc
from ..read.fetch import Fetch
from .base import Engine
from .task import Done, Task, Watch, perform


class Threads:
    """The crew of a window whose worker threads do the work themselves."""

    unit_seconds = 1e-3
    remote = False

    def engine(self) -> Engine:
        """An engine that works in the calling thread."""
        return _Here()

    def stop(self) -> None:
        """Nothing waits."""


class _Here:
    def open(self) -> None:
        pass

    def send(self, task: Task) -> None:
        pass

    def perform(self, fetch: Fetch, task: Task, alloc: Alloc, watch: Watch) -> Done:
        return perform(fetch, task, alloc, watch)

    def where(self) -> None:
        return None

    def close(self) -> None:
        pass
