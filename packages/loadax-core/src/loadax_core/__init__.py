"""The core of Loadax: protocols, the builder, and the prefetching iterator. Needs only NumPy."""

from typing import TYPE_CHECKING

from . import tree as tree
from .batchers import Batcher as Batcher
from .batchers import StackBatcher as StackBatcher
from .buffers import aligned_empty as aligned_empty
from .buffers import check_rows as check_rows
from .buffers import gather_array as gather_array
from .buffers import take_rows as take_rows
from .builder import DataLoader as DataLoader
from .checks import refuse_tables as refuse_tables
from .errors import ClosedError as ClosedError
from .errors import StackError as StackError
from .errors import StateError as StateError
from .errors import WorkerError as WorkerError
from .errors import add_note as add_note
from .fetch import gather_of as gather_of
from .fetch import read_items as read_items
from .iterator import LoaderIterator as LoaderIterator
from .loader import Loader as Loader
from .measuring import Measurement as Measurement
from .measuring import measure as measure
from .merging import join_batches as join_batches
from .padding import PadBatcher as PadBatcher
from .preview import ArraySpec as ArraySpec
from .preview import Preview as Preview
from .progress import progress as progress
from .protocols import Alloc as Alloc
from .protocols import Dataset as Dataset
from .protocols import Gather as Gather
from .protocols import GatherRange as GatherRange
from .protocols import MeshLike as MeshLike
from .protocols import Placement as Placement
from .protocols import ReadRange as ReadRange
from .protocols import Rows as Rows
from .protocols import ShardingStrategy as ShardingStrategy
from .protocols import SupportsEpoch as SupportsEpoch
from .protocols import SupportsFingerprint as SupportsFingerprint
from .protocols import SupportsGather as SupportsGather
from .protocols import SupportsGetItems as SupportsGetItems
from .shaped import with_length as with_length
from .stats import Interval as Interval
from .stats import SlowRead as SlowRead
from .stats import Stats as Stats
from .timeline import Span as Span
from .timeline import Timeline as Timeline
from .transforming import transformed as transformed

if TYPE_CHECKING:
    __version__: str
else:

    def __getattr__(name: str) -> str:
        if name != "__version__":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        # It takes longer to import than this package with all that it needs.
        from importlib.metadata import version  # noqa: PLC0415

        return version("loadax-core")
