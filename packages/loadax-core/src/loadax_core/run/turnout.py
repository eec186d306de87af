"""How many threads load at once: all of them, or one, where they would only take the interpreter from each other.

Only one thread at a time can run Python. Threads that do nothing else hand the interpreter's lock to and fro, and with
it every object from one core's cache to the other's: two of them are slower than one. What items do cannot be known, so
it is tried: where all threads together use one core, one of them is timed alone for a moment.
"""

from __future__ import annotations

from ..observe.lane import Sums

PERIOD_SECONDS = 0.2
PERIOD_ROWS = 16
"""For how long, and how many rows, each thread is watched before its rate is believed."""

PATIENCE_SECONDS = (2.0, 60.0)
"""After what time another trial follows: at least, and at most, since the time doubles with each that fails."""

ONE_CORE = (0.6, 1.25)
"""The cores that threads use together if one at a time runs Python, with room for what cannot be timed exactly."""

BUSY = 0.8
"""The share of the time that threads must work for their rates to tell anything, or be on a CPU not to wait."""

GAIN = 1.05
"""By what factor all threads must be faster than one to be worth their cores."""

HOPELESS = 1.5
"""One thread that is slower than all by this factor need not be timed for long."""


class Turnout:
    """Decides how many of some threads load, from what they have done.

    Attributes:
        admitted: How many are to load now: all, or one.
        look_from: The value of `perf_counter` from which on `look` is to be called.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self.admitted = threads
        self.look_from = 0.0
        # When the threads began to be watched as they are now, None if they were just told to change.
        self._began: float | None = None
        self._before = Sums(0, 0.0, 0.0)
        # Rows per second before the trial that is under way, None if there is none.
        self._known: float | None = None
        self._tried = 0.0
        self._patience = 0.0

    def look(self, now: float, sums: Sums) -> None:
        """Looks at what the threads have done, and decides how many load from now on.

        Args:
            now: The value of `perf_counter`.
            sums: What they have done by now.
        """
        self.look_from = now + PERIOD_SECONDS / 4
        if self._began is None:
            self._began, self._before = now, sums
            return
        wall = now - self._began
        rows, busy, cpu = (b - a for a, b in zip(self._before, sums, strict=True))
        rate, alone = self.admitted * rows / busy if busy else 0.0, self.admitted == 1
        if self._known is not None and alone and rate and HOPELESS * rate < self._known:
            self._end_trial(now, better=False)
        elif busy < PERIOD_SECONDS * self.admitted or rows < PERIOD_ROWS * self.admitted:
            if wall > 4 * PERIOD_SECONDS and busy < BUSY * wall:
                # Most of the time there is nothing to do, so that nothing can be learnt from it.
                self._began, self._before = now, sums
        elif self._known is not None:
            self._end_trial(now, better=GAIN * rate >= self._known if alone else rate > GAIN * self._known)
        elif self._may_try(now - self._tried, wall, busy, cpu):
            self._known = rate
            self._switch()
        else:
            self._began, self._before = now, sums

    def _may_try(self, since: float, wall: float, busy: float, cpu: float) -> bool:
        """Whether the other number of threads may be faster, and the last trial is long enough ago."""
        if self.admitted == 1:
            # If it waits for something, others could load meanwhile.
            return since >= (self._patience if cpu > BUSY * busy else PATIENCE_SECONDS[0])
        least, most = ONE_CORE
        return since >= self._patience and busy > BUSY * self._threads * wall and least * wall < cpu < most * wall

    def _end_trial(self, now: float, *, better: bool) -> None:
        shortest, longest = PATIENCE_SECONDS
        self._known, self._tried = None, now
        self._patience = shortest if better else max(shortest, min(2 * self._patience, longest))
        if better:
            self._began = None
        else:
            self._switch()

    def _switch(self) -> None:
        self.admitted = self._threads if self.admitted == 1 else 1
        self._began = None
