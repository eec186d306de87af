"""Connections to SQLite databases, for datasets that several threads read."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from loadax_core import add_note

if TYPE_CHECKING:
    import sqlite3


class Connections:
    """Read-only connections to one file, one for each thread that asks."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._local = threading.local()

    @contextmanager
    def use(self) -> Generator[sqlite3.Connection]:
        """This thread's connection, outside of any transaction at the start and at the end."""
        # Not every Python is built with it.
        import sqlite3  # noqa: PLC0415

        try:
            held: _Held | None = getattr(self._local, "held", None)
            if held is None:
                held = self._local.held = _Held(self._path)
            try:
                yield held.connection
            finally:
                held.connection.rollback()
        except sqlite3.Error as error:
            add_note(error, f"raised while reading {self._path}")
            raise


class _Held:
    """Closes a connection when the thread that it belongs to ends, or when the dataset is collected."""

    def __init__(self, path: Path) -> None:
        import sqlite3  # noqa: PLC0415

        # The last reference to a dataset may be dropped by another thread than the one that read.
        self.connection = sqlite3.connect(
            f"{path.as_uri()}?mode=ro", uri=True, isolation_level=None, check_same_thread=False
        )
        # The file is data: what it defines may call no function that has effects outside of it.
        self.connection.execute("PRAGMA trusted_schema = OFF")
        self.connection.execute("PRAGMA query_only = ON")

    def __del__(self) -> None:
        if hasattr(self, "connection"):
            self.connection.close()
