"""Datasets that read files and the tables of other libraries; each library is imported when its dataset is made."""

from .arrayrecord import ArrayRecordDataset as ArrayRecordDataset
from .huggingface import HuggingFaceDataset as HuggingFaceDataset
from .images import ImageFolderDataset as ImageFolderDataset
from .images import LabelledImage as LabelledImage
from .parquet import ParquetDataset as ParquetDataset
from .polars import PolarsDataset as PolarsDataset
from .sqlite import SQLiteDataset as SQLiteDataset
from .tokens import TokenDataset as TokenDataset
