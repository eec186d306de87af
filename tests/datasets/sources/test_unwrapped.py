"""Datasets of other libraries work as they are, or with a lock around them."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from loadax_core import DataLoader, testing
from loadax_datasets import as_dataset

Array = np.ndarray[Any, np.dtype[Any]]
VALUES: Array = np.random.default_rng(0).integers(0, 256, (40, 3, 2), np.uint8)


class TorchStyle:
    """What `torch.utils.data.Dataset` asks for, and nothing else."""

    def __len__(self) -> int:
        return len(VALUES)

    def __getitem__(self, index: int) -> tuple[Array, int]:
        return VALUES[index], index


class TorchStyleBatched(TorchStyle):
    """With the method that PyTorch calls for a whole batch."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []

    def __getitems__(self, indices: list[int]) -> list[tuple[Array, int]]:
        self.asked.append(indices)
        return [self[index] for index in indices]


@pytest.mark.parametrize("make", [TorchStyle, TorchStyleBatched])
def test_torch_style(make: Callable[[], TorchStyle]) -> None:
    data = make()
    testing.check_dataset(data)
    testing.check_loader(DataLoader().batch_size(7).workers(2).prefetch(2).build(data))
    testing.check_loader(DataLoader().batch_size(7).workers(2).build(as_dataset(data).shuffle(seed=1)))
    (batch,) = DataLoader().batch_size(40).build(data)
    assert np.array_equal(batch[0], VALUES)
    assert batch[1].tolist() == list(range(40))


def test_torch_style_batches_are_asked_for_as_a_whole() -> None:
    data = TorchStyleBatched()
    list(DataLoader().batch_size(20).build(data))
    assert data.asked == [list(range(20)), list(range(20, 40))]


def test_zarr(tmp_path: Path) -> None:
    zarr: Any = pytest.importorskip("zarr", minversion="3")
    sync: Any = pytest.importorskip("zarr.core.sync")
    stored = zarr.create_array(store=str(tmp_path / "values.zarr"), shape=VALUES.shape, chunks=(8, 3, 2), dtype="uint8")
    stored[:] = VALUES
    data = zarr.open_array(str(tmp_path / "values.zarr"), mode="r")
    try:
        testing.check_dataset(as_dataset(data))
        batches = list(DataLoader().batch_size(8).workers(3).prefetch(2).build(data))
        assert np.array_equal(np.concatenate(batches), VALUES)
        shuffled = DataLoader().batch_size(8).workers(3).build(as_dataset(data).shuffle(seed=1, block=8, window=2))
        assert sorted(np.concatenate(list(shuffled)).reshape(40, 6).tolist()) == sorted(VALUES.reshape(40, 6).tolist())
    finally:
        # The threads that Zarr keeps for all of its arrays.
        sync.cleanup_resources()


class LockedFile:
    """An HDF5 dataset, which only one thread at a time may read; each process opens the file for itself."""

    def __init__(self, path: Path, name: str) -> None:
        self.path, self.name = path, name
        self._open()

    def _open(self) -> None:
        h5py: Any = pytest.importorskip("h5py")
        self._lock = threading.Lock()
        self._file = h5py.File(self.path, "r")
        self._data = self._file[self.name]

    def __len__(self) -> int:
        return len(self._data)

    def __getitem__(self, index: int) -> Array:
        with self._lock:
            return self._data[index]

    def close(self) -> None:
        self._file.close()

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "name": self.name}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.path, self.name = state["path"], state["name"]
        self._open()


def test_h5py_with_a_lock(tmp_path: Path) -> None:
    h5py: Any = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "values.h5", "w") as file:
        file["values"] = VALUES
    data = LockedFile(tmp_path / "values.h5", "values")
    testing.check_dataset(data)
    batches = list(DataLoader().batch_size(8).workers(4).prefetch(3).build(data))
    assert np.array_equal(np.concatenate(batches), VALUES)
    testing.check_loader(DataLoader().batch_size(8).workers(2).build(as_dataset(data).shuffle(seed=1)))
    data.close()


def test_splits_and_streams_of_hugging_face_are_refused_with_the_way_out() -> None:
    hf: Any = pytest.importorskip("datasets")
    data = hf.Dataset.from_dict({"x": [1, 2, 3]})
    stream = data.to_iterable_dataset()
    splits = r"DatasetDict does not give row i for \[i\]; it holds several datasets by name; choose one of them"
    streamed = r"does not give row i for \[i\]; it is a stream, .*; load it without streaming=True"
    for build in (DataLoader().build, as_dataset):
        with pytest.raises(TypeError, match=splits):
            build(hf.DatasetDict({"train": data}))
        with pytest.raises(TypeError, match=f"IterableDataset {streamed}"):
            build(stream)
        with pytest.raises(TypeError, match=f"IterableDatasetDict {streamed}"):
            build(hf.IterableDatasetDict({"train": stream}))
    assert len(list(DataLoader().build(data))) == 3
