"""Messages between a worker process and its parent: bytes and open files, over a socket."""

from __future__ import annotations

import errno
import os
import socket
import struct

HEADER = struct.Struct("<QI")
"""The number of bytes of a message, and the number of its files."""

MOST_FILES = 200
"""The most files that travel with one call; the kernel takes no more than 253."""

READ_BYTES = 1 << 16
"""The most bytes of one read. A message that fits wakes the receiver once, not once for its header and once for its
bytes."""


class Channel:
    """One end of a connection. One thread at a time may receive, and one may send.

    A message is a header and bytes. The first `MOST_FILES` files travel with the header. For each further `MOST_FILES`
    files there is one byte between header and bytes, which they travel with.
    """

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        # What was received beyond the last message.
        self._bytes = bytearray()
        self._fds: list[int] = []
        # Whether files of a message were lost, so that neither it nor any after it can be received.
        self._broken = False

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
            The message, and the descriptors of the files that came with it, which are the caller's to close.

        Raises:
            EOFError: If the other side is gone.
            OSError: If this process may not have more files open. No message can be received after that.
            TimeoutError: If the other side sends nothing for as long as `limit` allows. It may be called again.
        """
        if self._broken:
            raise _too_many_files()
        while len(self._bytes) < HEADER.size:
            self._more()
        nbytes, files = HEADER.unpack_from(self._bytes)
        while len(self._fds) < files:
            self._more()
        begin = HEADER.size + max(0, -(-files // MOST_FILES) - 1)
        message = bytearray(nbytes)
        got = min(nbytes, len(self._bytes) - begin)
        head, message[:got] = self._bytes[:begin], self._bytes[begin : begin + got]
        del self._bytes[: begin + got]
        view = memoryview(message)
        while got < nbytes:
            try:
                count = self._end.recv_into(view[got:])
            except ConnectionError:
                count = 0
            except TimeoutError:
                self._bytes[:] = head + message[:got]
                raise
            if not count:
                raise EOFError
            got += count
        fds, self._fds = self._fds[:files], self._fds[files:]
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
            self._broken = True
            self._close_files()
            raise _too_many_files()

    def limit(self, seconds: float | None) -> None:
        """Sets how long `receive` waits for the other side to send something; None waits for ever."""
        self._end.settimeout(seconds)

    def close(self) -> None:
        """Closes the files that no message was returned with. The socket is closed by whoever opened it."""
        self._close_files()

    def _close_files(self) -> None:
        # Each once: a number that is free is soon that of another file of this process.
        while self._fds:
            os.close(self._fds.pop())


def _too_many_files() -> OSError:
    return OSError(
        errno.EMFILE,
        "this process has as many files open as it may, and cannot receive memory of a worker process; raise the limit "
        "(ulimit -n), or close some",
    )
