"""Loadax's own errors. What a dataset, a transform or a batcher raises arrives with its own type."""

from __future__ import annotations

import copy
import threading
import traceback
from collections.abc import Iterator
from contextlib import suppress
from types import CodeType
from typing import Any, cast


class StackError(ValueError):
    """Items cannot become one batch.

    Attributes:
        items: Positions in the batch of the two items that differ; the first is the one that the other is compared to.
    """

    def __init__(self, message: str, items: tuple[int, int]) -> None:
        super().__init__(message)
        self.items = items

    def __reduce__(self) -> tuple[type[StackError], tuple[str, tuple[int, int]]]:
        return type(self), (str(self), self.items)


class StateError(ValueError):
    """A saved state does not fit the iterator."""


class ClosedError(RuntimeError):
    """An iterator is used after `close()`."""


class WorkerError(RuntimeError):
    """A worker process has ended, or an error in one cannot be pickled."""


class EpochLeakWarning(UserWarning):
    """A part of a dataset that has other rows in each epoch, so that rows held out in one are seen in another."""


class RepeatedEpochWarning(UserWarning):
    """A loop over epochs that starts the same loader anew each time, so that every epoch has the order of the first."""


def add_note(error: BaseException, note: str) -> None:
    """Adds a note to an error, also to one whose attributes cannot be set, such as a frozen dataclass.

    Args:
        error: The error.
        note: The line to show at the end of its traceback.
    """
    BaseException.__setattr__(error, "__notes__", [*getattr(error, "__notes__", []), note])


class RemoteTraceback(Exception):  # noqa: N818
    """The traceback of an error where it was raised; shown as the cause of the error."""

    def __init__(self, text: str) -> None:
        super().__init__(text)

    def __str__(self) -> str:
        return f'\n"""\n{self.args[0]}"""'


def traceback_text(error: BaseException) -> str:
    """The traceback of an error as text."""
    try:
        return "".join(traceback.format_exception(error))
    except Exception:
        # Its message cannot be shown.
        return ""


def detach(error: BaseException) -> None:
    """Has an error, and those that led to it, refer to no frame: a frame's variables live as long as the error."""
    found: set[int] = set()
    errors: list[BaseException | None] = [error]
    while errors:
        one = errors.pop()
        if one is not None and id(one) not in found:
            found.add(id(one))
            one.__traceback__ = None
            errors += [one.__cause__, one.__context__]


def copied(error: BaseException) -> BaseException:
    """A copy of an error that several steps get, since each adds its own notes; the error itself if that fails."""
    new = None
    with suppress(Exception):
        new = copy.copy(error)
    with suppress(Exception):
        if new is None or not alike(new, error):
            new = remade(type(error), *parts(error))
        for name in ("__traceback__", "__context__", "__cause__", "__suppress_context__"):
            BaseException.__setattr__(new, name, getattr(error, name))
        if hasattr(error, "__notes__"):
            BaseException.__setattr__(new, "__notes__", [*error.__notes__])
        return new
    return error


def alike(new: BaseException, error: BaseException) -> bool:
    """Whether what `copy` or `pickle` has made of an error is as that one.

    They call the class with the error's arguments, and its `__init__` may take others.
    """
    return type(new) is type(error) and repr(new.args) == repr(error.args) and _message(new) == _message(error)


def parts(error: BaseException) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What an error consists of, for `remade`.

    Returns:
        The arguments of Python's own class that it derives from, and the attributes that were set.
    """
    _, arguments, *state = cast("tuple[Any, ...]", _native(type(error)).__reduce__(error))
    attributes: dict[str, Any] = {**(state[0] if state else {})}
    own: Any = object.__getstate__(error)
    if isinstance(own, tuple):
        # Those of `__slots__`.
        attributes.update(cast("tuple[Any, dict[str, Any]]", own)[1])
    return arguments, attributes


def remade(kind: type[BaseException], arguments: tuple[Any, ...], attributes: dict[str, Any]) -> BaseException:
    """An error of the same parts, made without a call of its class's `__init__`."""
    error = kind.__new__(kind, *arguments)
    # It may keep its message elsewhere than in its arguments, as `OSError` does.
    _native(kind).__init__(error, *arguments)
    for name, value in attributes.items():
        BaseException.__setattr__(error, name, value)
    return error


def _native(kind: type[BaseException]) -> Any:
    """The first of Python's own classes that a class of errors derives from."""
    return next(base for base in kind.__mro__ if base.__module__ == "builtins")


def is_interrupt(error: BaseException) -> bool:
    """Whether an error was raised by a signal handler, which Python runs in the main thread, and not by any row.

    Args:
        error: An error that has just been caught, with its traceback. A dataset that goes on after errors of its rows
            raises such an error again.
    """
    if threading.current_thread() is not threading.main_thread():
        return False
    if isinstance(error, KeyboardInterrupt):
        return True
    handlers, place = set(_handlers()), error.__traceback__
    while handlers and place is not None:
        if place.tb_frame.f_code in handlers:
            return True
        place = place.tb_next
    return False


def _handlers() -> Iterator[CodeType]:
    """The code of the program's own signal handlers."""
    import signal  # noqa: PLC0415 - only needed for errors

    for number in signal.valid_signals():
        handler: Any = signal.getsignal(number)
        while hasattr(handler, "func"):
            handler = handler.func
        if callable(handler):
            code = getattr(handler, "__code__", None) or getattr(type(handler).__call__, "__code__", None)
            if isinstance(code, CodeType):
                yield code


def relayed(error: BaseException, stage: str, step: object, trace: str = "") -> BaseException:
    """The error as `next` raises it: with a note that names the stage and the step.

    A StopIteration would end the caller's loop without a word. So it becomes a RuntimeError, as in a generator.

    Args:
        error: The error that was raised.
        stage: The stage that raised it, such as "reading".
        step: The step whose batch was being made.
        trace: The traceback as text, if the error has none of its own, as one from another process.
    """
    # NumPy's error for a write to a read-only array has these words.
    if isinstance(error, ValueError) and "read-only" in _message(error):
        add_note(error, "loadax: items may be views of the dataset's arrays; make new ones instead of changing them")
    if trace:
        BaseException.__setattr__(error, "__cause__", RemoteTraceback(trace))
    if isinstance(error, StopIteration):
        stopped, error = error, RuntimeError(f"StopIteration raised while {stage} a batch")
        for note in getattr(stopped, "__notes__", []):
            add_note(error, note)
        error.__cause__ = stopped
    add_note(error, f"loadax: while {stage} the batch of {step}")
    return error


def _message(error: BaseException) -> str:
    """The message of an error; empty if making it raises."""
    try:
        return str(error)
    except Exception:
        return ""
