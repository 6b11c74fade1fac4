"""The shape of a student: what `models` trains and `hw` builds. Imports nothing heavy."""

from common.topology.layers import (
    INPUT,
    MAX_ACTIVATION_BITS,
    MAX_WEIGHT_BITS,
    MIN_ACTIVATION_BITS,
    MIN_WEIGHT_BITS,
    Add,
    AveragePool,
    Conv,
    Dense,
    Depthwise,
    Layer,
    MaxPool,
    Pair,
    Residual,
    Shape,
    SimpleLayer,
)
from common.topology.layout import Step
from common.topology.network import Topology

__all__ = [
    "INPUT",
    "MAX_ACTIVATION_BITS",
    "MAX_WEIGHT_BITS",
    "MIN_ACTIVATION_BITS",
    "MIN_WEIGHT_BITS",
    "Add",
    "AveragePool",
    "Conv",
    "Dense",
    "Depthwise",
    "Layer",
    "MaxPool",
    "Pair",
    "Residual",
    "Shape",
    "SimpleLayer",
    "Step",
    "Topology",
]
