"""What users name on the command line as `module:name`: their loaders and datasets."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any

FAILURES = (Exception, SystemExit)
"""What the user's code may raise; a program that is not meant to be imported may exit, also with status 0."""


class InputError(Exception):
    """The user's input is wrong; the message says what to change."""


def named(place: str, is_maker: Callable[[Any], bool], example: str) -> Any:
    """What `module:name` names, or what it returns if it is a function that makes it.

    Args:
        place: The module and the name.
        is_maker: Whether a callable of that name shall be called.
        example: A name for the error of a wrong form.

    Raises:
        InputError: If the module or the name is missing, or the user's code fails.
    """
    module_name, _, name = place.partition(":")
    if not module_name or not name or "/" in module_name or module_name.endswith(".py"):
        raise InputError(f"{place!r} is not of the form module:name, such as mypackage.data:{example}")
    # As with `python -m`; without it, a console script imports installed modules only.
    sys.path.insert(0, os.getcwd())
    try:
        found: Any = importlib.import_module(module_name)
    except FAILURES as error:
        if isinstance(error, ModuleNotFoundError) and error.name and f"{module_name}.".startswith(f"{error.name}."):
            raise InputError(f"there is no module {error.name!r}, here or installed") from None
        raise failure(f"the import of {module_name} failed", error) from error
    for part in name.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise InputError(f"{module_name} has no {name!r}") from None
    if callable(found) and is_maker(found):
        try:
            found = found()
        except FAILURES as error:
            raise failure(f"{place}() failed", error) from error
    return found


def failure(what: str, error: BaseException) -> InputError:
    """The error for a failure in the user's code, with its whole traceback."""
    return InputError(f"{what}\n{''.join(traceback.format_exception(error))}".rstrip())
