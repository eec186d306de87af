"""Hints in errors: what to write in place of names that only other data loaders have, or that another object has.

Type checkers do not see the classes here: to them these names do not exist.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, NoReturn, ParamSpec, TypeVar

S = TypeVar("S")
P = ParamSpec("P")
R = TypeVar("R")

_BUILD = "DataLoader() only holds settings; "
_SHUFFLE = "the dataset holds the order: .build(dataset.shuffle(seed=0))"
_BEFORE = "settings come before .build(dataset): "

ARGUMENTS = {
    "batch_fn": "DataLoader(batcher), which takes the list of items",
    "batch_size": ".batch_size(n)",
    "batch_sampler": ".batch_size(n), and dataset.select(rows) for the order",
    "collate_fn": "DataLoader(batcher), which takes the list of items",
    "data_source": ".build(dataset)",
    "dataset": ".build(dataset)",
    "drop_last": ".batch_size(n, drop_remainder=True)",
    "drop_remainder": ".batch_size(n, drop_remainder=True)",
    "epochs": ".epochs(n)",
    "num_epochs": ".epochs(n)",
    "num_workers": ".workers(n)",
    "operations": "dataset.map(fn), and the other methods of a dataset,",
    "persistent_workers": ".epochs(n)",
    "pin_memory": ".prefetch(to_device=True)",
    "prefetch": ".prefetch(n)",
    "prefetch_factor": ".prefetch(n), which counts batches of all workers together",
    "read_options": ".workers(n).prefetch(n)",
    "sampler": "dataset.sample(n) or dataset.select(rows)",
    "seed": "dataset.shuffle(seed=0)",
    "shuffle": "dataset.shuffle(seed=0)",
    "timeout": ".timeout(seconds)",
    "worker_count": ".workers(n)",
    "worker_init_fn": ".workers(n, kind='process', initializer=fn)",
    "workers": ".workers(n)",
}
"""Arguments of other loaders, and the call that takes their place."""

BUILDER = {
    "batch": "use .batch_size(n)",
    "batch_sampler": "use .batch_size(n), and dataset.select(rows) for the order",
    "collate_fn": "give the batcher to DataLoader(batcher)",
    "drop_last": "use .batch_size(n, drop_remainder=True)",
    "drop_remainder": "use .batch_size(n, drop_remainder=True)",
    "filter": "filter the dataset: .build(dataset.filter(predicate))",
    "map": "map the dataset: .build(dataset.map(fn))",
    "num_epochs": "use .epochs(n)",
    "num_workers": "use .workers(n)",
    "persistent_workers": "use .epochs(n): one run keeps its workers",
    "pin_memory": "use .prefetch(to_device=True)",
    "prefetch_factor": "use .prefetch(n), which counts batches of all workers together",
    "repeat": "use .epochs(n), or .epochs(None) for a run without an end",
    "sampler": "give the order to the dataset: dataset.sample(n) or dataset.select(rows)",
    "seed": _SHUFFLE,
    "shuffle": _SHUFFLE,
    "to_device": "use .prefetch(to_device=True)",
    "worker_init_fn": "use .workers(n, kind='process', initializer=fn)",
    **dict.fromkeys(
        ("epoch", "peek", "steps_per_epoch", "sharding_strategy", "check_agreement", "dataset"),
        "call .build(dataset) first: the loader that it returns has it",
    ),
}
"""Names that a `DataLoader` does not have, and what to write instead."""

LOADER = {
    **{
        name: f"{_BEFORE}DataLoader().{name}(...).build(dataset)"
        for name in ("count", "prefetch", "shard", "skip", "timeout", "workers")
    },
    "batch": f"{_BEFORE}DataLoader().batch_size(n).build(dataset)",
    "build": "this is the loader that build returned; iterate over it",
    "collate_fn": f"{_BEFORE}DataLoader(batcher).build(dataset)",
    "drop_last": f"{_BEFORE}DataLoader().batch_size(n, drop_remainder=True).build(dataset)",
    "epochs": f"{_BEFORE}DataLoader().epochs(n).build(dataset); one epoch of this loader is loader.epoch(e)",
    "map": "map the dataset before .build: dataset.map(fn)",
    "num_workers": f"{_BEFORE}DataLoader().workers(n).build(dataset)",
    "sampler": "the dataset holds the order; one epoch of this loader is loader.epoch(e)",
    "set_epoch": "use for batch in loader.epoch(e)",
    "shuffle": f"{_SHUFFLE}; one epoch of this loader is loader.epoch(e)",
    "take": "use itertools.islice(loader, n) for n batches, or .build(dataset.take(n)) for n rows",
    "load_state_dict": "an iterator has the position: batches = iter(loader), and batches.set_state(state)",
    "state_dict": "an iterator has the position: iter(loader).get_state()",
    **dict.fromkeys(
        ("close", "digest", "get_state", "seek", "set_state", "start", "stats", "step", "steps_left", "timeline"),
        "it belongs to an iterator: batches = iter(loader)",
    ),
}
"""Names that a `Loader` does not have, and what to write instead."""

ITERATOR = {
    **{
        name: f"the loader has it: loader.{name}"
        for name in (
            "audit",
            "batch",
            "batch_size",
            "check_agreement",
            "dataset",
            "find",
            "origins",
            "peek",
            "sharding_strategy",
            "steps_per_epoch",
        )
    },
    "load_state_dict": "use batches.set_state(state)",
    "next": "use next(batches)",
    "reset": "use batches.seek(0), or a new iter(loader)",
    "state_dict": "use batches.get_state()",
}
"""What people look for in a `LoaderIterator`."""


def settings_are_calls(taken: str, more: Sequence[object], unknown: Mapping[str, object]) -> str:
    """Says what to write instead of arguments that `DataLoader` and its `build` do not have.

    Args:
        taken: What is taken, and by whom.
        more: Those after the first, given by position.
        unknown: Those that are given by name.
    """
    given = ", ".join([*(f"{value!r:.40}" for value in more), *unknown])
    calls = [f"{ARGUMENTS[name]} instead of {name}" for name in unknown if name in ARGUMENTS]
    instead = f"; write {', '.join(calls)}" if calls else ""
    return (
        f"{taken}, and no {given}; settings are calls, as in DataLoader().batch_size(32, "
        f"drop_remainder=True).workers(2).build(dataset.shuffle(seed=0)){instead}"
    )


def given_by_name(name: str) -> Callable[[Callable[Concatenate[S, P], R]], Callable[Concatenate[S, P], R]]:
    """Makes a setting say what to write if it gets too much by position, or an argument of other loaders.

    Args:
        name: Its first argument that is given by name.
    """

    def decorate(method: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
        most: int = getattr(method, "__code__").co_argcount  # noqa: B009
        setting = method.__name__

        @wraps(method)
        def call(self: S, *args: P.args, **kwargs: P.kwargs) -> R:
            if len(args) >= most:
                first = "".join(f"{value!r:.40}, " for value in args[: most - 1])
                raise TypeError(f"{name} is given by name: {setting}({first}{name}={args[most - 1]!r:.40})")
            for unknown in kwargs:
                if unknown != name and unknown in ARGUMENTS:
                    raise TypeError(f"{setting} takes no {unknown}; write {ARGUMENTS[unknown]} instead of {unknown}")
            return method(self, *args, **kwargs)

        return call

    return decorate


def takes_a_dataset(build: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
    """Makes `build` say what to write if it gets settings."""

    @wraps(build)
    def call(self: S, *args: P.args, **kwargs: P.kwargs) -> R:
        unknown = {name: value for name, value in kwargs.items() if name != "dataset"}
        if len(args) > 1 or unknown:
            raise TypeError(settings_are_calls("build takes a dataset", args[1:], unknown))
        return build(self, *args, **kwargs)

    return call


def missing(owner: object, name: str, hints: Mapping[str, str]) -> AttributeError:
    """The error for an attribute that `owner` does not have."""
    text = f"{type(owner).__name__!r} object has no attribute {name!r}"
    return AttributeError(f"{text}; {hints[name]}" if name in hints else text, name=name, obj=owner)


if not TYPE_CHECKING:

    class BuilderHints:
        """Errors for a `DataLoader` that is used as if `build` had been called."""

        __slots__ = ()

        def __getattr__(self, name: str) -> Any:
            raise missing(self, name, BUILDER)

        def __iter__(self) -> NoReturn:
            raise TypeError(f"{_BUILD}iterate over what build returns: for batch in DataLoader().build(dataset)")

        def __next__(self) -> NoReturn:
            raise TypeError(f"{_BUILD}take a batch with next(iter(DataLoader().build(dataset)))")

        def __len__(self) -> NoReturn:
            raise TypeError(f"{_BUILD}the number of batches is len(DataLoader().build(dataset))")

        def __bool__(self) -> bool:
            return True

        def __enter__(self) -> NoReturn:
            raise TypeError(f"{_BUILD}write with iter(DataLoader().build(dataset)) as batches")

        def __exit__(self, *_: object) -> None: ...

    class LoaderHints:
        """Errors for a `Loader` that is used as if it were its builder or its iterator."""

        def __getattr__(self, name: str) -> Any:
            raise missing(self, name, LOADER)

        def __next__(self) -> NoReturn:
            raise TypeError(
                "a loader has no position; batches = iter(loader) has one, and next(batches) takes its next batch"
            )

        def __enter__(self) -> NoReturn:
            raise TypeError("a loader has no end; an iterator has one: with iter(loader) as batches")

        def __exit__(self, *_: object) -> None: ...

    class IteratorHints:
        """Errors for a `LoaderIterator` that is used as those of other libraries."""

        def __getattr__(self, name: str) -> Any:
            raise missing(self, name, ITERATOR)

else:

    class BuilderHints:
        """Nothing, to a type checker."""

        __slots__ = ()

    class LoaderHints:
        """Nothing, to a type checker."""

    class IteratorHints:
        """Nothing, to a type checker."""
