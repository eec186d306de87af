"""How many pieces of which lengths share a row: best-fit decreasing over a histogram of lengths.

Rows of equal contents share a template, so that planning takes as long for 10**9 pieces as for 10**6: its time depends
on the number of different lengths. The algorithm is best-fit decreasing (Johnson, Near-Optimal Bin Packing Algorithms,
1973) for all pieces of a length at once. It spreads the pieces of a length over many rows: in each epoch they are dealt
anew to the places of their length, and two of them that share a row should not share one again.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import NamedTuple, TypeAlias

import numpy as np
from loadax_core import Rows

Chain: TypeAlias = "tuple[Chain, int, int] | None"
"""The pieces of a template, by class, as a linked list: the pieces before, the last class, and its number of pieces.

Classes follow from the longest pieces to the shortest.
"""


class Open(NamedTuple):
    """Rows of one template that still have room.

    Attributes:
        rows: Their number.
        chain: Their pieces.
        pieces: The number of pieces in each.
    """

    rows: int
    chain: Chain
    pieces: int


class Templates(NamedTuple):
    """Rows of equal contents, one template after the other, and the pieces of each template.

    Attributes:
        ends: For each template, the first row after it, of shape `(templates,)`.
        firsts: For each template, where its pieces begin in the arrays below, of shape `(templates + 1,)`.
        classes: For each piece, its class.
        bases: For each piece, its number among the pieces of its class in the template's first row.
        steps: For each piece, how many pieces of its class a row of its template has.
    """

    ends: Rows
    firsts: Rows
    classes: Rows
    bases: Rows
    steps: Rows

    @property
    def rows(self) -> int:
        """The number of rows."""
        return int(self.ends[-1]) if len(self.ends) else 0


SPREAD = 64
"""A row gets at most one in 64 pieces of a class, as long as rows have room, and twice as many in each further turn.

Without it, all 300 documents of 5 tokens end in one row, and meet each other there in every epoch.
"""


def plan(sizes: list[int], counts: list[int], capacity: int, most: int | None = None) -> Templates:
    """Plans rows for pieces of given sizes.

    Args:
        sizes: The size of each class of pieces, descending, from `capacity` to 1.
        counts: The number of pieces of each class, at least 1.
        capacity: The room of a row.
        most: The most pieces in a row; None for any number.

    Returns:
        The templates.
    """
    planner = _Planner(sizes, counts, capacity, capacity if most is None else most)
    for number in range(len(sizes)):
        planner.place(number)
    return _flat(planner.finish(), len(sizes))


class _Planner:
    """Rows that are being filled.

    Args:
        sizes: See `plan`.
        counts: See `plan`.
        capacity: See `plan`.
        most: The most pieces in a row.
    """

    def __init__(self, sizes: list[int], counts: list[int], capacity: int, most: int) -> None:
        self._sizes, self._counts, self._capacity, self._most = sizes, counts, capacity, most
        # The sizes of all pieces that are not yet placed, added up.
        self._volume = sum(size * count for size, count in zip(sizes, counts, strict=True))
        # Rows by their room; the rooms in ascending order; and the room of all these rows.
        self._by_room: dict[int, list[Open]] = {}
        self._rooms: list[int] = []
        self._room = 0
        # Rows with less room than the smallest pieces take.
        self._full: list[Open] = []

    def place(self, number: int) -> None:
        """Places the pieces of a class: into the rows with the least room that is enough, then into new rows."""
        size, count = self._sizes[number], self._counts[number]
        each = -(-count // SPREAD)
        while count:
            rooms = self._rooms[bisect_left(self._rooms, size) :]
            if not rooms:
                self._open(number, count)
                break
            for room in rooms:
                if not count:
                    break
                for rows in self._take(room):
                    count = self._put(number, count, each, rows, room)
            each *= 2
        self._volume -= size * self._counts[number]

    def finish(self) -> list[Open]:
        """All rows."""
        return self._full + [rows for room in self._rooms for rows in self._by_room[room]]

    def _open(self, number: int, count: int) -> None:
        """Opens rows for pieces that fit into no row: as many rows as the pieces that are not yet placed will need."""
        unplaced = self._volume - (self._counts[number] - count) * self._sizes[number]
        needed = -(-(unplaced - self._room) // self._capacity)
        fit = min(self._capacity // self._sizes[number], self._most)
        each = -(-count // max(needed, 1))
        each = max(1, min(each, fit))
        self._put(number, count, each, Open(-(-count // each), None, 0), self._capacity)

    def _put(self, number: int, count: int, each: int, rows: Open, room: int) -> int:
        """Puts pieces of a class into rows of one template, and keeps these rows; returns how many pieces are left."""
        size = self._sizes[number]
        each = min(each, room // size, self._most - rows.pieces)
        filled = min(rows.rows, count // each)
        if filled:
            self._keep(Open(filled, (rows.chain, number, each), rows.pieces + each), room - each * size)
            count -= filled * each
        untouched = rows.rows - filled
        if untouched and count:
            # One more row gets the pieces that are left, fewer than `each`.
            self._keep(Open(1, (rows.chain, number, count), rows.pieces + count), room - count * size)
            untouched, count = untouched - 1, 0
        if untouched:
            self._keep(rows._replace(rows=untouched), room)
        return count

    def _take(self, room: int) -> list[Open]:
        """Takes all rows of one room, to put pieces into them."""
        del self._rooms[bisect_left(self._rooms, room)]
        found = self._by_room.pop(room)
        self._room -= room * sum(rows.rows for rows in found)
        return found

    def _keep(self, rows: Open, room: int) -> None:
        if room < self._sizes[-1] or rows.pieces == self._most:
            self._full.append(rows)
            return
        self._room += room * rows.rows
        if room in self._by_room:
            self._by_room[room].append(rows)
        else:
            self._by_room[room] = [rows]
            insort(self._rooms, room)


def _flat(found: list[Open], classes: int) -> Templates:
    """Templates as arrays; numbers the pieces of each class through all rows."""
    firsts, numbers, bases, steps = [0], list[int](), list[int](), list[int]()
    used = [0] * classes
    for rows, chain, pieces in found:
        runs: list[tuple[int, int]] = []
        rest = chain
        while rest is not None:
            rest, number, count = rest
            runs.append((number, count))
        for number, count in reversed(runs):
            numbers.extend([number] * count)
            bases.extend(range(used[number], used[number] + count))
            steps.extend([count] * count)
            used[number] += rows * count
        firsts.append(firsts[-1] + pieces)
    ends = np.cumsum([rows.rows for rows in found], dtype=np.int64)
    return Templates(ends, *(np.array(values, np.int64) for values in (firsts, numbers, bases, steps)))
