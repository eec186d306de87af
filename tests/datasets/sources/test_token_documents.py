"""Windows of token files that know their documents, keep the last tokens, and move from epoch to epoch."""

import pickle
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from loadax_core import DataLoader, EpochLeakWarning, StackBatcher, aligned_empty, testing
from loadax_core.testing import check_same
from loadax_datasets import BaseDataset, TokenDataset

ReadElsewhere = Callable[[BaseDataset[Any], Sequence[int]], list[list[Any]]]
Tokens = np.ndarray[Any, np.dtype[Any]]
END, PAD = 0, 77


class CheckDataset(Protocol):
    def __call__(self, dataset: BaseDataset[Any], expected: Sequence[Any], *, gathers: bool) -> None: ...


def documents_in(lengths: list[int]) -> tuple[Tokens, Tokens]:
    """Tokens of documents, each ended by END, and the offsets of the documents and of the end."""
    parts = [[*range(1, length), END] for length in lengths]
    return np.array([token for part in parts for token in part], np.uint16), np.cumsum([0, *lengths])


def expected_row(
    tokens: Tokens, start: int, length: int, offsets: Tokens | None, *, targets: bool, keeps: bool
) -> dict[str, Tokens]:
    """A row, token by token."""
    native = tokens.dtype.newbyteorder("=")
    row: dict[str, list[Any]] = {"tokens": [], "targets": [], "segment_ids": [], "positions": [], "loss_mask": []}
    segment = position = 0
    for place in range(start, start + length):
        inside = place < len(tokens)
        begins = place == start or (offsets is not None and place in offsets)
        segment, position = (segment + 1, 0) if begins else (segment, position + 1)
        has_target = place + 1 < len(tokens) and (offsets is None or place + 1 not in offsets)
        row["tokens"].append(tokens[place] if inside else PAD)
        row["targets"].append(tokens[place + 1] if has_target else PAD)
        row["segment_ids"].append(segment if inside else 0)
        row["positions"].append(position if inside else 0)
        row["loss_mask"].append(has_target if targets else inside)
    dtypes: dict[str, Any] = {"tokens": native}
    if targets:
        dtypes["targets"] = native
    if offsets is not None:
        dtypes |= {"segment_ids": np.int32, "positions": np.int32}
    if targets if offsets is not None else keeps:
        dtypes["loss_mask"] = np.bool_
    return {name: np.array(row[name], dtype) for name, dtype in dtypes.items()}


def expected_rows(
    tokens: Tokens,
    length: int,
    *,
    stride: int,
    offsets: Tokens | None = None,
    targets: bool = True,
    keeps: bool = False,
    phase: int = 0,
    room: int = 0,
) -> list[dict[str, Tokens]]:
    """All rows; `room` is the number of tokens that windows may not need."""
    count, rows = len(tokens) - room, list[dict[str, Tokens]]()
    reached = 0
    for start in range(0, count, stride):
        fits = start + length + targets <= count
        if not fits and not (keeps and reached < count and start + targets < count):
            break
        reached = start + length + targets
        rows.append(expected_row(tokens, start + phase, length, offsets, targets=targets, keeps=keeps))
    return rows


DOCUMENTS = st.lists(st.integers(1, 12), min_size=1, max_size=12)


@given(DOCUMENTS, st.integers(1, 9), st.integers(1, 12), st.booleans(), st.booleans(), st.sampled_from(["<u2", ">u2"]))
def test_documents(lengths: list[int], length: int, stride: int, targets: bool, keeps: bool, dtype: str) -> None:
    tokens, offsets = documents_in(lengths)
    tokens = tokens.astype(dtype)
    expected = expected_rows(tokens, length, stride=stride, offsets=offsets, targets=targets, keeps=keeps)
    for documents in (END, offsets, offsets[:-1], np.repeat(offsets, 2)[1:].astype(">i4"), offsets.astype(np.uint64)):

        def make(documents: Any = documents) -> TokenDataset:
            return TokenDataset(
                tokens,
                length,
                stride=stride,
                targets=targets,
                documents=documents,
                drop_remainder=not keeps,
                pad=PAD,
            )

        if not expected:
            with pytest.raises(ValueError, match="fewer than the"):
                make()
            continue
        rows = make()
        assert len(rows) == len(expected)
        check_same(list(rows), expected)
        assert rows.gather is not None
        check_same(rows.gather(np.arange(len(rows))[::-1], aligned_empty), StackBatcher()(expected[::-1]))


@given(st.integers(1, 40), st.integers(1, 9), st.integers(1, 12), st.booleans(), st.booleans())
def test_the_last_tokens(count: int, length: int, stride: int, targets: bool, moves: bool) -> None:
    tokens = np.arange(count)
    room = (stride - 1) * moves
    expected = expected_rows(tokens, length, stride=stride, targets=targets, keeps=True, room=room)
    options: dict[str, Any] = {"stride": stride, "targets": targets, "phase": "epoch" if moves else None, "pad": PAD}
    if not expected:
        with pytest.raises(ValueError, match=f"{count} tokens, fewer than the {1 + targets}"):
            TokenDataset(tokens, length, drop_remainder=False, **options)
        return
    rows = TokenDataset(tokens, length, drop_remainder=False, **options)
    check_same(list(rows), expected)
    testing.check_dataset(rows)
    for row in rows:
        assert row["loss_mask"].any(), "a row has something to learn from"


@pytest.mark.parametrize("stride", [3, 4, 7])
@pytest.mark.parametrize("dtype", ["uint16", ">i8"])
@pytest.mark.parametrize("by", ["end", "offsets", "file"])
def test_contract(check_dataset: CheckDataset, tmp_path: Path, stride: int, dtype: str, by: str) -> None:
    tokens, offsets = documents_in([3, 1, 9, 2, 2, 6, 1, 1, 5])
    tokens = tokens.astype(dtype)
    np.save(tmp_path / "offsets.npy", offsets)
    documents = {"end": END, "offsets": offsets, "file": tmp_path / "offsets.npy"}[by]
    rows = TokenDataset(tokens, 4, stride=stride, documents=documents, drop_remainder=False, pad=PAD)
    expected = expected_rows(tokens, 4, stride=stride, offsets=offsets, keeps=True)
    check_dataset(rows, expected, gathers=True)
    assert rows.rowwise
    testing.check_dataset(rows)
    testing.check_dataset(rows + rows[1:])
    testing.check_dataset(rows.mix(rows.shuffle(seed=1), weights=[2, 1]))
    testing.check_dataset(rows.shuffle(seed=1).cast({"tokens": np.int64, "targets": np.int64}))
    testing.check_dataset(rows.cast(np.int64))


def test_offsets_of_a_narrow_dtype() -> None:
    tokens, offsets = documents_in([50, 60, 70, 66])
    rows = TokenDataset(tokens, 100, documents=offsets.astype(np.uint8), drop_remainder=False, pad=PAD)
    check_same(list(rows), expected_rows(tokens, 100, stride=100, offsets=offsets, keeps=True))


def test_a_document_that_began_before_counts_from_the_start_of_the_window() -> None:
    row = TokenDataset(np.array([5, 6, 7, 8, END, 9, 9, 9, 9]), 4, documents=END)[1]
    assert row["positions"].tolist() == [0, 0, 1, 2]
    assert row["segment_ids"].tolist() == [1, 2, 2, 2]
    assert row["targets"].tolist() == [0, 9, 9, 9]
    assert row["loss_mask"].tolist() == [False, True, True, True]


@pytest.mark.parametrize("stride", [3, 4])
@pytest.mark.parametrize("documents", [None, END])
def test_an_array_with_gaps(stride: int, documents: int | None) -> None:
    tokens, _ = documents_in([3, 1, 9, 2, 2, 6, 1, 1, 5])
    apart = np.repeat(tokens, 2)[::2]
    rows, same = (TokenDataset(array, 4, stride=stride, documents=documents) for array in (apart, tokens))
    testing.check_dataset(rows)
    testing.check_dataset(rows + rows)
    testing.check_dataset(rows.cast(np.int32))
    check_same(list(rows), list(same))


def test_windows_longer_than_65535_tokens() -> None:
    size = (1 << 16) + 5
    tokens = np.ones(2 * size + 1, np.uint16)
    tokens[size + 3] = END
    rows = TokenDataset(tokens, size, documents=END)
    batch = rows.gather(np.arange(2), aligned_empty)
    assert batch["positions"][0].tolist() == list(range(size))
    assert batch["positions"][1, :6].tolist() == [0, 1, 2, 3, 0, 1]
    assert batch["segment_ids"].sum() == size + 4 + 2 * (size - 4)


def test_targets_that_are_left_out_have_no_loss_mask() -> None:
    tokens, _ = documents_in([3, 4, 5])
    assert list(TokenDataset(tokens, 4, targets=False, documents=END)[0]) == ["tokens", "segment_ids", "positions"]
    kept = TokenDataset(tokens, 5, targets=False, drop_remainder=False)[2]
    assert kept["tokens"].tolist() == [*tokens[10:], 0, 0, 0]
    assert kept["loss_mask"].tolist() == [True, True, False, False, False]


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 60), st.booleans(), st.integers(0, 5))
def test_windows_move_each_epoch(length: int, stride: int, more: int, keeps: bool, epoch: int) -> None:
    tokens, offsets = documents_in([4, 1, 7, 2, 9] * 4)
    tokens = tokens[: length + stride + more]
    offsets = offsets[offsets <= len(tokens)]
    rows = TokenDataset(
        tokens, length, stride=stride, documents=offsets, drop_remainder=not keeps, pad=PAD, phase="epoch"
    )
    moved = rows.at_epoch(epoch)
    phase = next(p for p in range(stride + 1) if same_row(tokens, p, moved[0]["tokens"]))
    assert phase < stride
    assert epoch or not phase
    assert moved.in_epoch == epoch
    expected = expected_rows(
        tokens, length, stride=stride, offsets=offsets, keeps=keeps, phase=moved_by(moved), room=stride - 1
    )
    check_same(list(moved), expected)
    assert rows.fingerprint() == moved.fingerprint()


def same_row(tokens: Tokens, phase: int, row: Tokens) -> bool:
    part = tokens[phase : phase + len(row)]
    return part.tolist() == row[: len(part)].tolist()


def moved_by(rows: BaseDataset[Any]) -> int:
    return vars(rows)["_phase"]


def test_each_epoch_has_another_start_and_repeats_it() -> None:
    rows = TokenDataset(np.arange(10_000), 100, phase="epoch")
    starts = [int(rows.at_epoch(epoch)[0]["tokens"][0]) for epoch in range(20)]
    assert starts == [int(rows.at_epoch(5).at_epoch(epoch)[0]["tokens"][0]) for epoch in range(20)]
    assert starts[0] == 0
    assert len(set(starts)) > 14
    assert len(rows) == 99
    assert int(rows.frozen(3)[0]["tokens"][0]) == starts[3]
    assert int(pickle.loads(pickle.dumps(rows.at_epoch(3)))[0]["tokens"][0]) == starts[3]
    testing.check_dataset(rows, other=TokenDataset(np.arange(10_000), 100)[:99])
    loaded = [batch["tokens"][0, 0] for batch in DataLoader().batch_size(99).epochs(4).build(rows)]
    assert loaded == starts[:4]


def test_a_part_of_windows_that_move_is_warned_of() -> None:
    rows = TokenDataset(np.arange(100), 10, phase="epoch")
    with pytest.warns(EpochLeakWarning, match=r"frozen"):
        DataLoader().build(rows[:4])
    DataLoader().build(rows.frozen(1)[:4])
    DataLoader().build(TokenDataset(np.arange(100), 10)[:4])


def test_fingerprints_of_settings() -> None:
    tokens, offsets = documents_in([3, 4, 5, 6])
    settings: list[dict[str, Any]] = [
        {},
        {"documents": END},
        {"documents": 1},
        {"documents": offsets},
        {"documents": offsets[[0, 1, 3, 4]]},
        {"drop_remainder": False},
        {"drop_remainder": False, "pad": 1},
        {"phase": "epoch"},
    ]
    prints = [TokenDataset(tokens, 4, **setting).fingerprint() for setting in settings]
    assert all(a != b for i, a in enumerate(prints) for b in prints[:i])
    assert list(prints[0]) == ["rows", "length", "stride", "targets", "tokens", "content"], "as before there were more"
    assert TokenDataset(tokens, 4, documents=offsets.astype(np.uint32)).fingerprint() == prints[3], "the same rows"


def test_offsets_in_a_file_stay_there(tmp_path: Path, read_elsewhere: ReadElsewhere) -> None:
    tokens, offsets = documents_in([7] * 20_000)
    tokens.tofile(tmp_path / "train.bin")
    np.save(tmp_path / "offsets.npy", offsets)
    rows = TokenDataset(tmp_path / "train.bin", 10, dtype=np.uint16, documents=tmp_path / "offsets.npy")
    assert len(pickle.dumps(rows)) < 3000
    assert len(pickle.dumps(pickle.loads(pickle.dumps(rows)))) < 3000, "a copy is still mapped"
    for items in read_elsewhere(rows, [1, 0]):
        check_same(items, [rows[1], rows[0]])
    assert "20001 offsets of documents" in repr(rows)
    data = pickle.dumps(rows)
    (tmp_path / "offsets.npy").unlink()
    with pytest.raises(FileNotFoundError, match=r"offsets\.npy"):
        pickle.loads(data)


@pytest.mark.parametrize("by", ["end", "offsets"])
def test_nothing_is_as_long_as_the_tokens(by: str) -> None:
    tokens = np.zeros(1 << 24, np.uint16)
    documents = END if by == "end" else np.arange(0, 1 << 24, 1 << 12, dtype=np.uint32)
    tracemalloc.start()
    rows = TokenDataset(tokens, 1024, documents=documents)
    rows.gather(np.arange(4), aligned_empty)
    assert tracemalloc.get_traced_memory()[1] < 500_000, "the file has 32 MB"
    tracemalloc.stop()


WRONG: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"documents": np.array([[0, 3]])}, ValueError, r"documents must have one dimension, but has the shape \(1, 2\)"),
    ({"documents": np.array(3)}, ValueError, r"documents must have one dimension, but has the shape \(\)"),
    ({"documents": np.array([0.0, 3.0])}, TypeError, "documents must hold integers, but has the dtype float64"),
    ({"documents": np.ma.array([0, 3])}, ValueError, "documents is a masked array"),
    ({"documents": np.array([], int)}, ValueError, "documents must begin with 0, .* but is empty"),
    ({"documents": np.array([2, 3])}, ValueError, "documents must begin with 0, .* but begins with 2"),
    ({"documents": np.array([-1, 3])}, ValueError, "documents must begin with 0, .* but begins with -1"),
    ({"documents": np.array([0, 5, 3])}, ValueError, "must not decrease, but 3 follows 5 at index 2; give"),
    ({"documents": np.array([0, 10])}, ValueError, "ends with 10, beyond the 9 tokens"),
    ({"documents": [0, 3]}, TypeError, "documents is the token .* or the offsets .* got a list"),
    ({"documents": 2.0}, TypeError, "documents is the token .* or the offsets .* got a float"),
    ({"documents": True}, TypeError, "documents must be an integer of at least 0, got True"),
    ({"documents": -1}, ValueError, "documents must be at least 0, got -1"),
    ({"documents": 1 << 16}, ValueError, "documents=65536 .* uint16 are at most 65535"),
    ({"pad": -1}, ValueError, "pad must be at least 0, got -1"),
    ({"pad": 1 << 16}, ValueError, "pad must be at most 65535, the most of uint16, got 65536"),
    ({"pad": 0.5}, TypeError, "pad must be an integer"),
    ({"drop_remainder": "no"}, TypeError, "drop_remainder must be True or False, got 'no'"),
    ({"phase": "step"}, ValueError, "phase must be 'epoch', .* or None, got 'step'"),
    ({"phase": "epoch", "length": 5}, ValueError, "9 tokens, fewer than the 6 .* starts up to 4 tokens later"),
]


@pytest.mark.parametrize(("options", "error", "message"), WRONG)
def test_wrong_arguments(options: dict[str, Any], error: type[Exception], message: str) -> None:
    settings: dict[str, Any] = {"length": 2, **options}
    with pytest.raises(error, match=message):
        TokenDataset(np.arange(9, dtype=np.uint16), **settings)


def test_wrong_files_of_offsets(tmp_path: Path) -> None:
    tokens = np.arange(9)
    with pytest.raises(FileNotFoundError, match=r"no\.npy"):
        TokenDataset(tokens, 2, documents=tmp_path / "no.npy")
    np.arange(3).tofile(tmp_path / "flat.bin")
    with pytest.raises(ValueError, match=r"flat\.bin is not a \.npy file; save the offsets of the documents with"):
        TokenDataset(tokens, 2, documents=str(tmp_path / "flat.bin"))
    np.save(tmp_path / "late.npy", np.array([0, 3, 2]))
    with pytest.raises(ValueError, match=r"late\.npy must not decrease, but 2 follows 3 at index 2"):
        TokenDataset(tokens, 2, documents=tmp_path / "late.npy")


def test_offsets_are_checked_across_blocks() -> None:
    offsets = np.arange((1 << 20) + 9)
    offsets[(1 << 20) + 1] = 5
    with pytest.raises(ValueError, match="5 follows 1048576 at index 1048577"):
        TokenDataset(np.zeros(1 << 21, np.uint8), 2, documents=offsets)
