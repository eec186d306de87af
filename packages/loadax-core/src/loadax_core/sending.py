"""Errors on their way to another process."""

from __future__ import annotations

import pickle
from contextlib import suppress

from .errors import WorkerError


def pack(error: BaseException) -> bytes:
    """An error as bytes, with its notes, which some types forget when they are pickled.

    Pickle would make an error anew from its arguments, which fails, or says something else, for many a type whose
    `__init__` does not take a message. Such an error is sent as its arguments and attributes. One that cannot be sent
    at all becomes a `WorkerError`, which tells its type and message.
    """
    kind, notes = type(error), getattr(error, "__notes__", [])
    with suppress(Exception):
        body = pickle.dumps((error, None, notes))
        copy = unpack(body)
        if type(copy) is kind and repr(copy.args) == repr(error.args):
            return body
    with suppress(Exception):
        body = pickle.dumps((kind, (error.args, vars(error)), notes))
        if type(unpack(body)) is kind:
            return body
    try:
        message = str(error)
    except Exception as broken:
        message = f"(its message cannot be shown: {type(broken).__name__})"
    substitute = WorkerError(
        f"{kind.__module__}.{kind.__qualname__}: {message} (pickle cannot send an error of this type)"
    )
    return pickle.dumps((substitute, None, notes))


def unpack(body: bytes) -> BaseException:
    """The error that was packed."""
    error, parts, notes = pickle.loads(body)
    if parts is not None:
        kind: type[BaseException] = error
        arguments, attributes = parts
        error = kind.__new__(kind, *arguments)
        for name, value in attributes.items():
            BaseException.__setattr__(error, name, value)
    if getattr(error, "__notes__", []) != notes:
        BaseException.__setattr__(error, "__notes__", notes)
    return error
