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
        resumed: Where the steps of its epoch are counted from, which may be inside one: another batch size has stopped
            there. None for `start`.

    Attributes:
        last: The step whose batch was yielded last; None if none was since the move.
    """

    __slots__ = ("_before", "_plan", "_resumed", "_start", "last")

    def __init__(
        self,
        plan: Plan,
        start: Position | None = None,
        before: tuple[int, int] = (0, 0),
        resumed: Position | None = None,
    ) -> None:
        self._plan, self._before = plan, before
        self._start = plan.start if start is None else start
        self._resumed = plan.settle(self._start) if resumed is None else resumed
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

    def sought(self, step: Step) -> Progress:
        """The progress after the run was moved to a step, which begins where this run has it, or would have it."""
        epoch, row = self._resumed
        inside = row % self._plan.batch_size
        if step.epoch == epoch and step.start >= row - inside:
            position = self._plan.settle(Position(epoch, step.start + inside))
            return Progress(self._plan, position, self.yielded, self._resumed)
        # Steps before that place begin at multiples of the batch size, and so do all that follow such a step.
        position = Position(step.epoch, step.start)
        return Progress(self._plan, position, self.yielded, position if step.epoch == epoch else self._resumed)
