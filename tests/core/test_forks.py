"""Processes forked from a program with worker processes, or from a worker process, hold nobody up."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from faults import Dying
from loadax_core import DataLoader, WorkerError

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing is forked there")

SETUP = f"""
import sys, warnings
sys.path.append({str(Path(__file__).parent / "importable")!r})
# Newer Pythons warn of any fork beside threads.
warnings.filterwarnings("ignore", message=".*multi-threaded", category=DeprecationWarning)
import os, signal, subprocess, threading, time
import numpy as np
from elsewhere import Numbers, Wide
from loadax_core import DataLoader, WorkerError
from loadax_core.memory import shared

"""


def run(program: str) -> str:
    """What a program prints."""
    code = SETUP + textwrap.dedent(program)
    done = subprocess.run([sys.executable, "-X", "dev", "-u", "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.stderr, done.returncode) == ("", 0)
    return done.stdout


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts sockets as Linux shows them")
def test_a_forked_process_has_no_lifelines() -> None:
    """If it had, a worker process would not notice that the program has been killed, as long as the copy lives."""
    output = run(
        """
        def count():
            links = [f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd")]
            return sum(os.path.exists(link) and "socket:" in os.readlink(link) for link in links)

        batches = iter(DataLoader().batch_size(4).workers(2, kind="process").build(Numbers(800)))
        next(batches)
        print(count())
        if not (child := os.fork()):
            print(count())
            # It ends as any program does, with its copies of all objects.
            sys.exit(7)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        print(sum(map(len, batches)))
        """
    )
    assert output == "4\n0\n7\n796\n"


def test_a_process_forked_while_a_worker_process_starts_does_not_hide_its_death() -> None:
    """The ends of the sockets that are for the worker are open in this process then."""
    output = run(
        """
        start, copies = subprocess.Popen, []

        class Popen(start):
            def __init__(self, *args, **options):
                if not (copy := os.fork()):
                    time.sleep(60)
                    os._exit(0)
                copies.append(copy)
                super().__init__(*args, **options)
                workers.append(self.pid)

        workers = []
        subprocess.Popen = Popen
        batches = iter(DataLoader().batch_size(4).workers(1, kind="process").prefetch(1).build(Numbers(400_000)))
        next(batches)
        began = time.monotonic()
        os.kill(workers[0], signal.SIGKILL)
        try:
            for batch in batches:
                pass
        except WorkerError as error:
            print("was killed by SIGKILL" in str(error), time.monotonic() - began < 5)
        os.kill(copies[0], signal.SIGKILL)
        os.waitpid(copies[0], 0)
        """
    )
    assert output == "True True\n"


@pytest.mark.parametrize("how", ["fork", "program"])
def test_what_a_worker_process_starts_does_not_hide_its_death(how: str) -> None:
    batches = iter(DataLoader().batch_size(4).workers(1, kind="process").timeout(20.0).build(Dying(12, how)))
    assert next(batches).tolist() == [0, 1, 2, 3]
    with pytest.raises(WorkerError, match="was killed by SIGKILL"):
        next(batches)


def test_a_forked_process_may_start_workers_while_a_thread_of_its_parent_starts_some() -> None:
    """The dataset is written to shared memory by the first to need it, which holds a lock meanwhile."""
    output = run(
        """
        make, inside, forked = shared.anonymous_file, threading.Event(), threading.Event()

        def slow_file(nbytes):
            inside.set()
            forked.wait()
            return make(nbytes)

        loader = DataLoader().batch_size(4).workers(1, kind="process").build(np.zeros((8, 20_000)))
        shared.anonymous_file = slow_file
        batches = iter(loader)
        threading.Thread(target=inside.wait).start()
        consumer = threading.Thread(target=lambda: print(len(list(batches)), "here"))
        consumer.start()
        inside.wait()
        if not (child := os.fork()):
            shared.anonymous_file = make
            print(len(list(loader)), "in the copy")
            sys.exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        forked.set()
        consumer.join()
        """
    )
    assert output == "2 in the copy\n0\n2 here\n"
