"""Hints in errors: what to write in place of names, arguments and positions that only other libraries have."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

S = TypeVar("S")
P = ParamSpec("P")
R = TypeVar("R")


def _loader(settings: str = "", batcher: str = "") -> str:
    return f"DataLoader({batcher}).batch_size(32){settings}.build(dataset)"


ELSEWHERE: dict[str, str] = {
    "batch": f"a loader makes batches: {_loader()}",
    "batch_size": f"a loader makes batches: {_loader()}",
    "padded_batch": f"a loader makes batches: {_loader(batcher='PadBatcher()')}",
    "collate_fn": f"a loader makes batches: {_loader(batcher='my_batcher')}",
    "drop_remainder": "a loader makes batches: DataLoader().batch_size(32, drop_remainder=True).build(dataset)",
    "drop_last": "a loader makes batches: DataLoader().batch_size(32, drop_remainder=True).build(dataset)",
    "prefetch": f"a loader reads ahead: {_loader('.prefetch(2)')}",
    "num_workers": f"a loader has workers: {_loader('.workers(4)')}",
    "workers": f"a loader has workers: {_loader('.workers(4)')}",
    "mp_prefetch": "a loader has workers: DataLoader().batch_size(32).workers(4, kind='process').build(dataset)",
    "to_iter_dataset": f"a loader iterates, and reads ahead: {_loader('.workers(4)')}",
    "as_numpy_iterator": f"a loader iterates: {_loader()}; the items are list(dataset)",
    "build": f"a loader is built over a dataset: {_loader()}",
    "epochs": f"a loader runs epochs: {_loader('.epochs(3)')}; dataset.repeat(3) makes one epoch of three",
    "set_epoch": "the dataset as it is in one epoch is dataset.at_epoch(1); a loader counts epochs itself",
    "shard": f"a loader divides batches among devices and hosts: {_loader('.shard(mesh)')}",
    "to_device": f"a loader puts batches on devices: {_loader('.prefetch(2, to_device=True)')}",
    "pin_memory": f"a loader puts batches on devices: {_loader('.prefetch(2, to_device=True)')}",
    "state_dict": "an iterator of a loader has the position: iter(loader).get_state()",
    "get_state": "an iterator of a loader has the position: iter(loader).get_state()",
    "seed": "a seed is given where it is used: dataset.shuffle(seed=1)",
    "slice": "slices are written as those of a list: dataset[10:20]",
    "cardinality": "the number of rows is len(dataset)",
    "num_rows": "the number of rows is len(dataset)",
    "train_test_split": "write dataset.random_split([0.9, 0.1], seed=0)",
    "split": "write dataset.random_split([0.9, 0.1], seed=0)",
    "window_shuffle": "write dataset.shuffle(seed=1, block=100)",
    "astype": "write dataset.cast('float32')",
    **dict.fromkeys(
        ("select_columns", "remove_columns", "rename_column", "rename_columns"),
        "map each row to the entries that are wanted: dataset.map(lambda row: {'x': row['x']})",
    ),
    "concatenate": "write dataset.concat(other), or dataset + other",
    "interleave": "write dataset.mix(other, weights=[1, 1], seed=0)",
    "enumerate": "write RangeDataset(len(dataset)).zip(dataset)",
    "apply": "write my_function(dataset)",
    "snapshot": "write dataset.cache(directory)",
    "bucket_by_sequence_length": (
        "rows of similar length are neighbours once they are sorted: "
        "dataset.select(np.argsort(lengths)).shuffle(seed=1, block=32)"
    ),
    **dict.fromkeys(
        ("flat_map", "unbatch", "window"),
        "a class with __len__ and read, derived from BaseDataset, says which rows of this dataset make its row i",
    ),
}
"""Names that other libraries' datasets have, and what to write here."""

_WORKERS = f"a loader has workers: {_loader('.workers(4)')}"

MAP = {
    "batched": "write vectorized=True, and the function gets the stacked rows of a step",
    "deterministic": "the order of rows never depends on workers",
    "num_parallel_calls": _WORKERS,
    "num_proc": _WORKERS,
    "remove_columns": "the function returns the entries that are wanted",
    "seed": "the function gets random numbers by dataset.random_map(fn, seed=0)",
}
RANDOM_MAP = {
    **{name: MAP[name] for name in ("deterministic", "num_parallel_calls", "num_proc")},
    **dict.fromkeys(
        ("batched", "vectorized"),
        "each row has random numbers of its own, and the function gets one row and its generator",
    ),
}
FILTER = {
    "num_proc": "all rows are read once, by the program itself; dataset.select(rows) takes row numbers that are known",
}
SHUFFLE = {
    "buffer_size": "there is no buffer: all rows are shuffled",
    "generator": "write seed=0: the order depends on the seed and the epoch alone",
    "reshuffle_each_iteration": "each epoch has another order; dataset.shuffle(seed=0).frozen() keeps that of one",
}
"""Arguments of other libraries' `map`, `random_map`, `filter` and `shuffle`, and what to write here."""

NO_TIMES = (
    "repeat(3) makes one epoch of three passes; a run over several epochs is DataLoader().epochs(3).build(dataset), "
    "and one without an end DataLoader().epochs(None).build(dataset)"
)
"""What to write instead of `repeat()`."""


def elsewhere(kind: str, name: str) -> str | None:
    """The message of an AttributeError for a name that is found elsewhere; None for other names."""
    hint = ELSEWHERE.get(name)
    return None if hint is None else f"{kind!r} object has no attribute {name!r}: {hint}"


def seed_by_name(
    hint: str,
) -> Callable[[Callable[Concatenate[S, P], R]], Callable[Concatenate[S, P], R]]:
    """Makes a method say what to write if it gets more arguments by position than it takes.

    Args:
        hint: A format of the message: `{given}` is the first argument too many, `{first}` those before it.
    """

    def decorate(method: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
        most: int = getattr(method, "__code__").co_argcount  # noqa: B009

        @wraps(method)
        def call(self: S, *args: P.args, **kwargs: P.kwargs) -> R:
            if len(args) >= most:
                first = "".join(f"{_shown(arg)}, " for arg in args[: most - 1])
                raise TypeError(hint.format(first=first, given=_shown(args[most - 1])))
            return method(self, *args, **kwargs)

        return call

    return decorate


def takes_no(
    arguments: Mapping[str, str], nothing: str = ""
) -> Callable[[Callable[Concatenate[S, P], R]], Callable[Concatenate[S, P], R]]:
    """Makes a method say what to write instead of arguments that other libraries have.

    Args:
        arguments: These arguments, each with what to write.
        nothing: What to write instead of a call without arguments, or with None alone.
    """

    def decorate(method: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
        @wraps(method)
        def call(self: S, *args: P.args, **kwargs: P.kwargs) -> R:
            for name in kwargs:
                if name in arguments:
                    raise TypeError(f"{method.__name__} takes no {name}: {arguments[name]}")
            if nothing and not kwargs and args in ((), (None,)):
                raise TypeError(nothing)
            return method(self, *args, **kwargs)

        return call

    return decorate


def takes_one_tree(init: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
    """Makes `ArrayDataset` say what to write if it gets several arrays."""

    @wraps(init)
    def call(self: S, *args: P.args, **kwargs: P.kwargs) -> R:
        names = [name for name in kwargs if name != "arrays"]
        if len(args) > 1 or names:
            tree = f"{{{names[0]!r}: ...}}" if names else "(x, y)"
            raise TypeError(f"ArrayDataset takes one tree of arrays; write ArrayDataset({tree})")
        return init(self, *args, **kwargs)

    return call


def check_weights_by_name(others: Sequence[Any]) -> None:
    """Refuses numbers by position that are as many as the sources of a mixture: they would be a source, too.

    Args:
        others: What `mix` got by position when `weights` was left out.

    Raises:
        TypeError: If the last one is a list of as many numbers.
    """
    last: Any = others[-1] if len(others) > 1 else None
    if type(last) in (list, tuple) and len(last) == len(others) and all(isinstance(n, int | float) for n in last):
        raise TypeError(
            f"the weights are given by name, mix(..., weights={last!r}); if these numbers are rows to mix in, write "
            f"InMemoryDataset({last!r})"
        )


def _shown(argument: Any) -> str:
    name: str | None = getattr(argument, "__name__", None)
    return name or f"{argument!r:.60}"
