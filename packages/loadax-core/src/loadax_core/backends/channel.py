"""Messages between a worker process and its parent: bytes, and open files, over a socket."""

from __future__ import annotations

import errno
import os
import socket
import struct

HEADER = struct.Struct("<QI")
MOST_FILES = 200
"""Files that travel together; the kernel takes no more than some 250."""

READ_BYTES = 1 << 16
"""What is read at once, so that most messages wake the receiver once and not twice, for the header and for the rest."""


class Channel:
    """One end of a connection. It may be read by one thread at a time, and written by one.

    A message is its header and its bytes. Its files come with the header; for each further `MOST_FILES` of them there
    is a byte more before the message, which they come with.
    """

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        # What was received beyond the last message.
        self._bytes = bytearray()
        self._fds: list[int] = []

    def send(self, message: bytes, fds: list[int] | None = None) -> None:
        """Sends a message.

        Args:
            message: Any bytes.
            fds: Open files for the other side, which gets descriptors of its own.

        Raises:
            OSError: If the other side is gone.
        """
        fds = fds or []
        data = HEADER.pack(len(message), len(fds))
        for start in range(MOST_FILES, len(fds), MOST_FILES):
            socket.send_fds(self._end, [data], fds[start - MOST_FILES : start])
            data = b"f"
        last, both = fds[(len(fds) - 1) // MOST_FILES * MOST_FILES :], [data, message]
        sent = socket.send_fds(self._end, both, last) if last else self._end.sendmsg(both)
        if sent < len(data) + len(message):
            self._end.sendall(memoryview(message)[sent - len(data) :])

    def receive(self) -> tuple[bytearray, list[int]]:
        """Waits for a message.

        Returns:
            The message, and the files that came with it.

        Raises:
            EOFError: If the other side is gone.
            OSError: If this process may not have so many files open.
        """
        while len(self._bytes) < HEADER.size:
            self._more()
        nbytes, files = HEADER.unpack_from(self._bytes)
        while len(self._fds) < files:
            self._more()
        fds, self._fds = self._fds[:files], self._fds[files:]
        begin = HEADER.size + max(0, -(-files // MOST_FILES) - 1)
        message = bytearray(nbytes)
        got = min(nbytes, len(self._bytes) - begin)
        message[:got] = self._bytes[begin : begin + got]
        del self._bytes[: begin + got]
        view = memoryview(message)
        while got < nbytes:
            try:
                count = self._end.recv_into(view[got:])
            except ConnectionError:
                count = 0
            if not count:
                raise EOFError
            got += count
        return message, fds

    def _more(self) -> None:
        try:
            data, fds, flags, _ = socket.recv_fds(self._end, READ_BYTES, MOST_FILES)
        except ConnectionError:
            data, fds, flags = b"", [], 0
        if not data:
            raise EOFError
        self._bytes += data
        self._fds += fds
        if flags & socket.MSG_CTRUNC:
            # Those that did not fit are lost, so that no message can follow.
            for fd in self._fds:
                os.close(fd)
            raise OSError(
                errno.EMFILE,
                "this process has as many files open as it may, and cannot receive memory of a worker process; "
                "raise the limit (ulimit -n), or close some",
            )

    def close(self) -> None:
        """Closes this end; the other side reads the end of the stream."""
        self._end.close()
