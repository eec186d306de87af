"""The names of loadax-distributed, such as `loadax.distributed.launch`. Importing this module imports JAX."""

from loadax_distributed import DevicePlacement as DevicePlacement
from loadax_distributed import HostPlan as HostPlan
from loadax_distributed import MeshShardingStrategy as MeshShardingStrategy
from loadax_distributed import Table as Table
from loadax_distributed import check_agreement as check_agreement
from loadax_distributed import launch as launch
from loadax_distributed import make_mesh as make_mesh
from loadax_distributed import simulate_hosts as simulate_hosts
from loadax_distributed import wait_shares as wait_shares
