"""Documents in rows of one length: every value once, in every epoch, whatever the documents come from."""

from __future__ import annotations

import json
import pickle
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loadax_core import DataLoader, testing
from loadax_core.testing import check_same
from loadax_datasets import BaseDataset, InMemoryDataset, JaggedDataset, PackedDataset, as_dataset, write_jagged
from loadax_datasets.transforms.pieces import is_mapped

Array = npt.NDArray[Any]

PLACE = 1 << 12
"""Value `d * PLACE + i + 1` is the one at place `i` of document `d`."""


def documents_of(lengths: Any) -> list[Array]:
    return [np.arange(length, dtype=np.int32) + d * PLACE + 1 for d, length in enumerate(lengths)]


def flat_arrays(documents: list[Array]) -> tuple[Array, Array]:
    return np.concatenate([np.empty(0, np.int32), *documents]), np.cumsum([0, *map(len, documents)])


def flat(documents: list[Array]) -> JaggedDataset:
    return JaggedDataset.from_arrays(*flat_arrays(documents))


class InShards(JaggedDataset):
    """The same documents in two shards."""

    def _open(self) -> None:
        super()._open()
        shard: Any = self._arrays.shards[0]
        half = len(shard) // 2
        cut = int(shard.offsets[half])
        parts = [
            type(shard)([values[:cut] for values in shard.values], shard.offsets[: half + 1]),
            type(shard)([values[cut:] for values in shard.values], shard.offsets[half:] - shard.offsets[half]),
        ]
        self._set_shards(parts, self._arrays.build)


def in_shards(documents: list[Array]) -> JaggedDataset:
    return InShards.from_arrays(*flat_arrays(documents))


def check_rows(rows: BaseDataset[Any], lengths: Any, *, split: bool = False) -> Counter[int]:
    """Checks each row by itself; returns how often each value is there."""
    seen: Counter[int] = Counter()
    for row in rows:
        tokens, targets, segments, positions, mask = (row[name].tolist() for name in row)
        assert list(row) == ["tokens", "targets", "segment_ids", "positions", "loss_mask"]
        assert [row[name].dtype for name in row] == [np.int32, np.int32, np.int32, np.int32, np.bool_]
        before, last = 0, -1
        for i, token in enumerate(tokens):
            if not segments[i]:
                assert (token, targets[i], positions[i], mask[i]) == (0, 0, 0, False)
                continue
            document, place = divmod(token - 1, PLACE)
            if segments[i] != before:
                assert segments[i] > before
                before, last = segments[i], -1
            assert positions[i] == last + 1
            last = positions[i]
            assert place - positions[i] in range(0, lengths[document], len(tokens)) or split
            has_next = place + 1 < lengths[document]
            assert (mask[i], targets[i]) == (has_next, token + 1 if has_next else 0)
            seen[token] += 1
    return seen


LENGTHS = [3, 0, 12, 5, 5, 1, 30, 8, 7, 16, 0, 2, 2, 2, 9, 4, 4, 6]


def every_value(lengths: Any) -> Counter[int]:
    return Counter(int(value) for document in documents_of(lengths) for value in document)


@pytest.mark.parametrize("source", ["flat", "shards", "items"])
@pytest.mark.parametrize("how", ["best", "split"])
def test_every_value_is_there_once_in_every_epoch(source: str, how: Any) -> None:
    documents = documents_of(LENGTHS)
    offsets = np.cumsum([0, *LENGTHS])
    whole: dict[str, BaseDataset[Any]] = {
        "flat": flat(documents),
        "items": as_dataset(documents),
        "shards": InShards.from_arrays(np.concatenate(documents), offsets),
    }
    rows = whole[source].pack(8, how=how)
    orders: set[bytes] = set()
    for epoch in range(4):
        now = rows.at_epoch(epoch)
        assert len(now) == len(rows)
        seen = check_rows(now, LENGTHS, split=how == "split")
        if how == "best":
            assert seen == every_value(LENGTHS)
        else:
            assert seen.total() == len(rows) * 8 == sum(LENGTHS) // 8 * 8
            assert seen <= every_value(LENGTHS)
            assert all((row["segment_ids"] > 0).all() for row in now)
        orders.add(b"".join(row["tokens"].tobytes() for row in now))
    assert len(orders) == 4


@pytest.mark.parametrize("dtype", ["<u2", ">u2"])
@pytest.mark.parametrize("most", [20, 400, 9000])
def test_documents_of_any_byte_order_and_with_gaps_and_in_files(dtype: str, most: int, tmp_path: Path) -> None:
    """Of short documents, which are copied all at once, and of long ones, whose pages are read before."""
    lengths = np.random.default_rng(0).integers(0, most, 100)
    values = np.arange(int(lengths.sum()), dtype=np.int64).astype(np.uint16)
    offsets = np.cumsum([0, *lengths])
    expected = list(JaggedDataset.from_arrays(values, offsets).pack(512))
    np.save(tmp_path / "values.npy", values.astype(dtype))
    mapped = np.load(tmp_path / "values.npy", mmap_mode="r")
    assert is_mapped(mapped.view(np.ndarray)[5:])
    assert not is_mapped(values[5:])
    assert is_mapped(write_jagged(tmp_path / "store", [values]).flat.leaves[0][0][5:])
    for others in (values.astype(dtype), np.repeat(values.astype(dtype), 2)[::2], mapped):
        check_same(list(JaggedDataset.from_arrays(others, offsets).pack(512)), expected)


@pytest.mark.parametrize("how", ["best", "split"])
def test_the_contract(check_dataset: Any, how: Any) -> None:
    documents = documents_of(LENGTHS)
    for source in (flat(documents), as_dataset(documents)):
        rows = source.pack(8, how=how, seed=3)
        check_dataset(rows, [rows[i] for i in range(len(rows))], gathers=True)
        testing.check_dataset(rows, other=source.pack(8, how=how, seed=4))
    check_same(list(flat(documents).pack(8, how=how)), list(as_dataset(documents).pack(8, how=how)))


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 40), min_size=1, max_size=60),
    size=st.integers(1, 24),
    align=st.integers(1, 3),
    most=st.none() | st.integers(1, 4),
    seed=st.integers(0, 5),
    long=st.sampled_from(["cut", "drop"]),
)
def test_any_lengths(lengths: list[int], size: int, align: int, most: int | None, seed: int, long: Any) -> None:
    size *= align
    kept = {d for d, length in enumerate(lengths) if length and (long == "cut" or length <= size)}
    source = flat(documents_of(lengths))
    if not kept:
        with pytest.raises(ValueError, match="there is nothing to pack"):
            source.pack(size, align=align, max_documents=most, seed=seed, long=long)
        return
    rows = source.pack(size, align=align, max_documents=most, seed=seed, long=long)
    for epoch in (0, 1):
        now = rows.at_epoch(epoch)
        seen = check_rows(now, lengths)
        assert seen == Counter({value: 1 for value in every_value(lengths) if (value - 1) // PLACE in kept})
        for row in now:
            begins = np.flatnonzero((row["positions"] == 0) & (row["segment_ids"] > 0))
            assert not (begins % align).any()
            assert most is None or row["segment_ids"].max() <= most
    values = sum(seen.values())
    assert len(rows) >= -(-values // size)


def test_rows_are_found_without_the_rows_before_them() -> None:
    rng = np.random.default_rng(0)
    source = flat(documents_of(rng.integers(0, 30, 4000)))
    for how in ("best", "split"):
        rows = source.pack(32, how=how).at_epoch(2)
        assert len(rows) > 1100, "more than a block"
        batch = DataLoader().batch_size(64).build(source.pack(32, how=how)).epoch(2)
        once = [row for gathered in batch for row in gathered["tokens"]]
        for row in (0, 5, 1023, 1024, len(rows) - 1):
            assert rows[row]["tokens"].tolist() == once[row].tolist()


def test_partners_change_from_epoch_to_epoch() -> None:
    """Of lengths as web pages have them, hardly two documents that share a row share one in the next epoch."""
    rng = np.random.default_rng(0)
    lengths = np.minimum(np.exp(rng.normal(5, 1, 20_000)).astype(int) + 1, 2000)
    offsets = np.cumsum([0, *lengths])
    numbers = np.repeat(np.arange(len(lengths)), lengths)
    rows = JaggedDataset.from_arrays(numbers, offsets).pack(1024)
    pairs: list[set[tuple[int, int]]] = []
    for epoch in (0, 1):
        pairs.append(set())
        for row in rows.at_epoch(epoch):
            found = sorted(set(row["tokens"][row["segment_ids"] > 0].tolist()))
            pairs[-1].update((a, b) for i, a in enumerate(found) for b in found[i + 1 :])
    assert len(pairs[0] & pairs[1]) < 0.06 * len(pairs[0])


def test_padding_is_what_it_says() -> None:
    rng = np.random.default_rng(0)
    lengths = np.exp(rng.normal(6, 1.2, 10_000)).astype(int) + 1
    source = JaggedDataset.from_arrays(np.zeros(lengths.sum(), np.uint16), np.cumsum([0, *lengths]))
    rows = source.pack(2048)
    padding = 1 - int(lengths.sum()) / (len(rows) * 2048)
    assert padding < 0.001
    assert f"{padding:.2%} padding" in repr(rows)
    assert repr(source.pack(2048, how="split")).splitlines()[0].endswith(" 0.00% padding)")


def test_trees_keep_their_leaves() -> None:
    documents = [
        {"ids": np.arange(n, dtype=np.uint16) + 1, "more": {"mask": np.arange(n) % 2 == 0}} for n in (3, 5, 2, 11)
    ]
    rows = as_dataset(documents).pack(8, pad={"ids": 9})
    batch = next(iter(DataLoader().batch_size(len(rows)).build(rows)))
    assert list(batch) == ["ids", "more", "segment_ids", "positions"]
    assert batch["ids"].dtype == np.uint16
    assert batch["more"]["mask"].dtype == np.bool_
    blank = batch["segment_ids"] == 0
    assert (batch["ids"][blank] == 9).all()
    assert not batch["more"]["mask"][blank].any()
    assert (batch["ids"][~blank] % 2 == 1).tolist() == batch["more"]["mask"][~blank].tolist()


def test_padding_may_be_any_number_that_fits() -> None:
    rows = flat(documents_of([3])).pack(5, pad=-1)
    assert rows[0]["tokens"].tolist() == [1, 2, 3, -1, -1]
    assert rows[0]["targets"].tolist() == [2, 3, -1, -1, -1]


@pytest.mark.parametrize("source", [flat, as_dataset])
def test_documents_that_are_left_out_are_padding_and_nothing_else_changes(source: Any) -> None:
    documents = documents_of(LENGTHS)
    rows, fewer = (source(documents).pack(16, leave_out=out) for out in ((), (6, 9, 3)))
    assert fewer.fingerprint() == rows.fingerprint()
    assert fewer.content_fingerprint() != rows.content_fingerprint()
    for epoch in range(3):
        for one, other in zip(rows.at_epoch(epoch), fewer.at_epoch(epoch), strict=True):
            gone = np.isin((one["tokens"] - 1) // PLACE, (6, 9, 3)) & (one["segment_ids"] > 0)
            for name in one:
                assert other[name].tolist() == np.where(gone, 0, one[name]).tolist()


def test_a_document_that_is_left_out_is_not_read() -> None:
    class Broken(InMemoryDataset[Array]):
        def read(self, row: int) -> Array:
            if row == 3:
                raise OSError("broken")
            return super().read(row)

    documents = documents_of(LENGTHS)
    rows = Broken(documents).pack(8, lengths=LENGTHS, leave_out=[3])
    assert len(list(rows)) == len(rows)
    with pytest.raises(OSError, match="broken"):
        list(Broken(documents).pack(8, lengths=LENGTHS))


# Lengths


def test_lengths_may_be_kept_in_a_file(tmp_path: Path) -> None:
    reads: list[int] = []

    class Counted(InMemoryDataset[Array]):
        def read(self, row: int) -> Array:
            reads.append(row)
            return super().read(row)

    documents, file = documents_of(LENGTHS), tmp_path / "lengths.npy"
    first = Counted(documents).pack(8, lengths=file)
    assert sorted(reads) == list(range(len(documents)))
    assert np.load(file).tolist() == LENGTHS
    reads.clear()
    again = Counted(documents).pack(8, lengths=file)
    assert not reads
    check_same(list(again), list(first))
    assert [path.name for path in tmp_path.iterdir()] == ["lengths.npy"]
    file.write_bytes(file.read_bytes()[:-8])
    with pytest.raises(ValueError, match=r"lengths\.npy is not a \.npy file of lengths, or is cut short"):
        Counted(documents).pack(8, lengths=file)
    np.save(file, LENGTHS[1:])
    with pytest.raises(ValueError, match=r"lengths\.npy must have one length for each of 18 documents, got .* \(17,\)"):
        Counted(documents).pack(8, lengths=file)


class Unread(InMemoryDataset[Array]):
    """Documents that may take hours to read."""

    def read(self, row: int) -> Array:
        raise AssertionError("read")


def test_a_file_of_lengths_that_cannot_be_written_is_noticed_before_documents_are_read(tmp_path: Path) -> None:
    documents = Unread(documents_of(LENGTHS))
    with pytest.raises(FileNotFoundError, match=r"lengths=.*missing/lengths\.npy is in no folder that there is; make"):
        documents.pack(8, lengths=tmp_path / "missing" / "lengths.npy")
    with pytest.raises(FileNotFoundError, match=r"Python does not; give os\.path\.expanduser"):
        documents.pack(8, lengths="~/lengths.npy")
    with pytest.raises(ValueError, match=r"is a folder; name a file in it, such as .*lengths\.npy"):
        documents.pack(8, lengths=tmp_path)


def test_a_file_of_several_arrays_holds_no_lengths(tmp_path: Path) -> None:
    np.savez(tmp_path / "lengths.npz", a=np.array(LENGTHS))
    with pytest.raises(ValueError, match=r"lengths\.npz is not a \.npy file of lengths"):
        Unread(documents_of(LENGTHS)).pack(8, lengths=tmp_path / "lengths.npz")


def test_lengths_of_the_dataset_are_used() -> None:
    class Knowing(Unread):
        lengths = np.array([3, 2])

    assert len(Knowing(documents_of([3, 2])).pack(6)) == 1


def has_three(document: Array) -> bool:
    return len(document) >= 3


CHOSEN: dict[str, Callable[[BaseDataset[Any]], BaseDataset[Any]]] = {
    "slice": lambda documents: documents[3:14],
    "slice backwards": lambda documents: documents[::-2],
    "selection": lambda documents: documents.select([6, 0, 17, 6, 3]),
    "part": lambda documents: documents.random_split([0.7, 0.3], seed=1)[0],
    "filter": lambda documents: documents.filter(has_three),
    "repeat": lambda documents: documents.repeat(2),
    "frozen shuffle": lambda documents: documents.shuffle(seed=3).frozen(epoch=1),
    "frozen sample": lambda documents: documents.sample(9, seed=3).frozen(epoch=1),
    "append only": lambda documents: documents.append_only(),
    "concatenation": lambda documents: documents + documents,
    "parts, joined": lambda documents: documents[10:] + documents.select([2, 1]) + documents[::3][1:],
}


@pytest.mark.parametrize("how", ["best", "split"])
@pytest.mark.parametrize("source", [flat, in_shards])
@pytest.mark.parametrize("chosen", CHOSEN)
def test_chosen_documents_are_packed_without_reading_them_one_by_one(
    chosen: str, source: Any, how: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    documents = documents_of(LENGTHS)
    expected = CHOSEN[chosen](as_dataset(documents)).pack(8, how=how, seed=2)
    here = CHOSEN[chosen](source(documents))
    # A filter reads all documents once, to know how many there are.
    assert len(here)

    def read(*_: Any) -> Any:
        raise AssertionError("a document was read by itself")

    for name in ("read", "read_many", "read_range", "_read_numbers"):
        monkeypatch.setattr(JaggedDataset, name, read)
    rows = here.pack(8, how=how, seed=2)
    for packed in (rows, pickle.loads(pickle.dumps(rows))):
        for epoch in range(2):
            check_same(list(packed.at_epoch(epoch)), list(expected.at_epoch(epoch)))
    assert [origin.row for origin in rows.origins(1)] == [origin.row for origin in expected.origins(1)]


def test_joined_documents_of_other_leaves_are_read_to_tell() -> None:
    numbers = JaggedDataset.from_arrays(np.arange(4, dtype=np.int32), [0, 4])
    whole = JaggedDataset.from_arrays(np.arange(4, dtype=np.int64), [0, 4])
    named = JaggedDataset.from_arrays({"x": np.arange(4, dtype=np.int32)}, [0, 4])
    for other in (whole, named):
        with pytest.raises((TypeError, ValueError), match="document 1 of the dataset that is packed"):
            list((numbers + other).pack(4))


def test_a_read_of_ones_own_is_not_passed_by() -> None:
    class Short(JaggedDataset):
        def read(self, row: int) -> Any:
            return super().read(row)[:2]

    documents = documents_of([5, 3, 4])
    whole = Short.from_arrays(*flat_arrays(documents))
    for source in (whole, whole[:], whole + whole[:0]):
        rows = source.pack(6)
        assert sorted(rows[0]["tokens"].tolist()) == sorted(value for d in documents for value in d[:2].tolist())


def test_lengths_of_an_object_that_is_no_dataset_are_used() -> None:
    class Knowing:
        lengths: tuple[int, ...] = (3, 2)

        def __len__(self) -> int:
            return 2

        def __getitem__(self, row: int) -> Array:
            raise AssertionError("read")

    assert len(as_dataset(Knowing()).pack(6)) == len(PackedDataset(Knowing(), 6)) == 1
    Knowing.lengths = (3,)
    with pytest.raises(ValueError, match=r"^Knowing\.lengths must have one length for each of 2 documents"):
        as_dataset(Knowing()).pack(6)


def test_lengths_that_do_not_fit_are_noticed_when_the_document_is_read() -> None:
    rows = as_dataset(documents_of([3, 2])).pack(6, lengths=[3, 3])
    with pytest.raises(ValueError, match="it has 2 values, but its length was given as 3") as caught:
        rows[0]
    assert "document 1 of the dataset that is packed" in str(caught.value.__notes__)


@pytest.mark.parametrize("source", [flat, in_shards])
def test_lengths_that_are_not_those_of_flat_documents_are_refused(source: Any) -> None:
    """Rows would have values of the documents that follow in the arrays, and nobody would notice."""
    documents = source(documents_of([3, 2, 4]))
    for lengths, wrong in (([3, 3, 3], "1 the length 3, but it has 2"), ([3, 2, 9], "2 the length 9, but it has 4")):
        with pytest.raises(ValueError, match=f"^lengths gives document {wrong} values; leave lengths out"):
            documents.pack(6, lengths=lengths)
    check_same(list(documents.pack(6, lengths=[3, 2, 4])), list(documents.pack(6)))


def test_a_file_of_other_lengths_than_those_of_a_store_is_named(tmp_path: Path) -> None:
    np.save(tmp_path / "lengths.npy", [2, 3])
    with pytest.raises(ValueError, match=r"lengths\.npy gives document 0 the length 2, but it has 3 values"):
        flat(documents_of([3, 2])).pack(6, lengths=tmp_path / "lengths.npy")


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"size": 0}, "size must be at least 1, got 0"),
        ({"size": 2.5}, "size must be an integer"),
        ({"how": "first"}, "how must be 'best' or 'split', got 'first'"),
        ({"long": "truncate"}, "long must be 'cut', 'drop' or 'error', got 'truncate'"),
        ({"long": "error"}, "document 2 has 12 values, more than a row of 8; cut such documents"),
        ({"align": 3}, "size must be a multiple of align=3, got 8"),
        ({"align": 0}, "align must be at least 1"),
        ({"max_documents": 0}, "max_documents must be at least 1"),
        ({"how": "split", "align": 2}, "align and max_documents need how='best'"),
        ({"seed": -1}, "seed must be at least 0"),
        ({"lengths": [1, 2]}, r"lengths must have one length for each of 18 documents, got the shape \(2,\)"),
        ({"lengths": [0.5] * 18}, "lengths must be integers, got the dtype float64"),
        ({"lengths": len}, r"lengths is a function; call it, as in lengths=dataset\.lengths\('tokens'\)"),
        ({"lengths": [-1] * 18}, "lengths must be at least 0, but document 0 has -1"),
        ({"lengths": [0] * 18}, "there is nothing to pack"),
        ({"leave_out": [18]}, "leave_out names document 18, but there are only 18"),
        ({"leave_out": [-1]}, "leave_out must be at least 0"),
        ({"pad": 2**40}, "pad=1099511627776 does not fit into int32, the dtype of the documents"),
        ({"leave_out": 3}, r"leave_out has numbers of documents, as in leave_out=\[3\], got 3"),
        ({"leave_out": [[1, 2]]}, "leave_out must be an integer of at least 0"),
        ({"pad": None}, "pad must be a number, got None"),
        ({"pad": "0"}, "pad must be a number, got '0'"),
        ({"pad": [0, 1]}, r"pad must be a number, got \[0, 1\]"),
        ({"pad": {"ids": 1}}, "names what documents do not have: they have no names"),
    ],
)
@pytest.mark.parametrize("source", [flat, as_dataset])
def test_settings_out_of_range(source: Any, settings: Any, error: str) -> None:
    with pytest.raises((TypeError, ValueError), match=error):
        source(documents_of(LENGTHS)).pack(**{"size": 8} | settings)[0]


OTHERS: list[tuple[list[Any], str]] = [
    ([np.zeros((2, 2))], r"a document must have the shape \(length,\), got \(2, 2\); flatten it"),
    ([[1, 2]], "got a int in it; convert it"),
    (["a text"], r"got a str in it; tokenize it before: \.map\(fn\)"),
    ([{"a": np.zeros(2), "b": np.zeros(3)}], "the leaves of a document must be equally long, got 2 and 3"),
    ([{"positions": np.zeros(2)}], "'positions' is a name that packed rows have of their own"),
    ([(np.zeros(2), np.zeros(2))], "a document must be an array, or a dict of arrays, got a tuple"),
    ([{}], "a document must have at least one array, got an empty tree"),
    ([np.zeros(2), np.zeros(2, np.float32)], "it has the dtype float32, and the first document has float64; cast"),
    ([{"a": np.zeros(2)}, {"a": np.zeros(2), "b": np.zeros(2)}], "it has 2 arrays, and the first document has 1"),
    (
        [{"a": np.zeros(2), "b": np.zeros(2)}, {"a": np.zeros(2), "c": np.zeros(2)}],
        r"it has no \['b'\], which the first document has; give all documents the same entries",
    ),
    ([np.zeros(2), {"a": np.zeros(2)}], "it is not an array alone, as the first document is"),
    ([{"a": np.zeros(2)}, np.zeros(2)], r"it has no \['a'\], which the first document has"),
    ([np.ma.masked_array([1, 2], [False, True])], r"is a masked array, whose mask .*; fill it with \.filled\("),
]


@pytest.mark.parametrize(("documents", "error"), OTHERS)
def test_documents_of_another_kind(documents: Any, error: str) -> None:
    with pytest.raises((TypeError, ValueError), match=error):
        list(as_dataset(documents).pack(8))


def test_leaves_are_told_apart_by_their_names() -> None:
    """As when items are stacked: the order of a dict's entries says nothing."""
    ids, weights = np.array([1, 2]), np.array([8, 9])
    documents = [{"ids": ids, "weights": weights}, {"weights": weights, "ids": ids}]
    (row,) = as_dataset(documents).pack(4)
    assert row["ids"].tolist() == [1, 2, 1, 2]
    assert row["weights"].tolist() == [8, 9, 8, 9]


def test_settings_may_be_numbers_of_numpy(tmp_path: Path) -> None:
    source, two = flat(documents_of(LENGTHS)), cast("Any", np.int32(2))
    rows = source.pack(8, seed=two, pad=two, leave_out=[two], align=two, max_documents=two)
    same = source.pack(8, seed=2, pad=2, leave_out=[2], align=2, max_documents=2)
    assert DataLoader().batch_size(2).build(rows)
    assert json.dumps(rows.fingerprint()) == json.dumps(same.fingerprint())
    assert json.dumps(rows.content_fingerprint()) == json.dumps(same.content_fingerprint())
    check_same(list(rows.frozen().cache(tmp_path)), list(same))
    named = as_dataset([{"ids": np.arange(3)}]).pack(8, pad={"ids": two})
    assert json.dumps(named.content_fingerprint()).count('"pad": {"ids": 2}') == 1


def test_a_source_in_another_order_each_epoch_is_refused() -> None:
    source = flat(documents_of(LENGTHS))
    with pytest.raises(ValueError, match="needs a source in one order; leave out its shuffle"):
        source.shuffle(seed=1).pack(8)
    check_rows(source.shuffle(seed=1).frozen(epoch=0).pack(32), LENGTHS)


def test_documents_may_be_random_if_their_lengths_are_not() -> None:
    def noisy(document: Array, rng: np.random.Generator) -> Array:
        return document + rng.integers(0, 2) * 1_000_000

    rows = flat(documents_of(LENGTHS)).random_map(noisy, seed=1).pack(8)
    kept = [{int(value) > 1_000_000 for row in rows.at_epoch(e) for value in row["tokens"]} for e in range(2)]
    assert kept == [{True, False}] * 2
    assert rows.at_epoch(0)[0]["tokens"].tolist() == rows[0]["tokens"].tolist()


# In loaders


def test_global_batches_are_the_same_whatever_the_workers(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    source = flat(documents_of(rng.integers(0, 50, 300)))
    for how in ("best", "split"):
        rows = source.pack(32, how=how, seed=5)
        expected = list(DataLoader().batch_size(7).epochs(2).build(rows))
        for loader in (
            DataLoader().workers(3),
            DataLoader().workers(2, kind="process").prefetch(3),
        ):
            for got, batch in zip(loader.batch_size(7).epochs(2).build(rows), expected, strict=True):
                check_same(got, batch)


def test_an_epoch_costs_no_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    plans: list[Any] = []
    make = PackedDataset._make_plan

    def counted(self: PackedDataset) -> Any:
        plans.append(self)
        return make(self)

    monkeypatch.setattr(PackedDataset, "_make_plan", counted)
    rows = flat(documents_of(LENGTHS)).pack(8)
    for epoch in range(3):
        rows.at_epoch(epoch)[0]
    assert len(plans) == 1


def test_it_is_pickled_without_its_plan() -> None:
    rng = np.random.default_rng(1)
    source = flat(documents_of(rng.integers(1, 4, 2000)))
    rows = source.pack(32)
    rows[0]
    assert len(pickle.dumps(rows)) < len(pickle.dumps(source)) + 2000
    copy = pickle.loads(pickle.dumps(rows))
    check_same([copy[i] for i in range(5)], [rows[i] for i in range(5)])
    assert repr(copy) == repr(rows)


def test_the_fingerprint_says_what_fixes_the_rows() -> None:
    documents = documents_of(LENGTHS)
    one = as_dataset(documents).pack(8).fingerprint()
    assert json.loads(json.dumps(one)) == one
    for changed in (
        as_dataset(documents).pack(16),
        as_dataset(documents).pack(8, seed=1),
        as_dataset(documents).pack(8, how="split"),
        as_dataset(documents).pack(8, align=2),
        as_dataset(documents).pack(8, max_documents=2),
        as_dataset(documents).pack(8, long="drop"),
        as_dataset(documents[::-1]).pack(8),
    ):
        assert changed.fingerprint() != one


def test_a_pack_of_a_mixture_and_a_mixture_of_packs() -> None:
    one, other = flat(documents_of([5] * 400)), flat(documents_of([5] * 200))
    packed = one.mix(other, weights=[3, 1], seed=1).pack(32)
    assert isinstance(packed, PackedDataset)
    assert set(check_rows(packed, [5] * 400)) <= set(every_value([5] * 400))
    mixed = one.pack(32).mix(other.pack(32), weights=[3, 1], seed=1)
    batch = next(iter(DataLoader().batch_size(8).build(mixed)))
    assert batch["tokens"].shape == (8, 32)


def test_documents_are_read_once_a_step() -> None:
    calls: list[int] = []

    def double(batch: Array) -> Array:
        calls.append(len(batch))
        return batch * 1

    source = as_dataset(np.arange(640, dtype=np.int32).reshape(64, 10)).map(double, vectorized=True)
    loader = DataLoader().batch_size(4).build(source.pack(20, lengths=[10] * 64))
    assert len(list(loader)) == 8
    assert calls[-8:] == [8] * 8
