"""How fast each executable form of a student is, beside Python execution by qonnx and FINN.

`python -m tests.bench.verification` prints samples a second over growing networks, and how many times qonnx's
execution of the exported network that is; `golden` gives the same integers. Weights are random: their values
do not matter. Sessions and simulators are made beforehand; every form runs in turn, the best of three counts.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx
from qonnx.util.cleanup import cleanup_model

from common.topology import Conv, Dense, MaxPool, Topology
from hw.boards.boards import find
from hw.core import design
from hw.finn.execution import execute
from hw.finn.lowering import Folding, lower
from hw.finn.reader import read
from hw.mapping.folding import fold
from hw.simulation.simulate import CoreSimulator
from models.export import golden_model, qonnx_model, save_model
from pipeline.ladder.execution import BATCH
from tests.models.networks import random_inputs, random_network

BOARD = find("ulx3s-85f")
TARGET_CYCLES = 8000
FEW, SOME, MANY = 4, 256, 4096


def cnn(*channels: int) -> Topology:
    """Convolutions of 3 by 3 on 28 by 28 pictures, a pool after each, 4 bits throughout."""
    layers = [(Conv(width, (3, 3), 4, 4, padding=(1, 1)), MaxPool((2, 2))) for width in channels]
    return Topology((28, 28, 1), (*(part for pair in layers for part in pair), Dense(10, 4, None)))


def mlp(inputs: int, *hidden: int) -> Topology:
    """Dense layers of 4 bits."""
    return Topology((inputs,), (*(Dense(units, 4, 4) for units in hidden), Dense(10, 4, None)))


CASES = {
    "digits, 64-64-32-10": mlp(64, 64, 32),
    "pictures, 784-128-64-10": mlp(784, 128, 64),
    "pictures, conv 8-16": cnn(8, 16),
    "pictures, conv 16-32": cnn(16, 32),
    "pictures, conv 16-32-64": cnn(16, 32, 64),
}


def rate(samples: int, run: Callable[[], object], repeats: int = 3) -> float:
    """Samples a second, the best of some runs."""
    best = float("inf")
    for _ in range(repeats):
        began = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - began)
    return samples / best


def forms(topology: Topology, work: Path) -> dict[str, float]:
    """Samples a second of each form of a network with random weights."""
    network = random_network(0, topology)
    x = random_inputs(0, network.inputs, MANY)
    path = work / "student.qonnx.onnx"
    save_model(qonnx_model(network), path)
    exported = cleanup_model(ModelWrapper(str(path)))
    name = exported.graph.input[0].name
    shape = exported.get_tensor_shape(name)
    folds = fold(topology, TARGET_CYCLES, BOARD.family, BOARD.budget)
    hardware = lower(path, folding=Folding(folds=folds), label=False, log=work / "log")
    core = design(read(hardware), work / "amaranth")
    (work / "core.v").write_text(core.verilog)
    simulator = CoreSimulator(
        work / "core.v", core.interface, work=work / "simulator", log=work / "log", optimize="-O3"
    )
    session = ort.InferenceSession(
        golden_model(network).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    wanted, batches = network.forward(x[:FEW]), np.split(x, MANY // BATCH)
    frames = x.reshape(len(x), *core.interface.input.shape)

    def by_qonnx() -> NDArray[Any]:
        given = [execute_onnx(exported, {name: row.reshape(shape).astype(np.float32)}) for row in x[:FEW]]
        return np.concatenate([each[exported.graph.output[0].name] for each in given])

    np.testing.assert_array_equal(by_qonnx() / network.logit_scale, wanted)
    np.testing.assert_array_equal(session.run(["logits"], {"x": x[:FEW]})[0], wanted)
    np.testing.assert_array_equal(simulator.run(frames[:FEW]).outputs, wanted)
    np.testing.assert_array_equal(execute(hardware, x[:FEW], work / "log"), wanted)
    return {
        "qonnx": rate(FEW, by_qonnx),
        "FINN": rate(FEW, lambda: execute(hardware, x[:FEW], work / "log")),
        "Verilator": rate(SOME, lambda: simulator.run(frames[:SOME])),
        "golden": rate(MANY, lambda: [session.run(["logits"], {"x": part}) for part in batches]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", help="cases whose name holds this", default="")
    only = parser.parse_args().only
    print(
        f"{'network':26} {'products':>9}  {'qonnx/s':>8} {'FINN/s':>8} {'Verilator/s':>12} {'golden/s':>10}"
    )
    for name, topology in CASES.items():
        if only not in name:
            continue
        with tempfile.TemporaryDirectory() as folder:
            found = forms(topology, Path(folder))
        row = f"{name:26} {topology.products:9,}  {found['qonnx']:8.1f} {found['FINN']:8.1f}"
        print(f"{row} {found['Verilator']:12,.0f} {found['golden']:10,.0f}")
        ratios = [found[form] / found["qonnx"] for form in ("qonnx", "FINN", "Verilator", "golden")]
        print(
            f"{'':26} {'':>9}  {ratios[0]:7.1f}x {ratios[1]:7.1f}x {ratios[2]:11,.1f}x {ratios[3]:9,.0f}x",
            flush=True,
        )


if __name__ == "__main__":
    main()
