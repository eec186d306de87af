"""Work done by an executor of the user's: a pool of processes, a Dask cluster, MPI.

The dataset is sent once to each of the executor's processes, not with each task. A task names the dataset; a process
that does not know the name answers so, and the task is sent again with the dataset. An executor whose workers are
threads of this process gets the dataset itself. JAX's settings are not sent: the processes are the user's, who may give
the executor an initializer.
"""

from __future__ import annotations

import operator
import os
import pickle
import uuid
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import suppress
from multiprocessing.reduction import ForkingPickler
from typing import Any, SupportsIndex

from ..memory.pickled import Pickler, dumps, dumps_by_value
from ..memory.pool import aligned_empty
from ..protocols import Alloc
from ..read.epochs import Epochs
from ..read.fetch import Fetch
from .base import Engine
from .pickling import check_picklable, explain_arrival
from .remote import Stopwatch, failed, perform_remotely
from .task import Done, Task, Watch

MOST_KNOWN = 4
"""How many datasets a process remembers: those it used last. The executor outlives the runs that use it."""

_known: OrderedDict[str, Epochs] = OrderedDict()
"""The datasets that this process remembers, by their names."""

_UNKNOWN = "unknown"
"""The result of a task in a process that does not know the dataset."""


class SendingPickler(Pickler, ForkingPickler):
    """Pickles what `multiprocessing` can send as well, such as connections."""


class _Reference:
    """Stands for a dataset: itself in this process, its name in another one.

    Args:
        token: The name.
        fetch: Reads the dataset.
        sent: Whether it is sent beside its name.
        wrapped: Whether it is sent as bytes. An error of unpickling it is then the outcome of the task; otherwise it
            would break a pool of processes.
    """

    def __init__(self, token: str, fetch: Fetch, *, sent: bool, wrapped: bool) -> None:
        self.token = token
        self.epochs: Epochs | None = Epochs(fetch)
        self._fetch = fetch.elsewhere()
        self._sent, self._wrapped = sent, wrapped

    def __reduce_ex__(self, protocol: SupportsIndex, /) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        if not self._sent:
            return _recall, (self.token,)
        if self._wrapped:
            return _recall, (self.token, dumps(self._fetch, pickler=SendingPickler))
        return _recall, (self.token, *_by_value(self._fetch, protocol))


class _Arrived(Epochs):
    """A dataset in another process, under its name. A scheduler between the processes may pickle it once more."""

    def __init__(self, token: str, fetch: Fetch) -> None:
        super().__init__(fetch)
        self._token = token

    def __reduce_ex__(self, protocol: SupportsIndex, /) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return _recall, (self._token, *_by_value(self.base, protocol))


def _by_value(fetch: Fetch, protocol: SupportsIndex) -> tuple[Any, ...]:
    """What is sent to a cluster: bytes and buffers if it has imported cloudpickle; else the object itself.

    Before protocol 5, pickle cannot send buffers: all is bytes then.
    """
    buffers: list[pickle.PickleBuffer] = []
    try:
        return dumps_by_value(fetch, buffers.append if operator.index(protocol) >= 5 else None), buffers
    except ImportError:
        return (fetch,)


def _recall(
    token: str, sent: Fetch | bytes | None = None, buffers: Iterable[pickle.PickleBuffer] = ()
) -> Epochs | Done | None:
    """What a reference becomes in another process: the dataset, an outcome with the error of unpickling it, or None."""
    if sent is not None and token not in _known:
        try:
            fetch: Fetch = pickle.loads(sent, buffers=buffers) if isinstance(sent, bytes) else sent
        except Exception as error:
            explain_arrival(error)
            return failed(error, "unpickling the dataset for")
        _known[token] = _Arrived(token, fetch)
        while len(_known) > MOST_KNOWN:
            _known.popitem(last=False)
    epochs = _known.get(token)
    with suppress(KeyError):
        # A thread that runs another task may have dropped the dataset meanwhile.
        _known.move_to_end(token)
    return epochs


def _work(reference: _Reference | Epochs | Done | None, task: Task) -> Done | str:
    """Does a task, in the executor's process or thread; returns its outcome, or that the dataset is unknown."""
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
        """Does nothing: tasks that are under way end in the background."""


class _Submitter:
    """The tasks that one worker thread has submitted."""

    def __init__(self, crew: Submitting) -> None:
        self._crew = crew
        self._submitted: deque[Future[Done | str] | BaseException] = deque()

    def open(self) -> None:
        """Does nothing: the executor has been started."""

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
        """Returns None: an executor does not tell what its workers are doing."""

    def close(self) -> None:
        """Cancels the tasks that have not begun. The executor is not shut down."""
        for submitted in self._submitted:
            if not isinstance(submitted, BaseException):
                submitted.cancel()


def check_sendable(executor: Executor, fetch: Fetch) -> None:
    """Refuses what a `ProcessPoolExecutor` cannot send to its processes. Other executors may have ways to.

    Raises:
        TypeError: If a part cannot be pickled; names it.
    """
    if isinstance(executor, ProcessPoolExecutor):
        check_picklable(fetch.batcher, "workers(executor)", "the batcher")
        check_picklable(fetch.elsewhere(), "workers(executor)")


def capacity(executor: Executor) -> int:
    """How many tasks an executor works on at the same time; if it does not tell, the number of this machine's cores."""
    own: Any = getattr(executor, "_max_workers", None)
    client: Any = getattr(executor, "_client", None)
    if own is None and hasattr(client, "nthreads"):
        own = sum(client.nthreads().values())
    return own if isinstance(own, int) and own > 0 else os.cpu_count() or 1
