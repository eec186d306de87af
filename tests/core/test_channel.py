from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import Iterator

import pytest
from loadax_core.backends.channel import HEADER, MOST_FILES, READ_BYTES, Channel

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="sockets there carry no files")

Ends = tuple[socket.socket, socket.socket]


@pytest.fixture
def ends() -> Iterator[Ends]:
    here, there = socket.socketpair()
    with here, there:
        yield here, there


@pytest.mark.parametrize("files", [0, 1, MOST_FILES, MOST_FILES + 1, 2 * MOST_FILES + 50])
@pytest.mark.parametrize("nbytes", [0, 10, READ_BYTES - HEADER.size, READ_BYTES, 3_000_000])
def test_messages_arrive_one_by_one_with_their_files(ends: Ends, nbytes: int, files: int) -> None:
    sender, receiver = map(Channel, ends)
    messages = [os.urandom(nbytes), b"short", os.urandom(nbytes)]
    read, write = os.pipe()

    def send() -> None:
        for i, message in enumerate(messages):
            sender.send(message, [read, write] * (files // 2) + [read] * (files % 2) if i != 1 else None)

    # All are sent before the first is read, as far as the socket holds them.
    thread = threading.Thread(target=send)
    thread.start()
    for i, message in enumerate(messages):
        received, fds = receiver.receive()
        assert received == message
        assert len(fds) == (files if i != 1 else 0)
        for j, fd in enumerate(fds):
            assert os.fstat(fd).st_ino == os.fstat((read, write)[j % 2]).st_ino
            os.close(fd)
    thread.join()
    os.close(read)
    os.close(write)


@pytest.mark.parametrize("sent", [b"", b"x", HEADER.pack(10, 0), HEADER.pack(10, 0) + b"12345", HEADER.pack(0, 1)])
def test_an_end_within_a_message_is_an_end(ends: Ends, sent: bytes) -> None:
    ends[0].sendall(sent)
    ends[0].close()
    with pytest.raises(EOFError):
        Channel(ends[1]).receive()


def test_files_that_this_process_may_not_open_are_an_error(ends: Ends) -> None:
    resource = pytest.importorskip("resource")
    sender, receiver = map(Channel, ends)
    with open(os.devnull) as file:
        sender.send(b"hello", [file.fileno()] * 3)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (file.fileno() + 2, hard))
        try:
            with pytest.raises(OSError, match=r"as many files open as it may.*raise the limit \(ulimit -n\)"):
                receiver.receive()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
