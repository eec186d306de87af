"""Rows to a batch: the three ways to read a dataset, and what follows them.

`Fetch` turns the rows of a `Step` into a batch and places it. It is immutable, starts no thread and reads no clock. An
error gets notes that name the row here, where the rows are known. Imports: `plan`, `memory` and `batch`.
"""
