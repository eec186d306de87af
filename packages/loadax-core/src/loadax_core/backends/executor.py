"""Work done by an executor that somebody else runs: a pool of processes, a Dask cluster, MPI.

The dataset travels once to each of the executor's processes, not with each task: a task names it, and a process that
does not know it yet says so and is sent it. An executor whose workers share this process's memory is handed the dataset
as it is.
"""

from __future__ import annotations

import os
import pickle
import uuid
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import suppress
from multiprocessing.reduction import ForkingPickler
from typing import Any

from ..memory.pool import aligned_empty
from ..protocols import Alloc
from ..read.epochs import Epochs
from ..read.fetch import Fetch
from .base import Engine
from .pickling import check_picklable, explain_arrival
from .remote import Stopwatch, failed, perform_remotely
from .task import Done, Task, Watch

MOST_KNOWN = 4
"""Datasets that a process remembers; the executor outlives the runs that use it."""

_known: OrderedDict[str, Epochs] = OrderedDict()
_UNKNOWN = "unknown"


class _Reference:
    """Stands for a dataset: itself in this process, its name in another one.

    Args:
        token: The name.
        fetch: Reads the dataset.
        sent: Whether it is sent beside its name.
        wrapped: Whether it is sent as bytes, so that the executor need not be able to unpickle it: a pool of processes
            would break.
    """

    def __init__(self, token: str, fetch: Fetch, *, sent: bool, wrapped: bool) -> None:
        self.token = token
        self.epochs: Epochs | None = Epochs(fetch)
        self._fetch = fetch.elsewhere()
        self._sent, self._wrapped = sent, wrapped

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        if not self._sent:
            return _recall, (self.token,)
        return _recall, (self.token, bytes(ForkingPickler.dumps(self._fetch, 5)) if self._wrapped else self._fetch)


def _recall(token: str, sent: Fetch | bytes | None = None) -> Epochs | Done | None:
    """What a reference becomes in another process; an outcome that tells why, if it cannot."""
    if sent is not None:
        try:
            fetch: Fetch = pickle.loads(sent) if isinstance(sent, bytes) else sent
        except Exception as error:
            explain_arrival(error)
            return failed(error, "unpickling the dataset for")
        _known[token] = Epochs(fetch)
        while len(_known) > MOST_KNOWN:
            _known.popitem(last=False)
    epochs = _known.get(token)
    with suppress(KeyError):
        # A thread that runs another task may have dropped it meanwhile.
        _known.move_to_end(token)
    return epochs


def _work(reference: _Reference | Epochs | Done | None, task: Task) -> Done | str:
    """What the executor runs."""
    epochs = reference.epochs if isinstance(reference, _Reference) else reference
    if isinstance(epochs, Done):
        return epochs
    return _UNKNOWN if epochs is None else perform_remotely(epochs, task, aligned_empty, Stopwatch())


class Submitting:
    """The crew of a window whose worker threads submit their tasks to an executor and wait for the outcome.

    Args:
        executor: Any executor; it is not shut down.
        fetch: How rows become batches.
    """

    unit_seconds = 1e-2
    remote = True

    def __init__(self, executor: Executor, fetch: Fetch) -> None:
        self._executor = executor
        token, wrapped = uuid.uuid4().hex, isinstance(executor, ProcessPoolExecutor)
        self._named = _Reference(token, fetch, sent=False, wrapped=wrapped)
        self._whole = _Reference(token, fetch, sent=True, wrapped=wrapped)

    def engine(self) -> Engine:
        """An engine that submits to the executor."""
        return _Submitter(self)

    def submit(self, task: Task, *, whole: bool) -> Future[Done | str]:
        """Submits a task, with the dataset or with its name."""
        return self._executor.submit(_work, self._whole if whole else self._named, task)

    def stop(self) -> None:
        """Tasks that are under way end in the background."""


class _Submitter:
    """The tasks that one worker thread has submitted."""

    def __init__(self, crew: Submitting) -> None:
        self._crew = crew
        self._submitted: deque[Future[Done | str] | BaseException] = deque()

    def open(self) -> None:
        """There is nothing to start."""

    def send(self, task: Task, /) -> None:
        """Submits a task."""
        try:
            self._submitted.append(self._crew.submit(task, whole=False))
        except BaseException as error:
            self._submitted.append(error)

    def perform(self, task: Task, _alloc: Alloc, _watch: Watch, /) -> Done:
        """Waits for the outcome of a task."""
        submitted = self._submitted.popleft()
        try:
            if isinstance(submitted, BaseException):
                raise submitted
            done = submitted.result()
            if isinstance(done, str):
                done = self._crew.submit(task, whole=True).result()
        except BaseException as error:
            return Done([], error, "submitting")
        assert isinstance(done, Done), "a process that is sent the dataset knows it"
        return done

    def where(self) -> None:
        """The executor does not tell."""

    def close(self) -> None:
        """Takes back what has not begun; the executor is its owner's."""
        for submitted in self._submitted:
            if not isinstance(submitted, BaseException):
                submitted.cancel()


def check_sendable(executor: Executor, fetch: Fetch) -> None:
    """Refuses at once what an executor's processes could not be sent, where it is known how they would be.

    Raises:
        TypeError: If a part cannot be pickled; names it.
    """
    if isinstance(executor, ProcessPoolExecutor):
        check_picklable(fetch.elsewhere(), "workers(executor)")


def capacity(executor: Executor) -> int:
    """How many tasks an executor works on at the same time, as far as it tells."""
    own: Any = getattr(executor, "_max_workers", None)
    client: Any = getattr(executor, "_client", None)
    if own is None and hasattr(client, "nthreads"):
        own = sum(client.nthreads().values())
    return own if isinstance(own, int) and own > 0 else os.cpu_count() or 1
