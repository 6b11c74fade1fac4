"""One safetensors file of numpy arrays with a JSON header: same content, same bytes; never pickle."""

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as serialize

from common.errors import RetortError

Tensors = dict[str, NDArray[Any]]


def write_tensors(
    path: Path, kind: str, header: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]
) -> None:
    """Write `tensors` and the JSON-able `header` to `path`, whole or not at all."""
    # One metadata key only: safetensors writes several in an order that changes from run to run.
    metadata = {"retort": json.dumps({"kind": kind, "header": header}, sort_keys=True)}
    write_bytes(path, serialize({name: np.asarray(t, order="C") for name, t in tensors.items()}, metadata))


def read_tensors(path: Path, kind: str, error: type[RetortError]) -> tuple[dict[str, Any], Tensors]:
    """Read back `(header, tensors)`.

    Raises `error`: the file is missing, truncated, not safetensors, or not of this `kind`.
    """
    try:
        with safe_open(path, framework="np") as file:
            stored = json.loads((file.metadata() or {}).get("retort", "{}"))
            tensors = {name: np.array(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except (OSError, SafetensorError, ValueError, TypeError, KeyError) as cause:
        raise error(f"{path}: cannot be read as a {kind} file ({cause}); make it again") from cause
    if (
        not isinstance(stored, dict)
        or stored.get("kind") != kind
        or not isinstance(stored.get("header"), dict)
    ):
        raise error(f"{path}: is not a {kind} file; give the path of one that retort wrote")
    return stored["header"], tensors


def write_bytes(path: Path, content: bytes) -> None:
    """Replace `path` by `content` atomically: a reader sees the old file or the new, even after a crash."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
