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
        # What is opened now gets the numbers of the descriptors that were closed.
        others = [open(os.devnull) for _ in range(3)]  # noqa: SIM115
        sender.send(b"another")
        for _ in range(2):
            with pytest.raises(OSError, match="as many files open as it may"):
                receiver.receive()
        receiver.close()
        for other in others:
            os.fstat(other.fileno())
            other.close()


def test_files_of_a_message_that_never_comes_whole_are_closed(ends: Ends) -> None:
    before = len(os.listdir("/dev/fd"))
    receiver = Channel(ends[1])
    with open(os.devnull) as file:
        socket.send_fds(ends[0], [HEADER.pack(10, 2), b"part"], [file.fileno()] * 2)
    ends[0].shutdown(socket.SHUT_RDWR)
    with pytest.raises(EOFError):
        receiver.receive()
    assert len(os.listdir("/dev/fd")) == before + 2
    receiver.close()
    receiver.close()
    assert len(os.listdir("/dev/fd")) == before


def test_a_limit_of_time_ends_with_the_message(ends: Ends) -> None:
    sender, receiver = map(Channel, ends)
    receiver.limit(0.01)
    with pytest.raises(TimeoutError):
        receiver.receive()
    sender.send(b"late")
    # In the midst of a message, too, which is received when the rest has come.
    message = os.urandom(2 * READ_BYTES)
    ends[0].sendall(HEADER.pack(len(message), 0) + message[:READ_BYTES])
    assert receiver.receive() == (b"late", [])
    for _ in range(2):
        with pytest.raises(TimeoutError):
            receiver.receive()
    ends[0].sendall(message[READ_BYTES:])
    receiver.limit(None)
    assert receiver.receive() == (message, [])
