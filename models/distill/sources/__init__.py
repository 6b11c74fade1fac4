"""All sources of samples, by their names in the build file."""

from models.distill.sources.base import Source, TrainingData

SOURCES: dict[str, type[Source]] = {each.source: each for each in (TrainingData,)}

__all__ = ["SOURCES", "Source", "TrainingData"]
