"""QONNX networks through the real FINN: values kept, failures named, nothing of this machine left behind."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from hw import lowering
from hw.dataflow import DataflowGraph
from hw.finn_reader import read
from hw.lowering import Fold, Folding, execute, load_hardware, lower, save_hardware
from models.export import qonnx_model
from models.integer import IntegerNetwork
from pipeline.errors import LoweringError, ModelFileError
from tests.hw.networks import graph_of, lowered, random_folds, random_frames, random_network, save_qonnx


def check_equal(
    network: IntegerNetwork, folder: Path, folding: Folding | tuple[Fold, ...], *, label: bool
) -> DataflowGraph:
    """FINN's graph, and the dataflow form of it, give what the network gives."""
    model = lowered(network, folder, folding, label=label)
    graph = read(model)
    frames = random_frames(60, network.inputs)
    logits = network.forward(frames)
    expected = logits.argmax(axis=1, keepdims=True) if label else logits
    np.testing.assert_array_equal(graph.execute(frames), expected)
    np.testing.assert_array_equal(execute(model, frames[:6], folder / "finn.log"), expected[:6])
    return graph


OUTPUTS = pytest.mark.parametrize("label", [False, True], ids=["logits", "label"])


@OUTPUTS
@pytest.mark.parametrize(
    ("widths", "weight_bits", "activation_bits", "folds"),
    [
        ([9, 8], 4, 3, [(4, 3)]),
        ([12, 8, 4], 3, 1, [(2, 3), (1, 4)]),
        ([10, 6, 5], 8, 4, [(3, 5), (5, 2)]),
        ([8, 6, 4], 4, 2, [(2, 4), (2, 3)]),
        ([6, 12, 4], 4, 3, [(4, 2), (2, 6)]),
        ([9, 6, 8, 4], 2, 4, [(1, 1), (1, 1), (1, 1)]),
        ([8, 6, 8, 4], 3, 3, [(6, 8), (8, 6), (4, 8)]),
    ],
    ids=[
        "one layer",
        "1-bit activations",
        "8-bit weights",
        "PE 2 to SIMD 3",
        "PE 4 to SIMD 6",
        "fully folded",
        "unfolded",
    ],
)
def test_values_with_folds(
    tmp_path: Path,
    widths: list[int],
    weight_bits: int,
    activation_bits: int,
    folds: list[tuple[int, int]],
    label: bool,
) -> None:
    network = random_network(widths, weight_bits=weight_bits, activation_bits=activation_bits)
    chosen = tuple(Fold(*fold) for fold in folds)
    graph = check_equal(network, tmp_path, chosen, label=label)
    by_hand = graph_of(network, chosen, label=label)
    assert [(type(layer), layer.i_lanes, layer.o_lanes, layer.cycles) for layer in graph.layers] == [
        (type(layer), layer.i_lanes, layer.o_lanes, layer.cycles) for layer in by_hand.layers
    ]


@pytest.mark.parametrize("seed", range(6))
def test_values_at_random(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    widths = rng.choice([4, 6, 9, 12, 16], int(rng.integers(2, 5))).tolist()
    network = random_network(
        widths, weight_bits=int(rng.integers(2, 5)), activation_bits=int(rng.integers(1, 5)), seed=seed
    )
    check_equal(network, tmp_path, random_folds(network, rng), label=bool(seed % 2))


@pytest.mark.parametrize("cycles", [1, 12, 50, 100_000])
def test_target_cycles_are_reached(tmp_path: Path, cycles: int) -> None:
    network = random_network([12, 10, 8, 4])
    graph = check_equal(network, tmp_path, Folding(target_cycles=cycles), label=False)
    assert graph.interval_bound <= cycles


@OUTPUTS
@pytest.mark.parametrize("scale", [1.0, 0.25])
def test_logit_scale_of_one(tmp_path: Path, scale: float, label: bool) -> None:
    """A scale of 1 is a node that FINN takes out."""
    found = random_network([9, 8], weight_bits=3)
    object.__setattr__(found.layers[0], "weight_scale", scale)
    check_equal(found, tmp_path, (Fold(4, 1),), label=label)


def test_first_of_equal_logits(tmp_path: Path) -> None:
    network = random_network([6, 4])
    network.layers[0].weights[[0, 3]] = -7
    network.layers[0].weights[1:3] = 5
    graph = read(lowered(network, tmp_path, (Fold(2, 3),), label=True))
    assert (graph.execute(random_frames(9, 6)[1:]) == 1).all()


# What must not be left behind


@pytest.mark.parametrize("before", [None, "/of/the/user"])
@pytest.mark.parametrize("fold", [Fold(2, 2), Fold(5, 1)], ids=["success", "failure"])
def test_environment_and_folder_are_given_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str | None, fold: Fold
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FINN_BUILD_DIR", raising=False)
    if before is not None:
        monkeypatch.setenv("FINN_BUILD_DIR", before)
    environment = dict(os.environ)
    network = random_network([8, 6])
    try:
        execute(lowered(network, tmp_path, (fold,)), random_frames(1, 8), tmp_path / "finn.log")
    except LoweringError:
        assert fold.pe == 5
    else:
        assert fold.pe == 2
    assert dict(os.environ) == environment
    assert Path.cwd() == tmp_path
    assert sorted(path.name for path in tmp_path.iterdir()) == ["finn.log", "student.qonnx.onnx"]


def test_prints_into_the_log_alone(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    lowered(random_network([8, 6, 4]), tmp_path, Folding(target_cycles=20))
    assert capfd.readouterr() == ("", "")


def test_saved_graph_holds_no_path_and_reads_back(tmp_path: Path) -> None:
    network = random_network([8, 6, 4])
    model = lowered(network, tmp_path, (Fold(2, 2), Fold(1, 3)), label=True)
    path = tmp_path / "hardware.onnx"
    save_hardware(model, path)
    data = path.read_bytes()
    for trace in (str(tmp_path), "/tmp", "retort-finn-", str(Path.home()), sys.prefix, "/work"):
        assert trace.encode() not in data
    frames = random_frames(30, 8)
    found = read(load_hardware(path))
    np.testing.assert_array_equal(found.execute(frames), read(model).execute(frames))
    assert str(found) == str(read(model))


def test_lowered_twice_to_the_same_bytes(tmp_path: Path) -> None:
    network, written = random_network([8, 6, 4]), []
    for name in ("one", "other-and-longer"):
        (tmp_path / name).mkdir()
        model = lowered(network, tmp_path / name, (Fold(2, 2), Fold(1, 3)))
        save_hardware(model, tmp_path / name / "hardware.onnx")
        written.append((tmp_path / name / "hardware.onnx").read_bytes())
    assert written[0] == written[1]


LOWER_AND_SAVE = """
import sys
from pathlib import Path
from hw.lowering import Fold, Folding, lower, save_hardware
folder = Path(sys.argv[1])
folding = Folding(folds=(Fold(2, 2), Fold(1, 3)))
model = lower(folder / "student.qonnx.onnx", folding=folding, label=False, log=folder / "other.log")
save_hardware(model, folder / "other.onnx")
"""


@pytest.mark.slow
def test_lowered_by_another_process_to_the_same_bytes(tmp_path: Path) -> None:
    model = lowered(random_network([8, 6, 4]), tmp_path, (Fold(2, 2), Fold(1, 3)))
    save_hardware(model, tmp_path / "hardware.onnx")
    argv = [sys.executable, "-c", LOWER_AND_SAVE, str(tmp_path)]
    subprocess.run(argv, check=True, env={**os.environ, "PYTHONHASHSEED": "5"}, capture_output=True)
    assert (tmp_path / "other.onnx").read_bytes() == (tmp_path / "hardware.onnx").read_bytes()


# What FINN cannot take


def lower_changed(tmp_path: Path, change: Callable[[onnx.ModelProto], None], *, label: bool) -> Any:
    model = qonnx_model(random_network([8, 6, 4]))
    change(model)
    path = tmp_path / "changed.onnx"
    path.write_bytes(model.SerializeToString())
    return lower(
        path, folding=Folding(folds=(Fold(1, 1), Fold(1, 1))), label=label, log=tmp_path / "finn.log"
    )


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
    path = save_qonnx(random_network([8, 6, 4]), tmp_path)
    path.write_bytes(b"no network at all" if kept is None else path.read_bytes()[:kept])
    with pytest.raises(
        ModelFileError, match=r"student\.qonnx\.onnx: not a QONNX network \(.*export it again"
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
        (((4, 1), (1, 1)), r"compile\.fold, MVAU\w*_0: PE 4 must divide its 6 outputs, SIMD 1 its 8 inputs"),
        (((1, 1), (2, 4)), r"compile\.fold, MVAU\w*_\d: PE 2 must divide its 4 outputs, SIMD 4 its 6 inputs"),
        (((0, 1), (1, 1)), "PE 0 must divide"),
        (((12, 16), (1, 1)), "PE 12 must divide its 6 outputs"),
        (((1, 1),), r"compile\.fold: 1 folds for 2 matrix-vector layers"),
        (((1, 1),) * 3, r"compile\.fold: 3 folds for 2 matrix-vector layers"),
        ((), r"compile\.fold: 0 folds for 2 matrix-vector layers"),
    ],
)
def test_wrong_folds(tmp_path: Path, folds: tuple[tuple[int, int], ...], message: str) -> None:
    with pytest.raises(LoweringError, match=message):
        lowered(random_network([8, 6, 4]), tmp_path, tuple(Fold(*fold) for fold in folds))


# What FINN changes


def corrupt(monkeypatch: pytest.MonkeyPatch, kind: str, change: Callable[[np.ndarray], np.ndarray]) -> None:
    """Let folding change the parameters of the last layer of `kind`, as a faulty transformation might."""
    real = lowering._fold

    def faulty(model: Any, folding: Folding) -> Any:
        model = real(model, folding)
        name = [node for node in model.graph.node if lowering.is_kind(node, kind)][-1].input[1]
        model.set_initializer(name, change(model.get_initializer(name)))
        return model

    monkeypatch.setattr(lowering, "_fold", faulty)


@OUTPUTS
def test_changed_thresholds_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, label: bool) -> None:
    corrupt(monkeypatch, "Thresholding", lambda thresholds: thresholds - thresholds.max() - 1)
    with pytest.raises(LoweringError, match=r"Thresholding_rtl_0: FINN changed this layer's values"):
        lowered(random_network([8, 6, 4]), tmp_path, (Fold(1, 1), Fold(1, 1)), label=label)


def test_changed_class_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corrupt(monkeypatch, "MVAU", lambda weights: -weights)
    with pytest.raises(LoweringError, match=r"LabelSelect\w*_0: FINN changed the network's outputs"):
        lowered(random_network([8, 4]), tmp_path, (Fold(1, 1),), label=True)


def test_one_changed_weight_shows_in_the_logits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def change(weights: np.ndarray) -> np.ndarray:
        changed = weights.copy()
        changed[0, 0] -= 1
        return changed

    corrupt(monkeypatch, "MVAU", change)
    with pytest.raises(LoweringError, match=r"MVAU\w*_0: FINN changed the network's outputs"):
        lowered(random_network([8, 4]), tmp_path, (Fold(1, 1),))


def test_lost_activation_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lowering, "activations", lambda model: [[*rows[:-1], *rows] for rows in real(model)])
    with pytest.raises(LoweringError, match="FINN made 1 threshold layers of 2 activations"):
        lowered(random_network([8, 6, 4]), tmp_path, (Fold(1, 1), Fold(1, 1)))


real = lowering.activations
