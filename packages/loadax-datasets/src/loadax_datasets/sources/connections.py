"""Connections to SQLite databases, for datasets that several threads read."""

from __future__ import annotations

import os
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from loadax_core import add_note

from ..files.folders import shown
from ..forks import not_while_forking

if TYPE_CHECKING:
    import sqlite3


_LEFT: list[object] = []
"""Connections of the process that this one was forked from. SQLite forbids to use them here, and to close them."""


class Connections:
    """Read-only connections to one file, one for each thread that reads.

    Args:
        path: The file.
        json: Whether what the file defines may call functions of JSON, which older versions of SQLite do not count
            among those that are safe to call.
    """

    def __init__(self, path: Path, *, json: bool = False) -> None:
        self._path, self._json = path, json
        self._local = threading.local()

    @contextmanager
    def use(self) -> Generator[sqlite3.Connection]:
        """This thread's connection, outside of any transaction at the start and at the end."""
        # Not every Python is built with it.
        import sqlite3  # noqa: PLC0415

        try:
            # SQLite has locks of its own. A fork while another thread holds one would leave it locked in the child.
            with not_while_forking():
                held: _Held | None = getattr(self._local, "held", None)
                if held is None or held.process != os.getpid():
                    held = self._local.held = _Held(self._path, json=self._json)
                try:
                    yield held.connection
                finally:
                    held.connection.rollback()
        except sqlite3.Error as error:
            add_note(error, f"raised while reading {shown(self._path)}")
            raise


class _Held:
    """Closes a connection when the thread that it belongs to ends, or when the dataset is collected."""

    def __init__(self, path: Path, *, json: bool) -> None:
        self.process = os.getpid()
        self.connection = _connect(path)
        # The file is data: what it defines may call no function that has effects outside of it. Those of JSON have
        # none; and those that SQLite marks as having some, such as load_extension, it never lets a file call.
        self.connection.execute(f"PRAGMA trusted_schema = {'ON' if json else 'OFF'}")
        self.connection.execute("PRAGMA query_only = ON")

    def __del__(self) -> None:
        if not hasattr(self, "connection"):
            return
        if self.process == os.getpid():
            with not_while_forking():
                self.connection.close()
        else:
            _LEFT.append(self.connection)


def _connect(path: Path) -> sqlite3.Connection:
    import sqlite3  # noqa: PLC0415

    connection = _connect_to(f"{path.as_uri()}?mode=ro")
    try:
        # Reads from the file for the first time.
        connection.execute("PRAGMA schema_version")
    except BaseException as error:
        connection.close()
        code: int = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK)
        # The lowest byte is the kind of the error.
        if code & 0xFF not in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN):
            raise
        log = path.with_name(f"{path.name}-wal")
        if log.exists() and log.stat().st_size:
            add_note(
                error,
                f"its last changes are in {log.name}, which SQLite reads only where it may write to the folder; copy "
                "the folder to another place, or run PRAGMA wal_checkpoint(TRUNCATE) where the database is made",
            )
            raise
        # To read a database with a write-ahead log, SQLite writes files beside it, unless the database is said to be
        # immutable. The log is empty, so that no change is missed.
        return _connect_to(f"{path.as_uri()}?immutable=1")
    return connection


def _connect_to(uri: str) -> sqlite3.Connection:
    import sqlite3  # noqa: PLC0415

    # The last reference to a dataset may be dropped by another thread than the one that read.
    return sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
