"""`loader.peek()`: the structure of a batch, and the memory that a run needs."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pytest
from loadax_core import ArraySpec, DataLoader, PadBatcher, Preview
from loadax_core.text import size


class Counted:
    """Rows that remember which of them were read."""

    def __init__(self, length: int = 10) -> None:
        self.length = length
        self.read: list[int] = []
        self.threads: set[int] = set()

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, row: int) -> Any:
        self.read.append(row)
        self.threads.add(threading.get_ident())
        return {"x": np.full(3, row, np.float32), "y": row}


def arrays(preview: Preview) -> Any:
    return {name: (spec.shape, str(spec.dtype), spec.nbytes) for name, spec in preview.batch.items()}


def test_shapes_dtypes_and_bytes_of_the_first_batch() -> None:
    preview = DataLoader().batch_size(4).prefetch(2).build(Counted()).peek()
    assert arrays(preview) == {"x": ((4, 3), "float32", 48), "y": ((4,), "int64", 32)}
    assert (preview.rows, preview.nbytes, preview.kept, preview.memory) == (4, 80, 3, 240)
    assert repr(preview) == (
        "4 rows, 80 B\n"
        "batch['x']  float32  (4, 3)  48 B\n"
        "batch['y']  int64    (4,)    32 B\n"
        "memory: 240 B for 3 batches, 2 ahead and the one in use"
    )


def test_one_batch_is_read_in_the_callers_thread_and_nothing_consumed() -> None:
    rows = Counted()
    loader = DataLoader().batch_size(4).workers(2).prefetch(3).timeout(5).build(rows)
    batches = iter(loader)
    loader.peek()
    assert rows.read == [0, 1, 2, 3]
    assert rows.threads == {threading.get_ident()}
    assert next(batches)["y"].tolist() == [0, 1, 2, 3]
    assert [batch["y"].tolist() for batch in loader] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    batches.close()


def test_for_a_queued_device_one_more_large_batch_is_kept() -> None:
    class Place:
        queued = True

        def local_rows(self, batch_size: int) -> Any:
            return np.arange(batch_size)

        def distribute_global_batch(self, batch: Any) -> Any:
            return batch

    rows = np.zeros((8, 1 << 22), np.float64)
    assert DataLoader().batch_size(2).prefetch().build(rows).peek().kept == 3
    assert DataLoader().batch_size(2).prefetch(to_device=True).shard(Place()).build(rows).peek().kept == 4


def test_a_batch_that_is_shorter_than_asked_for() -> None:
    preview = DataLoader().batch_size(16).prefetch(2).build(Counted(3)).peek()
    # A run of one batch never keeps two.
    assert (preview.rows, preview.kept) == (3, 1)
    assert repr(preview).startswith("3 rows, ")
    assert repr(preview).endswith("for the one in use")


@pytest.mark.parametrize(("columns", "kept"), [(1, 65), (2**19, 33), (2**21, 9), (2**24, 3)])
def test_a_prefetch_that_sizes_itself(columns: int, kept: int) -> None:
    # Four bytes a column that take no memory.
    def wide(items: list[int]) -> Any:
        return np.broadcast_to(np.float32(0), (1, columns))

    loader = DataLoader(wide).prefetch().build(range(200))
    assert loader.peek().kept == kept
    assert DataLoader().prefetch().epochs(None).build([1]).peek().kept == 65


def test_what_is_no_array_is_shown_by_its_type() -> None:
    preview = DataLoader(sum).batch_size(2).build([1, 2]).peek()
    assert preview.batch is int
    assert repr(preview) == "2 rows\nbatch  int\nmemory: not known, since a batch holds no array"


def test_what_cannot_be_opened_is_shown_by_its_type() -> None:
    endless: dict[str, Any] = {}
    endless["self"] = endless
    preview = DataLoader(lambda _: endless).build([1, 2]).peek()
    assert repr(preview) == "1 row\nbatch  dict\nmemory: not known, since a batch holds no array"


def test_objects_are_not_counted() -> None:
    preview = DataLoader().batch_size(2).build(["a", "b"]).peek()
    assert repr(preview).splitlines()[0] == "2 rows, at least 16 B"
    mixed = DataLoader(lambda items: (np.array(items), "text")).batch_size(2).build([1, 2]).peek()
    assert repr(mixed).splitlines()[-1] == "memory: at least 16 B for the one in use"


def test_containers_stay_what_they_are() -> None:
    class Pair(NamedTuple):
        a: Any
        b: Any

    @dataclass
    class Item:
        pair: Pair
        none: None = None

    preview = DataLoader().batch_size(2).build([Item(Pair(1.0, [2])), Item(Pair(3.0, [4]))]).peek()
    assert isinstance(preview.batch, Item)
    assert isinstance(preview.batch.pair, Pair)
    assert [spec.dtype for spec in (preview.batch.pair.a, preview.batch.pair.b[0])] == [np.float64, np.int64]
    assert "batch.pair.b[0]  int64" in repr(preview)


def test_padding_and_epochs_are_those_of_the_batch() -> None:
    ragged: list[Any] = [{"ids": np.arange(2)}, {"ids": np.arange(5)}]
    assert DataLoader(PadBatcher(multiple_of=4)).batch_size(2).build(ragged).peek().batch["ids"].shape == (2, 8)

    class Growing:
        def __init__(self, width: int = 1) -> None:
            self.width = width

        def __len__(self) -> int:
            return 2

        def __getitem__(self, row: int) -> Any:
            return np.zeros(self.width)

        def at_epoch(self, epoch: int) -> Growing:
            return Growing(epoch + 1)

    assert DataLoader().build(Growing()).epoch(2).peek().batch.shape == (1, 3)


def test_placement_is_part_of_it() -> None:
    class Shard:
        data = np.zeros(6, np.int8)

    class Global:
        """What a `jax.Array` says of itself that is divided over four processes, two devices each."""

        shape = (24, 2)
        dtype = np.dtype(np.int8)
        nbytes = 48
        addressable_shards = (Shard(), Shard())

    class Strategy:
        def local_rows(self, batch_size: int, /) -> Any:
            return np.arange(batch_size)

        def distribute_global_batch(self, local_batch: Any, /) -> Any:
            return Global()

    preview = DataLoader().batch_size(2).shard(Strategy()).prefetch(1, to_device=True).build([1, 2]).peek()
    assert (preview.batch.shape, preview.batch.nbytes) == ((24, 2), 12)


def test_errors_arrive_with_their_row() -> None:
    class Broken(Counted):
        def __getitem__(self, row: int) -> Any:
            raise OSError("no such file")

    with pytest.raises(OSError, match="no such file") as raised:
        DataLoader().workers(2).build(Broken()).peek()
    assert raised.value.__notes__ == [
        "loadax: raised by row 0",
        "loadax: while reading the batch of epoch 0, step 0",
    ]


def test_a_loader_without_batches_has_none_to_show() -> None:
    with pytest.warns(UserWarning, match="there is no batch"):
        loader = DataLoader().batch_size(4, drop_remainder=True).build([1, 2, 3])
    with pytest.raises(
        ValueError, match=r"no batch to look at: 3 rows make no batch of 4; use more rows, a smaller batch_size"
    ):
        loader.peek()


def test_steps_that_are_skipped_are_not_shown() -> None:
    builder = DataLoader().batch_size(4)
    with pytest.raises(ValueError, match=r"no batch to look at: all of its steps are skipped"):
        builder.skip(steps=[0, 1]).build([1, 2, 3, 4, 5]).peek()
    preview = builder.skip(steps=[0]).build([1, 2, 3, 4, 5]).peek()
    assert (preview.rows, preview.batch.shape, preview.kept) == (1, (1,), 1)


@pytest.mark.parametrize(
    ("nbytes", "shown"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (2**20 - 1, "1024.0 KiB"),
        (2**20, "1.0 MiB"),
        (5 * 2**30, "5.0 GiB"),
        (3 * 2**52, "12288.0 TiB"),
    ],
)
def test_sizes_to_be_read_by_people(nbytes: int, shown: str) -> None:
    assert size(nbytes) == shown


def test_a_table_for_notebooks_is_escaped() -> None:
    preview = DataLoader().batch_size(2).build([{"<b>": 1}, {"<b>": 2}]).peek()
    page = preview._repr_html_()
    assert ">batch[&#x27;&lt;b&gt;&#x27;]</td>" in page
    assert "['<b>']" not in page
    assert "memory: 16 B for the one in use</div>" in page


def test_a_spec_says_what_it_is() -> None:
    assert repr(ArraySpec((2, 3), np.dtype(np.int8), 6)) == "ArraySpec(int8, (2, 3), 6 B)"
