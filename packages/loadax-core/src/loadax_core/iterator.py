"""One run over the batches of a loader: order, position, end.

The file is longer than others, since all that users do with a run is a method of one class: most of it is docstrings.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from time import perf_counter
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Never, TypeVar

from .checkpoint import Checkpointable
from .checks import check_int
from .errors import ClosedError, is_interrupt
from .hints import IteratorHints
from .observe.traces import marked_wait
from .plan import state as states
from .plan.progress import Progress
from .read.epochs import Epochs
from .read.order import digest_before
from .run.reaper import REAPER, Key
from .run.source import Source
from .run.threads import CLOSE_SECONDS, Context
from .sources import source_of
from .spec import Run

if TYPE_CHECKING:
    from .observe.stats import Stats
    from .observe.timeline import Timeline

B_co = TypeVar("B_co", covariant=True)


class LoaderIterator(IteratorHints, Checkpointable, Generic[B_co]):
    """Yields the batches of a `Loader`, in order; made by `iter(loader)`.

    Workers start at `start()` or the first `next`. They end with the run, at `close()`, or when the iterator is no
    longer referenced. It is thread-safe: each batch goes to exactly one of the threads that call `next`.

    Example:
        >>> from loadax_core import DataLoader
        >>> with iter(DataLoader(sum).batch_size(2).build([1, 2, 3])) as batches:
        ...     print(next(batches), batches.get_state()["row"])
        3 2
    """

    def __init__(self, run: Run, ended: Callable[[], None] | None = None) -> None:
        self._run = run
        self._ended = ended
        # `set_state` and `seek` replace it.
        self._progress = Progress(run.plan)
        self._context = Context()
        self._epochs = Epochs(run.fetch, self._context.run)
        self._source: Source | None = None
        self._watched: Key | None = None
        self._error: BaseException | None = None
        self._closed = False
        self._recorder = run.recorder()
        self._recorder.counts = dict.fromkeys(run.fetch.counts, 0)
        # Held by the thread inside `next`, `set_state` or `start`; `close` takes no lock, to wake one that waits there.
        self._lock = threading.RLock()
        self._running = False

    def __iter__(self) -> LoaderIterator[B_co]:
        return self

    def __next__(self) -> B_co:
        """The next batch.

        Raises:
            StopIteration: After the last batch.
            ClosedError: After `close()`, and once the interpreter exits.
            TimeoutError: If a read takes longer than the loader's timeout.
            RuntimeError: If a call of `next`, `set_state` or `start` is under way in this thread: from a signal
                handler, or from the dataset itself.
            BaseException: Whatever the dataset, a transform, the batcher or the placement raised for this batch, with
                notes that name the row, the epoch and the step. It is raised again by every later call, until
                `seek` or `set_state`; `batches.seek(batches.step + 1)` goes on after the batch that failed.
        """
        with self._lock:
            if self._running:
                refuse_reentry()
            self._running = True
            try:
                recorder, source = self._recorder, self._source
                began = recorder.enter()
                if source is None:
                    # No batch could be ready.
                    source, ready = self._open(), None
                else:
                    ready = source.ready
                try:
                    annotate = recorder.tracing.annotate
                    taken = source.take() if annotate is None else marked_wait(annotate, source.take)
                except BaseException as error:
                    self._drop(source, error)
                    raise
                if taken is None:
                    self._end(source)
                self._progress.last, batch = taken
                recorder.leave(began, ready, taken[0], batch)
                return batch
            finally:
                self._running = False

    def start(self) -> LoaderIterator[B_co]:
        """Begins to load before the first `next`, so that compiling the step and loading overlap.

        It returns at once, while workers open the dataset and load as many batches as `prefetch` says. Errors of
        loading, and of starting the workers, arrive at the `next` that needs the batch. It does nothing while workers
        load already, after the last batch, and without workers, when `next` loads.

        Returns:
            The iterator itself: `batches = iter(loader).start()`.

        Raises:
            ClosedError: After `close()`.
            RuntimeError: If a call of `next`, `set_state` or `start` is under way in this thread, as in a signal
                handler.
        """
        with self._exclusive():
            self._check_open()
            if self._source is None and self._error is None:
                try:
                    self._open()
                except Exception as error:
                    # The next call of `next` opens again what could not be opened, and raises the error.
                    if is_interrupt(error):
                        raise
        return self

    def __length_hint__(self) -> int:
        return min(self.steps_left or 0, sys.maxsize)

    @property
    def epoch(self) -> int:
        """The epoch that the next batch belongs to, counted from 0; after the last batch, the number of epochs."""
        plan, position = self._run.plan, self._progress.position
        if plan.skipped and plan.steps_per_epoch:
            # A run without an end has a next step.
            return next((step.epoch for step in plan.steps_from(position)), plan.first_epoch + (plan.epochs or 0))
        return plan.settle(position).epoch if plan.steps_per_epoch else position.epoch

    @property
    def step(self) -> int:
        """The next step of the run: how many lie before its position, yielded here or elsewhere, or skipped.

        After `set_state` with another batch size, the next batch may begin inside a step; it counts as this step.
        """
        return self._run.plan.steps_done(self._progress.position)

    @property
    def steps_left(self) -> int | None:
        """How many batches are still to come, None if the run is endless."""
        return self._run.plan.steps_left(self._progress.position)

    def get_state(self) -> dict[str, Any]:
        """Where the run stands: what to save beside the parameters, to continue with the next row.

        Returns:
            A new JSON-able dict. It counts the rows that were yielded, not those that are prefetched, and is the same
            on every process.
        """
        plan, position = self._run.plan, self._progress.position
        return states.save(position, self._run.fingerprint, plan.skipped_before(position))

    def set_state(self, state: object) -> None:
        """Continues from a saved position, in constant time and without reading a row.

        The batch size, workers, prefetch, processes and mesh may be others than when the state was saved.

        Args:
            state: What `get_state()` returned, in this run or another.

        Raises:
            StateError: If it is no state, or of a run over another order of rows; says what differs.
            ValueError: If the last batch of the epoch, counted from this position, cannot be divided among the data
                shards.
            ClosedError: After `close()`.
            RuntimeError: If a call of `next`, `set_state` or `start` is under way in this thread, as in a signal
                handler.
        """
        run = self._run
        with self._exclusive():
            self._check_open()
            position = states.restore(state, run.fetch.dataset, run.fingerprint, run.plan)
            self._go_on_with(self._progress.moved(position))

    def seek(self, step: int) -> None:
        """Goes to a step, forwards or backwards, in constant time and without reading a row; after an exception, too.

        Args:
            step: The next batch is that of this step, counted as `step`: over all epochs of the run, from 0 on, with
                those that are skipped. If it is skipped itself, the next batch is that of the next step which is not.
                If `set_state` has moved the run inside a step, this step and those after it in the epoch begin as far
                behind their places as that position.

        Raises:
            TypeError: If `step` is not an integer.
            ValueError: If the run has no such step.
            ClosedError: After `close()`.
            RuntimeError: As `set_state`.
        """
        found = self._run.plan.find(check_int("step", step, 0))
        with self._exclusive():
            self._check_open()
            self._go_on_with(self._progress.sought(found))

    def digest(self) -> str:
        """A hash of the order of the rows of the last steps before the position: see `Loader.audit`.

        It covers the steps from the last multiple of 1,000 on: at step 1,500, those from 1,000 to 1,499. Two iterators
        at the same step have the same digest if and only if the rows of these steps were the same, on any number of
        hosts. Reads no row; takes about 1 us for each row.
        """
        return digest_before(self._run.plan, self._run.fetch, self.step)

    def stats(self, since: Stats | None = None) -> Stats:
        """Where the time went, and how long the caller waited for data: so far, or since an earlier call.

        Args:
            since: What an earlier call returned. With what this call returns, the next one begins where this one ended.

        Raises:
            TypeError: If `since` is no `Stats`.
            ValueError: If `since` is of another iterator, or of a later moment.
        """
        now = self._run.stats(self._recorder, *self._progress.yielded)
        return now if since is None else self._recorder.since(since, now)

    def timeline(self, most: int = 10_000) -> Timeline:
        """Records what each worker does and when the caller waits, for a picture of a stretch of the run.

        Args:
            most: How many spans are kept of each worker and of the caller; the last ones, if there are more.

        Returns:
            A timeline, which records while its `with` block is open. There may be one at a time.

        Raises:
            TypeError: If `most` is not an integer.
            ValueError: If it is less than 1.
        """
        from .observe.timeline import Timeline  # noqa: PLC0415 - few programs need it

        return Timeline(self._recorder, check_int("most", most, 1))

    def close(self) -> None:
        """Ends the run and its workers; does nothing the second time.

        Waits up to 0.1 s for reads that are under way; a longer one ends in the background, and its result is dropped.
        """
        self._closed = True
        self._epochs.stop()
        if (source := self._source) is not None:
            self._let_go(source).close()
            REAPER.settle(CLOSE_SECONDS)

    def __enter__(self) -> LoaderIterator[B_co]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("an iterator can be neither copied nor pickled; keep its get_state(), and iter(loader) anew")

    def __repr__(self) -> str:
        epoch, row = self._progress.position
        closed = ", closed" if self._closed else ""
        return f"<LoaderIterator at epoch {epoch}, row {row} of {self._run.plan.rows}{closed}>"

    @contextmanager
    def _exclusive(self) -> Generator[None]:
        """Holds the lock, as `next` does without the cost of a context manager."""
        with self._lock:
            if self._running:
                refuse_reentry()
            self._running = True
            try:
                yield
            finally:
                self._running = False

    def _drop(self, source: Source, error: BaseException) -> None:
        """Drops what is in flight after an error: the position stands, and nothing is loaded until the next call."""
        self._let_go(source)
        source.stop()
        # An interrupt may fall between two hand-overs, and is not raised again.
        if error is source.failure:
            self._error = error

    def _open(self) -> Source:
        """Starts what loads the batches from here on."""
        run = self._run
        self._check_open()
        if self._error is not None:
            raise self._error
        source = self._source = source_of(run, self._epochs, self._progress.position, self._recorder, self._context)
        try:
            if run.workers:
                # An iterator that is dropped, say by `break`, must not leave its workers behind.
                self._watched = REAPER.watch(self, source.stop)
            # `close` sets the flag and then looks for a source, so that one of the two sees what the other did.
            self._check_open()
            source.start()
        except BaseException as error:
            # Without all of its workers, it might never load the batch that is asked for next.
            self._drop(source, error)
            raise
        return source

    def _go_on_with(self, progress: Progress) -> None:
        self._run.check_divisible(progress.position)
        if self._source is not None:
            self._let_go(self._source).stop()
        self._error = None
        self._progress = progress

    def _let_go(self, source: Source) -> Source:
        """Refers no more to what loads the batches, so that its memory is given back, and returns it to be stopped."""
        self._source = None
        self._unwatch()
        return source

    def _unwatch(self) -> None:
        if self._watched is not None:
            REAPER.forget(self._watched)
            self._watched = None

    def _end(self, source: Source) -> Never:
        """Raises what comes after the last batch."""
        # Another thread may have closed it meanwhile.
        self._check_open()
        self._recorder.seen = perf_counter()
        source.stop()
        self._unwatch()
        if self._ended is not None and self._progress.from_start:
            self._ended()
            self._ended = None
        raise StopIteration

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError("this iterator is closed; iter(loader) starts a new one")


def refuse_reentry() -> Never:
    """Raises: the lock is this thread's, so that the call that runs was begun by this thread, too."""
    raise RuntimeError(
        "next(), set_state() or start() of this iterator was called while this thread is inside one of them, by a "
        "signal handler or by the dataset; let the handler set a flag, and look at it in the training loop"
    )
