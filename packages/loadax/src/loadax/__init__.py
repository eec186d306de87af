"""Loadax, the data loader for JAX: the public names of its packages, in one place.

`loadax.extend` holds what only authors of datasets and batchers need, and `loadax.distributed` what needs JAX.

Importing this package does not import JAX. The names that need JAX come from `loadax_distributed`, which is imported
when the first of them is used. Worker processes use none of them, and start without JAX. Datasets, and what is rarely
used, are imported when their names are first used, too.
"""

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from .misspelt import missing
from .siblings import check_siblings
from .siblings import versions as versions

# Checked first, since a sibling of a wrong version may lack a name that is imported below.
__version__ = check_siblings()["loadax"]

import loadax_core
import loadax_datasets
from loadax_core import Batcher as Batcher
from loadax_core import ClosedError as ClosedError
from loadax_core import DataLoader as DataLoader
from loadax_core import Dataset as Dataset
from loadax_core import EpochLeakWarning as EpochLeakWarning
from loadax_core import Interval as Interval
from loadax_core import Loader as Loader
from loadax_core import LoaderIterator as LoaderIterator
from loadax_core import Origin as Origin
from loadax_core import PadBatcher as PadBatcher
from loadax_core import Placement as Placement
from loadax_core import RepeatedEpochWarning as RepeatedEpochWarning
from loadax_core import Replaced as Replaced
from loadax_core import ShardingStrategy as ShardingStrategy
from loadax_core import SlowRead as SlowRead
from loadax_core import Span as Span
from loadax_core import StackBatcher as StackBatcher
from loadax_core import StackError as StackError
from loadax_core import StateError as StateError
from loadax_core import WorkerError as WorkerError

if TYPE_CHECKING:
    from loadax_core import ArraySpec as ArraySpec
    from loadax_core import Audit as Audit
    from loadax_core import Measurement as Measurement
    from loadax_core import Passes as Passes
    from loadax_core import Preview as Preview
    from loadax_core import Stats as Stats
    from loadax_core import Timeline as Timeline
    from loadax_core import measure as measure
    from loadax_core import progress as progress
    from loadax_datasets import AppendOnlyDataset as AppendOnlyDataset
    from loadax_datasets import ArrayDataset as ArrayDataset
    from loadax_datasets import ArrayRecordDataset as ArrayRecordDataset
    from loadax_datasets import BaseDataset as BaseDataset
    from loadax_datasets import CachedDataset as CachedDataset
    from loadax_datasets import CastDataset as CastDataset
    from loadax_datasets import ConcatenatedDataset as ConcatenatedDataset
    from loadax_datasets import FilteredDataset as FilteredDataset
    from loadax_datasets import FrozenDataset as FrozenDataset
    from loadax_datasets import HuggingFaceDataset as HuggingFaceDataset
    from loadax_datasets import ImageFolderDataset as ImageFolderDataset
    from loadax_datasets import IndexedDataset as IndexedDataset
    from loadax_datasets import InMemoryDataset as InMemoryDataset
    from loadax_datasets import JaggedDataset as JaggedDataset
    from loadax_datasets import LabelledImage as LabelledImage
    from loadax_datasets import MappedDataset as MappedDataset
    from loadax_datasets import MegatronDataset as MegatronDataset
    from loadax_datasets import MixedDataset as MixedDataset
    from loadax_datasets import PackedDataset as PackedDataset
    from loadax_datasets import PaddedDataset as PaddedDataset
    from loadax_datasets import ParquetDataset as ParquetDataset
    from loadax_datasets import PolarsDataset as PolarsDataset
    from loadax_datasets import RandomMappedDataset as RandomMappedDataset
    from loadax_datasets import RangeDataset as RangeDataset
    from loadax_datasets import RepeatedDataset as RepeatedDataset
    from loadax_datasets import RetriedDataset as RetriedDataset
    from loadax_datasets import SampledDataset as SampledDataset
    from loadax_datasets import SelectedDataset as SelectedDataset
    from loadax_datasets import ShuffledDataset as ShuffledDataset
    from loadax_datasets import SlicedDataset as SlicedDataset
    from loadax_datasets import SplitDataset as SplitDataset
    from loadax_datasets import SQLiteDataset as SQLiteDataset
    from loadax_datasets import TokenDataset as TokenDataset
    from loadax_datasets import ToleratedDataset as ToleratedDataset
    from loadax_datasets import TransientErrorWarning as TransientErrorWarning
    from loadax_datasets import ZippedDataset as ZippedDataset
    from loadax_datasets import as_dataset as as_dataset
    from loadax_datasets import write_jagged as write_jagged
    from loadax_distributed import DevicePlacement as DevicePlacement
    from loadax_distributed import HostPlan as HostPlan
    from loadax_distributed import MeshShardingStrategy as MeshShardingStrategy
    from loadax_distributed import Table as Table
    from loadax_distributed import check_agreement as check_agreement
    from loadax_distributed import launch as launch
    from loadax_distributed import make_mesh as make_mesh
    from loadax_distributed import simulate_hosts as simulate_hosts
    from loadax_distributed import wait_shares as wait_shares

    from . import distributed as distributed
    from . import export as export
    from . import extend as extend
else:
    # If a type checker saw this function, it would accept any name.
    def __getattr__(name: str) -> Any:
        if name not in __all__:
            extend = import_module(f"{__name__}.extend")
            hint = f"; import it from {extend.__name__}" if hasattr(extend, name) else ""
            raise missing(sys.modules[__name__], name, __all__, hint)
        if name in ("distributed", "export", "extend"):
            return import_module(f"{__name__}.{name}")
        # What is not imported above is rarely used, is a dataset, or needs JAX.
        packages = [package for package in (loadax_core, loadax_datasets) if hasattr(package, name)]
        package = packages[0] if packages else import_module(f"{__name__}.distributed")
        found = globals()[name] = getattr(package, name)
        return found


__all__ = [
    "AppendOnlyDataset",
    "ArrayDataset",
    "ArrayRecordDataset",
    "ArraySpec",
    "Audit",
    "BaseDataset",
    "Batcher",
    "CachedDataset",
    "CastDataset",
    "ClosedError",
    "ConcatenatedDataset",
    "DataLoader",
    "Dataset",
    "DevicePlacement",
    "EpochLeakWarning",
    "FilteredDataset",
    "FrozenDataset",
    "HostPlan",
    "HuggingFaceDataset",
    "ImageFolderDataset",
    "InMemoryDataset",
    "IndexedDataset",
    "Interval",
    "JaggedDataset",
    "LabelledImage",
    "Loader",
    "LoaderIterator",
    "MappedDataset",
    "Measurement",
    "MegatronDataset",
    "MeshShardingStrategy",
    "MixedDataset",
    "Origin",
    "PackedDataset",
    "PadBatcher",
    "PaddedDataset",
    "ParquetDataset",
    "Passes",
    "Placement",
    "PolarsDataset",
    "Preview",
    "RandomMappedDataset",
    "RangeDataset",
    "RepeatedDataset",
    "RepeatedEpochWarning",
    "Replaced",
    "RetriedDataset",
    "SQLiteDataset",
    "SampledDataset",
    "SelectedDataset",
    "ShardingStrategy",
    "ShuffledDataset",
    "SlicedDataset",
    "SlowRead",
    "Span",
    "SplitDataset",
    "StackBatcher",
    "StackError",
    "StateError",
    "Stats",
    "Table",
    "Timeline",
    "TokenDataset",
    "ToleratedDataset",
    "TransientErrorWarning",
    "WorkerError",
    "ZippedDataset",
    "__version__",
    "as_dataset",
    "check_agreement",
    "distributed",
    "export",
    "extend",
    "launch",
    "make_mesh",
    "measure",
    "progress",
    "simulate_hosts",
    "versions",
    "wait_shares",
    "write_jagged",
]


def __dir__() -> list[str]:
    return list(__all__)
