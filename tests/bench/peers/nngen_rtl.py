"""NNgen's own Verilog of the network: matrix products with PE and SIMD as theirs, memory behind AXI."""

from pathlib import Path
from typing import Any

import numpy as np

from hw.dataflow.fold import Fold
from tests.bench.peers.network import ACTIVATION_BITS, INPUT_BITS, Layers, execute, frames, inputs

TOP = "nngen_top"


def write(layers: Layers, folds: tuple[Fold, ...], work: Path) -> Path:
    """Compare NNgen's evaluation with the network on a frame, and write the Verilog.

    NNgen rounds where the network rounds down, which half a step less of bias undoes, and clips unsigned
    activations to their lower half, which one more bit and a ReLU undo.
    """
    import nngen

    given = nngen.placeholder(nngen.dtype_int(INPUT_BITS, signed=False), shape=(1, inputs(layers)), name="x")
    value: Any = given
    for number, (layer, fold) in enumerate(zip(layers, folds, strict=True)):
        weights = nngen.variable(nngen.int4, shape=layer.weights.shape, name=f"weights{number}")
        weights.set_value(layer.weights)
        options: dict[str, Any] = {"dtype": nngen.int16}
        if layer.bias is not None:
            bias = nngen.variable(nngen.int16, shape=layer.bias.shape, name=f"bias{number}")
            bias.set_value(layer.bias - (1 << layer.shift >> 1))
            options = {
                "bias": bias,
                "rshift_out": layer.shift,
                "act_func": nngen.relu,
                "dtype": nngen.dtype_int(ACTIVATION_BITS + 1),
            }
        value = nngen.matmul(
            value,
            weights,
            transposed_b=True,
            mul_dtype=nngen.int16,
            sum_dtype=nngen.int32,
            par_left_col=fold.simd,
            par_out_col=fold.pe,
            name=f"layer{number}",
            **options,
        )
    sample = frames(1, inputs(layers))
    np.testing.assert_array_equal(nngen.eval([value], x=sample)[0], execute(layers, sample))
    path = work / "nngen.v"
    path.write_text(nngen.to_verilog([value], TOP, silent=True, config={"maxi_datawidth": 32}))
    return path
