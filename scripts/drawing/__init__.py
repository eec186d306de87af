"""The figures of the documentation, each drawn from the code or the data that it shows.

A module has one `draw` for each of its figures. `scripts/figures.py` writes them all.
"""
