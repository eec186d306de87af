"""Datasets that read arrays, files, and the tables of other libraries.

Each library is imported when its dataset is made. Imports: `files` and the modules at the top of the package.
"""
