"""Files: finding them in folders, a format for cached items, memory maps, and fingerprints of contents.

Knows no dataset. Imports: NumPy and the standard library.
"""
