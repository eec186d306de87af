"""A child that was forked while a thread of its parent held a dataset's lock can read the dataset."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

PROGRAM = """
import os, pickle, signal, sys, threading, warnings
import numpy as np
from loadax_datasets import RangeDataset
from loadax_datasets.orders.permutation import Permutation
from loadax_datasets.transforms.filtered import FilteredDataset
from loadax_datasets.transforms.sampled import SampledDataset

warnings.simplefilter("ignore", DeprecationWarning)
entered, leave = threading.Event(), threading.Event()
parent = os.getpid()

def held(work):
    # The thread of the parent holds the lock until the program ends.
    def wait(*args):
        if os.getpid() == parent:
            entered.set()
            leave.wait(30)
        return work(*args)
    return wait

Permutation._compute = held(Permutation._compute)
FilteredDataset._build = held(FilteredDataset._build)
SampledDataset._race = held(SampledDataset._race)
rows = {rows}
{copy}
thread = threading.Thread(target=lambda: rows[1], daemon=True)
thread.start()
assert entered.wait(30)
child = os.fork()
if child == 0:
    # A child that hangs is ended by SIGALRM.
    signal.alarm(20)
    assert sorted(rows[row] for row in range(len(rows))) == list(range(100))[-len(rows):]
    os._exit(0)
_, status = os.waitpid(child, 0)
leave.set()
sys.exit(os.waitstatus_to_exitcode(status) != 0)
"""

ROWS = {
    "shuffle": "RangeDataset(100).shuffle(seed=1)",
    "blocks": "RangeDataset(100).shuffle(seed=1, block=10)",
    "filter": "RangeDataset(100).filter(lambda row: row >= 50)",
    "sample": "RangeDataset(100).sample(100, replace=False, weights=np.ones(100), seed=1)",
}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")
@pytest.mark.parametrize("rows", ROWS.values(), ids=ROWS)
@pytest.mark.parametrize("copied", [False, True])
def test_locks_are_renewed_in_the_child(rows: str, copied: bool) -> None:
    if copied:
        # A function that is made on the fly cannot be pickled.
        rows = rows.replace("lambda row: row >= 50", "(50).__le__")
    code = PROGRAM.format(rows=rows, copy="rows = pickle.loads(pickle.dumps(rows))" if copied else "")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
