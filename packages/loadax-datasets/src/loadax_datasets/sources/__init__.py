"""Datasets that read files and the tables of other libraries; each library is imported when its dataset is made."""

from .tokens import TokenDataset as TokenDataset
