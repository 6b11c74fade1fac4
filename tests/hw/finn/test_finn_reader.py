"""FINN's hardware graph read into the dataflow form: what stands in it, and what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from common.errors import LoweringError
from hw.dataflow import ArgMax, MatrixVector, Threshold, Window
from hw.dataflow.fold import Fold
from hw.finn.execution import execute
from hw.finn.graph import base_kind, is_kind
from hw.finn.lowering import Folding, lower
from hw.finn.reader import layers, read
from hw.finn.reader.streams import input_stream, pad_value
from hw.kernels.selection import select
from tests.hw.qonnx import Network


@pytest.fixture
def network() -> Network:
    return Network((8,))


@pytest.fixture
def model(network: Network, tmp_path: Path) -> Any:
    """FINN's graph of two dense layers and a label."""
    value = network.dense(network.threshold(network.dense(network.input(), 6)), 4)
    folding = Folding(folds=(Fold(2, 2), Fold(1, 1)))
    return lower(network.save(value, tmp_path), folding=folding, label=True, log=tmp_path / "finn.log")


@pytest.fixture
def picture(tmp_path: Path) -> Any:
    """FINN's graph of two padded convolutions and a dense layer."""
    network = Network((4, 4, 2))
    x = network.threshold(network.conv(network.input(), 2, (3, 3), pads=(1, 1, 1, 1)))
    x = network.conv(x, 3, (3, 3), pads=(1, 1, 1, 1))
    path = network.save(network.dense(network.flatten(network.threshold(x)), 2), tmp_path)
    folding = Folding(folds=(Fold(1, 1),) * 3)
    return lower(path, folding=folding, label=False, log=tmp_path / "finn.log")


def node_of(model: Any, kind: str) -> Any:
    return next(node for node in model.graph.node if is_kind(node, kind))


def set_attribute(model: Any, kind: str, name: str, value: Any) -> None:
    from qonnx.custom_op.registry import getCustomOp

    getCustomOp(node_of(model, kind)).set_nodeattr(name, value)


def check_equal(model: Any, folder: Path) -> None:
    """The dataflow form gives what FINN's own layers give."""
    graph = read(model)
    frames = np.random.default_rng(0).integers(0, 256, (5, graph.inputs), dtype=np.uint8)
    np.testing.assert_array_equal(
        graph.execute(frames.astype(np.int64)), execute(model, frames, folder / "finn.log")
    )


def test_reads_every_layer(model: Any, network: Network) -> None:
    graph = read(model)
    assert (graph.inputs, graph.input_bits) == (8, 8)
    kept = [layer for layer in graph.layers if isinstance(layer, MatrixVector | Threshold | ArgMax)]
    first, threshold, second, argmax = kept
    assert isinstance(first, MatrixVector) and (first.pe, first.simd, first.x_bits) == (2, 2, 8)
    assert isinstance(threshold, Threshold) and (threshold.pe, threshold.bits) == (2, 3)
    assert isinstance(second, MatrixVector) and (second.x_bits, second.weights.shape) == (3, (4, 6))
    assert first.bias is None and second.bias is None
    assert isinstance(argmax, ArgMax) and (argmax.channels, argmax.pe) == (4, 1)
    assert len({layer.name for layer in graph.layers}) == len(graph.layers)
    assert all(layer.name.isidentifier() and layer.name.islower() for layer in graph.layers)


def test_kind_without_variant(model: Any) -> None:
    node = node_of(model, "MVAU")
    assert node.op_type in ("MVAU_rtl", "MVAU_hls")
    assert base_kind(node) == "MVAU" and not is_kind(node, "MVAU_rtl")


def test_layers_without_hardware(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(layers.READERS, "LabelSelect")
    monkeypatch.delitem(layers.READERS, "MVAU")
    with pytest.raises(
        LoweringError,
        match=r"MVAU_\w+ \(MVAU_\w+\), MVAU_\w+ .*, LabelSelect_hls_0 \(LabelSelect_hls\): Retort's hardware",
    ):
        read(model)


def test_fractional_weights(model: Any) -> None:
    name = node_of(model, "MVAU").input[1]
    model.set_initializer(name, model.get_initializer(name) + 0.5)
    with pytest.raises(LoweringError, match=r"MVAU\w*_0: parameters '\w+' are not constant integers"):
        read(model)


def test_signed_input(model: Any) -> None:
    from qonnx.core.datatype import DataType

    model.set_tensor_datatype(model.graph.input[0].name, DataType["INT8"])
    with pytest.raises(LoweringError, match=r"input '\w+' is INT8; declare it unsigned"):
        read(model)


def test_folds_that_do_not_divide(model: Any) -> None:
    set_attribute(model, "MVAU", "SIMD", 3)
    with pytest.raises(LoweringError, match="mvau_0: SIMD 3 does not divide 8"):
        read(model)


# Activations that do not count from 0


@pytest.mark.parametrize("start", [-4, -7, 3])
def test_activations_from_below_zero(model: Any, tmp_path: Path, start: int) -> None:
    set_attribute(model, "Thresholding", "ActVal", start)
    check_equal(model, tmp_path)


def test_bipolar_activations(model: Any, tmp_path: Path) -> None:
    set_attribute(model, "Thresholding", "outputDataType", "BIPOLAR")
    name = node_of(model, "Thresholding").input[1]
    model.set_initializer(name, model.get_initializer(name)[:, :1])
    check_equal(model, tmp_path)


def test_fewer_thresholds_than_bits_hold(model: Any, tmp_path: Path) -> None:
    name = node_of(model, "Thresholding").input[1]
    model.set_initializer(name, model.get_initializer(name)[:, :5])
    threshold = next(layer for layer in read(model).layers if isinstance(layer, Threshold))
    assert threshold.thresholds.shape == (6, 7)
    check_equal(model, tmp_path)


def test_counts_that_are_never_reached(model: Any, tmp_path: Path) -> None:
    """What follows takes the bits that come, even where fewer would hold every count."""
    name = node_of(model, "Thresholding").input[1]
    thresholds = model.get_initializer(name).copy()
    thresholds[:, 1:] = model.get_tensor_datatype(name).max()
    model.set_initializer(name, thresholds)
    graph = read(model)
    threshold, dense = [each for each in graph.layers if isinstance(each, Threshold | MatrixVector)][-2:]
    assert dense.x_bits == threshold.bits > 1
    select(graph)
    check_equal(model, tmp_path)


def test_padding_is_what_stands_for_zero(picture: Any, tmp_path: Path) -> None:
    set_attribute(picture, "Thresholding", "ActVal", -3)
    windows = [layer for layer in read(picture).layers if isinstance(layer, Window)]
    assert [window.pad_value for window in windows] == [0, 3]
    check_equal(picture, tmp_path)


def test_padding_without_a_zero(picture: Any) -> None:
    set_attribute(picture, "Thresholding", "ActVal", 1)
    with pytest.raises(LoweringError, match=r"ConvolutionInputGenerator\w*_1: pads with 0, which its input"):
        read(picture)


def test_pad_value_of_scaled_streams() -> None:
    from dataclasses import replace

    stream = replace(input_stream((2, 2, 2), 2), scale=2, offset=np.array([-4, -4]))
    assert pad_value(stream, "window") == 2
    for offset in ([-3, -3], [-4, -2], [2, 2]):
        with pytest.raises(LoweringError, match="window: pads with 0"):
            pad_value(replace(stream, offset=np.array(offset)), "window")


def test_dilated_kernel(picture: Any) -> None:
    set_attribute(picture, "ConvolutionInputGenerator", "Dilation", [2, 2])
    with pytest.raises(LoweringError, match=r"ConvolutionInputGenerator\w*_0: its kernel is dilated"):
        read(picture)


def test_padding_before_another_layer(picture: Any) -> None:
    """Only a window can pad."""
    convolution = node_of(picture, "ConvolutionInputGenerator")
    picture.graph.node.remove(convolution)
    node_of(picture, "MVAU").input[0] = convolution.input[0]
    with pytest.raises(LoweringError, match=r"MVAU\w*_0 .*takes padded values; only a window can"):
        read(picture)
