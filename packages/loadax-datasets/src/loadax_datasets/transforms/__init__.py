"""Datasets that read other datasets: mapped, shuffled, sliced, joined, mixed, filtered, cached, and so on.

There is one file for each transform: a reader looks for a class by its name. Each is lazy, thread-safe and picklable,
and has the same rows in all three ways to read. Imports: `orders`, `files` and the modules at the top of the package.
"""
