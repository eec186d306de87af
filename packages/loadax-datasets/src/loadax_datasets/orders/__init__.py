"""Random orders of rows, and random numbers: pure functions of a seed, an epoch and a row.

Knows no dataset and reads no data. Imports: `rows` and `checks`.
"""
