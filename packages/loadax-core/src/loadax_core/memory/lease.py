"""Leases: memory is kept as long as anything can see it, and given back without running Python code.

An array that is made from a lease refers to it, and so does whatever is made from that array: views, slices, a
`jax.Array` and the computations that read it. When the last of them is gone, the lease ends, and a function of the
interpreter's own is called, such as `deque.append`. A `__del__`, or a callback written in Python, would run at any
instruction of any thread: an interrupt (Ctrl-C) that arrives in it is printed and lost.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any


class Lease:
    """Owns memory as long as an array that is made from it, or anything made from that array, lives.

    Args:
        interface: The array interface of the memory.
        give_back: A function that is not written in Python; it is called with the `Loan` when the lease ends.
        what: What `give_back` is to give back.
    """

    __slots__ = ("__array_interface__", "__weakref__", "_loan")

    def __init__(self, interface: dict[str, Any], give_back: Callable[[Loan], object], what: Any) -> None:
        self.__array_interface__ = interface
        # In a cycle, the garbage collector would clear the loan without calling it. But it finds no lease in one, since
        # it does not look into NumPy's arrays.
        self._loan = loan = Loan(self, give_back)
        loan.what = what


class Loan(weakref.ref[Lease]):
    """What is left of a lease that has ended.

    Attributes:
        what: What is given back.
    """

    __slots__ = ("what",)
    what: Any
