"""How far a run has come."""

from __future__ import annotations

from .steps import Plan, Position, Step


class Progress:
    """How far a run has come, and how much it has yielded.

    A move makes a new one, so that whoever looks at it in another thread sees all of the move or nothing.

    Args:
        plan: The batches of the run.
        start: Where the run goes on from; None for its start.
        before: The batches that were yielded before it was moved there, and their rows.

    Attributes:
        last: The step whose batch was yielded last; None since the move.
    """

    __slots__ = ("_before", "_plan", "_start", "last")

    def __init__(self, plan: Plan, start: Position | None = None, before: tuple[int, int] = (0, 0)) -> None:
        self._plan, self._before = plan, before
        self._start = plan.start if start is None else start
        self.last: Step | None = None

    @property
    def position(self) -> Position:
        """What the next batch begins with."""
        return self._start if self.last is None else self._plan.after(self.last)

    @property
    def from_start(self) -> bool:
        """Whether all batches before the position were yielded here: the run was moved nowhere else."""
        return self._start == self._plan.start

    @property
    def yielded(self) -> tuple[int, int]:
        """The number of batches yielded, and of their rows; of moves, each batch each time."""
        batches, rows = self._plan.between(self._start, self.position)
        return self._before[0] + batches, self._before[1] + rows

    def moved(self, position: Position) -> Progress:
        """The same, once the run was moved to a position."""
        return Progress(self._plan, position, self.yielded)
