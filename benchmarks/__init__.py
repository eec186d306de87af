"""How fast Loadax is: next to what the machine can do without a loader, and next to its peers.

Run `make bench`, or `python -m benchmarks --help` from the root of the repository.
"""
