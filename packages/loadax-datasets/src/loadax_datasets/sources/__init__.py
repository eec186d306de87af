"""Datasets that read arrays, files, and the tables of other libraries.

There is one file for each source, and for what several sources share: a reader looks for a class by its name. Each
library is imported when its dataset is made. Imports: `files` and the modules at the top of the package.
"""
