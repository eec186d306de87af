"""Worker processes where descriptors and memory are scarce: few go far, and too few are a plain error."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from loadax_core.memory.maps import anonymous_file, map_file

pytestmark = pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="sets limits as Linux does")

SETUP = f"""
import sys
sys.path.append({str(Path(__file__).parent / "importable")!r})
import os, resource
from pathlib import Path
import numpy as np
from elsewhere import Wide, first
from faults import Allocating, Leaves
from loadax_core import DataLoader

def limit_files(n):
    resource.setrlimit(resource.RLIMIT_NOFILE, (n, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))

def limit_memory(more):
    status = Path("/proc/self/status").read_text()
    used = int(status.partition("VmSize:")[2].split()[0]) << 10
    resource.setrlimit(resource.RLIMIT_AS, (used + more, resource.getrlimit(resource.RLIMIT_AS)[1]))

def files():
    return len(os.listdir("/proc/self/fd"))
"""


def run(program: str) -> str:
    """What a program prints."""
    code = SETUP + textwrap.dedent(program)
    done = subprocess.run([sys.executable, "-X", "dev", "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.stderr, done.returncode) == ("", 0)
    return done.stdout


@pytest.mark.parametrize("ctypes", [True, False])
def test_a_mapping_needs_no_descriptor(ctypes: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not ctypes:
        monkeypatch.setitem(sys.modules, "ctypes", None)
    before = len(os.listdir("/proc/self/fd"))
    fd = anonymous_file(1 << 20)
    arrays = [map_file(fd, 1 << 20) for _ in range(3)]
    os.close(fd)
    arrays[0][::7] = 3
    assert all((array[::7] == 3).all() for array in arrays)
    arrays[1] += 1
    assert arrays[2].tolist() == [4, 1, 1, 1, 1, 1, 1] * (2**20 // 7) + [4, 1, 1, 1][: 2**20 % 7]
    opened = len(os.listdir("/proc/self/fd")) - before
    assert opened == (0 if ctypes or sys.version_info >= (3, 13) else 3)
    del arrays
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_mapping_is_gone_with_its_array() -> None:
    def mappings() -> int:
        return Path("/proc/self/maps").read_text().count("loadax")

    before = mappings()
    fd = anonymous_file(1 << 20)
    array = map_file(fd, 1 << 20)
    part: Any = array[5:9]
    os.close(fd)
    assert mappings() == before + 1
    del array
    part[:] = 1
    del part
    assert mappings() == before


@pytest.mark.parametrize(
    ("dataset", "batcher", "held"),
    [
        ("Wide(4 * 300)", "", 300),
        ("Leaves(4 * 10, 40)", "", 10),
        # The items of a batch are not stacked, each an array of its own.
        ("[np.full(1 << 16, n, np.uint8) for n in range(200)] * 4", "list", 4),
    ],
    ids=["many batches", "many leaves", "many items"],
)
def test_memory_of_many_batches_takes_few_descriptors(dataset: str, batcher: str, held: int) -> None:
    output = run(
        f"""
        limit_files(100)
        chain = DataLoader({batcher}).batch_size({4 if not batcher else 200}).workers(1, kind="process")
        batches = list(chain.build({dataset}))
        print(len(batches), files() < 20)
        """
    )
    assert output == f"{held} True\n"


def test_too_few_descriptors_are_an_error_that_closes_nothing_else() -> None:
    """What comes after the error takes the numbers of the descriptors that were closed."""
    output = run(
        """
        batches = iter(DataLoader().batch_size(4).workers(1, kind="process").prefetch(1).build(Leaves(400, 40)))
        held = [next(batches)]
        limit_files(files() + 5)
        mine = []
        for _ in range(3):
            try:
                while True:
                    held.append(next(batches))
            except OSError as error:
                print(error.errno, "raise the limit (ulimit -n), or close some" in str(error))
            mine += [open(os.devnull) for _ in range(2)]
        batches.close()
        for file in mine:
            os.fstat(file.fileno())
            file.close()
        limit_files(1000)
        print(sum(1 for _ in DataLoader().batch_size(4).workers(1, kind="process").build(Leaves(8, 40))))
        """
    )
    assert output == f"{errno.EMFILE} True\n" * 3 + "2\n"


def test_a_process_that_cannot_be_started_for_want_of_descriptors_leaves_none_open() -> None:
    output = run(
        """
        import threading, time

        def wait_for_workers():
            while threading.active_count() > 1:
                time.sleep(0.001)

        loader = DataLoader().batch_size(4).workers(1, kind="process").build(Wide(8))
        # The dataset's own file stays open as long as the loader.
        print(sum(1 for _ in loader))
        wait_for_workers()
        failed, before = 0, files()
        for extra in range(8):
            limit_files(before + extra)
            batches = iter(loader)
            try:
                next(batches)
            except OSError as error:
                failed += 1
            limit_files(1000)
            batches.close()
            wait_for_workers()
            assert files() == before, (extra, before, files())
        print(failed > 2, sum(1 for _ in loader))
        """
    )
    assert output == "2\nTrue 2\n"


def test_a_mapping_that_fails_leaves_nothing_behind() -> None:
    output = run(
        """
        from loadax_core.memory.mapped import Mapped
        from loadax_core.memory.segments import Segments
        from loadax_core.memory.shared import Shared

        sender, mapped = Segments(), Mapped()
        large = sender((1 << 26,), np.uint8)
        packed, fds = sender.pack([large])
        copies = [os.dup(fd) for fd in fds]
        dataset = Shared(np.zeros(1 << 26, np.uint8))
        opened = files()
        limit_memory(1 << 24)
        for attempt in (lambda: sender((1 << 27,), np.uint8), lambda: mapped.add(packed, copies), dataset.fd):
            try:
                attempt()
            except OSError as error:
                print(error.errno, "bytes of memory that a worker process shares" in str(error))
        # Those that came with the message are closed, and nothing was added but the dataset's own.
        print(files() - opened)
        del dataset, attempt
        print(files() - opened)
        """
    )
    assert output == f"{errno.ENOMEM} True\n" * 3 + "0\n-1\n"


def test_a_batch_that_cannot_be_mapped_is_an_error_each_time() -> None:
    output = run(
        """
        batches = iter(DataLoader().batch_size(4).workers(1, kind="process").prefetch(1).build(Allocating(400)))
        held = [next(batches)]
        limit_memory(1 << 23)
        for _ in range(2):
            try:
                while True:
                    held.append(next(batches))
            except OSError as error:
                print(error.errno, "hold fewer batches" in str(error))
        """
    )
    assert output == f"{errno.ENOMEM} True\n" * 2
