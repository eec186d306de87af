"""`Plan`: the steps of a run, and how many lie between two positions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple, cast


class Position(NamedTuple):
    """The position of a run: it has yielded `row` rows of `epoch`, and all rows of the epochs before."""

    epoch: int
    row: int


class Step(NamedTuple):
    """One global batch: rows `start` to `stop - 1` in the order of `epoch`."""

    epoch: int
    number: int
    start: int
    stop: int

    @property
    def size(self) -> int:
        """The number of rows of the global batch."""
        return self.stop - self.start

    def __str__(self) -> str:
        return f"epoch {self.epoch}, step {self.number}"


_new: Callable[[type[Step], tuple[int, int, int, int]], Step] = cast("Any", tuple).__new__
"""Makes a `Step` of its fields in half the time that a call of the class takes."""


class Plan(NamedTuple):
    """The batches of a run over `rows` rows.

    An epoch's batches start at its first row; no batch holds rows of two epochs. `skipped` are the numbers of the steps
    that are left out, counted over all epochs from epoch 0, in rising order.
    """

    rows: int
    batch_size: int
    drop_remainder: bool
    first_epoch: int = 0
    epochs: int | None = 1
    skipped: tuple[int, ...] = ()

    @property
    def remainder(self) -> int:
        """Rows of the short batch at the end of an epoch; 0 if there is none."""
        return 0 if self.drop_remainder else self.rows % self.batch_size

    @property
    def steps_per_epoch(self) -> int:
        """The number of batches of one epoch."""
        return self.rows // self.batch_size + bool(self.remainder)

    @property
    def steps(self) -> int | None:
        """The number of batches of the run, without those that are skipped; None if it has no end."""
        return self.between(self.start, end)[0] if (end := self.end) is not None else None

    @property
    def start(self) -> Position:
        """The position at which a run starts."""
        return Position(self.first_epoch, 0)

    @property
    def end(self) -> Position | None:
        """The position at which a run ends; None if it has no end."""
        return None if self.epochs is None else Position(self.first_epoch + self.epochs, 0)

    def settle(self, position: Position) -> Position:
        """Moves a position from which its epoch has no further batch to the start of the next epoch."""
        left = self.rows - position.row
        if left < (self.batch_size if self.drop_remainder else 1):
            return Position(position.epoch + 1, 0)
        return position

    def after(self, step: Step) -> Position:
        """The position once the batch of `step` has been yielded."""
        return self.settle(Position(step.epoch, step.stop))

    def steps_from(self, position: Position) -> Iterator[Step]:
        """The batches of a run from `position` on, in order."""
        if not self.steps_per_epoch:
            # Without batches, a run without an end would search for its first batch for ever.
            return
        end, size, skipped = self.end, self.batch_size, frozenset(self.skipped)
        position = self.settle(position)
        while end is None or position < end:
            epoch, first = position
            rows = self.rows
            starts = range(first, rows - size + 1 if self.drop_remainder else rows, size)
            for number, start in enumerate(starts, first // size):
                stop = start + size
                step = _new(Step, (epoch, number, start, stop if stop <= rows else rows))
                if not skipped or self.number(step) not in skipped:
                    yield step
            position = Position(epoch + 1, 0)

    def number(self, step: Step) -> int:
        """The number of a step, counted over all epochs from epoch 0."""
        return step.epoch * self.steps_per_epoch + step.number

    def find(self, number: int) -> Step:
        """The step of a number, counted as by `steps_done`: 0 is the first one of the run.

        Raises:
            ValueError: If the run has no such step.
        """
        steps = None if self.epochs is None else self.epochs * self.steps_per_epoch
        if number < 0 or not self.steps_per_epoch or (steps is not None and number >= steps):
            has = "has no end" if steps is None else f"has steps 0 to {steps - 1}" if steps else "has no step"
            raise ValueError(f"step must be one of the run, which {has}, got {number}")
        epoch, inside = divmod(number, self.steps_per_epoch)
        start = inside * self.batch_size
        return Step(self.first_epoch + epoch, inside, start, min(start + self.batch_size, self.rows))

    def skipped_before(self, position: Position) -> list[list[int]]:
        """The skipped steps before a position, each as its epoch, its first row, and the row after its last one."""
        steps = (divmod(number, self.steps_per_epoch) for number in self.skipped if self.steps_per_epoch)
        rows = ((epoch, inside * self.batch_size) for epoch, inside in steps if epoch >= self.first_epoch)
        before = ((epoch, start) for epoch, start in rows if (epoch, start) < position)
        return [[epoch, start, min(start + self.batch_size, self.rows)] for epoch, start in before]

    def steps_done(self, position: Position) -> int:
        """The number of steps of a run that end before `position`, with those that are skipped.

        Another batch size may have stopped inside a step. The batch that goes on there has the number of this step:
        so all steps of an epoch have numbers of that epoch.
        """
        epoch, row = self.settle(position)
        return (epoch - self.first_epoch) * self.steps_per_epoch + row // self.batch_size

    def steps_left(self, position: Position) -> int | None:
        """The number of batches of a run from `position` on; None if the run has no end."""
        end = self.end
        if end is None:
            return None
        return self.between(position, end)[0] if position < end else 0

    def between(self, position: Position, later: Position) -> tuple[int, int]:
        """The number of batches, and of their rows, between two positions of a run, without those that are skipped."""
        steps, rows = self._between(position, later)
        if self.skipped and self.steps_per_epoch:
            left_out = [size for size in map(partial(self._size_of_skipped, position, later), self.skipped) if size]
            steps, rows = steps - len(left_out), rows - sum(left_out)
        return steps, rows

    def _size_of_skipped(self, position: Position, later: Position, number: int) -> int:
        """The rows of a step that is skipped, if it lies between two positions; otherwise 0."""
        epoch, inside = divmod(number, self.steps_per_epoch)
        # Batches of the epoch in which a run is resumed begin at the row where it is resumed.
        base = position.row if epoch == position.epoch else 0
        start = base + (inside - base // self.batch_size) * self.batch_size
        size = min(self.batch_size, self.rows - start)
        inside_run = start >= base and position <= (epoch, start) < later
        return size if inside_run and (size == self.batch_size or (size > 0 and not self.drop_remainder)) else 0

    def _between(self, position: Position, later: Position) -> tuple[int, int]:
        if position.epoch == later.epoch:
            rows = later.row - position.row
            return -(-rows // self.batch_size), rows
        steps, rows = self._rest(position.row)
        steps_each, rows_each = self._rest(0)
        epochs = later.epoch - position.epoch - 1
        return (
            steps + epochs * steps_each + -(-later.row // self.batch_size),
            rows + epochs * rows_each + later.row,
        )

    def _rest(self, row: int) -> tuple[int, int]:
        """The number of batches, and of their rows, from `row` to the end of the epoch."""
        left = self.rows - row
        if self.drop_remainder:
            return left // self.batch_size, left - left % self.batch_size
        return -(-left // self.batch_size), left
