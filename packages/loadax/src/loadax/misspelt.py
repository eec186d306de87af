"""What to write instead of a name that `loadax` does not have."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from importlib.util import find_spec
from types import ModuleType


def missing(module: ModuleType, name: str, public: Iterable[str], hint: str = "") -> Exception:
    """The error for a name that a module does not have; it suggests the public name that is spelt most alike.

    Python replaces the message of an AttributeError that is raised within `from module import name`, and Python 3.11
    suggests no name of a module there. So within an import statement, the error is an ImportError.

    Args:
        module: The module.
        name: The name.
        public: The names that it has.
        hint: What else to say.
    """
    from difflib import get_close_matches  # noqa: PLC0415 - takes longer to import than this module

    spelt = {other.lower(): other for other in public}
    alike = get_close_matches(name.lower(), spelt, n=1, cutoff=0.8)
    hint = hint or (f"; did you mean {spelt[alike[0]]}?" if alike else "")
    if hint and _within_import() and find_spec(f"{module.__name__}.{name}") is None:
        return ImportError(f"cannot import name {name!r} from {module.__name__!r}{hint}", name=module.__name__)
    return AttributeError(f"module {module.__name__!r} has no attribute {name!r}{hint}", name=name, obj=module)


def _within_import() -> bool:
    """Whether an import statement asks for a name; it asks for a module of that name if there is no such attribute."""
    return any(frame.function == "_handle_fromlist" for frame in inspect.stack(context=0)[3:4])
