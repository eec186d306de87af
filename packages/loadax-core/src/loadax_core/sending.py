"""Errors on their way to another process."""

from __future__ import annotations

import pickle


def pack(error: BaseException) -> bytes:
    """An error as bytes, with its notes, which some types forget when they are pickled.

    Pickle would make an error anew from its arguments, which fails for many a type whose `__init__` takes something
    else than a message. Such an error is sent as its arguments and attributes.

    Raises:
        Exception: If neither can be pickled.
    """
    notes = getattr(error, "__notes__", [])
    try:
        body = pickle.dumps((error, None, notes))
        if type(unpack(body)) is type(error):
            return body
    except Exception:
        # As if nothing had been tried.
        pass
    return pickle.dumps((type(error), (error.args, vars(error)), notes))


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
