"""Loadax on devices: global batches over any mesh, placement on devices, and several JAX processes on one machine."""

from importlib.metadata import version as _version

from .agreement import check_agreement as check_agreement
from .launch import launch as launch
from .mesh import make_mesh as make_mesh
from .placement import DevicePlacement as DevicePlacement
from .sharding import MeshShardingStrategy as MeshShardingStrategy
from .simulate import HostPlan as HostPlan
from .simulate import simulate_hosts as simulate_hosts
from .table import Table as Table
from .waiting import wait_shares as wait_shares

__version__ = _version("loadax-distributed")
