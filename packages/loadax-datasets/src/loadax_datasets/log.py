"""The logger `loadax.datasets`: for the progress of work that takes seconds, and for what should not go unseen."""

from __future__ import annotations


def inform(text: str, *values: object) -> None:
    """Logs at level INFO.

    Args:
        text: A format string, as `logging` takes it.
        *values: The values of the format.
    """
    import logging  # noqa: PLC0415 - takes milliseconds to import, and is mostly not needed

    logging.getLogger("loadax.datasets").info(text, *values, stacklevel=2)


def warn(text: str, *values: object) -> None:
    """Logs at level WARNING.

    Args:
        text: A format string, as `logging` takes it.
        *values: The values of the format.
    """
    import logging  # noqa: PLC0415 - as above

    logging.getLogger("loadax.datasets").warning(text, *values, stacklevel=2)
