"""A cluster on a laptop: one function, and the command `loadax-launch`."""

from .cluster import launch as launch
