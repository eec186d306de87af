"""Several JAX processes on one machine: the function `launch`, and the command `loadax-launch`."""

from .cluster import launch as launch
