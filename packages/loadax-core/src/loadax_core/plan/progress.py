"""The position of a run, and how many batches it has yielded."""

from __future__ import annotations

from .steps import Plan, Position, Step


class Progress:
    """The position of a run, and how many batches and rows it has yielded.

    `set_state` and `seek` move the run. A move makes a new object, so that another thread sees all of it or nothing.

    Args:
        plan: The batches of the run.
        start: The position that the run was moved to; None for its start.
        before: The number of batches that were yielded before the move, and of their rows.

    Attributes:
        last: The step whose batch was yielded last; None if none was since the move.
    """

    __slots__ = ("_before", "_plan", "_start", "last")

    def __init__(self, plan: Plan, start: Position | None = None, before: tuple[int, int] = (0, 0)) -> None:
        self._plan, self._before = plan, before
        self._start = plan.start if start is None else start
        self.last: Step | None = None

    @property
    def position(self) -> Position:
        """The epoch and the row with which the next batch begins."""
        return self._start if self.last is None else self._plan.after(self.last)

    @property
    def from_start(self) -> bool:
        """Whether this iterator has yielded all batches before the position: it was moved nowhere but to the start."""
        return self._start == self._plan.start

    @property
    def yielded(self) -> tuple[int, int]:
        """The number of batches yielded, and of their rows; a batch that was yielded again, after a move, twice."""
        batches, rows = self._plan.between(self._start, self.position)
        return self._before[0] + batches, self._before[1] + rows

    def moved(self, position: Position) -> Progress:
        """The progress after the run was moved to a position."""
        return Progress(self._plan, position, self.yielded)
