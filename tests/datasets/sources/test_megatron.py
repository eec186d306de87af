"""Pairs of `.bin` and `.idx` files, as Megatron-LM writes them."""

from __future__ import annotations

import os
import pickle
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from loadax_core import DataLoader, StackError, testing
from loadax_datasets import BaseDataset, MegatronDataset
from loadax_datasets.sources import megatron_index

Array = np.ndarray[Any, np.dtype[Any]]
ReadElsewhere = Callable[[BaseDataset[Any], Sequence[int]], list[list[Any]]]

# The sequences [1, 2, 3], [] and [258, 65535]: the first one is document 0, the others are document 1.
GOLDEN_BIN = bytes.fromhex("0100 0200 0300 0201 ffff")
GOLDEN_IDX = bytes.fromhex(
    "4d4d49444944580000"  # magic
    "0100000000000000"  # version
    "08"  # uint16
    "0300000000000000"  # sequences
    "0300000000000000"  # document indices
    "03000000 00000000 02000000"  # lengths
    "0000000000000000 0600000000000000 0600000000000000"  # pointers
    "0000000000000000 0100000000000000 0300000000000000"  # document indices
)
GOLDEN = [np.array(values, np.uint16) for values in ([1, 2, 3], [], [258, 65535])]
CODES = {"uint8": 1, "int8": 2, "int16": 3, "int32": 4, "int64": 5, "float64": 6, "float32": 7, "uint16": 8}


def write(
    prefix: Path,
    sequences: Sequence[Array],
    *,
    documents: Sequence[int] | None = None,
    order: Sequence[int] | None = None,
    gap: int = 0,
    modes: bool = False,
    code: int | None = None,
) -> Path:
    """Writes a pair of files, by the definition of the format.

    Args:
        prefix: The path, without `.bin` and `.idx`.
        sequences: Arrays of one dtype.
        documents: The document indices; left out, each sequence is a document.
        order: The order of the sequences in the `.bin` file; left out, their own.
        gap: The number of values between the sequences there.
        modes: Whether to write a mode for each sequence, as for several modalities.
        code: A dtype code other than that of the sequences.
    """
    dtype = sequences[0].dtype if sequences else np.dtype(np.uint16)
    pointers, data = [0] * len(sequences), b""
    for number in range(len(sequences)) if order is None else order:
        pointers[number] = len(data)
        data += sequences[number].tobytes() + b"\xee" * (gap * dtype.itemsize)
    indices = range(len(sequences) + 1) if documents is None else documents
    index = b"MMIDIDX\0\0" + struct.pack("<QB", 1, CODES[dtype.name] if code is None else code)
    index += struct.pack("<QQ", len(sequences), len(indices))
    index += struct.pack(f"<{len(sequences)}i", *map(len, sequences))
    index += struct.pack(f"<{len(pointers)}q", *pointers)
    index += struct.pack(f"<{len(indices)}q", *indices)
    Path(f"{prefix}.bin").write_bytes(data)
    Path(f"{prefix}.idx").write_bytes(index + bytes(len(sequences)) * modes)
    return prefix


def replace(path: Path, at: int, data: bytes) -> None:
    """Overwrites bytes of a file."""
    old = path.read_bytes()
    path.write_bytes(old[:at] + data + old[at + len(data) :])


@pytest.fixture
def golden(tmp_path: Path) -> Path:
    (tmp_path / "corpus.bin").write_bytes(GOLDEN_BIN)
    (tmp_path / "corpus.idx").write_bytes(GOLDEN_IDX)
    return tmp_path / "corpus"


def test_files_made_by_hand(golden: Path, tmp_path: Path, check_dataset: Any) -> None:
    rows = MegatronDataset(golden)
    check_dataset(rows, GOLDEN, gathers=False)
    testing.check_dataset(rows)
    assert rows.lengths.tolist() == [3, 0, 2]
    assert rows.lengths.dtype == np.int64
    assert rows[0].dtype == np.uint16
    assert repr(rows) == "MegatronDataset(3 sequences of uint16 values, in corpus)"
    with pytest.raises(ValueError, match="read-only"):
        rows[0][0] = 1
    # The writer of these tests, too.
    write(tmp_path / "other", GOLDEN, documents=[0, 1, 3])
    assert (tmp_path / "other.idx").read_bytes() == GOLDEN_IDX
    assert (tmp_path / "other.bin").read_bytes() == GOLDEN_BIN


@pytest.mark.parametrize("suffix", ["", ".bin", ".idx"])
def test_a_prefix_with_or_without_a_suffix(golden: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert MegatronDataset(f"{golden}{suffix}")[0].tolist() == [1, 2, 3]
    monkeypatch.chdir(golden.parent)
    rows = MegatronDataset(Path(f"corpus{suffix}"))
    monkeypatch.chdir("/")
    assert pickle.loads(pickle.dumps(rows))[0].tolist() == [1, 2, 3]


def test_a_prefix_with_dots(tmp_path: Path) -> None:
    write(tmp_path / "corpus.v1.2_text", GOLDEN)
    assert len(MegatronDataset(tmp_path / "corpus.v1.2_text")) == 3


@pytest.mark.parametrize("dtype", CODES)
@pytest.mark.parametrize("modes", [False, True])
def test_dtypes(check_dataset: Any, tmp_path: Path, dtype: str, modes: bool) -> None:
    sequences = [part.astype(dtype) for part in np.split(np.arange(100), [3, 3, 50])]
    rows = MegatronDataset(write(tmp_path / "corpus", sequences, modes=modes))
    check_dataset(rows, sequences, gathers=False)


@pytest.mark.parametrize(("code", "dtype"), [(6, np.float32), (7, np.float64)])
def test_older_writers_numbered_floats_the_other_way_round(tmp_path: Path, code: int, dtype: type) -> None:
    sequences: list[Array] = [np.arange(n, dtype=dtype) for n in (2, 3, 0, 4)]
    rows = MegatronDataset(write(tmp_path / "corpus", sequences, code=code))
    assert rows[1].dtype == dtype
    assert rows[3].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("older", [False, True])
def test_of_one_sequence_with_floats_the_size_of_the_file_tells_the_dtype(
    tmp_path: Path, dtype: type, older: bool
) -> None:
    """Its pointer is 0 in both dtypes, and a float64 that is read as two float32 is no error."""
    values = cast("Array", np.array([0.5, 2]).astype(dtype))
    code = CODES[values.dtype.name]
    prefix = write(tmp_path / "corpus", [values[:0], values], code=13 - code if older else code)
    _, found = MegatronDataset(prefix)
    assert found.dtype == dtype
    assert found.tolist() == [0.5, 2]


def test_floats_of_no_sequence(tmp_path: Path) -> None:
    assert len(MegatronDataset(write(tmp_path / "corpus", [], code=6))) == 0


@given(st.data())
def test_sequences_may_lie_in_any_order_and_with_gaps(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    lengths = data.draw(st.lists(st.integers(0, 5), max_size=8))
    sequences = np.split(np.arange(sum(lengths), dtype=np.int32), np.cumsum(lengths)[:-1]) if lengths else []
    order = data.draw(st.permutations(range(len(sequences))))
    prefix = write(tmp_path_factory.mktemp("a") / "corpus", sequences, order=order, gap=data.draw(st.integers(0, 2)))
    rows = MegatronDataset(prefix)
    assert [row.tolist() for row in rows] == [sequence.tolist() for sequence in sequences]
    assert rows.lengths.tolist() == lengths
    if sum(lengths):
        packed = rows.pack(5)
        batch = next(iter(DataLoader().batch_size(len(packed)).build(packed)))
        found = batch["tokens"][batch["segment_ids"] > 0]
        assert sorted(found.tolist()) == list(range(sum(lengths)))


def test_no_sequence(tmp_path: Path, check_dataset: Any) -> None:
    for documents in (False, True):
        rows = MegatronDataset(write(tmp_path / "corpus", []), documents=documents)
        check_dataset(rows, [], gathers=False)
        assert rows.lengths.tolist() == []


def test_documents_of_several_sequences(tmp_path: Path, check_dataset: Any) -> None:
    sequences = np.split(np.arange(20, dtype=np.uint16), [3, 3, 10, 12])
    prefix = write(tmp_path / "corpus", sequences, documents=[0, 2, 2, 3, 5])
    rows = MegatronDataset(prefix, documents=True)
    expected = [np.arange(start, end, dtype=np.uint16) for start, end in ((0, 3), (0, 0), (3, 10), (10, 20))]
    check_dataset(rows, expected, gathers=False)
    testing.check_dataset(rows)
    assert rows.lengths.tolist() == [3, 0, 7, 10]
    assert repr(rows) == "MegatronDataset(4 documents of uint16 values, in corpus)"
    assert rows.fingerprint() != MegatronDataset(prefix).fingerprint()


def test_documents_must_not_have_gaps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(megatron_index, "CHUNK", 2)
    sequences = [np.arange(3, dtype=np.uint16)] * 4
    prefix = write(tmp_path / "corpus", sequences, documents=[0, 1, 2, 3, 4], gap=1)
    assert MegatronDataset(prefix, documents=True)[2].tolist() == [0, 1, 2]
    write(prefix, sequences, documents=[0, 1, 2, 4], gap=1)
    assert len(MegatronDataset(prefix)) == 4
    with pytest.raises(ValueError, match=r"sequence 3 does not follow on sequence 2, .* leave documents=True out"):
        MegatronDataset(prefix, documents=True)


def test_document_indices_are_checked_if_they_are_used(golden: Path) -> None:
    replace(Path(f"{golden}.idx"), len(GOLDEN_IDX) - 8, struct.pack("<q", 2))
    assert len(MegatronDataset(golden)) == 3
    with pytest.raises(ValueError, match=r"corpus\.idx .* its documents end at sequence 2, but it has 3 sequences"):
        MegatronDataset(golden, documents=True)
    replace(Path(f"{golden}.idx"), len(GOLDEN_IDX) - 16, struct.pack("<qq", 4, 3))
    with pytest.raises(ValueError, match=r"indices of .*corpus\.idx must not decrease, but 3 follows 4 at index 2"):
        MegatronDataset(golden, documents=True)


def test_an_index_without_document_indices(tmp_path: Path) -> None:
    prefix = write(tmp_path / "corpus", GOLDEN, documents=[])
    assert len(MegatronDataset(prefix)) == 3
    with pytest.raises(ValueError, match=r"the document indices of .*corpus\.idx must begin with 0, .* but is empty"):
        MegatronDataset(prefix, documents=True)


def test_sequences_do_not_stack(golden: Path) -> None:
    with pytest.raises(StackError, match="item 0 is row 0"):
        next(iter(DataLoader().batch_size(2).build(MegatronDataset(golden))))


def test_files_are_mapped_and_pickled_by_reference(tmp_path: Path, read_elsewhere: ReadElsewhere) -> None:
    sequences = np.split(np.arange(50_000, dtype=np.uint16), range(10, 50_000, 10))
    prefix = write(tmp_path / "corpus", sequences)
    for documents in (False, True):
        rows = MegatronDataset(prefix, documents=documents)
        data = pickle.dumps(rows)
        assert len(data) < 2000
        assert len(pickle.dumps(pickle.loads(data))) < 2000, "a copy is still mapped"
        for items in read_elsewhere(rows, [4999, 1]):
            assert [item.tolist() for item in items] == [list(range(49_990, 50_000)), list(range(10, 20))]


@pytest.mark.parametrize("suffix", [".bin", ".idx"])
def test_worker_processes_refuse_a_file_that_has_changed(golden: Path, suffix: str) -> None:
    data = pickle.dumps(MegatronDataset(golden))
    path = Path(f"{golden}{suffix}")
    os.utime(path, ns=(0, 0))
    with pytest.raises(ValueError, match=rf"corpus\{suffix} has changed"):
        pickle.loads(data)


def test_the_fingerprint_knows_where_sequences_begin_and_end(tmp_path: Path) -> None:
    values = np.arange(9, dtype=np.uint16)
    first = MegatronDataset(write(tmp_path / "a", np.split(values, [3, 5]))).fingerprint()
    assert first == {"rows": 3, "values": 9, "index": first["index"]}
    same = [
        MegatronDataset(write(tmp_path / "b", np.split(values, [3, 5]), documents=[0, 3])),
        MegatronDataset(write(tmp_path / "c", np.split(values.astype(np.int32), [3, 5]))),
    ]
    assert all(rows.fingerprint() == first for rows in same)
    others = [
        MegatronDataset(write(tmp_path / "d", np.split(values, [4, 5]))),
        MegatronDataset(write(tmp_path / "e", np.split(values, [3, 5]), order=[0, 2, 1])),
        MegatronDataset(write(tmp_path / "f", np.split(values, [3, 5]), gap=1)),
    ]
    assert all(rows.fingerprint() != first for rows in others)


def test_a_cache_knows_the_values(tmp_path: Path) -> None:
    first = MegatronDataset(write(tmp_path / "a", [np.arange(5)])).content_fingerprint()
    assert MegatronDataset(write(tmp_path / "b", [np.arange(5)])).content_fingerprint() == first
    for others in (np.arange(5) + 1, np.arange(5).view(np.float64)):
        assert MegatronDataset(write(tmp_path / "c", [others])).content_fingerprint() != first


@pytest.mark.parametrize(
    ("at", "data", "error"),
    [
        (0, b"TNTIDX\0\0", r"corpus\.idx is of Megatron's old format TNTIDX, .*preprocess_data\.py"),
        (0, b"PK\3\4", r"corpus\.idx begins with b'PK.*', not with b'MMIDIDX.*'; .* Megatron"),
        (9, struct.pack("<Q", 2), r"corpus\.idx has version 2, and only version 1 is known"),
        (17, b"\x09", r"corpus\.idx has the dtype code 9; known are 1 \(uint8\), 2 \(int8\), .*, 8 \(uint16\)"),
        (17, b"\0", r"corpus\.idx has the dtype code 0"),
        (18, struct.pack("<Q", 4), r"corpus\.idx has 94 bytes, .* 4 sequences and 3 document indices take 106.*cut"),
        (18, struct.pack("<Q", 2**63), r"corpus\.idx has 94 bytes, .* 9223372036854775808 sequences"),
        (26, struct.pack("<Q", 2), r"corpus\.idx has 94 bytes, .* 3 sequences and 2 document indices take 86 bytes"),
        (34, struct.pack("<i", -1), r"corpus\.idx .* sequence 0 has the length -1"),
        (46, struct.pack("<q", -2), r"corpus\.idx .* sequence 0 begins at byte -2"),
        (46, struct.pack("<q", 1), r"corpus\.idx .* sequence 0 begins at byte 1, .* 2 bytes of a uint16"),
        (34, struct.pack("<i", 6), r"corpus\.bin is cut short: it has 10 bytes, but sequence 0 ends at byte 12"),
        (62, struct.pack("<q", 2**62), r"corpus\.bin is cut short: .* sequence 2 ends at byte 4611686018427387908"),
        (54, struct.pack("<q", 12), r"corpus\.bin is cut short: .* sequence 1 ends at byte 12"),
    ],
)
def test_an_index_that_is_damaged_or_of_another_format(golden: Path, at: int, data: bytes, error: str) -> None:
    replace(Path(f"{golden}.idx"), at, data)
    with pytest.raises(ValueError, match=error):
        MegatronDataset(golden)


@pytest.mark.parametrize("length", range(len(GOLDEN_IDX)))
def test_an_index_that_is_cut_short(golden: Path, length: int) -> None:
    Path(f"{golden}.idx").write_bytes(GOLDEN_IDX[:length])
    with pytest.raises(ValueError, match=r"corpus\.idx .*(cut short|is empty)"):
        MegatronDataset(golden)


def test_modes_that_are_cut_short(golden: Path) -> None:
    Path(f"{golden}.idx").write_bytes(GOLDEN_IDX + bytes(2))
    with pytest.raises(ValueError, match=r"corpus\.idx has 96 bytes, .* take 94 bytes, or 97 with modes"):
        MegatronDataset(golden)


def test_an_index_of_fairseq_which_has_no_documents(golden: Path) -> None:
    index = GOLDEN_IDX[:26] + struct.pack("<3i3q", 3, 1, 1, 0, 6, 8)
    Path(f"{golden}.idx").write_bytes(index)
    with pytest.raises(ValueError, match=r"corpus\.idx .* fairseq, .* without document indices"):
        MegatronDataset(golden)


@pytest.mark.parametrize("length", range(len(GOLDEN_BIN)))
def test_values_that_are_cut_short(golden: Path, length: int) -> None:
    Path(f"{golden}.bin").write_bytes(GOLDEN_BIN[:length])
    with pytest.raises(ValueError, match=r"corpus\.bin is cut short: it has \d bytes, but sequence \d ends at byte"):
        MegatronDataset(golden)


def test_sequences_of_later_chunks_are_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(megatron_index, "CHUNK", 2)
    prefix = write(tmp_path / "corpus", [np.arange(3, dtype=np.uint16)] * 5)
    replace(Path(f"{prefix}.idx"), 34 + 3 * 4, struct.pack("<i", -7))
    with pytest.raises(ValueError, match="sequence 3 has the length -7"):
        MegatronDataset(prefix)


def test_missing_files(golden: Path) -> None:
    folder = golden.parent
    with pytest.raises(FileNotFoundError, match=r"finds neither .*none\.bin nor .*none\.idx"):
        MegatronDataset(folder / "none")
    with pytest.raises(FileNotFoundError, match="it is a folder; give the prefix of a pair in it"):
        MegatronDataset(folder)
    for prefix, advice in (("s3://bucket/corpus", "it is a URL"), ("~/corpus", "a shell"), ("*", "patterns")):
        with pytest.raises(FileNotFoundError, match=f"finds neither .*: .*{advice}|finds neither .*: {advice}"):
            MegatronDataset(prefix)
    Path(f"{golden}.bin").rename(folder / "moved")
    with pytest.raises(FileNotFoundError, match=r"finds .*corpus\.idx, but no .*corpus\.bin"):
        MegatronDataset(golden)
    Path(f"{golden}.idx").rename(f"{golden}.bin")
    with pytest.raises(FileNotFoundError, match=r"finds .*corpus\.bin, but no .*corpus\.idx"):
        MegatronDataset(f"{golden}.bin")
    Path(f"{golden}.idx").mkdir()
    with pytest.raises(ValueError, match=r"corpus\.idx is not a file"):
        MegatronDataset(golden)


def test_other_arguments(golden: Path) -> None:
    with pytest.raises(TypeError, match="documents must be True or False, got 1"):
        MegatronDataset(golden, documents=1)  # pyright: ignore[reportArgumentType]
