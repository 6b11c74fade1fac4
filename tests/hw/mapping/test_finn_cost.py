"""The closed form of FINN's layers against FINN's own formulas, on graphs that FINN lowered."""

import numpy as np
import pytest
from finn.custom_op.fpgadataflow.rtl.matrixvectoractivation_rtl import MVAU_rtl

from hw import dataflow
from hw.mapping.cost.finn import finn_cost, memory_halves

PART = "xc7z020clg400-1"


class Node(MVAU_rtl):
    """FINN's node by its attributes alone."""

    def __init__(self, layer: dataflow.MatrixVector, bits: int) -> None:
        self.bits = bits
        self.values = {
            "PE": layer.pe,
            "SIMD": layer.simd,
            "MW": layer.inputs,
            "MH": layer.outputs,
            "TH": 1,
            "numInputVectors": [layer.vectors],
            "mem_mode": "internal_decoupled",
            "ram_style": "auto",
        }

    def get_nodeattr(self, name: str) -> object:
        return self.values[name]

    def get_input_datatype(self, _index: int = 0) -> object:
        from qonnx.core.datatype import DataType

        return DataType[f"INT{self.bits}"]


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize(
    ("outputs", "inputs", "pe", "simd"),
    [(8, 6, 1, 1), (32, 64, 4, 8), (64, 576, 8, 12), (512, 512, 1, 1), (64, 64, 64, 2), (256, 128, 2, 1)],
)
def test_matrix_vector_is_as_finn_estimates(outputs: int, inputs: int, pe: int, simd: int, bits: int) -> None:
    top = (1 << (bits - 1)) - 1
    weights = np.random.default_rng(0).integers(-top, top + 1, (outputs, inputs))
    weights[0, :2] = -top, top
    layer = dataflow.MatrixVector("layer", weights, 4, pe, simd, vectors=3)
    node = Node(layer, bits)
    cost = finn_cost(layer, 4 * simd, 16 * pe)
    assert memory_halves(bits * pe * simd, layer.folded) == node.bram_estimation(PART)
    assert cost.block_rams == -(-node.bram_estimation(PART) // 2)
    assert layer.cycles == node.get_exp_cycles()


@pytest.mark.parametrize(
    ("weight_bits", "activation_bits", "pe", "simd", "dsps"),
    [
        *((4, 8, 8, 8, 32), (4, 8, 2, 9, 9), (4, 4, 4, 8, 8), (4, 4, 8, 16, 32), (4, 4, 1, 8, 8)),
        *((2, 8, 8, 49, 147), (2, 2, 8, 16, 16), (2, 2, 2, 8, 8)),
    ],
)
def test_products_share_dsps_as_in_finns_rtl(
    weight_bits: int, activation_bits: int, pe: int, simd: int, dsps: int
) -> None:
    """As Yosys counts them in the builds for the PYNQ-Z1 and Z2 (`estimates.json`)."""
    top = (1 << (weight_bits - 1)) - 1
    weights = np.random.default_rng(0).integers(-top, top + 1, (2 * pe, 2 * simd))
    weights[0, :2] = -top, top
    layer = dataflow.MatrixVector("layer", weights, activation_bits, pe, simd)
    assert finn_cost(layer, simd * activation_bits, 16 * pe).dsps == dsps


def test_costs_grow_with_the_fold() -> None:
    weights = np.random.default_rng(0).integers(-7, 8, (16, 32))
    narrow, wide = (
        finn_cost(dataflow.MatrixVector("layer", weights, 4, pe, 8), 32, 12 * pe) for pe in (2, 8)
    )
    assert wide.luts > narrow.luts and wide.flip_flops > narrow.flip_flops
    assert wide.dsps == 2 * narrow.dsps
