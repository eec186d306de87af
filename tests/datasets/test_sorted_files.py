"""Documents sorted by length, in a file beside their store."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from loadax_core.testing import check_same
from loadax_datasets import BaseDataset, JaggedDataset, write_jagged
from loadax_datasets.orders import packing
from loadax_datasets.transforms import sorted_files
from loadax_datasets.transforms.pieces import is_mapped

LENGTHS = np.random.default_rng(0).integers(0, 40, 300).tolist()


def documents(lengths: Any) -> list[Any]:
    return [np.full(length, document, np.int32) for document, length in enumerate(lengths)]


def orders(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.startswith(".order-"))


def in_memory(lengths: Any, size: int, **settings: Any) -> BaseDataset[Any]:
    values = documents(lengths)
    return JaggedDataset.from_arrays(np.concatenate(values), np.cumsum([0, *lengths])).pack(size, **settings)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> JaggedDataset:
    monkeypatch.setattr(sorted_files, "LEAST", 100)
    return write_jagged(tmp_path / "store", documents(LENGTHS))


@pytest.fixture
def no_sort(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From the call on, sorting fails."""

    def fail(*_: Any) -> Any:
        raise AssertionError("sorted again")

    return lambda: monkeypatch.setattr(sorted_files, "sort", fail)


@pytest.mark.parametrize("long", ["cut", "drop"])
@pytest.mark.parametrize("size", [16, 64])
def test_an_order_is_sorted_once(store: JaggedDataset, tmp_path: Path, no_sort: Any, size: int, long: Any) -> None:
    first = store.pack(size, long=long)
    assert len(orders(tmp_path / "store")) == 1
    rows = list(in_memory(LENGTHS, size, long=long))
    no_sort()
    again = JaggedDataset(tmp_path / "store").pack(size, long=long)
    for packed in (first, again, pickle.loads(pickle.dumps(first))):
        assert packed.fingerprint()["lengths"] is None, "nothing depends on the file"
        check_same(list(packed), rows)


def test_an_order_is_memory_mapped(store: JaggedDataset) -> None:
    for _ in range(2):
        data = sorted_files.sorted_documents(store.flat, 16, "cut")
        assert is_mapped(data.order)
        assert not data.order.flags.writeable
        expected = packing.sort(store.flat, 16, "cut")
        check_same(list(map(np.asarray, data)), list(map(np.asarray, expected)))


def test_sizes_have_orders_of_their_own(store: JaggedDataset, tmp_path: Path) -> None:
    store.pack(16)
    store.pack(17)
    store.pack(16, long="drop")
    assert len(orders(tmp_path / "store")) == 3
    store.pack(16, align=4, max_documents=3, seed=3)
    assert len(orders(tmp_path / "store")) == 3
    store.pack(16, how="split")
    store.pack(16, lengths=LENGTHS)
    assert len(orders(tmp_path / "store")) == 3


def test_a_store_that_grows_has_another_order(store: JaggedDataset, tmp_path: Path) -> None:
    folder = tmp_path / "store"
    store.pack(16)
    before = orders(folder)
    more = [3, 50, 2]
    grown = write_jagged(folder, iter(documents(LENGTHS + more)[-3:]), append=True)
    assert orders(folder) == [], "the order of the shorter store is deleted"
    check_same(list(grown.pack(16)), list(in_memory(LENGTHS + more, 16)))
    assert len(orders(folder)) == 1
    assert orders(folder) != before


def test_a_damaged_order_is_made_anew(store: JaggedDataset, tmp_path: Path) -> None:
    folder = tmp_path / "store"
    rows = list(store.pack(16))
    (name,) = orders(folder)
    data = (folder / name).read_bytes()
    for damaged in (data[:-4], data[:8], b"", data + b"1234"):
        (folder / name).unlink()
        (folder / name).write_bytes(damaged)
        check_same(list(JaggedDataset(folder).pack(16)), rows)
        assert (folder / name).read_bytes() == data


def test_a_folder_that_cannot_be_written_to_is_no_error(store: JaggedDataset, tmp_path: Path) -> None:
    folder = tmp_path / "store"
    store.pack(16)
    (name,) = orders(folder)
    (folder / name).unlink()
    # A folder of that name can neither be read as a file nor replaced by one.
    (folder / name).mkdir()
    (folder / name / "x").touch()
    check_same(list(JaggedDataset(folder).pack(16)), list(in_memory(LENGTHS, 16)))
    assert orders(folder) == [name], "no temporary file is left"


def test_two_programs_write_an_order_at_once(
    store: JaggedDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = list[BaseDataset[Any]]()

    def sort_while_another_packs(*arguments: Any) -> Any:
        monkeypatch.setattr(sorted_files, "sort", packing.sort)
        inner.append(JaggedDataset(tmp_path / "store").pack(16))
        return packing.sort(*arguments)

    monkeypatch.setattr(sorted_files, "sort", sort_while_another_packs)
    outer = store.pack(16)
    assert len(orders(tmp_path / "store")) == 1
    for packed in (outer, *inner):
        check_same(list(packed), list(in_memory(LENGTHS, 16)))


def test_few_documents_are_sorted_in_memory(tmp_path: Path) -> None:
    store = write_jagged(tmp_path / "store", documents(LENGTHS))
    assert len(store) < sorted_files.LEAST
    store.pack(16)
    assert orders(tmp_path / "store") == []
