"""Lazy, composable datasets for the Loadax data loader. Needs NumPy and loadax-core.

A module is imported when the first of its names is used, so that a program pays for the datasets that it has. Only the
shuffle comes with the first of them.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .adapt import IndexedDataset as IndexedDataset
    from .adapt import as_dataset as as_dataset
    from .base import BaseDataset as BaseDataset
    from .sources.arrayrecord import ArrayRecordDataset as ArrayRecordDataset
    from .sources.arrays import ArrayDataset as ArrayDataset
    from .sources.huggingface import HuggingFaceDataset as HuggingFaceDataset
    from .sources.images import ImageFolderDataset as ImageFolderDataset
    from .sources.images import LabelledImage as LabelledImage
    from .sources.jagged import JaggedDataset as JaggedDataset
    from .sources.megatron import MegatronDataset as MegatronDataset
    from .sources.memory import InMemoryDataset as InMemoryDataset
    from .sources.parquet import ParquetDataset as ParquetDataset
    from .sources.polars import PolarsDataset as PolarsDataset
    from .sources.ranges import RangeDataset as RangeDataset
    from .sources.sqlite import SQLiteDataset as SQLiteDataset
    from .sources.store import write_jagged as write_jagged
    from .sources.tokens import TokenDataset as TokenDataset
    from .transforms.append_only import AppendOnlyDataset as AppendOnlyDataset
    from .transforms.cached import CachedDataset as CachedDataset
    from .transforms.cast import CastDataset as CastDataset
    from .transforms.combined import ZippedDataset as ZippedDataset
    from .transforms.concatenated import ConcatenatedDataset as ConcatenatedDataset
    from .transforms.filtered import FilteredDataset as FilteredDataset
    from .transforms.frozen import FrozenDataset as FrozenDataset
    from .transforms.mapped import MappedDataset as MappedDataset
    from .transforms.mixed import MixedDataset as MixedDataset
    from .transforms.packed import PackedDataset as PackedDataset
    from .transforms.random_mapped import RandomMappedDataset as RandomMappedDataset
    from .transforms.repeated import PaddedDataset as PaddedDataset
    from .transforms.repeated import RepeatedDataset as RepeatedDataset
    from .transforms.retried import RetriedDataset as RetriedDataset
    from .transforms.sampled import SampledDataset as SampledDataset
    from .transforms.selected import SelectedDataset as SelectedDataset
    from .transforms.shuffled import ShuffledDataset as ShuffledDataset
    from .transforms.sliced import SlicedDataset as SlicedDataset
    from .transforms.split import SplitDataset as SplitDataset
    from .transforms.tolerant import ToleratedDataset as ToleratedDataset
    from .transforms.tolerant import TransientErrorWarning as TransientErrorWarning

    __version__: str
else:
    # If a type checker saw this function, it would accept any name.
    from importlib import import_module

    _MODULES = {
        "IndexedDataset": "adapt",
        "as_dataset": "adapt",
        "BaseDataset": "base",
        "ArrayRecordDataset": "sources.arrayrecord",
        "ArrayDataset": "sources.arrays",
        "HuggingFaceDataset": "sources.huggingface",
        "ImageFolderDataset": "sources.images",
        "LabelledImage": "sources.images",
        "JaggedDataset": "sources.jagged",
        "MegatronDataset": "sources.megatron",
        "InMemoryDataset": "sources.memory",
        "ParquetDataset": "sources.parquet",
        "PolarsDataset": "sources.polars",
        "RangeDataset": "sources.ranges",
        "SQLiteDataset": "sources.sqlite",
        "write_jagged": "sources.store",
        "TokenDataset": "sources.tokens",
        "AppendOnlyDataset": "transforms.append_only",
        "CachedDataset": "transforms.cached",
        "CastDataset": "transforms.cast",
        "ZippedDataset": "transforms.combined",
        "ConcatenatedDataset": "transforms.concatenated",
        "FilteredDataset": "transforms.filtered",
        "FrozenDataset": "transforms.frozen",
        "MappedDataset": "transforms.mapped",
        "MixedDataset": "transforms.mixed",
        "PackedDataset": "transforms.packed",
        "RandomMappedDataset": "transforms.random_mapped",
        "PaddedDataset": "transforms.repeated",
        "RepeatedDataset": "transforms.repeated",
        "RetriedDataset": "transforms.retried",
        "SampledDataset": "transforms.sampled",
        "SelectedDataset": "transforms.selected",
        "ShuffledDataset": "transforms.shuffled",
        "SlicedDataset": "transforms.sliced",
        "SplitDataset": "transforms.split",
        "ToleratedDataset": "transforms.tolerant",
        "TransientErrorWarning": "transforms.tolerant",
    }
    __all__ = list(_MODULES)

    def __getattr__(name: str) -> Any:
        if name == "__version__":
            # It takes long to import.
            from importlib.metadata import version  # noqa: PLC0415

            return version("loadax-datasets")
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name)
        # Nearly all programs shuffle, and need not wait for the import when the first batch is due.
        import_module(f"{__name__}.transforms.shuffled")
        found = globals()[name] = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
        return found

    def __dir__() -> list[str]:
        return [*__all__]
