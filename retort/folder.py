"""A finished build: its typed files, its integer reference, its report."""

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from common.errors import DataError
from hw.interface import CoreInterface
from models.export import load_checked
from pipeline.artefacts import folder
from pipeline.ladder.execution import run_model
from pipeline.report import write_report


class Folder(folder.Folder):
    """A build's folder. What a build does not have is None."""

    @property
    def interface(self) -> CoreInterface:
        """How to feed and read the core: `io.json`."""
        return CoreInterface.load(self.path / "io.json")

    def golden(self, x: NDArray[np.uint8]) -> NDArray[np.int64]:
        """The integers (n, outputs) that `golden.onnx` gives for frames (n, ...), in the core's order.

        Raises `DataError`: the frames are not uint8, or have another number of values.
        """
        path = self.path / "golden.onnx"
        model = load_checked(path)
        sizes = [int(side.dim_value) for side in model.graph.input[0].type.tensor_type.shape.dim[1:]]
        if x.dtype != np.uint8 or x.ndim < 2 or not len(x) or x[0].size != math.prod(sizes):
            raise DataError(f"frames of {x.dtype} {x.shape}; give uint8 (n, {', '.join(map(str, sizes))})")
        frames = {"x": x.reshape(len(x), *sizes)}
        (outputs,) = run_model(model.SerializeToString(), frames, ["logits"], str(path))
        return outputs.astype(np.int64)

    @property
    def report(self) -> Path:
        """The report, written anew."""
        return write_report(self.path)
