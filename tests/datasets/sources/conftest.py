"""Reading from other processes."""

import pickle
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from loadax_datasets import BaseDataset

PROGRAM = """
import pickle, sys
dataset, rows = pickle.load(open(sys.argv[1], "rb"))
items = [dataset[row] for row in rows]
pickle.dump(items, open(sys.argv[2], "wb"))
"""

ReadElsewhere = Callable[[BaseDataset[Any], Sequence[int]], list[list[Any]]]


@pytest.fixture
def read_elsewhere(tmp_path_factory: pytest.TempPathFactory) -> ReadElsewhere:
    """Reads rows in two new processes at the same time; returns the items that each of them read."""

    def read(dataset: BaseDataset[Any], rows: Sequence[int]) -> list[list[Any]]:
        folder = tmp_path_factory.mktemp("elsewhere")
        (folder / "given").write_bytes(pickle.dumps((dataset, rows)))
        results: list[Path] = [folder / "result 0", folder / "result 1"]
        command = [sys.executable, "-W", "error", "-c", PROGRAM, str(folder / "given")]
        running = [subprocess.Popen([*command, str(path)], stderr=subprocess.PIPE) for path in results]
        for process in running:
            _, errors = process.communicate(timeout=60)
            assert process.returncode == 0, errors.decode()
        return [pickle.loads(path.read_bytes()) for path in results]

    return read
