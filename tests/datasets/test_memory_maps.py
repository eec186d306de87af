"""Memory-mapped arrays stay mapped, wherever they travel."""

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from loadax_core import aligned_empty
from loadax_datasets import ArrayDataset
from loadax_datasets.files import memory_map as mapping

Array = np.ndarray[Any, Any]

VIEWS: dict[str, Callable[[Any], Any]] = {
    "whole": lambda a: a,
    "rows": lambda a: a[10:20],
    "columns": lambda a: a[:, 1:3],
    "reversed": lambda a: a[::-1],
    "strided": lambda a: a[5::7, ::2],
    "transposed": lambda a: a.T,
    "other dtype": lambda a: a.view(np.uint32),
    "plain view of a slice": lambda a: np.asarray(a)[3:][2:],
    "nothing": lambda a: a[:0],
    "windows": lambda a: np.lib.stride_tricks.sliding_window_view(a, 16, axis=0),
    "windows of a slice, from the end": lambda a: np.lib.stride_tricks.sliding_window_view(a[3:, 1:], 16, axis=0)[::-3],
    "windows that stay a map": lambda a: np.lib.stride_tricks.sliding_window_view(a, 16, axis=0, subok=True),
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "rows.npy"
    np.save(path, np.random.default_rng(0).integers(0, 2**62, (1000, 4)))
    return path


@pytest.mark.parametrize("view", VIEWS)
def test_a_mapped_array_is_pickled_by_reference(file: Path, view: str) -> None:
    array = VIEWS[view](np.load(file, mmap_mode="r"))
    rows = ArrayDataset({"x": array})
    data = pickle.dumps(rows)
    assert len(data) < 1000
    copied: ArrayDataset[dict[str, Array]] = pickle.loads(data)
    assert len(copied) == len(array)
    for i in (0, len(array) // 2, len(array) - 1) if len(array) else ():
        assert np.array_equal(copied[i]["x"], array[i])
        assert not copied[i]["x"].flags.writeable
    assert len(pickle.dumps(copied)) < 1000, "a copy is still mapped"
    assert copied.gather is not None
    assert np.array_equal(copied.gather(np.arange(len(array)), aligned_empty)["x"], array)


def test_another_interpreter_maps_the_file_itself(file: Path, tmp_path: Path) -> None:
    rows = ArrayDataset(np.load(file, mmap_mode="r")[100:]).shuffle(seed=3)
    (tmp_path / "pickle").write_bytes(pickle.dumps(rows))
    code = (
        "import pickle, sys; rows = pickle.load(open(sys.argv[1], 'rb')); print(sum(int(rows[i][0]) for i in range(9)))"
    )
    out = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "pickle")], check=True, capture_output=True, text=True
    )
    assert int(out.stdout) == sum(int(rows[i][0]) for i in range(9))


def test_arrays_in_memory_are_pickled_by_value(file: Path) -> None:
    array = np.load(file)
    assert mapping.reference(array) is array
    assert len(pickle.dumps(ArrayDataset(array))) > array.nbytes


class Elsewhere:
    """What gives NumPy other memory than that of its base."""

    def __init__(self, array: Array, base: Array) -> None:
        self.array, self.base = array, base
        self.__array_interface__ = array.__array_interface__


def test_arrays_that_are_not_in_the_map_are_pickled_by_value(file: Path) -> None:
    mapped = np.load(file, mmap_mode="r")
    array = np.asarray(Elsewhere(np.arange(3), mapped))
    assert mapping.reference(array) is array
    beyond = np.lib.stride_tricks.as_strided(mapped[-1:], (2, 4), mapped.strides)
    assert mapping.reference(beyond) is beyond


def test_changes_that_are_not_in_the_file_are_pickled_by_value(file: Path) -> None:
    array = np.load(file, mmap_mode="c")
    array[0] = -1
    copied: ArrayDataset[Array] = pickle.loads(pickle.dumps(ArrayDataset(array)))
    assert copied[0].tolist() == [-1] * 4
    assert copied[1].tolist() == array[1].tolist()


def test_a_writable_map_is_read_only_in_the_dataset(file: Path) -> None:
    array = np.load(file, mmap_mode="r+")
    with pytest.raises(ValueError, match="read-only"):
        ArrayDataset(array)[0][0] = 1
    array[0] = 5
    copied: ArrayDataset[Array] = pickle.loads(pickle.dumps(ArrayDataset(array)))
    assert copied[0].tolist() == [5] * 4, "and sees what is written to the file"


def test_a_missing_file_is_an_error(file: Path) -> None:
    data = pickle.dumps(ArrayDataset(np.load(file, mmap_mode="r")))
    file.unlink()
    with pytest.raises(FileNotFoundError, match=r"rows\.npy"):
        pickle.loads(data)


def test_a_shortened_file_is_an_error(file: Path) -> None:
    data = pickle.dumps(ArrayDataset(np.load(file, mmap_mode="r")))
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"rows\.npy has shrunk: 32127 bytes, mapped were 32128"):
        pickle.loads(data)


def test_a_file_of_the_same_size_that_was_written_since_is_an_error(file: Path) -> None:
    array = np.load(file)
    data = pickle.dumps(ArrayDataset(np.load(file, mmap_mode="r")))
    pickle.loads(data)
    before = file.stat()
    array[500] += 1
    np.save(file, array)
    # Earlier, as that of a file that was moved here: any other time will do.
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns - 1000))
    with pytest.raises(ValueError, match=r"rows\.npy has changed: .*; make the dataset anew"):
        pickle.loads(data)
    data = pickle.dumps(ArrayDataset(np.load(file, mmap_mode="r")))
    with file.open("ab") as opened:
        opened.write(b"more")
    with pytest.raises(ValueError, match=r"rows\.npy has changed: .*; make the dataset anew"):
        pickle.loads(data)


def test_a_file_that_was_replaced_before_the_pickling_is_an_error(file: Path) -> None:
    rows = ArrayDataset(np.load(file, mmap_mode="r")[10:])
    np.save(file.with_name("new.npy"), np.load(file) + 1)
    file.with_name("new.npy").replace(file)
    with pytest.raises(ValueError, match=r"rows\.npy has changed: .*; make the dataset anew"):
        pickle.loads(pickle.dumps(rows))
