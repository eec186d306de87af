"""Writing documents of different lengths to a store, once, so that they are read without tokenizing them again."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy.typing as npt
from loadax_core import DataLoader, Dataset, add_note, progress_bar

from ..base import BaseDataset, datasets
from ..checks import check_bool, check_int
from ..files import jagged_journal
from ..files.folders import advice, shown
from ..files.jagged_journal import Found, Head
from ..files.jagged_manifest import decode_form, encode_form
from ..files.jagged_writer import StoreWriter
from .documents import Documents, check_dtype
from .jagged import JaggedDataset

if TYPE_CHECKING:
    from concurrent.futures import Executor

SHARD_BYTES = 256 << 20
"""The default size of a shard: 256 MiB. A terabyte then has 4,000 shards."""

READ_AT_ONCE = 16
"""Documents that a worker reads at once."""

GIVE_UP = "delete its writing.jsonl to give up the run that is not finished"


def write_jagged(
    folder: str | os.PathLike[str],
    arrays: Iterable[Any] | Dataset[Any],
    *,
    dtype: npt.DTypeLike | Mapping[str, npt.DTypeLike] | None = None,
    append: bool = False,
    workers: int | Executor = 0,
    kind: Literal["thread", "process"] = "thread",
    source: Any = None,
    shard_bytes: int = SHARD_BYTES,
    progress: bool | None = None,
) -> JaggedDataset:
    """Writes documents of different lengths to a folder, and opens it.

    A document is an array of shape `(length,)` or a list of integers, or a dict, list or tuple of several that are
    equally long, such as token numbers and a loss mask. The folder then holds a store: flat arrays in shards, which
    `np.load` opens, and a manifest.

    A run that ends early, even by `kill -9`, is continued by the same call. Of a dataset, it reads on at the first
    document that is missing; of an iterable, it drops as many as are committed. While there are none, any
    other call may begin anew. About two minutes of work are lost at most. A folder that is not finished cannot be
    opened. A finished store is returned as it is.

    Documents are written as they are read, in constant memory. With `workers`, several are read at a time, and written
    in order.

    Args:
        folder: The folder; made if need be.
        arrays: The documents: a dataset, or anything with `len()` and `[i]`; or an iterable.
        dtype: The dtype of the store, or a dict of dtypes for entries of documents that are dicts. Numbers that do not
            fit are an error. Left out, it is that of the first document, or `int64` for lists of integers; documents of
            another dtype must then be castable by NumPy's "same_kind", and fit.
        append: Add the documents to those that a finished store has. A store that is open elsewhere stays as it was.
        workers: The number of workers that read a dataset, or an executor, as in `DataLoader.workers`.
        kind: `"thread"`, or `"process"` for Python code that holds the GIL, such as most tokenizers.
        source: Where the documents come from, such as the name and the version of a tokenizer: anything that JSON can
            hold. A store of another source is refused, here and by saved states of loaders.
        shard_bytes: The size of a shard, in bytes of values and offsets; a larger document has a shard of its own. A
            shard that is not full after two minutes is committed all the same.
        progress: Whether to show a progress bar; left out, if tqdm is installed.

    Returns:
        The store.

    Raises:
        FileNotFoundError: If a file of the store is missing.
        ImportError: If `progress` is True and tqdm is not installed.
        OverflowError: If a number does not fit the dtype.
        RuntimeError: If another program, or another thread, is writing to the folder.
        TypeError: If a document is not made of arrays of numbers, has another kind of numbers than the store, or an
            argument has the wrong type.
        ValueError: If the folder holds a store of another source, dtype or dataset, or other files; if documents are
            not flat, or not alike; or if there are none.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> folder = tempfile.mkdtemp()
        >>> documents = write_jagged(folder, [[5, 1, 2], [], [4]], dtype=np.uint16, source="my tokenizer")
        >>> documents.lengths.tolist(), documents[0]
        ([3, 0, 1], array([5, 1, 2], dtype=uint16))
        >>> longer = write_jagged(folder, iter([[7, 7]]), source="my tokenizer", append=True)
        >>> len(longer), JaggedDataset(folder)[-1].tolist()
        (4, [7, 7])
    """
    return _Call(folder, arrays, dtype, append, source, shard_bytes).run(workers, kind, progress)


class _Call:
    """A call of `write_jagged`, with its arguments checked."""

    def __init__(self, folder: Any, arrays: Any, dtype: Any, append: bool, source: Any, shard_bytes: int) -> None:
        self.folder = _check_folder(folder)
        self.dataset = _dataset_of(arrays)
        self.arrays = arrays
        self.dtype = check_dtype(dtype)
        self.append = check_bool("append", append)
        self.source = _check_source(source)
        self.shard_bytes = check_int("shard_bytes", shard_bytes, 1)
        self.facts = None if self.dataset is None else _facts(self.dataset)

    def run(self, workers: int | Executor, kind: Literal["thread", "process"], progress: bool | None) -> JaggedDataset:
        """Writes what is missing."""
        loader = DataLoader(list).batch_size(READ_AT_ONCE).workers(cast("Any", workers), kind=kind)
        if self.dataset is None and workers != 0:
            raise ValueError(
                f"workers read datasets, which have len() and [i]; a {type(self.arrays).__name__} is an iterable, "
                "which one thread reads: leave out workers"
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        # A finished store may lie where nobody can write.
        found = jagged_journal.find(self.folder)
        if found.manifest is not None and not self.append:
            self._check_finished(found)
            return JaggedDataset(self.folder)
        with ExitStack() as stack:
            stack.enter_context(jagged_journal.locked(self.folder))
            # Another writer may have finished in between.
            found = jagged_journal.find(self.folder)
            if found.manifest is not None and not self.append:
                self._check_finished(found)
            elif not self._is_finished_append(found):
                self._write(found, loader, progress, stack)
        return JaggedDataset(self.folder)

    def _write(self, found: Found, loader: DataLoader[Any, Any], progress: bool | None, stack: ExitStack) -> None:
        generation = 0 if found.manifest is None else len(found.manifest.datasets)
        # A call that has committed nothing loses nothing, and what it was given may be the reason that it failed.
        if found.head is not None and (found.head.generation != generation or not found.shards):
            jagged_journal.drop_journal(self.folder)
            found = Found(found.manifest, None, [], 0)
        form = self._known_form(found)
        documents = Documents(self.dtype, form)
        start = sum(shard.documents for shard in found.shards)
        writer = None if not found.shards else stack.enter_context(self._writer(form, generation, found))
        try:
            with self._reading(start, loader, progress) as reading:
                for number, document in enumerate(reading, start):
                    leaves = documents.leaves(document, number)
                    if writer is None:
                        writer = stack.enter_context(self._writer(documents.form, generation, found))
                    writer.add(leaves)
            if writer is not None:
                writer.finish()
        except BaseException as error:
            add_note(error, self._how_to_go_on(start, 0 if writer is None else writer.committed))
            raise
        if writer is None and found.manifest is None:
            raise ValueError(f"there is no document to write to {shown(self.folder)}; give at least one")

    def _writer(self, form: Any, generation: int, found: Found) -> closing[StoreWriter]:
        head = Head(encode_form(form), self.source, self.facts, self.append, generation)
        return closing(StoreWriter(self.folder, form, head, found, self.shard_bytes))

    @contextmanager
    def _reading(self, start: int, loader: DataLoader[Any, Any], progress: bool | None) -> Generator[Iterator[Any]]:
        """The documents from `start` on, counted by a progress bar."""
        total = None if self.dataset is None else len(self.dataset)
        documents = self._dropping(start) if self.dataset is None else self._loading(self.dataset, start, loader)
        with closing(documents), progress_bar(total, done=start, unit="document", show=progress) as advance:
            yield _counted(documents, advance)

    def _loading(self, dataset: BaseDataset[Any], start: int, loader: DataLoader[Any, Any]) -> Generator[Any]:
        with closing(iter(loader.build(dataset[start:]))) as batches:
            for batch in batches:
                yield from batch

    def _dropping(self, start: int) -> Generator[Any]:
        documents = iter(self.arrays)
        dropped = sum(1 for _ in islice(documents, start))
        if dropped < start:
            raise ValueError(
                f"the iterable has ended after {dropped} documents, and {start} are committed; give the same documents"
            )
        yield from documents

    def _known_form(self, found: Found) -> Any:
        """The form of the documents in the folder; None if it has none. Refuses those of another source or dataset."""
        if found.head is not None:
            if found.head.append != self.append:
                raise ValueError(
                    f"{shown(self.folder)} has a run that is not finished, with append={found.head.append}; finish it "
                    f"by the same call, or {GIVE_UP}"
                )
            self._check_source(found.head.source)
            self._check_dataset([found.head.dataset], f"finish it by the same call, or {GIVE_UP}")
            return decode_form(found.head.tree)
        if found.manifest is not None:
            self._check_source(found.manifest.source)
            return found.manifest.form
        return None

    def _check_finished(self, found: Found) -> None:
        """Refuses a finished store that this call would not have made."""
        manifest = found.manifest
        assert manifest is not None
        self._check_source(manifest.source)
        self._check_dataset(manifest.datasets, "write to another folder, or give append=True to add documents")
        Documents(self.dtype, manifest.form)

    def _is_finished_append(self, found: Found) -> bool:
        """Whether this call was finished by a program that was killed before it could delete the journal."""
        if found.head is None or found.manifest is None or found.head.generation == len(found.manifest.datasets):
            return False
        jagged_journal.drop_journal(self.folder)
        return (found.head.append, found.head.source, found.head.dataset) == (self.append, self.source, self.facts)

    def _check_source(self, found: Any) -> None:
        if found != self.source:
            raise ValueError(
                f"{shown(self.folder)} has documents of the source {found!r:.200}, and source={self.source!r:.200} is "
                "given; give the same source, or write to another folder"
            )

    def _check_dataset(self, found: list[Any], fix: str) -> None:
        if found != [self.facts]:
            theirs, own = (json.dumps(facts) for facts in (found, [self.facts]))
            raise ValueError(
                f"{shown(self.folder)} has the documents of other calls: it has {theirs:.300}, and this call gives "
                f"{own:.300} (null is an iterable); {fix}"
            )

    def _how_to_go_on(self, start: int, committed: int) -> str:
        rows = f" Row numbers above count from document {start} on." if start and self.dataset is not None else ""
        return (
            f"loadax: {committed} documents of this call are committed in {shown(self.folder)}; call write_jagged "
            f"again with the same arguments to go on at document {committed}.{rows}"
        )


def _counted(documents: Iterator[Any], advance: Callable[[int], object]) -> Iterator[Any]:
    for document in documents:
        yield document
        advance(1)


def _check_folder(folder: Any) -> Path:
    if not isinstance(folder, str | os.PathLike):
        raise TypeError(f"write_jagged writes to a folder, and takes its path first; got a {type(folder).__name__}")
    given = cast("str | os.PathLike[str]", folder)
    path, text = Path(given).absolute(), os.fspath(given)
    if path.exists():
        if not path.is_dir():
            raise ValueError(f"{shown(path)} is a file; write_jagged writes to a folder: name another one")
    elif text.startswith("~") or "://" in text:
        raise ValueError(f"folder={text!r} is no path of a folder{advice(given)}")
    return path


def _dataset_of(arrays: Any) -> BaseDataset[Any] | None:
    """The documents as a dataset that no epoch changes; None for an iterable."""
    kind = cast("type[Any]", type(arrays))
    counted = hasattr(kind, "__len__") or hasattr(arrays, "shape")
    if issubclass(kind, Mapping | str | bytes) or (counted and hasattr(kind, "__getitem__")):
        return datasets.FrozenDataset(arrays)
    if not issubclass(kind, Iterable):
        raise TypeError(f"documents are a dataset or an iterable, got a {kind.__name__}")
    return None


def _check_source(source: Any) -> Any:
    """A source as JSON returns it."""
    try:
        return json.loads(json.dumps(source, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"source must be JSON-able, such as the name of a tokenizer: {error}; got {source!r:.80}"
        ) from error


def _facts(dataset: BaseDataset[Any]) -> Any:
    """Facts that tell datasets apart."""
    facts = {"dataset": dataset.fingerprint(), "contents": dataset.content_fingerprint()}
    try:
        return json.loads(json.dumps(facts))
    except TypeError as error:
        raise TypeError(f"the fingerprint of a dataset must be JSON-able: {error}; got {facts!r:.300}") from error
