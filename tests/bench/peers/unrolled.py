"""da4ml's own Verilog of the whole network, unfolded and pipelined."""

from pathlib import Path

import numpy as np

from tests.bench.peers.network import ACTIVATION_BITS, INPUT_BITS, Layers, execute, frames, inputs

TOP = "da4ml_top"


def write(layers: Layers, work: Path, *, adders: int) -> tuple[list[Path], int]:
    """Trace the network, check it on some frames; its Verilog files (top `TOP`) and its pipeline's depth.

    `adders` follow each other between registers.
    """
    from da4ml.codegen import RTLModel
    from da4ml.trace import FixedVariableArray, HWConfig, comb_trace, to_pipeline

    top = np.full(inputs(layers), (1 << INPUT_BITS) - 1.0)
    x = FixedVariableArray.from_lhs(top * 0, top, top * 0 + 1, hwconf=HWConfig(1, -1, -1))
    given, value = x, x
    for layer in layers:
        value = value @ layer.weights.T.astype(np.float32)
        if layer.bias is not None:
            integer, fraction = layer.shift + ACTIVATION_BITS, -layer.shift
            value = (value + layer.bias.astype(np.float64)).quantize(0, integer, fraction, "SAT", "TRN")
            value = value * 2.0**-layer.shift
    logic = comb_trace(given, value)
    sample = frames(20, inputs(layers))
    traced = np.array([logic(frame.astype(np.float64)) for frame in sample]).astype(np.int64)
    np.testing.assert_array_equal(traced, execute(layers, sample))
    pipeline = to_pipeline(logic, latency_cutoff=adders, verbose=False)
    RTLModel(pipeline, TOP, work, print_latency=False).write()
    sources = sorted((work / "src").rglob("*.v"))
    # Of what is the same for every network, what this one has no use for and Yosys cannot read.
    unused = {f"{TOP}_wrapper.v", "lookup_table.v"}
    return [path for path in sources if path.name not in unused], len(pipeline.solutions)
