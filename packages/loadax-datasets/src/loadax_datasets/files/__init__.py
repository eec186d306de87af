"""Files: finding them in folders, formats of cached items and of documents, memory maps, and fingerprints of contents.

Knows no dataset. Imports: NumPy and the standard library.
"""
