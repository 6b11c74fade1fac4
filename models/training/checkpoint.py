"""Nested training state in one safetensors file: dictionaries, lists and tuples of tensors and JSON scalars.

A torch optimizer's `state_dict()` is such a state. Files are written atomically and hold no code (never
pickle).
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from common.errors import CheckpointError
from models.tensorfile import Tensors, read_tensors, write_tensors

KIND = "checkpoint"


def save(path: Path, state: Any) -> None:
    """Write `state` to `path`, whole or not at all.

    Raises `CheckpointError`: the state holds something that is neither tensor, JSON scalar nor container.
    """
    tensors: Tensors = {}
    write_tensors(path, KIND, {"structure": _flatten(state, "", tensors)}, tensors)


def load(path: Path) -> Any:
    """Read the state that `save` wrote, tensors on the CPU.

    Raises `CheckpointError`: the file is missing or corrupt.
    """
    header, tensors = read_tensors(path, KIND, CheckpointError)
    try:
        return _unflatten(header["structure"], tensors)
    except (KeyError, TypeError, ValueError, IndexError) as cause:
        raise CheckpointError(
            f"{path}: structure and tensors do not match ({cause}); remove it and train again"
        ) from cause


def restore(module: nn.Module, state: dict[str, torch.Tensor], where: str) -> None:
    """Load the weights `state` into `module`, every one of them.

    Raises:
        CheckpointError: a weight is missing, unknown or of another shape: the state is another network's.
    """
    expected = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in state.items()}
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            raise CheckpointError(
                f"{where}: weight {name} has shape {found.get(name, 'none')}, this network's has "
                f"{expected.get(name, 'none')}; it is another network's, remove it and train again"
            )
    module.load_state_dict(state)


def _flatten(state: Any, name: str, tensors: Tensors) -> Any:
    """Describe `state` in JSON, tagged by type, and move its tensors to `tensors`."""
    if isinstance(state, torch.Tensor):
        tensors[name] = np.array(state.detach().cpu().numpy())
        return {"tensor": name}
    if isinstance(state, dict):
        # Pairs, not an object: an optimizer's state is keyed by integers, which JSON would make strings.
        return {"dict": [[key, _flatten(value, f"{name}/{key}", tensors)] for key, value in state.items()]}
    if isinstance(state, list | tuple):
        items = [_flatten(value, f"{name}/{index}", tensors) for index, value in enumerate(state)]
        return {"list" if isinstance(state, list) else "tuple": items}
    if state is None or isinstance(state, bool | int | float | str):
        return {"scalar": state}
    raise CheckpointError(
        f"checkpoint: {name or 'state'} is a {type(state).__name__}; only tensors and JSON are kept"
    )


def _unflatten(node: dict[str, Any], tensors: Tensors) -> Any:
    ((tag, content),) = node.items()
    if tag == "tensor":
        return torch.from_numpy(tensors[content])
    if tag == "dict":
        return {key: _unflatten(value, tensors) for key, value in content}
    if tag == "list":
        return [_unflatten(value, tensors) for value in content]
    if tag == "tuple":
        return tuple(_unflatten(value, tensors) for value in content)
    if tag == "scalar":
        return content
    raise ValueError(f"unknown tag {tag!r}")
