"""A pack over documents that cannot be read: padding in their place, and nothing else changes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from loadax_core import DataLoader, Replaced, aligned_empty
from loadax_core.testing import check_dataset, check_loader, check_same
from loadax_datasets import BaseDataset, as_dataset

LENGTHS = [3, 12, 5, 5, 1, 30, 8, 7, 16, 2, 2, 2, 9, 4, 4, 6]
BROKEN = [0, 5, 9]
"""Document 5 is cut into pieces."""

WHOLE = [[str(100 * document + place) for place in range(length)] for document, length in enumerate(LENGTHS)]
SOME = [["?", *document[1:]] if number in BROKEN else document for number, document in enumerate(WHOLE)]

to_int32 = partial(np.array, dtype=np.int32)
twice = partial(np.multiply, 2)


def named(tokens: Any) -> Any:
    return {"ids": tokens, "weights": tokens.astype(np.float32)}


def tolerated() -> BaseDataset[Any]:
    return as_dataset(SOME).map(to_int32).tolerate(3)


CHAINS: dict[str, Callable[[BaseDataset[Any]], BaseDataset[Any]]] = {
    "below": lambda rows: rows,
    "below a map": lambda rows: rows.map(twice),
    "below a retry": lambda rows: rows.retry(2, on=(Exception,)),
    "below a cache": lambda rows: rows.frozen().cache(),
    "below another": lambda rows: rows.map(twice).tolerate(3, on=LookupError),
    "of dicts": lambda rows: rows.map(named),
    "below a slice": lambda rows: rows[::-1],
}


@pytest.mark.parametrize("how", ["best", "split"])
@pytest.mark.parametrize("name", CHAINS)
def test_a_document_that_cannot_be_read_becomes_padding(name: str, how: Any) -> None:
    chain, last = CHAINS[name], len(LENGTHS) - 1
    lengths, left_out = (LENGTHS, BROKEN) if name != "below a slice" else (LENGTHS[::-1], [last - d for d in BROKEN])
    rows = chain(tolerated()).pack(8, lengths=lengths, how=how, pad=-1)
    expected = chain(as_dataset(WHOLE).map(to_int32)).pack(8, lengths=lengths, how=how, pad=-1, leave_out=left_out)
    for epoch in range(3):
        now, wanted = rows.at_epoch(epoch), expected.at_epoch(epoch)
        check_same(list(now), list(wanted))
        assert now.gather is not None
        assert wanted.gather is not None
        every = np.arange(len(rows))
        check_same(now.gather(every, aligned_empty), wanted.gather(every, aligned_empty))
    assert rows.fingerprint() == expected.fingerprint()


def test_it_keeps_what_datasets_promise() -> None:
    rows = tolerated().pack(8, lengths=LENGTHS)
    check_dataset(rows)
    check_loader(DataLoader().batch_size(3).workers(2).epochs(2).build(rows))


def test_workers_of_all_kinds_agree_and_report_padding() -> None:
    builder = DataLoader().batch_size(2).epochs(2)
    expected = list(builder.build(as_dataset(WHOLE).map(to_int32).pack(8, lengths=LENGTHS, leave_out=BROKEN)))
    for chain in (builder, builder.workers(3), builder.workers(2, kind="process")):
        with iter(chain.build(tolerated().pack(8, lengths=LENGTHS))) as batches:
            check_same(list(batches), expected)
            replaced = batches.stats().replaced
        assert sorted(replaced) == [
            Replaced(row, None, 0, "ValueError: invalid literal for int() with base 10: '?'") for row in BROKEN
        ]
        assert "by padding (ValueError" in str(replaced[0])


def test_a_tolerate_above_another_sees_no_error() -> None:
    rows = tolerated().retry(2, backoff=0).tolerate(16, on=Exception).pack(8, lengths=LENGTHS)
    with iter(DataLoader().build(rows)) as batches:
        list(batches)
        assert sorted(row for row, *_ in batches.stats().replaced) == BROKEN


def test_rows_are_replaced_again_when_the_pack_has_read() -> None:
    source = tolerated()
    source.pack(8, lengths=LENGTHS)[0]
    assert len(source[0]) > 0


def test_too_many_documents_are_an_error() -> None:
    rows = as_dataset(SOME).map(to_int32).tolerate(2).pack(8, lengths=LENGTHS)
    with iter(DataLoader().workers(2).build(rows)) as batches, pytest.raises(ValueError, match="invalid lit") as caught:
        list(batches)
    assert "no more than 2 may be replaced" in caught.value.__notes__[0]
    with pytest.raises(ValueError, match="invalid literal"):
        list(as_dataset(SOME).map(to_int32).tolerate(2).pack(8, lengths=LENGTHS))


def test_a_document_of_unknown_length_takes_no_room(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    lengths = [0 if document in BROKEN else length for document, length in enumerate(LENGTHS)]
    expected = as_dataset(WHOLE).map(to_int32).pack(8, lengths=lengths)
    rows = tolerated().pack(8, lengths=tmp_path / "lengths.npy")
    assert np.load(tmp_path / "lengths.npy").tolist() == lengths
    check_same(list(rows), list(expected))
    text = "pack: 3 of 16 documents cannot be read, and are left out: 0, 5, 9"
    assert ("loadax.datasets", logging.WARNING, text) in caplog.record_tuples


def test_an_item_that_is_none_is_an_error() -> None:
    with pytest.raises(ValueError, match="it has 0 arrays, and the first document has 1"):
        list(as_dataset([np.arange(3), None]).tolerate(1).pack(4, lengths=[3, 2]))


def test_no_document_that_can_be_read_is_an_error() -> None:
    with pytest.raises(ValueError, match="none of the 2 documents can be read"):
        as_dataset([["?"], ["?"]]).map(to_int32).tolerate(2).pack(4, lengths=[1, 1])[0]
