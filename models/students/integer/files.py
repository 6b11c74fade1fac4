"""An integer network as one safetensors file."""

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

from common.errors import CheckpointError, ContractError
from models.students.integer.network import IntegerLayer, IntegerNetwork
from models.students.integer.operations import Operation, Weighted
from models.tensorfile import Tensors, read_tensors, write_tensors

KIND = "integer network"
OPERATIONS: dict[str, Callable[..., Operation]] = {each.__name__: each for each in get_args(Operation)}


def save(network: IntegerNetwork, path: Path) -> None:
    """Write the network; equal networks give equal bytes."""
    tensors: Tensors = {}
    layers = []
    for index, layer in enumerate(network.layers):
        operation = layer.operation
        if isinstance(operation, Weighted):
            tensors[f"{index}.weights"] = operation.weights
        if layer.thresholds is not None:
            tensors[f"{index}.thresholds"] = layer.thresholds
        keys = [field.name for field in fields(operation) if field.name != "weights"]
        layers.append(
            {
                "name": layer.name,
                "sources": layer.sources,
                "operation": type(operation).__name__,
                "settings": {key: getattr(operation, key) for key in keys},
                "activation_bits": layer.activation_bits,
                "activation_scale": layer.activation_scale,
            }
        )
    write_tensors(path, KIND, {"name": network.name, "shape": network.shape, "layers": layers}, tensors)


def load(path: Path) -> IntegerNetwork:
    """Read a network that `save` wrote.

    Raises `CheckpointError`: the file is missing, corrupt, or its parts do not fit each other.
    """
    header, tensors = read_tensors(path, KIND, CheckpointError)
    try:
        layers = [_layer(index, told, tensors) for index, told in enumerate(header["layers"])]
        height, width, channels = (int(size) for size in header["shape"])
        return IntegerNetwork((height, width, channels), tuple(layers), str(header["name"]))
    except (KeyError, TypeError, ValueError, ContractError) as cause:
        raise CheckpointError(f"{path}: is no integer network ({cause}); freeze the student again") from cause


def _layer(index: int, told: dict[str, Any], tensors: Tensors) -> IntegerLayer:
    """One layer from its description; JSON gives its pairs as lists."""
    settings = {
        key: tuple(value) if isinstance(value, list) else value for key, value in told["settings"].items()
    }
    if f"{index}.weights" in tensors:
        settings["weights"] = tensors[f"{index}.weights"]
    return IntegerLayer(
        name=told["name"],
        operation=OPERATIONS[told["operation"]](**settings),
        sources=tuple(told["sources"]),
        thresholds=tensors.get(f"{index}.thresholds"),
        activation_bits=told["activation_bits"],
        activation_scale=told["activation_scale"],
    )
