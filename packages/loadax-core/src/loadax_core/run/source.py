"""The protocol of the two sources that an iterator takes its batches from."""

from __future__ import annotations

from typing import Any, Protocol

from ..plan.steps import Step


class Source(Protocol):
    """Batches in the order of the steps. `take` is called by one thread at a time.

    Attributes:
        failure: The error of the batch that is next, once `take` has raised it: a row's, the batcher's, the
            placement's, or a timeout. Whatever else `take` raises, a signal handler's exception say, is no batch's.
    """

    failure: BaseException | None

    def take(self) -> tuple[Step, Any] | None:
        """The next batch and its step, or None at the end.

        Raises:
            ClosedError: If the source was stopped.
            BaseException: Whatever was raised while loading this batch.
        """
        ...

    @property
    def ready(self) -> int | None:
        """How many batches may be taken at once; None where nothing is loaded ahead."""
        ...

    def start(self) -> None:
        """Begins to load, where that is done in the background; called once, before `take` or long before it."""
        ...

    def stop(self) -> None:
        """Ends all background work without waiting for it. Takes no lock, as a signal handler may call it."""
        ...

    def close(self) -> None:
        """Stops, wakes a thread that waits in `take`, and waits a moment for the workers to end."""
        ...
