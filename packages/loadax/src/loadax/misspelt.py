"""What to write instead of a name that `loadax` does not have."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from importlib.util import find_spec
from types import ModuleType

ELSEWHERE = {
    "ArrayRecordDataSource": "; write ArrayRecordDataset(files)",
    "ConcatDataset": "; write a + b",
    "DistributedSampler": "; write DataLoader().shard(mesh)",
    "ImageFolder": "; write ImageFolderDataset(folder)",
    "IterableDataset": "; rows must have numbers: anything with len() and [i] is a dataset",
    "MapDataset": "; write as_dataset(source)",
    "RandomSampler": "; write dataset.shuffle(seed=0)",
    "StackDataset": "; write a.zip(b)",
    "Subset": "; write dataset.select(rows)",
    "TensorDataset": "; write ArrayDataset((x, y))",
    "WeightedRandomSampler": "; write dataset.sample(n, replace=True, weights=w)",
    "default_collate": "; write StackBatcher()",
    "load_dataset": "; write HuggingFaceDataset(datasets.load_dataset(...))",
    "random_split": "; write dataset.random_split([0.9, 0.1], seed=0)",
}
"""Names of other libraries, and what to write here. They may be spelt like a name here that means something else."""


def missing(module: ModuleType, name: str, public: Iterable[str], hint: str = "") -> Exception:
    """The error for a name that a module does not have; it suggests the public name that is spelt most alike.

    Python replaces the message of an AttributeError that is raised within `from module import name`, and Python 3.11
    suggests no name of a module there. So within an import statement, the error is an ImportError.

    Args:
        module: The module.
        name: The name.
        public: The names that it has.
        hint: What else to say.
    """
    from difflib import get_close_matches  # noqa: PLC0415 - takes longer to import than this module

    spelt = {other.lower(): other for other in public}
    alike = get_close_matches(name.lower(), spelt, n=1, cutoff=0.8)
    hint = hint or ELSEWHERE.get(name) or (f"; did you mean {spelt[alike[0]]}?" if alike else "")
    if hint and _within_import() and find_spec(f"{module.__name__}.{name}") is None:
        return ImportError(f"cannot import name {name!r} from {module.__name__!r}{hint}", name=module.__name__)
    return AttributeError(f"module {module.__name__!r} has no attribute {name!r}{hint}", name=name, obj=module)


def _within_import() -> bool:
    """Whether an import statement asks for a name; it asks for a module of that name if there is no such attribute."""
    return any(frame.function == "_handle_fromlist" for frame in inspect.stack(context=0)[3:4])
