"""Lazy, composable datasets for the Loadax data loader. Needs NumPy and loadax-core."""

from typing import TYPE_CHECKING

from .adapt import IndexedDataset as IndexedDataset
from .adapt import as_dataset as as_dataset
from .arrays import ArrayDataset as ArrayDataset
from .base import BaseDataset as BaseDataset
from .cached import CachedDataset as CachedDataset
from .cast import CastDataset as CastDataset
from .combined import ConcatenatedDataset as ConcatenatedDataset
from .combined import ZippedDataset as ZippedDataset
from .filtered import FilteredDataset as FilteredDataset
from .mapped import MappedDataset as MappedDataset
from .memory import InMemoryDataset as InMemoryDataset
from .mixed import MixedDataset as MixedDataset
from .random_mapped import RandomMappedDataset as RandomMappedDataset
from .ranges import RangeDataset as RangeDataset
from .repeated import PaddedDataset as PaddedDataset
from .repeated import RepeatedDataset as RepeatedDataset
from .retried import RetriedDataset as RetriedDataset
from .sampled import SampledDataset as SampledDataset
from .selected import SelectedDataset as SelectedDataset
from .shuffled import ShuffledDataset as ShuffledDataset
from .sliced import SlicedDataset as SlicedDataset
from .sources import ArrayRecordDataset as ArrayRecordDataset
from .sources import HuggingFaceDataset as HuggingFaceDataset
from .sources import ImageFolderDataset as ImageFolderDataset
from .sources import LabelledImage as LabelledImage
from .sources import ParquetDataset as ParquetDataset
from .sources import PolarsDataset as PolarsDataset
from .sources import SQLiteDataset as SQLiteDataset
from .sources import TokenDataset as TokenDataset
from .split import SplitDataset as SplitDataset

if TYPE_CHECKING:
    __version__: str
else:

    def __getattr__(name: str) -> str:
        if name != "__version__":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        # It takes long to import.
        from importlib.metadata import version  # noqa: PLC0415

        return version("loadax-datasets")
