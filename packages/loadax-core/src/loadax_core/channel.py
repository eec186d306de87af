"""Messages between a worker process and its parent: bytes, and open files, over a socket."""

from __future__ import annotations

import socket
import struct

HEADER = struct.Struct("<QI")
MOST_FILES = 200
"""Files that travel together; the kernel takes no more than some 250."""


class Channel:
    """One end of a connection. It may be read by one thread at a time, and written by one."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end

    def send(self, message: bytes, fds: list[int] | None = None) -> None:
        """Sends a message.

        Args:
            message: Any bytes.
            fds: Open files for the other side, which gets descriptors of its own.

        Raises:
            OSError: If the other side is gone.
        """
        fds = fds or []
        self._end.sendall(HEADER.pack(len(message), len(fds)))
        for start in range(0, len(fds), MOST_FILES):
            socket.send_fds(self._end, [b"f"], fds[start : start + MOST_FILES])
        self._end.sendall(message)

    def receive(self) -> tuple[bytearray, list[int]]:
        """Waits for a message.

        Returns:
            The message, and the files that came with it.

        Raises:
            EOFError: If the other side is gone.
        """
        nbytes, files = HEADER.unpack(self._read(HEADER.size))
        fds: list[int] = []
        while len(fds) < files:
            _, some, _, _ = socket.recv_fds(self._end, 1, min(MOST_FILES, files - len(fds)))
            if not some:
                raise EOFError
            fds += some
        return self._read(nbytes), fds

    def _read(self, nbytes: int) -> bytearray:
        message = bytearray(nbytes)
        view, got = memoryview(message), 0
        while got < nbytes:
            try:
                count = self._end.recv_into(view[got:])
            except ConnectionError:
                count = 0
            if not count:
                raise EOFError
            got += count
        return message

    def close(self) -> None:
        """Closes this end; the other side reads the end of the stream."""
        self._end.close()
