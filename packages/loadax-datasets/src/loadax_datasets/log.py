"""The logger `loadax.datasets`, where what takes long says how far it is."""

from __future__ import annotations


def inform(text: str, *values: object) -> None:
    """Logs at level INFO.

    Args:
        text: A format, as of `logging`.
        *values: What is put into it.
    """
    import logging  # noqa: PLC0415 - slow to import, and mostly not needed

    logging.getLogger("loadax.datasets").info(text, *values, stacklevel=2)
