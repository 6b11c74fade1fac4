"""The frozen student in integers: operations, network, and its file."""

from models.students.integer.files import load, save
from models.students.integer.network import IntegerLayer, IntegerNetwork, apply_thresholds, check_power_of_two
from models.students.integer.operations import (
    Add,
    Conv,
    Dense,
    Depthwise,
    MaxPool,
    Operation,
    SumPool,
    Weighted,
    accumulator_range,
    check_accumulator,
    reachable,
)

__all__ = [
    "Add",
    "Conv",
    "Dense",
    "Depthwise",
    "IntegerLayer",
    "IntegerNetwork",
    "MaxPool",
    "Operation",
    "SumPool",
    "Weighted",
    "accumulator_range",
    "apply_thresholds",
    "check_accumulator",
    "check_power_of_two",
    "load",
    "reachable",
    "save",
]
