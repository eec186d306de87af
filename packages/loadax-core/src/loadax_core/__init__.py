"""The core of Loadax: protocols, the builder, and the prefetching iterator. Needs only NumPy."""

from typing import TYPE_CHECKING, Any

from . import tree as tree
from .batch.merge import join_batches as join_batches
from .batch.pad import PadBatcher as PadBatcher
from .batch.stack import Batcher as Batcher
from .batch.stack import StackBatcher as StackBatcher
from .builder import DataLoader as DataLoader
from .checks import check_not_table as check_not_table
from .errors import ClosedError as ClosedError
from .errors import EpochLeakWarning as EpochLeakWarning
from .errors import RepeatedEpochWarning as RepeatedEpochWarning
from .errors import StackError as StackError
from .errors import StateError as StateError
from .errors import WorkerError as WorkerError
from .errors import add_note as add_note
from .errors import is_interrupt as is_interrupt
from .iterator import LoaderIterator as LoaderIterator
from .loader import Loader as Loader
from .memory.gather import check_rows as check_rows
from .memory.gather import gather_array as gather_array
from .memory.gather import take_rows as take_rows
from .memory.pool import aligned_empty as aligned_empty
from .observe.history import Interval as Interval
from .observe.lane import SlowRead as SlowRead
from .observe.replaced import Replaced as Replaced
from .observe.replaced import Tolerance as Tolerance
from .observe.span import Span as Span
from .observe.transforms import timed_transform as timed_transform
from .plan.origins import OrderDigest as OrderDigest
from .plan.origins import Origin as Origin
from .plan.origins import Traced as Traced
from .plan.origins import origins_of as origins_of
from .protocols import Alloc as Alloc
from .protocols import Dataset as Dataset
from .protocols import Gather as Gather
from .protocols import GatherRange as GatherRange
from .protocols import MeshLike as MeshLike
from .protocols import Placement as Placement
from .protocols import ReadRange as ReadRange
from .protocols import Rows as Rows
from .protocols import ShardingStrategy as ShardingStrategy
from .protocols import SupportsBuildWarnings as SupportsBuildWarnings
from .protocols import SupportsEpoch as SupportsEpoch
from .protocols import SupportsFingerprint as SupportsFingerprint
from .protocols import SupportsGather as SupportsGather
from .protocols import SupportsGetItems as SupportsGetItems
from .read.access import gather_of as gather_of
from .read.access import read_items as read_items
from .read.access import with_length as with_length

if TYPE_CHECKING:
    from .observe.stats import Stats as Stats
    from .observe.timeline import Timeline as Timeline
    from .show.audit import Audit as Audit
    from .show.audit import Passes as Passes
    from .show.preview import ArraySpec as ArraySpec
    from .show.preview import Preview as Preview
    from .tools.measure import Measurement as Measurement
    from .tools.measure import measure as measure
    from .tools.progress_bar import progress as progress
    from .tools.progress_bar import progress_bar as progress_bar

    __version__: str
else:
    from importlib import import_module

    _RARE = {
        "Stats": "observe.stats",
        "Timeline": "observe.timeline",
        "Audit": "show.audit",
        "Passes": "show.audit",
        "ArraySpec": "show.preview",
        "Preview": "show.preview",
        "Measurement": "tools.measure",
        "measure": "tools.measure",
        "progress": "tools.progress_bar",
        "progress_bar": "tools.progress_bar",
    }
    """What a training loop may do without, and the modules that are imported when it is first used."""

    def __getattr__(name: str) -> Any:
        if name == "__version__":
            # It takes longer to import than this package with all that it needs.
            from importlib.metadata import version  # noqa: PLC0415

            return version("loadax-core")
        if name not in _RARE:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name)
        found = globals()[name] = getattr(import_module(f"{__name__}.{_RARE[name]}"), name)
        return found

    def __dir__() -> list[str]:
        return sorted({*globals(), *_RARE})
