"""Data sets: uint8 features and int64 labels, split in training, validation and test samples."""

from models.data.contract import InputContract
from models.data.dataset import KIND, SPLITS, Dataset, Scaling, Split, check_split, load, save
from models.data.sources import SOURCES, DataSource, digests, load_source

__all__ = [
    "KIND",
    "SOURCES",
    "SPLITS",
    "DataSource",
    "Dataset",
    "InputContract",
    "Scaling",
    "Split",
    "check_split",
    "digests",
    "load",
    "load_source",
    "save",
]
