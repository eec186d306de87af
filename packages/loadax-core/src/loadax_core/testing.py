"""Contract checks for those who write datasets, transforms and batchers.

Each check takes the object under test, reads it in every way that a loader may, and raises an `AssertionError` that
names the promise that does not hold. The checks need no test framework:

```python
from loadax_core.testing import check_dataset, check_loader

def test_my_dataset():
    dataset = MyDataset("train.bin")
    check_dataset(dataset)
    check_loader(DataLoader().batch_size(3).workers(2).prefetch(2).epochs(2).build(dataset))
```
"""

from __future__ import annotations

import copy
import gc
import json
import pickle
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter, sleep
from typing import Any

import numpy as np

from . import tree
from .batch.merge import join_batches
from .batch.stack import StackBatcher
from .checks import check_length
from .loader import Loader
from .memory.parts import Parts
from .memory.pickled import dumps
from .memory.pool import Pool
from .plan.state import fingerprint
from .protocols import Dataset, Gather, GatherRange, ReadRange
from .read.access import gather_of, read_items


def check_same(got: Any, expected: Any, what: str = "values") -> None:
    """Checks that two trees are equal, bit for bit: containers, dtypes, shapes and values, NaN and -0.0 included.

    Args:
        got: A tree of arrays, scalars and strings.
        expected: The tree it should equal.
        what: What the error calls them.

    Raises:
        AssertionError: If they differ; the error names the first leaf or container that differs.
    """
    _check_containers(got, expected, what)
    for (path, a), (_, b) in zip(tree.leaves(got), tree.leaves(expected), strict=True):
        x, y = np.asarray(a), np.asarray(b)
        where = f"{what} differ at {tree.name(path)}"
        assert x.dtype == y.dtype, f"{where}: dtype {x.dtype} is not {y.dtype}"
        assert x.shape == y.shape, f"{where}: shape {x.shape} is not {y.shape}"
        same = x.tolist() == y.tolist() if x.dtype.hasobject else x.tobytes() == y.tobytes()
        assert same, f"{where}: {x!r} is not {y!r}"


def _check_containers(got: Any, expected: Any, what: str, path: tree.Path = ()) -> None:
    left, right = tree.children(got), tree.children(expected)
    where = f"{what} differ in structure at {tree.name(path)}"
    if left is None and right is None:
        return
    assert type(got) is type(expected), f"{where}: a {type(got).__name__} is not a {type(expected).__name__}"
    if left is None or right is None:
        # Of one type, both are containers, or neither.
        return
    names, others = ([step for step, _ in opened[0]] for opened in (left, right))
    assert names == others, f"{where}: {names} is not {others}"
    fixed, same = tree.constants(got), tree.constants(expected)
    assert fixed == same, f"{where}: the static fields {fixed} are not {same}"
    for (step, a), (_, b) in zip(left[0], right[0], strict=True):
        _check_containers(a, b, what, (*path, step))


def check_dataset(
    dataset: Dataset[Any],
    rows: Sequence[int] | None = None,
    *,
    pickled: bool = True,
    other: Dataset[Any] | None = None,
) -> None:
    """Checks what loaders rely on: reads repeat, threads may read, pickling keeps rows, and fast paths equal the items.

    Args:
        dataset: The dataset. It is read several times.
        rows: Row numbers to read; left out, up to 64 rows spread over the dataset, in a mixed order, one of them twice.
        pickled: Whether a pickled copy must return the same; worker processes need that, threads do not.
        other: The same dataset with its rows in another order, such as one of another seed. It must have another
            fingerprint, so that a state that was saved with the one is not restored with the other.

    Raises:
        AssertionError: If a promise does not hold; the error names it.
        TypeError: If `dataset` is none, as for `build`.
    """
    if isinstance(dataset, Loader):
        raise TypeError("check_dataset takes a dataset; check_loader checks a loader")
    length = check_length(dataset)
    assert len(dataset) == length, "len() is not the same twice"
    if rows is None:
        rows = _spread(length)
    rows = [int(row) for row in rows]
    items = _read_one_by_one(dataset, rows)
    check_same(_read_one_by_one(dataset, rows), items, "a second read's items")
    if length:
        with ThreadPoolExecutor(4) as threads:
            reads = [threads.submit(_read_one_by_one, dataset, rows) for _ in range(8)]
            for read in reads:
                check_same(read.result(), items, "items read from several threads")
    if getattr(dataset, "__getitems__", None) is not None:
        check_same(list(read_items(dataset, rows)), items, "items of __getitems__")
        read_range: ReadRange | None = getattr(dataset, "read_range", None)
        if read_range is not None:
            for few in _ranges(length):
                check_same(list(read_range(few)), _read_one_by_one(dataset, list(few)), f"items of read_range of {few}")
            _check_refuses_ranges(length, read_range, "read_range")
    gather = gather_of(dataset)
    # Other libraries have a `gather` of other arguments, and no `rowwise`.
    own_gather = getattr(dataset, "gather", None) if hasattr(dataset, "rowwise") else None
    assert gather is not None or own_gather is None, "gather does not take (rows, alloc), so no loader calls it"
    if gather is not None and rows:
        # Memory as a loader provides it: the base of an array is a lease, and its bytes may be those of an earlier one.
        pool = Pool()
        gathered = gather(np.asarray(rows, np.int64), pool)
        check_same(gathered, StackBatcher()(items), "gathered rows and stacked items")
        _check_gather_in_parts(gather, rows, items, pool)
        _check_gather_refuses(gather, length, pool)
        _check_gather_range(dataset, gather, pool)
    if pickled:
        _check_pickled(dataset, rows, items)
    _check_epochs(dataset, rows)
    own = getattr(dataset, "fingerprint", None)
    if callable(own):
        assert json.loads(json.dumps(own())) == own(), "fingerprint() does not survive JSON"
    if other is not None:
        _check_fingerprints(dataset, other)


def _check_fingerprints(dataset: Dataset[Any], other: Dataset[Any]) -> None:
    """Checks that a fingerprint tells a dataset from one of another order."""
    facts = fingerprint(dataset)
    assert facts != fingerprint(other), (
        f"the other dataset has the same fingerprint, {facts}, though its rows come in another order: a state saved "
        f"with one would be restored with the other; define {type(dataset).__name__}.fingerprint() so that it names "
        "what fixes the order, such as its arguments"
    )


def _check_pickled(dataset: Dataset[Any], rows: list[int], items: list[Any]) -> None:
    try:
        clone = pickle.loads(dumps(dataset))
    except Exception as error:
        raise AssertionError(
            f"the dataset cannot be pickled, as worker processes need it: {error}; if only threads are to load it, "
            "check it with pickled=False"
        ) from error
    assert len(clone) == len(dataset), f"the pickled copy has {len(clone)} rows, not {len(dataset)}"
    check_same(_read_one_by_one(clone, rows), items, "items of the pickled copy")
    own: Any = getattr(dataset, "fingerprint", None)
    if callable(own):
        assert clone.fingerprint() == own(), "the pickled copy has another fingerprint()"


def check_loader(loader: Loader[Any]) -> None:
    """Checks that a loader repeats its batches, resumes after every step, ends, and leaves no thread behind.

    Args:
        loader: A loader with a finite number of epochs. The check runs it once for every step, so it should be small.

    Raises:
        AssertionError: If a promise does not hold; the error names it.
        TypeError: If `loader` is none.
    """
    if not isinstance(loader, Loader):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"check_loader takes what build returned, got {type(loader).__name__}: {loader!r:.80}")
    before = threading.active_count()
    batches: list[Any] = []
    states: list[dict[str, Any]] = []
    with iter(loader) as iterator:
        states.append(iterator.get_state())
        for batch in iterator:
            batches.append(batch)
            states.append(iterator.get_state())
        assert next(iterator, None) is None, "next() after the end yields a batch"
    assert len(batches) == len(loader), f"len() is {len(loader)}, but it yields {len(batches)} batches"
    snapshots = copy.deepcopy(batches)
    check_same(list(loader), batches, "a second run's batches")
    for step, state in enumerate(json.loads(json.dumps(states))):
        with iter(loader) as fresh:
            fresh.set_state(state)
            assert fresh.get_state() == state, f"get_state() after set_state() differs at step {step}"
            check_same(list(fresh), batches[step:], f"the batches after a resume at step {step}")
        with iter(loader) as used:
            next(used, None)
            used.set_state(state)
            check_same(next(used, None), batches[step] if step < len(batches) else None, f"a rewind to step {step}")
    check_same(batches, snapshots, "batches that were held while others were loaded")
    # An executor keeps threads of its own.
    if loader._run.kind != "executor":  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
        check_no_threads(before)


def check_no_threads(before: int, seconds: float = 5.0) -> None:
    """Checks that no more threads run than before.

    Args:
        before: `threading.active_count()` at the start.
        seconds: How long busy threads may take to end.

    Raises:
        AssertionError: If more threads run; the error names them.
    """
    gc.collect()
    deadline = perf_counter() + seconds
    while threading.active_count() > before and perf_counter() < deadline:
        sleep(0.001)
    names = [thread.name for thread in threading.enumerate()]
    assert len(names) <= before, f"{len(names)} threads run, {before} did before: {names}"


def _read_one_by_one(dataset: Dataset[Any], rows: Sequence[int]) -> list[Any]:
    return [dataset[row] for row in rows]


def _spread(length: int) -> list[int]:
    """Up to 64 rows of a dataset, the first and the last among them, in a mixed order, one of them twice."""
    if not length:
        return []
    rows = np.unique(np.linspace(0, length - 1, min(length, 63)).astype(np.int64))
    return [*np.random.default_rng(0).permutation(rows).tolist(), int(rows[0])]


def _check_gather_in_parts(gather: Gather, rows: list[int], items: list[Any], pool: Pool) -> None:
    """Gathers into parts of one batch, as several workers do, and joins them."""
    memory, middle, count = Parts(len(rows), pool), len(rows) // 2, len(rows)
    places = [slice(start, stop) for start, stop in ((0, middle), (middle, count)) if start < stop]
    parts = [
        gather(np.asarray(rows[place], np.int64), memory.part(place.start, place.stop - place.start))
        for place in places
    ]
    check_same(join_batches(parts, places, pool), StackBatcher()(items), "rows gathered in parts and stacked items")


def _check_gather_range(dataset: Dataset[Any], gather: Gather, pool: Pool) -> None:
    gather_range: GatherRange | None = getattr(dataset, "gather_range", None)
    if gather_range is None:
        return
    for rows in _ranges(len(dataset)):
        gathered = gather(np.arange(rows.start, rows.stop), pool)
        check_same(gather_range(rows, pool), gathered, f"gather_range of {rows} and gather")
    _check_refuses_ranges(len(dataset), lambda rows: gather_range(rows, pool), "gather_range")


def _ranges(length: int) -> list[range]:
    """Consecutive rows at the start, in the middle and at the end of a dataset."""
    starts = sorted({0, length // 2, max(0, length - 32)})
    return [range(start, min(start + 32, length)) for start in starts]


def _check_refuses_ranges(length: int, read: Callable[[range], Any], name: str) -> None:
    for rows in (range(-1, 1), range(length, length + 1)):
        try:
            read(rows)
        except IndexError:
            continue
        raise AssertionError(f"{name} accepts {rows} of {length} rows; it must raise IndexError")


def _check_gather_refuses(gather: Gather, length: int, pool: Pool) -> None:
    wrong: Iterable[tuple[Any, type[Exception]]] = (
        (np.array([length]), IndexError),
        (np.array([-1]), IndexError),
        (np.array([0.0]), TypeError),
    )
    for rows, kind in wrong:
        try:
            gather(rows, pool)
        except kind:
            continue
        raise AssertionError(f"gather accepts the rows {rows!r} of {length}; it must raise {kind.__name__}")


def _check_epochs(dataset: Dataset[Any], rows: list[int]) -> None:
    at_epoch = getattr(dataset, "at_epoch", None)
    if at_epoch is None:
        return
    for epoch in (0, 1, 7):
        view, again = at_epoch(epoch), at_epoch(epoch)
        assert len(view) == len(dataset), f"epoch {epoch} has {len(view)} rows, not {len(dataset)}"
        check_same(_read_one_by_one(view, rows), _read_one_by_one(again, rows), f"two reads of epoch {epoch}")
    check_same(
        _read_one_by_one(at_epoch(1).at_epoch(0), rows),
        _read_one_by_one(at_epoch(0), rows),
        "epoch 0, asked for directly and by way of epoch 1,",
    )
