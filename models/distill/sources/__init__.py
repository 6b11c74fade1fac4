"""All sources of samples, by their names in the build file. Imports `models.distill.training`, lazily."""

from models.distill.sources.base import Source, TrainingData
from models.distill.sources.data_impressions import DataImpressions
from models.distill.sources.munge import Munge

SOURCES: dict[str, type[Source]] = {each.source: each for each in (TrainingData, Munge, DataImpressions)}

__all__ = ["SOURCES", "DataImpressions", "Munge", "Source", "TrainingData"]
