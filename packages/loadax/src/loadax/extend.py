"""What authors of datasets and batchers need, and training scripts do not.

These names belong to loadax-core; with that package alone, import them from `loadax_core`.
"""

from loadax_core import Alloc as Alloc
from loadax_core import Gather as Gather
from loadax_core import GatherRange as GatherRange
from loadax_core import MeshLike as MeshLike
from loadax_core import OrderDigest as OrderDigest
from loadax_core import ReadRange as ReadRange
from loadax_core import Rows as Rows
from loadax_core import SupportsBuildWarnings as SupportsBuildWarnings
from loadax_core import SupportsEpoch as SupportsEpoch
from loadax_core import SupportsFingerprint as SupportsFingerprint
from loadax_core import SupportsGather as SupportsGather
from loadax_core import SupportsGetItems as SupportsGetItems
from loadax_core import Tolerance as Tolerance
from loadax_core import Traced as Traced
from loadax_core import add_note as add_note
from loadax_core import aligned_empty as aligned_empty
from loadax_core import check_not_table as check_not_table
from loadax_core import check_rows as check_rows
from loadax_core import gather_array as gather_array
from loadax_core import gather_of as gather_of
from loadax_core import is_interrupt as is_interrupt
from loadax_core import join_batches as join_batches
from loadax_core import origins_of as origins_of
from loadax_core import progress_bar as progress_bar
from loadax_core import read_items as read_items
from loadax_core import take_rows as take_rows
from loadax_core import timed_transform as timed_transform
from loadax_core import tree as tree
from loadax_core import with_length as with_length
