"""A cluster on a laptop: one function, and the command `python -m loadax_distributed.launch`."""

from .cluster import launch as launch
