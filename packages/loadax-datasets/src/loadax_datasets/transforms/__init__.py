"""Datasets that read other datasets: mapped, shuffled, sliced, joined, mixed, filtered, cached, and so on.

Each is lazy, thread-safe and picklable, and has the same rows in all three ways to read. Imports: `orders`, `files` and
the modules at the top of the package.
"""
