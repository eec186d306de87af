"""One run over the batches of a loader: order, position, end."""

from __future__ import annotations

import sys
import weakref
from functools import partial
from time import perf_counter
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Never, TypeVar

from .checks import check_int
from .errors import ClosedError
from .observe.recorder import Recorder
from .observe.stats import Stats
from .observe.timeline import Timeline
from .observe.traces import NAMES, tracer
from .plan import state as states
from .plan.steps import Position, Step
from .read.fetch import Epochs
from .run.gate import Gate
from .run.inline import Inline
from .run.window import Window

if TYPE_CHECKING:
    from .spec import Run

B_co = TypeVar("B_co", covariant=True)


class LoaderIterator(Generic[B_co]):
    """Yields the batches of a `Loader`, in order; made by `iter(loader)`.

    Workers start at the first `next`, and end with the run, at `close()`, or when the iterator is no longer referenced.
    It is thread-safe: each batch goes to exactly one of the threads that call `next`.

    Example:
        >>> from loadax_core import DataLoader
        >>> with iter(DataLoader(sum).batch_size(2).build([1, 2, 3])) as batches:
        ...     print(next(batches), batches.get_state()["row"])
        3 2
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._restored = run.plan.start
        self._last: Step | None = None
        self._source: Inline | Window | None = None
        self._finalizer: weakref.finalize[Any, Any] | None = None
        self._error: BaseException | None = None
        self._recorder = Recorder()
        self._annotate, self._is_traced = tracer()
        # What was yielded before the last `set_state`.
        self._batches_before = self._rows_before = 0
        # Held by whoever is inside `next` or `set_state`; `close` must work while another thread waits in `next`.
        self._turn = Gate()

    def __iter__(self) -> LoaderIterator[B_co]:
        return self

    def __next__(self) -> B_co:
        """The next batch.

        Raises:
            StopIteration: After the last batch.
            ClosedError: After `close()`.
            TimeoutError: If a read takes longer than the loader's timeout.
            BaseException: Whatever the dataset, a transform, the batcher or the placement raised for this batch, with
                notes that name the row, the epoch and the step. It is raised again by every later call, until
                `set_state`.
        """
        # In line, what `Gate.run` does.
        turn = self._turn
        while True:
            try:
                del turn.free[0]
                break
            except IndexError:
                turn.wait()
        try:
            source, recorder = self._source, self._recorder
            hand = recorder.hand
            try:
                if hand:
                    taken = hand.pop()
                else:
                    now = perf_counter()
                    if source is not None and now < recorder.plain_until:
                        recorder.seen = now
                        taken = source.take()
                    else:
                        taken = self._take(now)
            except BaseException as error:
                # An interrupt may fall between two hand-overs; what is in flight is dropped, and the position stands.
                if (source := self._source) is not None:
                    self._let_go(source).stop()
                    if not isinstance(error, KeyboardInterrupt | ClosedError):
                        self._error = error
                raise
            if taken is None:
                self._end()
            self._last, batch = taken
            return batch
        finally:
            try:
                turn.free.append(None)
            finally:
                if turn.waiting:
                    turn.calls.put(None)

    def __length_hint__(self) -> int:
        return min(self.steps_left or 0, sys.maxsize)

    @property
    def epoch(self) -> int:
        """The epoch that the next batch belongs to, counted from 0; after the last batch, the number of epochs."""
        return self._position.epoch

    @property
    def step(self) -> int:
        """How many batches of the run lie before its position, be they yielded here or before the state was saved."""
        return self._run.plan.steps_done(self._position)

    @property
    def steps_left(self) -> int | None:
        """How many batches are still to come, None if the run is endless."""
        return self._run.plan.steps_left(self._position)

    def get_state(self) -> dict[str, Any]:
        """Where the run stands: what to save beside the parameters, to continue with the next row.

        Returns:
            A new JSON-able dict. It counts the rows that were yielded, not those that are prefetched, and is the same
            on every process.
        """
        return states.save(self._position, self._run.fingerprint)

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
        """
        self._turn.run(partial(self._restore, state))

    def stats(self) -> Stats:
        """Where the time went so far, and how long the caller waited for data."""
        run, size = self._run, self._run.plan.batch_size
        batches, rows = self._yielded
        # A process loads the same share of each batch.
        share = 1.0 if run.strategy is None else len(run.strategy.local_rows(size)) / size
        return self._recorder.stats(
            batches=batches,
            rows=rows,
            local_rows=round(share * rows),
            kind=run.kind if run.workers else "caller",
            workers=run.workers,
            way=run.fetch.way,
        )

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
        return Timeline(self._recorder, check_int("most", most, 1))

    def close(self) -> None:
        """Ends the run and its workers; does nothing the second time.

        Waits up to 0.1 s for reads that are under way; a longer one ends in the background, and its result is dropped.
        """
        self._recorder.closed = True
        if (source := self._source) is not None:
            self._let_go(source).close()

    def __enter__(self) -> LoaderIterator[B_co]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("an iterator can be neither copied nor pickled; keep its get_state(), and iter(loader) anew")

    def __repr__(self) -> str:
        epoch, row = self._position
        return (
            f"<LoaderIterator at epoch {epoch}, row {row} of {self._run.plan.rows}{', closed' * self._recorder.closed}>"
        )

    @property
    def _position(self) -> Position:
        return self._restored if self._last is None else self._run.plan.after(self._last)

    @property
    def _yielded(self) -> tuple[int, int]:
        """The number of batches yielded, and of their rows."""
        batches, rows = self._run.plan.between(self._restored, self._position)
        return self._batches_before + batches, self._rows_before + rows

    def _open(self) -> Inline | Window:
        """What loads the batches from here on."""
        self._check_open()
        if self._error is not None:
            raise self._error
        self._annotate, self._is_traced = tracer()
        source = self._source = self._start()
        self._check_open()
        return source

    def _restore(self, state: object) -> None:
        self._check_open()
        position = states.restore(state, self._run.fingerprint, self._run.plan)
        self._run.check_divisible(position)
        self._batches_before, self._rows_before = self._yielded
        if self._source is not None:
            self._let_go(self._source).stop()
        self._error = None
        self._restored, self._last = position, None

    def _start(self) -> Inline | Window:
        run = self._run
        steps = run.plan.steps_from(self._position)
        if not run.workers:
            return Inline(Epochs(run.fetch), steps, self._recorder)
        crew = run.crew() if run.crew else None
        window = Window(run.fetch, steps, self._recorder, run.workers, run.prefetch, run.timeout, crew)
        # An iterator that is dropped, say by `break`, must not leave its workers behind.
        self._finalizer = weakref.finalize(self, window.stop)
        return window

    def _let_go(self, source: Inline | Window) -> Inline | Window:
        """Refers no more to what loads the batches, so that its memory is given back, and returns it to be stopped."""
        self._source = None
        self._recorder.ask()
        if self._finalizer is not None:
            self._finalizer.detach()
        return source

    def _end(self) -> Never:
        """Raises what comes after the last batch."""
        # Another thread may have closed it meanwhile.
        self._check_open()
        self._recorder.seen = perf_counter()
        if self._source is not None:
            self._source.stop()
        raise StopIteration

    def _take(self, now: float) -> tuple[Step, Any] | None:
        """Takes a batch in a call that asks what is to be noted, which is done again after a moment."""
        source, recorder = self._source, self._recorder
        # `close` sets the flag and then looks for a source, so one of the two sees what the other did.
        if source is None or recorder.closed:
            source = self._open()
        traced = self._is_traced is not None and self._is_traced()
        annotate = recorder.annotate = self._annotate if traced else None
        if now < recorder.watch_from and annotate is None:
            recorder.let_pass(now)
            return source.take()
        recorder.enter(now, self._yielded[0], source.ready)
        if annotate is None:
            return self._take_timed(source)
        with annotate(NAMES["waiting"]):
            return self._take_timed(source)

    def _take_timed(self, source: Inline | Window) -> tuple[Step, Any] | None:
        recorder = self._recorder
        began = recorder.seen = perf_counter()
        taken = source.take(watched=True)
        recorder.leave(began, perf_counter(), *taken or (None, None))
        return taken

    def _check_open(self) -> None:
        if self._recorder.closed:
            raise ClosedError("this iterator is closed; iter(loader) starts a new one")
