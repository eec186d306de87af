"""The weights of a mixture's sources, and how they change from row to row."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias, cast

from ..checks import check_int

WHOLE = 1 << 48
"""Shares are counted in this part of a row, so that after 10^12 rows their rounding makes less than 0.01 rows."""

MOST_SOURCES = 1 << 14

Weights: TypeAlias = "Sequence[float]"
"""One number of at least 0 for each source, relative to each other."""

Change: TypeAlias = "Weights | tuple[str, Weights, int]"
"""Other weights, or `("linear", weights, rows)`: a linear change to them, over so many rows."""


class Phase(NamedTuple):
    """Rows of a mixture with constant shares, or with shares that change linearly.

    Attributes:
        start: The first row of the mixture that is in it.
        rows: The number of rows; None for the last phase, which has no end.
        shares: The share of each source in the first row, in units of 1 / `WHOLE`. They add up to `WHOLE`.
        ends: The shares after the last row; the same as `shares` if they are constant.
    """

    start: int
    rows: int | None
    shares: tuple[int, ...]
    ends: tuple[int, ...]

    @property
    def stop(self) -> float:
        """The row after the last one."""
        return math.inf if self.rows is None else self.start + self.rows

    @property
    def constant(self) -> bool:
        """Whether the shares stay as they are."""
        return self.shares == self.ends

    def as_json(self) -> list[Any]:
        """The fields as JSON has them; see `rows_agreeing`."""
        return [self.start, self.rows, [*self.shares], [*self.ends]]

    def padded(self, count: int) -> Phase:
        """The phase with sources of share 0 added behind the others, up to `count` sources."""
        more = (0,) * (count - len(self.shares))
        return self._replace(shares=self.shares + more, ends=self.ends + more)


def phases_of(weights: Weights | Mapping[int, Change] | None, count: int) -> list[Phase]:
    """The phases of a mixture of `count` sources.

    Args:
        weights: Weights for all rows; or a mapping from rows of the mixture, the first of them 0, to the weights from
            there on. None if all are equal.
        count: The number of sources.

    Raises:
        TypeError: If a row is not an integer.
        ValueError: If weights are not one finite number of at least 0 for each source, or all 0; if the mapping does
            not begin at row 0; or if weights change while a linear change is under way.
    """
    if count > MOST_SOURCES:
        raise ValueError(f"cannot mix {count} sources, only up to {MOST_SOURCES}; join some of them with concat")
    if weights is None:
        weights = [1.0] * count
    if not isinstance(weights, Mapping):
        shares = shares_of(weights, count)
        return [Phase(0, None, shares, shares)]
    changes = cast("Mapping[Any, Any]", weights)
    rows = sorted(check_int("a row of weights", row, 0) for row in changes)
    if rows[:1] != [0]:
        raise ValueError(f"weights by rows begin at row 0, got {dict(changes)!r:.200}")
    phases: list[Phase] = []
    shares: tuple[int, ...] | None = None
    for start, stop in zip(rows, [*rows[1:], None], strict=True):
        change = changes[start]
        if isinstance(change, tuple) and len(cast("Sequence[Any]", change)) and isinstance(change[0], str):
            after, over = _linear(cast("tuple[Any, ...]", change), start, count)
            if shares is None:
                raise ValueError(f"there are no weights before row 0 to change linearly, got {change!r}")
            if stop is not None and start + over > stop:
                raise ValueError(
                    f"weights change at row {stop}, while the linear change from row {start} is under way until row "
                    f"{start + over}; let it take {stop - start} rows, or begin later"
                )
            phases.append(Phase(start, over, shares, after))
            begin, shares = start + over, after
        else:
            begin, shares = start, shares_of(cast("Weights", change), count)
        if begin != stop:
            phases.append(Phase(begin, None if stop is None else stop - begin, shares, shares))
    return phases


def _linear(change: tuple[Any, ...], start: int, count: int) -> tuple[tuple[int, ...], int]:
    """The shares after a linear change, and the number of rows that it takes."""
    if len(change) != 3 or change[0] != "linear":
        raise ValueError(f"a change of weights at row {start} is ('linear', weights, rows), got {change!r}")
    return shares_of(change[1], count), check_int("the rows of a linear change", change[2], 1)


def shares_of(weights: Weights, count: int) -> tuple[int, ...]:
    """The sources' shares in units of 1 / `WHOLE`, by largest remainder; one of weight above 0 gets at least 1.

    Further sources of weight 0 change nothing.

    Raises:
        ValueError: If there is not one finite number of at least 0 for each source, or if all are 0.
    """
    try:
        numbers = [float(weight) for weight in weights]
    except (TypeError, ValueError):
        numbers = []
    if len(numbers) != count or not all(math.isfinite(number) and number >= 0 for number in numbers):
        raise ValueError(f"weights must be a finite number of at least 0 for each of {count} sources, got {weights!r}")
    if not any(numbers):
        raise ValueError(f"at least one weight must be above 0, got {weights!r}")
    # A float is a fraction whose denominator is a power of 2, so that these are in proportion without rounding.
    ratios = [number.as_integer_ratio() for number in numbers]
    common = max(denominator for _, denominator in ratios)
    exact = [numerator * (common // denominator) for numerator, denominator in ratios]
    parts = [divmod(weight * WHOLE, sum(exact)) for weight in exact]
    shares = [share for share, _ in parts]
    for i in sorted(range(count), key=lambda i: -parts[i][1])[: WHOLE - sum(shares)]:
        shares[i] += 1
    for i, number in enumerate(numbers):
        if number and not shares[i]:
            shares[i] += 1
            shares[shares.index(max(shares))] -= 1
    return tuple(shares)


def rows_agreeing(own: Sequence[Phase], saved: object) -> int:
    """The row up to which two schedules have the same shares; the largest row that there can be if they are the same.

    Args:
        own: The phases of one schedule.
        saved: What `as_json` returned for each phase of the other one. Anything else agrees in no row.
    """
    try:
        others = [Phase(start, rows, tuple(shares), tuple(ends)) for start, rows, shares, ends in cast("Any", saved)]
    except (TypeError, ValueError):
        others = []
    if not others:
        return 0
    count = max(len(own[0].shares), len(others[0].shares))
    for here, there in zip(own, others, strict=False):
        one, other = here.padded(count), there.padded(count)
        if one != other:
            alike = one.constant and other.constant and one.shares == other.shares
            return int(min(one.stop, other.stop)) if alike else one.start
    return sys.maxsize


def describe(phases: Sequence[Phase]) -> str:
    """The shares in percent, and the rows from which they are others."""
    before = phases[0].shares
    parts = [_percent(before)]
    for phase in phases:
        if phase.shares != before:
            parts.append(f"from row {phase.start} {_percent(phase.shares)}")
        if not phase.constant:
            parts.append(f"from row {phase.start} to {phase.stop} linearly to {_percent(phase.ends)}")
        before = phase.ends
    return "; ".join(parts)


def _percent(shares: Sequence[int]) -> str:
    return ", ".join(f"{100 * share / WHOLE:.3g}%" for share in shares)
