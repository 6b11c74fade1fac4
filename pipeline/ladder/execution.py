"""Networks run by onnxruntime."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.errors import ModelFileError

BATCH = 256
"""Samples at once: whole test sets of images would fit neither caches nor some memories."""


def run_onnx(path: Path, feeds: dict[str, NDArray[Any]], outputs: list[str]) -> list[NDArray[Any]]:
    """Run an ONNX file in onnxruntime; raises `ModelFileError` where it cannot."""
    from models.export import load_checked

    return run_model(load_checked(path).SerializeToString(), feeds, outputs, str(path))


def run_model(
    model: bytes, feeds: dict[str, NDArray[Any]], outputs: list[str], where: str
) -> list[NDArray[Any]]:
    """Run a serialized ONNX model in onnxruntime, in batches; raises `ModelFileError` where it cannot.

    `feeds` and the results all have as many samples.
    """
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        count = len(next(iter(feeds.values())))
        parts = [
            session.run(outputs, {name: array[start : start + BATCH] for name, array in feeds.items()})
            for start in range(0, max(1, count), BATCH)
        ]
        return [np.concatenate(each) for each in zip(*parts, strict=True)]
    except (state.Fail, state.InvalidGraph, state.InvalidArgument, state.NotImplemented, ValueError) as error:
        first = str(error).strip().splitlines()[0]
        raise ModelFileError(f"{where}: onnxruntime refuses it ({first:.200}); export it again") from error
