"""Whole cores in Icarus Verilog, and what their Verilog is like as a text."""

import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hw.core import design
from hw.dataflow import (
    INPUT,
    Add,
    ArgMax,
    DataflowGraph,
    Depthwise,
    Fifo,
    Layer,
    MatrixVector,
    MaxPool,
    Threshold,
    WidthConverter,
    Window,
    connect,
)
from hw.dataflow.fold import Fold
from hw.finn.lowering import Folding
from hw.finn.reader import read
from hw.simulation import verilator
from hw.tools.tools import run_yosys
from tests.hw.graphs import convolution, residual
from tests.hw.icarus import run_core
from tests.hw.networks import graph_of, lowered, matrices, random_folds, random_frames, random_network

ICARUS = pytest.mark.skipif(shutil.which("iverilog") is None, reason="iverilog is not installed")

SHAPES = pytest.mark.parametrize(
    ("widths", "folds"),
    [
        ([6, 8, 5], [(1, 1), (1, 1)]),
        ([8, 6, 4], [(6, 8), (4, 6)]),
        ([12, 8, 6, 4], [(2, 4), (2, 4), (2, 1)]),
        ([8, 6, 9, 4], [(2, 8), (3, 3), (2, 9)]),
        ([12, 12, 4], [(4, 2), (2, 6)]),
        ([9, 4], [(2, 3)]),
        ([4, 16, 16, 3], [(8, 4), (4, 16), (3, 4)]),
        ([10, 1, 2], [(1, 5), (1, 1)]),
    ],
    ids=[
        "PE = SIMD = 1",
        "unfolded",
        "equal rates",
        "PE 2 to SIMD 3, SF < activation bits",
        "PE 4 to SIMD 6",
        "one layer",
        "equal rates, SF 1",
        "one neuron",
    ],
)


def folded(folds: Sequence[tuple[int, int]]) -> list[Fold]:
    return [Fold(*fold) for fold in folds]


@ICARUS
@SHAPES
@pytest.mark.parametrize("label", [False, True], ids=["logits", "label"])
def test_values_and_interval(
    tmp_path: Path, widths: list[int], folds: list[tuple[int, int]], label: bool
) -> None:
    network = random_network(widths, activation_bits=3)
    graph = graph_of(network, folded(folds), label=label)
    core = design(graph, tmp_path / "amaranth")
    frames = random_frames(24, widths[0])
    logits = network.forward(frames)
    expected = logits.argmax(1, keepdims=True) if label else logits
    free = run_core(core, frames, tmp_path)
    np.testing.assert_array_equal(free.outputs, expected)
    assert free.interval == graph.interval_bound
    stalled = run_core(core, frames, tmp_path, stall_percent=40, seed=1)
    np.testing.assert_array_equal(stalled.outputs, expected)


@ICARUS
@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_interval_is_the_bound_at_random(tmp_path: Path, seed: int) -> None:
    """Three layers; in half of the cases the foldings of the most even rates among many."""
    rng = np.random.default_rng(seed)
    network = random_network(
        rng.choice([4, 6, 8, 9, 10, 12, 16], 4).tolist(),
        weight_bits=int(rng.integers(2, 9)),
        activation_bits=int(rng.integers(1, 5)),
        seed=seed,
    )
    tried = [random_folds(network, rng) for _ in range(300 if seed % 2 else 1)]
    graph = min((graph_of(network, folds) for folds in tried), key=unevenness)
    frames = random_frames(24, network.inputs, seed)
    core = design(graph, tmp_path / "amaranth")
    run = run_core(core, frames, tmp_path)
    np.testing.assert_array_equal(run.outputs, network.forward(frames))
    assert run.interval == graph.interval_bound
    stalled = run_core(core, frames, tmp_path, stall_percent=int(rng.integers(10, 80)), seed=seed)
    np.testing.assert_array_equal(stalled.outputs, run.outputs)


def unevenness(graph: DataflowGraph) -> float:
    cycles = [layer.cycles for layer in graph.layers if isinstance(layer, MatrixVector)]
    return max(cycles) / min(cycles)


@ICARUS
@pytest.mark.parametrize(
    ("weight_bits", "folding", "label"),
    [(8, Folding(target_cycles=20), False), (2, Folding(folds=(Fold(2, 5), Fold(3, 2), Fold(1, 9))), True)],
)
def test_core_of_finns_graph(tmp_path: Path, weight_bits: int, folding: Folding, label: bool) -> None:
    """FINN mixes variants of a layer in one network, each numbered from 0."""
    network = random_network([10, 6, 9, 4], weight_bits=weight_bits)
    model = lowered(network, tmp_path, folding, label=label)
    graph = read(model)
    frames = random_frames(24, 10)
    run = run_core(design(graph, tmp_path / "amaranth"), frames, tmp_path)
    np.testing.assert_array_equal(run.outputs, graph.execute(frames))
    assert run.interval == graph.interval_bound


@ICARUS
def test_without_fifos_the_values_are_the_same(tmp_path: Path) -> None:
    network = random_network([12, 10, 4])
    graph = graph_of(network, [Fold(2, 2), Fold(1, 2)])
    layers = tuple(layer for layer in graph.layers if not isinstance(layer, Fifo))
    assert len(layers) < len(graph.layers)
    bare = DataflowGraph(graph.shape, graph.input_bits, layers)
    frames = random_frames(24, 12)
    run = run_core(design(bare, tmp_path / "amaranth"), frames, tmp_path)
    np.testing.assert_array_equal(run.outputs, network.forward(frames))


@ICARUS
def test_fifo_between_other_layers(tmp_path: Path) -> None:
    network = random_network([6, 4])
    layers = graph_of(network, [Fold(2, 3)], label=True).layers
    graph = DataflowGraph((6,), 8, (*layers[:-1], Fifo("between", 4, 2, 5), layers[-1]))
    frames = random_frames(24, 6)
    for stall in (0, 50):
        run = run_core(design(graph, tmp_path / "amaranth"), frames, tmp_path, stall_percent=stall)
        np.testing.assert_array_equal(run.outputs, network.forward(frames).argmax(1, keepdims=True))


@ICARUS
def test_converter_before_thresholds_and_at_the_end(tmp_path: Path) -> None:
    """Accumulators are exact where no threshold follows at once."""
    network = random_network([6, 6, 4])
    first, second = matrices(network)
    thresholds = network.layers[0].thresholds
    assert thresholds is not None
    layers = (
        MatrixVector("mv0", first, 8, 2, 3),
        WidthConverter("dwc0", 6, 2, 3),
        Threshold("threshold0", thresholds.astype(np.int64), 3),
        MatrixVector("mv1", second, 3, 4, 3),
        WidthConverter("dwc1", 4, 4, 1),
    )
    graph = DataflowGraph((6,), 8, layers)
    frames = random_frames(24, 6)
    run = run_core(design(graph, tmp_path / "amaranth"), frames, tmp_path)
    np.testing.assert_array_equal(run.outputs, network.forward(frames))
    assert run.interval == graph.interval_bound


@ICARUS
@pytest.mark.parametrize(
    ("weight", "other", "dtype"),
    [(1, -1, "int16"), (127, -127, "int32"), (1, 3, "uint16"), (127, 1, "uint32")],
)
def test_logits_travel_in_the_narrowest_type(tmp_path: Path, weight: int, other: int, dtype: str) -> None:
    weights = np.full((2, 64), weight, np.int64)
    weights[1] = other
    core = design(DataflowGraph((64,), 8, (MatrixVector("mv", weights, 8, 1, 16),)), tmp_path / "amaranth")
    assert core.interface.output.dtype == dtype
    frames = random_frames(4, 64)
    np.testing.assert_array_equal(
        run_core(core, frames, tmp_path).outputs, frames.astype(np.int64) @ weights.T
    )


@ICARUS
def test_changed_weight_in_the_text_is_a_mismatch(tmp_path: Path) -> None:
    network = random_network([8, 6, 4])
    core = design(graph_of(network, [Fold(1, 2), Fold(1, 1)]), tmp_path / "amaranth")
    start = core.verilog.index("module core_mv1(")
    words = re.compile(r"(weights\w*\[\d+\] = \d+'[hb])([0-9a-f]+)")
    found = words.search(core.verilog, start)
    assert found is not None
    changed = f"{int(found[2], 16) ^ 1:0{len(found[2])}x}"
    text = core.verilog[: found.start(2)] + changed + core.verilog[found.end(2) :]
    frames = random_frames(24, 8)
    run = run_core(replace(core, verilog=text), frames, tmp_path)
    wrong = run.outputs != network.forward(frames)
    assert wrong[:, 0].any() and not wrong[:, 1:].any()


# Graphs


def check(graph: DataflowGraph, work: Path, count: int = 12) -> None:
    """Values at full rate and with stalls, and the interval."""
    core = design(graph, work / "amaranth")
    frames = random_frames(count, graph.inputs)
    shaped = frames.reshape(count, *graph.shape)
    run = run_core(core, shaped, work)
    np.testing.assert_array_equal(run.outputs, graph.execute(frames))
    assert run.interval == graph.interval_bound
    stalled = run_core(core, shaped, work, stall_percent=40, seed=1)
    np.testing.assert_array_equal(stalled.outputs, run.outputs)


@ICARUS
@pytest.mark.parametrize("simd", [1, 2, 3, 6, 9, 18], ids=lambda simd: f"SIMD {simd}")
def test_convolution_in_words_of_pixels_or_columns(tmp_path: Path, simd: int) -> None:
    layers, _ = convolution("conv", INPUT, (5, 4, 2), (2, simd))
    check(connect((5, 4, 2), 8, layers), tmp_path)


@ICARUS
def test_frames_have_a_shape(tmp_path: Path) -> None:
    layers, _ = convolution("conv", INPUT, (5, 4, 2), (2, 2))
    interface = design(connect((5, 4, 2), 8, layers), tmp_path).interface
    assert (interface.input.shape, interface.input.lanes) == ((5, 4, 2), 2)
    assert (interface.output.shape, interface.output.dtype) == ((80,), "uint8")


@ICARUS
def test_residual_network(tmp_path: Path) -> None:
    check(residual(), tmp_path)


@ICARUS
def test_input_taken_twice(tmp_path: Path) -> None:
    layers, sources = convolution("one", INPUT, (4, 4, 2), (2, 2), outputs=2)
    layers += [Threshold("limits", np.array([[9, 99, 200], [5, 6, 7]]), 1, 16), Add("add", 32, 1)]
    check(connect((4, 4, 2), 8, layers, [*sources, (INPUT,), (3, 2)]), tmp_path)


@ICARUS
def test_depthwise_and_pools(tmp_path: Path) -> None:
    window = Window("window", (6, 6, 4), (3, 3), 1, padding=(1, 1, 1, 1))
    mean = Window("mean_window", (6, 6, 4), (2, 2), 1, stride=(2, 2))
    layers: list[Layer] = [
        window,
        Depthwise("depthwise", np.arange(-18, 18).reshape(4, 9) // 3, 8, 2, 3, vectors=36),
        Threshold("threshold", np.arange(-3, 4) * 300 + np.zeros((4, 1), np.int64), 2, 36),
        mean,
        Depthwise("mean", np.ones((4, 4), np.int64), 3, 1, 1, vectors=9),
        Threshold("mean_threshold", np.tile([4, 8, 12], (4, 1)), 1, 9),
        MaxPool("pool", (3, 3, 4), (2, 2), 4),
    ]
    check(connect((6, 6, 4), 8, layers), tmp_path)


# The text

TEXTS = pytest.mark.parametrize(
    ("widths", "folds", "label"),
    [
        ([12, 8, 6, 4], [(2, 4), (1, 2), (2, 1)], False),
        ([8, 6, 4], [(6, 8), (4, 6)], True),
        ([9, 6, 4], [(2, 3), (1, 3)], True),
    ],
    ids=["logits", "unfolded", "label"],
)


@TEXTS
def test_verilator_has_no_complaint(
    tmp_path: Path, widths: list[int], folds: list[tuple[int, int]], label: bool
) -> None:
    text = design(graph_of(random_network(widths), folded(folds), label=label), tmp_path / "amaranth").verilog
    (tmp_path / "core.v").write_text(text)
    verilator.lint([tmp_path / "core.v"], top="core", work=tmp_path / "lint", log=tmp_path / "log")


@ICARUS
@TEXTS
def test_icarus_prints_nothing(
    tmp_path: Path, widths: list[int], folds: list[tuple[int, int]], label: bool
) -> None:
    text = design(graph_of(random_network(widths), folded(folds), label=label), tmp_path / "amaranth").verilog
    (tmp_path / "core.v").write_text(text)
    argv = ["iverilog", "-g2005", "-Wall", "-s", "core", "-o", "core.vvp", "core.v"]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


@TEXTS
def test_yosys_reads_it_without_warnings(
    tmp_path: Path, widths: list[int], folds: list[tuple[int, int]], label: bool
) -> None:
    text = design(graph_of(random_network(widths), folded(folds), label=label), tmp_path / "amaranth").verilog
    (tmp_path / "core.v").write_text(text)
    script = ["read_verilog core.v", "hierarchy -check -top core", "proc", "check -assert"]
    run_yosys(script, cwd=tmp_path, log=tmp_path / "yosys.log")
    assert "Warning" not in (tmp_path / "yosys.log").read_text()


def test_same_text_from_any_folder(tmp_path: Path) -> None:
    graph = graph_of(random_network([9, 6, 4]), [Fold(2, 3), Fold(1, 3)], label=True)
    one = design(graph, tmp_path / "one")
    other = design(graph, tmp_path / "a" / "longer" / "name")
    assert one == other
    for trace in (str(tmp_path), "/tmp", str(Path.home()), sys.prefix, str(Path.cwd()), "Yosys", "src ="):
        assert trace not in one.verilog


def test_taps_name_the_thresholds(tmp_path: Path) -> None:
    graph = graph_of(random_network([9, 6, 4, 3]), [Fold(2, 3), Fold(4, 3), Fold(1, 1)])
    taps = design(graph, tmp_path).taps
    assert [(tap.instance, tap.lanes, tap.bits) for tap in taps] == [
        ("threshold0", 2, 3),
        ("threshold1", 4, 3),
    ]
    assert not design(DataflowGraph((9,), 8, graph.layers[:2]), tmp_path).taps


@ICARUS
def test_one_class(tmp_path: Path) -> None:
    """The greatest of one value is always 0, a number of no bits."""
    layers = (MatrixVector("mv", np.ones((1, 4), np.int64), 8, 1, 2), ArgMax("argmax", 1, 1))
    core = design(DataflowGraph((4,), 8, layers), tmp_path / "amaranth")
    assert core.interface.output.dtype == "uint8"
    assert not run_core(core, random_frames(8, 4), tmp_path).outputs.any()
