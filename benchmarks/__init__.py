"""Measures how fast Loadax is, beside the limit of the machine and beside other loaders.

Run `make bench`, or `python -m benchmarks --help` from the root of the repository.
"""
