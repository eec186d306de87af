"""Libraries that only one source needs."""

from __future__ import annotations

import importlib
from typing import Any


def require(module: str, extra: str, user: str) -> Any:
    """Imports a library that the package does not depend on.

    Args:
        module: The module's full name.
        extra: The extra of loadax-datasets that installs it.
        user: The class that needs it.

    Returns:
        The module.

    Raises:
        ImportError: If the library is not installed, naming the extra.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        # An installed library that lacks another library has a better message than this one.
        package = module.partition(".")[0]
        if error.name is None or error.name.partition(".")[0] != package:
            raise
        raise ImportError(
            f'{user} needs {package}, which is not installed: pip install "loadax-datasets[{extra}]"', name=package
        ) from error
