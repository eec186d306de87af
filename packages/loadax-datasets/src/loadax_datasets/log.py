"""The logger `loadax.datasets`, for the progress of work that takes seconds, such as a filter's index."""

from __future__ import annotations


def inform(text: str, *values: object) -> None:
    """Logs at level INFO.

    Args:
        text: A format string, as `logging` takes it.
        *values: The values of the format.
    """
    import logging  # noqa: PLC0415 - takes milliseconds to import, and is mostly not needed

    logging.getLogger("loadax.datasets").info(text, *values, stacklevel=2)
