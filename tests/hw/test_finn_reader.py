"""FINN's hardware graph read into the dataflow form: what stands in it, and what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hw.dataflow import ArgMax, Fifo, MatrixVector, Threshold, WidthConverter
from hw.finn_reader import base_kind, is_kind, read
from hw.lowering import Fold
from models.integer import IntegerNetwork
from pipeline.errors import LoweringError
from tests.hw.networks import lowered, random_network


@pytest.fixture
def network() -> IntegerNetwork:
    return random_network([8, 6, 4])


@pytest.fixture
def model(network: IntegerNetwork, tmp_path: Path) -> Any:
    return lowered(network, tmp_path, (Fold(2, 2), Fold(1, 1)), label=True)


def node_of(model: Any, kind: str) -> Any:
    return next(node for node in model.graph.node if is_kind(node, kind))


def set_attribute(model: Any, kind: str, name: str, value: Any) -> None:
    from qonnx.custom_op.registry import getCustomOp

    getCustomOp(node_of(model, kind)).set_nodeattr(name, value)


def test_reads_every_layer(model: Any, network: IntegerNetwork) -> None:
    graph = read(model)
    assert (graph.inputs, graph.input_bits) == (8, 8)
    fifo, first, threshold, converter, second_fifo, second, argmax = graph.layers
    assert isinstance(fifo, Fifo) and (fifo.elements, fifo.i_lanes, fifo.depth) == (8, 2, 4)
    assert isinstance(first, MatrixVector) and (first.pe, first.simd, first.x_bits) == (2, 2, 8)
    np.testing.assert_array_equal(first.weights, network.layers[0].weights)
    assert isinstance(threshold, Threshold) and (threshold.pe, threshold.bits) == (2, 3)
    assert isinstance(converter, WidthConverter)
    assert (converter.elements, converter.i_lanes, converter.o_lanes) == (6, 2, 1)
    assert isinstance(second_fifo, Fifo) and (second_fifo.elements, second_fifo.depth) == (6, 6)
    assert isinstance(second, MatrixVector) and second.x_bits == 3
    np.testing.assert_array_equal(second.weights, network.layers[1].weights)
    assert isinstance(argmax, ArgMax) and (argmax.channels, argmax.pe) == (4, 1)
    assert len({layer.name for layer in graph.layers}) == len(graph.layers)
    assert all(layer.name.isidentifier() and layer.name.islower() for layer in graph.layers)


def test_kind_without_variant(model: Any) -> None:
    node = node_of(model, "MVAU")
    assert node.op_type in ("MVAU_rtl", "MVAU_hls")
    assert base_kind(node) == "MVAU" and not is_kind(node, "MVAU_rtl")


def test_layer_without_hardware(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from hw import finn_reader

    kept = {kind: reader for kind, reader in finn_reader._READERS.items() if kind != "LabelSelect"}
    monkeypatch.setattr(finn_reader, "_READERS", kept)
    with pytest.raises(
        LoweringError, match=r"LabelSelect_hls_0 \(LabelSelect_hls\): Retort's hardware has no"
    ):
        read(model)


def test_signed_inputs(model: Any) -> None:
    set_attribute(model, "MVAU", "inputDataType", "INT8")
    with pytest.raises(LoweringError, match=r"MVAU\w*_0: takes signed inputs; activations must be unsigned"):
        read(model)


def test_fractional_weights(model: Any) -> None:
    name = node_of(model, "MVAU").input[1]
    model.set_initializer(name, model.get_initializer(name) + 0.5)
    with pytest.raises(LoweringError, match=r"MVAU\w*_0: parameters '\w+' are not constant integers"):
        read(model)


def test_activations_from_below_zero(model: Any) -> None:
    set_attribute(model, "Thresholding", "ActVal", -4)
    with pytest.raises(LoweringError, match="Thresholding_rtl_0: activations start at -4, not 0"):
        read(model)


def test_number_of_thresholds(model: Any) -> None:
    name = node_of(model, "Thresholding").input[1]
    model.set_initializer(name, model.get_initializer(name)[:, :5])
    with pytest.raises(LoweringError, match=r"Thresholding_rtl_0: 5 thresholds do not make a whole number"):
        read(model)


def test_folds_that_do_not_divide(model: Any) -> None:
    set_attribute(model, "MVAU", "SIMD", 3)
    with pytest.raises(LoweringError, match="mvau_0: PE 2 must divide its 6 outputs, SIMD 3 its 8 inputs"):
        read(model)
