"""QONNX networks through the real FINN: values kept, failures named, nothing of this machine left behind."""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from common.errors import LoweringError, ModelFileError
from hw.dataflow import DataflowGraph, GlobalSum, MatrixVector, MaxPool, Reduce, Threshold, Window
from hw.dataflow.fold import Fold
from hw.finn import lowering
from hw.finn.execution import Reference, execute
from hw.finn.graph import is_kind, load_hardware, save_hardware
from hw.finn.lowering import Folding, lower
from hw.finn.reader import read
from hw.imported.origin import Origin
from tests.hw.qonnx import Network, Value, frames_of

Folds = Sequence[tuple[int, int]]


def dense(
    widths: Sequence[int], *, weight_bits: int = 4, activation_bits: int = 3, seed: int = 0
) -> tuple[Network, Value]:
    """Dense layers from `widths[0]` inputs to `widths[-1]` classes."""
    network = Network((widths[0],), seed, count=60)
    value = network.input()
    for width in widths[1:-1]:
        value = network.threshold(network.dense(value, width, bits=weight_bits), activation_bits)
    return network, network.dense(value, widths[-1], bits=weight_bits)


def lowered(
    made: tuple[Network, Value], folder: Path, folding: Folding | Folds, *, label: bool = False
) -> Any:
    """FINN's hardware graph of the network."""
    network, output = made
    if not isinstance(folding, Folding):
        folding = Folding(folds=tuple(Fold(*fold) for fold in folding))
    return lower(network.save(output, folder), folding=folding, label=label, log=folder / "finn.log")


def check_equal(
    made: tuple[Network, Value], folder: Path, folding: Folding | Folds, *, label: bool
) -> DataflowGraph:
    """FINN's graph, and the dataflow form of it, give what the network gives."""
    network, output = made
    model = lowered(made, folder, folding, label=label)
    graph = read(model)
    expected = output.integers.reshape(len(network.frames), -1)
    expected = expected.argmax(axis=1, keepdims=True) if label else expected
    np.testing.assert_array_equal(graph.execute(network.frames.astype(np.int64)), expected)
    np.testing.assert_array_equal(execute(model, network.frames[:4], folder / "finn.log"), expected[:4])
    return graph


def layers_of(graph: DataflowGraph, kind: type) -> list[Any]:
    return [layer for layer in graph.layers if isinstance(layer, kind)]


OUTPUTS = pytest.mark.parametrize("label", [False, True], ids=["logits", "label"])


@OUTPUTS
@pytest.mark.parametrize(
    ("widths", "weight_bits", "activation_bits", "folds"),
    [
        ([9, 8], 4, 3, [(4, 3)]),
        ([12, 8, 4], 3, 1, [(2, 3), (1, 4)]),
        ([12, 8, 4], 1, 1, [(2, 3), (1, 4)]),
        ([10, 6, 5], 8, 4, [(3, 5), (5, 2)]),
        ([6, 12, 4], 4, 3, [(4, 2), (2, 6)]),
        ([9, 6, 8, 4], 2, 4, [(1, 1), (1, 1), (1, 1)]),
        ([8, 6, 8, 4], 3, 3, [(6, 8), (8, 6), (4, 8)]),
    ],
    ids=["one layer", "1-bit activations", "binary", "8-bit weights", "PE 4 to SIMD 6", "folded", "unfolded"],
)
def test_values_with_folds(
    tmp_path: Path,
    widths: list[int],
    weight_bits: int,
    activation_bits: int,
    folds: list[tuple[int, int]],
    label: bool,
) -> None:
    made = dense(widths, weight_bits=weight_bits, activation_bits=activation_bits)
    graph = check_equal(made, tmp_path, folds, label=label)
    assert [(layer.pe, layer.simd) for layer in layers_of(graph, MatrixVector)] == folds


@pytest.mark.parametrize("cycles", [1, 12, 50, 100_000])
def test_target_cycles_are_reached(tmp_path: Path, cycles: int) -> None:
    graph = check_equal(dense([12, 10, 8, 4]), tmp_path, Folding(target_cycles=cycles), label=False)
    assert graph.interval_bound <= cycles


@OUTPUTS
@pytest.mark.parametrize("scale", [1.0, 0.25])
def test_logit_scale_of_one(tmp_path: Path, scale: float, label: bool) -> None:
    """A scale of 1 is a node that FINN takes out."""
    network = Network((9,))
    check_equal(
        (network, network.dense(network.input(), 8, bits=3, scale=scale)), tmp_path, [(4, 1)], label=label
    )


def test_first_of_equal_logits(tmp_path: Path) -> None:
    network = Network((6,))
    weights = np.tile(np.array([-7, 5, 5, -7]), (6, 1))
    graph = read(
        lowered((network, network.dense(network.input(), 4, weights=weights)), tmp_path, [(2, 3)], label=True)
    )
    assert (graph.execute(frames_of((6,), 9)[1:].astype(np.int64)) == 1).all()


# Pictures and series


def plain(seed: int = 0) -> tuple[Network, Value]:
    network = Network((10, 8, 2), seed)
    x = network.threshold(network.conv(network.input(), 4, (3, 3), pads=(1, 1, 1, 1)))
    x = network.threshold(network.conv(x, 6, (3, 3), stride=(2, 2), bits=2), 2)
    x = network.threshold(network.dense(network.flatten(x), 8))
    return network, network.dense(x, 4)


def pooled() -> tuple[Network, Value]:
    network = Network((10, 9, 1))
    x = network.threshold(network.conv(network.input(), 4, (3, 2), pads=(0, 1, 1, 0)))
    x = network.threshold(network.conv(network.max_pool(x, (2, 2)), 6, (1, 1)))
    return network, network.dense(network.flatten(network.max_pool(x, (2, 2), (1, 1))), 4)


def separable() -> tuple[Network, Value]:
    """Depthwise layers as the first, within, as average pooling and as the sum over the picture."""
    network = Network((12, 8, 3))
    x = network.threshold(
        network.conv(network.input(), 3, (3, 3), stride=(2, 2), pads=(1, 1, 1, 1), depthwise=True)
    )
    x = network.threshold(network.conv(x, 4, (1, 1)))
    x = network.threshold(network.conv(x, 4, (3, 3), pads=(1, 1, 1, 1), depthwise=True, bits=3), 4)
    x = network.threshold(network.conv(x, 4, (2, 2), stride=(2, 2), depthwise=True, ones=True))
    x = network.conv(x, 4, (3, 2), depthwise=True, ones=True)
    return network, network.dense(network.flatten(x), 4)


def series() -> tuple[Network, Value]:
    network = Network((20, 1, 3))
    x = network.threshold(network.conv(network.input(), 4, (5, 1), pads=(2, 0, 2, 0)))
    x = network.max_pool(x, (2, 1))
    x = network.threshold(network.conv(x, 6, (3, 1), stride=(2, 1), pads=(1, 0, 1, 0)))
    return network, network.dense(network.flatten(x), 4)


def binary() -> tuple[Network, Value]:
    network = Network((8, 8, 1))
    x = network.threshold(network.conv(network.input(), 4, (3, 3), bits=1), 1)
    x = network.threshold(network.conv(x, 6, (3, 3), bits=1, pads=(1, 1, 1, 1)), 1)
    return network, network.dense(network.flatten(x), 4, bits=1)


def residual() -> tuple[Network, Value]:
    """A block whose shortcut is the input itself, one whose shortcut is a strided convolution, a sum."""
    network = Network((8, 8, 1))
    padded: dict[str, Any] = {"kernel": (3, 3), "pads": (1, 1, 1, 1)}
    x = network.threshold(network.conv(network.input(), 4, **padded))
    y = network.threshold(network.conv(x, 4, **padded))
    y = network.threshold(network.conv(y, 4, **padded), scale=x.scale)
    x = network.threshold(network.add(x, y))
    y = network.threshold(network.conv(x, 6, stride=(2, 2), **padded))
    shortcut = network.threshold(network.conv(x, 6, (1, 1), stride=(2, 2)), scale=y.scale)
    x = network.threshold(network.add(y, shortcut))
    x = network.conv(x, 6, (4, 4), depthwise=True, ones=True)
    return network, network.dense(network.flatten(x), 4)


@pytest.mark.parametrize(
    ("make", "label"),
    [(plain, False), (plain, True), (pooled, False), (separable, False), (series, True), (binary, False)],
)
def test_pictures(tmp_path: Path, make: Callable[[], tuple[Network, Value]], label: bool) -> None:
    check_equal(make(), tmp_path, Folding(target_cycles=400), label=label)


def test_pictures_of_one_pixel(tmp_path: Path) -> None:
    """Windows that step over the whole picture, and layers on the one pixel that is left."""
    network = Network((4, 1, 3))
    x = network.threshold(network.conv(network.input(), 4, (3, 1), stride=(1, 3)))
    x = network.threshold(network.conv(x, 4, (2, 1), stride=(4, 2)))
    x = network.threshold(network.conv(x, 4, (3, 3), pads=(1, 1, 1, 1), depthwise=True))
    output = network.dense(network.flatten(x), 3)
    graph = check_equal((network, output), tmp_path, Folding(target_cycles=60), label=False)
    assert [window.vectors for window in layers_of(graph, Window)] == [2, 1, 1]


@pytest.mark.slow
@OUTPUTS
def test_residual_blocks(tmp_path: Path, label: bool) -> None:
    check_equal(residual(), tmp_path, Folding(target_cycles=400), label=label)


@pytest.mark.slow
def test_branches_in_the_order_of_the_network(tmp_path: Path) -> None:
    """Folds and threshold layers are met by place, also where a shortcut is a layer."""
    network, output = residual()
    folds = [(1, 9), (2, 12), (4, 9), (3, 4), (6, 2), (2, 1), (1, 1)]
    graph = check_equal((network, output), tmp_path, folds, label=False)
    assert [(layer.pe, layer.simd) for layer in layers_of(graph, MatrixVector)] == [*folds[:5], (1, 1)]
    frames = network.frames.astype(np.int64)
    given = [
        values
        for values, layer in zip(graph.values(frames), graph.layers, strict=True)
        if isinstance(layer, Threshold)
    ]
    for value, values in zip(network.activations, given, strict=True):
        expected = np.moveaxis(value.integers, 1, -1).reshape(len(frames), -1)
        np.testing.assert_array_equal(values, expected)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [2, 3, 7, 12, 15, 19, 36, 38])
def test_students_at_random(tmp_path: Path, seed: int) -> None:
    """Every kind of layer of a student, as exported: its logits, and its activations in its own order."""
    from models.export import qonnx_model
    from tests.models.networks import random_network

    network = random_network(seed)
    path = tmp_path / "student.qonnx.onnx"
    path.write_bytes(qonnx_model(network).SerializeToString())
    model = lower(path, folding=Folding(target_cycles=500), label=False, log=tmp_path / "finn.log")
    graph, frames = read(model), frames_of((network.inputs,), 20)
    given = zip(graph.values(frames.astype(np.int64)), graph.layers, strict=True)
    wanted = zip(network.intermediates(frames), network.layers, strict=True)
    counts = [values for values, layer in given if isinstance(layer, Threshold)]
    activations = [values for values, layer in wanted if layer.thresholds is not None]
    for found, expected in zip(counts, activations, strict=True):
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(graph.execute(frames.astype(np.int64)), network.forward(frames))
    np.testing.assert_array_equal(execute(model, frames[:3], tmp_path / "log"), network.forward(frames[:3]))


def test_picture_with_folds(tmp_path: Path) -> None:
    """Folds of layers with weights, in their order; a sum over the picture is one too."""
    folds = [(3, 1), (2, 3), (2, 3), (4, 1), (1, 1), (2, 2)]
    graph = check_equal(separable(), tmp_path, folds, label=False)
    assert [(layer.pe, layer.simd) for layer in layers_of(graph, MatrixVector)] == [(2, 3), (2, 2)]
    assert [layer.lanes for layer in layers_of(graph, GlobalSum)] == [1]


def test_kinds_of_pooling(tmp_path: Path) -> None:
    graph = check_equal(pooled(), tmp_path, Folding(target_cycles=400), label=False)
    (pool,), (reduce,) = layers_of(graph, MaxPool), layers_of(graph, Reduce)
    assert (pool.size, pool.o_shape, reduce.taps) == ((2, 2), (4, 4, 4), 4)
    assert [window.kernel for window in layers_of(graph, Window)] == [(3, 2), (2, 2)]


@pytest.mark.parametrize(
    ("fold", "message"),
    [
        ((2, 1), r"VVAU\w*_0, which gives 'y0': PE 2 must divide its 3 channels, SIMD 1 its 9 taps"),
        ((3, 2), r"VVAU\w*_0, which gives 'y0': PE 3 must divide its 3 channels, SIMD 2 its 9 taps"),
    ],
)
def test_wrong_folds_of_depthwise(tmp_path: Path, fold: tuple[int, int], message: str) -> None:
    with pytest.raises(LoweringError, match=message):
        lowered(separable(), tmp_path, [fold, *[(1, 1)] * 5])


# What must not be left behind


@pytest.mark.parametrize("before", [None, "/of/the/user"])
@pytest.mark.parametrize("fold", [(2, 2), (5, 1)], ids=["success", "failure"])
def test_environment_and_folder_are_given_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str | None, fold: Fold
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FINN_BUILD_DIR", raising=False)
    if before is not None:
        monkeypatch.setenv("FINN_BUILD_DIR", before)
    environment = dict(os.environ)
    network = dense([8, 6])
    try:
        execute(lowered(network, tmp_path, [fold]), frames_of((8,), 1), tmp_path / "finn.log")
    except LoweringError:
        assert fold[0] == 5
    else:
        assert fold[0] == 2
    assert dict(os.environ) == environment
    assert Path.cwd() == tmp_path
    assert sorted(path.name for path in tmp_path.iterdir()) == ["finn.log", "student.qonnx.onnx"]


def test_prints_into_the_log_alone(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    lowered(dense([8, 6, 4]), tmp_path, Folding(target_cycles=20))
    assert capfd.readouterr() == ("", "")


def test_saved_graph_holds_no_path_and_reads_back(tmp_path: Path) -> None:
    network = dense([8, 6, 4])
    model = lowered(network, tmp_path, ((2, 2), (1, 3)), label=True)
    path = tmp_path / "hardware.onnx"
    save_hardware(model, path)
    data = path.read_bytes()
    for trace in (str(tmp_path), "/tmp", "retort-finn-", str(Path.home()), sys.prefix, "/work"):
        assert trace.encode() not in data
    frames = frames_of((8,), 30).astype(np.int64)
    found = read(load_hardware(path))
    np.testing.assert_array_equal(found.execute(frames), read(model).execute(frames))
    assert str(found) == str(read(model))


def test_lowered_twice_to_the_same_bytes(tmp_path: Path) -> None:
    network, written = dense([8, 6, 4]), []
    for name in ("one", "other-and-longer"):
        (tmp_path / name).mkdir()
        model = lowered(network, tmp_path / name, ((2, 2), (1, 3)))
        save_hardware(model, tmp_path / name / "hardware.onnx")
        written.append((tmp_path / name / "hardware.onnx").read_bytes())
    assert written[0] == written[1]


LOWER_AND_SAVE = """
import sys
from pathlib import Path
from hw.dataflow.fold import Fold
from hw.finn.lowering import Folding, lower
from hw.finn.graph import save_hardware
folder = Path(sys.argv[1])
folding = Folding(folds=(Fold(2, 2), Fold(1, 3)))
model = lower(folder / "student.qonnx.onnx", folding=folding, label=False, log=folder / "other.log")
save_hardware(model, folder / "other.onnx")
"""


@pytest.mark.slow
def test_lowered_by_another_process_to_the_same_bytes(tmp_path: Path) -> None:
    model = lowered(dense([8, 6, 4]), tmp_path, ((2, 2), (1, 3)))
    save_hardware(model, tmp_path / "hardware.onnx")
    argv = [sys.executable, "-c", LOWER_AND_SAVE, str(tmp_path)]
    subprocess.run(argv, check=True, env={**os.environ, "PYTHONHASHSEED": "5"}, capture_output=True)
    assert (tmp_path / "other.onnx").read_bytes() == (tmp_path / "hardware.onnx").read_bytes()


# What FINN cannot take


def lower_changed(tmp_path: Path, change: Callable[[onnx.ModelProto], None], *, label: bool) -> Any:
    network, output = dense([8, 6, 4])
    model = network.model(output)
    change(model)
    path = tmp_path / "changed.onnx"
    path.write_bytes(model.SerializeToString())
    return lower(path, folding=Folding(folds=(Fold(1, 1),) * 2), label=label, log=tmp_path / "finn.log")


def put_after(model: onnx.ModelProto, tensor: str, operator: str, operand: np.ndarray | None = None) -> None:
    """A node of `operator` on the way from `tensor` to whoever takes it."""
    graph = model.graph
    producer = next(at for at, node in enumerate(graph.node) if tensor in node.output)
    graph.node[producer].output[0] = f"{tensor}_before"
    inputs = [f"{tensor}_before"]
    if operand is not None:
        graph.initializer.append(numpy_helper.from_array(operand.astype(np.float32), "operand"))
        inputs.append("operand")
    graph.node.insert(producer + 1, helper.make_node(operator, inputs, [tensor], name="strange"))


def float_weights(model: onnx.ModelProto) -> None:
    graph = model.graph
    quantizer = [node for node in graph.node if node.op_type == "Quant"][-1]
    graph.node.remove(quantizer)
    weights = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    graph.initializer.append(numpy_helper.from_array(weights, quantizer.output[0]))


@OUTPUTS
@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda model: put_after(model, "a0", "Sigmoid"), r"Sigmoid_0 \(Sigmoid\)"),
        (lambda model: put_after(model, "a0", "Softmax"), r"Softmax_0 \(Softmax\)"),
        (lambda model: put_after(model, "y0", "Sigmoid"), r"Sigmoid_0 \(Sigmoid\)"),
        (lambda model: put_after(model, "logits", "Softmax"), r"Softmax_0 \(Softmax\)"),
        (lambda model: put_after(model, "logits", "Add", np.arange(4) / 3), r"Add_0 \(Add\)"),
        (float_weights, r"MatMul_0 \(MatMul\)"),
    ],
    ids=["sigmoid", "softmax", "sigmoid before thresholds", "final softmax", "bias", "float weights"],
)
def test_unlowerable(
    tmp_path: Path, change: Callable[[onnx.ModelProto], None], named: str, label: bool
) -> None:
    with pytest.raises(LoweringError, match=f"FINN left unlowered: {named}.*Retort's hardware has no layer"):
        lower_changed(tmp_path, change, label=label)


def test_scale_of_each_class_is_refused(tmp_path: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        put_after(model, "logits", "Mul", np.array([1, 2, 3, 4]))

    with pytest.raises(LoweringError, match=r"FINN left unlowered: Mul_0 \(Mul\)"):
        lower_changed(tmp_path, change, label=False)


def test_operator_that_nobody_knows(tmp_path: Path) -> None:
    with pytest.raises(LoweringError, match=r"changed\.onnx: FINN failed with .*; see .*finn\.log"):
        lower_changed(tmp_path, lambda model: put_after(model, "a0", "Frobnicate"), label=False)


@pytest.mark.parametrize("kept", [None, 0, 1, 200, -100])
def test_not_a_network(tmp_path: Path, kept: int | None) -> None:
    network, output = dense([8, 6, 4])
    path = network.save(output, tmp_path)
    path.write_bytes(b"no network at all" if kept is None else path.read_bytes()[:kept])
    with pytest.raises(
        ModelFileError, match=r"student\.qonnx\.onnx: (not a QONNX network \(|has no nodes).*export it again"
    ):
        lower(path, folding=Folding(target_cycles=9), label=False, log=tmp_path / "finn.log")


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"none\.onnx: not a QONNX network"):
        lower(tmp_path / "none.onnx", folding=Folding(target_cycles=9), label=False, log=tmp_path / "log")


@pytest.mark.parametrize("data", [None, b"no network", b""])
def test_hardware_that_cannot_be_read(tmp_path: Path, data: bytes | None) -> None:
    path = tmp_path / "hardware.onnx"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(ModelFileError, match=r"hardware\.onnx: not a hardware graph"):
        load_hardware(path)


@pytest.mark.parametrize(
    ("folds", "message"),
    [
        (
            ((4, 1), (1, 1)),
            r"compile\.fold, MVAU\w*, which gives 'y0': PE 4 must divide its 6 outputs, SIMD 1 ",
        ),
        (
            ((1, 1), (2, 4)),
            r"compile\.fold, MVAU\w*, which gives 'logits': PE 2 .* 4 outputs, SIMD 4 its 6 in",
        ),
        (((0, 1), (1, 1)), "PE 0 must divide"),
        (((12, 16), (1, 1)), "PE 12 must divide its 6 outputs"),
        (((1, 1),), r"compile\.fold: 1 folds for 2 matrix-vector and depthwise layers"),
        (((1, 1),) * 3, r"compile\.fold: 3 folds for 2 matrix-vector and depthwise layers"),
        ((), r"compile\.fold: 0 folds for 2 matrix-vector and depthwise layers"),
    ],
)
def test_wrong_folds(tmp_path: Path, folds: tuple[tuple[int, int], ...], message: str) -> None:
    with pytest.raises(LoweringError, match=message):
        lowered(dense([8, 6, 4]), tmp_path, folds)


# What FINN changes


def corrupt(monkeypatch: pytest.MonkeyPatch, kind: str, change: Callable[[np.ndarray], np.ndarray]) -> None:
    """Let folding change the parameters of the last layer of `kind`, as a faulty transformation might."""
    real = lowering.fold

    def faulty(model: Any, folding: Folding) -> Any:
        model = real(model, folding)
        name = [node for node in model.graph.node if is_kind(node, kind)][-1].input[1]
        model.set_initializer(name, change(model.get_initializer(name)))
        return model

    monkeypatch.setattr(lowering, "fold", faulty)


@OUTPUTS
def test_changed_thresholds_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, label: bool) -> None:
    corrupt(monkeypatch, "Thresholding", lambda thresholds: thresholds - thresholds.max() - 1)
    with pytest.raises(LoweringError, match=r"Thresholding_rtl_0, which gives 'a0': FINN changed this layer"):
        lowered(dense([8, 6, 4]), tmp_path, ((1, 1), (1, 1)), label=label)


def test_changed_class_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corrupt(monkeypatch, "MVAU", lambda weights: -weights)
    with pytest.raises(LoweringError, match=r"LabelSelect\w*_0: FINN changed the network's outputs"):
        lowered(dense([8, 4]), tmp_path, ((1, 1),), label=True)


def test_one_changed_weight_shows_in_the_logits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def change(weights: np.ndarray) -> np.ndarray:
        changed = weights.copy()
        changed[0, 0] -= 1
        return changed

    corrupt(monkeypatch, "MVAU", change)
    with pytest.raises(LoweringError, match=r"MVAU\w*_0: FINN changed the network's outputs"):
        lowered(dense([8, 4]), tmp_path, ((1, 1),))


def test_lost_activation_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def twice(model: Any) -> Reference:
        found = real(model)
        (counts,) = found.counts.values()
        return replace(found, counts={**found.counts, Origin(9, 0, "other"): counts})

    monkeypatch.setattr(lowering, "activations", twice)
    with pytest.raises(LoweringError, match="1 threshold layers of 2 activations; of one side only: other"):
        lowered(dense([8, 6, 4]), tmp_path, ((1, 1), (1, 1)))


real = lowering.activations
