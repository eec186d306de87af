"""When a consumer had better load batches itself: it asks for quick ones so fast that workers only hold it up.

To hand a batch from one thread to another takes longer than to load a very small one, and a consumer that does little
between two of them has nothing to do meanwhile. So it is tried, and goes on as long as that is no slower.
"""

from __future__ import annotations

from ..observe.lane import Lane

HASTE_SECONDS = 6e-5
"""A consumer that asks for batches more often than this is in haste."""

BATCHES = 64
"""It is so on average over a stretch of so many batches."""

PATIENCE = (1, 256)
"""How many stretches of haste it takes for a trial: at first; and at most, since the number doubles with each that soon
fails."""

SOON = 16
"""Stretches."""


class Haste:
    """Knows whether a consumer is to load batches itself, from when it asked for how many of them, and what it did.

    Attributes:
        ends: A value of `perf_counter`, after which `look` may decide otherwise than before.
        full: A number of batches taken, from which on it may do so, too.
    """

    def __init__(self, lane: Lane) -> None:
        """Begins with a consumer that is not.

        Args:
            lane: What it does.
        """
        self._lane = lane
        # Whether it is to load batches itself, and whether those that workers loaded before have been handed out.
        self._alone = self._begun = False
        self._patience = PATIENCE[0]
        # For how many stretches it has been as it is, and how long the last one with workers took.
        self._times = 0
        self._usual = 0.0
        # When this stretch began, and how long the consumer had loaded batches then.
        self._began, self._busy = 0.0, 0.0
        self.ends, self.full = 0.0, 0

    def begin(self, now: float, taken: int) -> None:
        """Notes that the consumer loads the next batch itself.

        Args:
            now: The value of `perf_counter` when it asks for it.
            taken: How many it has got.
        """
        self._begun, self._times = True, 0
        self._watch(now, taken)

    def look(self, now: float, taken: int) -> bool:
        """Whether the consumer is to load the next batch itself.

        Args:
            now: The value of `perf_counter` when it asks for it.
            taken: How many it has got.
        """
        seconds = now - self._began
        if now <= self.ends and taken < self.full:
            return self._alone
        self._times += 1
        if self._alone:
            # Slow steps are no fault of the loading.
            loading = self._begun and 2 * (self._lane.busy - self._busy) > seconds
            if seconds > (self._usual if loading else BATCHES * HASTE_SECONDS):
                failed = loading and self._times < SOON
                self._patience = min(2 * self._patience, PATIENCE[1]) if failed else PATIENCE[0]
                self._alone, self._begun, self._times = False, False, 0
        elif seconds > BATCHES * HASTE_SECONDS:
            self._times = 0
        else:
            self._usual = seconds
            if self._times >= self._patience:
                self._alone, self._times = True, 0
        self._watch(now, taken)
        return self._alone

    def _watch(self, now: float, taken: int) -> None:
        """Begins another stretch."""
        self._began, self._busy = now, self._lane.busy
        self.ends, self.full = now + BATCHES * HASTE_SECONDS, taken + BATCHES
