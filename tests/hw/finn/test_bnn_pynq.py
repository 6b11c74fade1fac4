"""The published topologies of Brevitas's bnn_pynq, with weights at random: lowered, and in FINN's RTL.

Folds of TFC and CNV are those of FINN's own examples for the PYNQ-Z1 (finn-examples, build/bnn-pynq).
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hw.dataflow.fold import Fold
from hw.finn.lowering import Folding, lower
from hw.finn.reader import read
from hw.finn.rtl import FinnRtl, generate
from hw.finn.rtl.simulate import FinnSimulator
from hw.imported import ByteValues
from tests.hw.networks import random_frames

pytestmark = pytest.mark.slow

TFC = (Fold(16, 49), Fold(8, 8), Fold(8, 8), Fold(10, 8))
SFC = (Fold(16, 49), Fold(16, 16), Fold(16, 16), Fold(10, 16))
CNV = (
    *(Fold(8, 3), Fold(16, 16), Fold(8, 16), Fold(8, 16), Fold(4, 8), Fold(1, 8)),
    *(Fold(1, 2), Fold(2, 2), Fold(5, 1)),
)


def made(name: str, folds: tuple[Fold, ...], folder: Path) -> tuple[Any, FinnRtl]:
    """The network lowered, of bytes for floats from 0 to 1, and FINN's RTL of it."""
    import torch
    from brevitas.export import export_qonnx
    from brevitas_examples.bnn_pynq.models import model_with_cfg

    torch.manual_seed(0)
    network, _ = model_with_cfg(name, pretrained=False)
    shape = (3, 32, 32) if name.startswith("CNV") else (1, 28, 28)
    with torch.no_grad():  # statistics for the batch-norms
        network.train()
        network(torch.rand(64, *shape))
    network.eval()
    export_qonnx(network, torch.rand(1, *shape), export_path=str(folder / "network.onnx"))
    model = lower(
        folder / "network.onnx",
        folding=Folding(folds=folds),
        label=False,
        log=folder / "finn.log",
        values=ByteValues(1 / 255),
    )
    part, log = "xc7z020clg400-1", folder / "rtl.log"
    return model, generate(model, part=part, clock_hz=100e6, folder=folder, log=log)


@pytest.mark.parametrize(
    ("name", "folds", "interval"),
    [("TFC_2W2A", TFC, 64), ("SFC_2W2A", SFC, 256)],
    ids=["tfc", "sfc"],
)
def test_two_bits_run_in_rtl_at_finns_estimate(
    name: str, folds: tuple[Fold, ...], interval: int, tmp_path: Path
) -> None:
    model, rtl = made(name, folds, tmp_path)
    assert rtl.missing is None
    graph, x = read(model), random_frames(40, 784)
    simulator = FinnSimulator(tmp_path, work=tmp_path / "simulation", log=tmp_path / "log", optimize="-O0")
    found = simulator.run(x)
    expected = graph.execute(x.astype(np.int64))
    assert np.array_equal(found.outputs, expected) and np.ptp(expected, axis=0).all()
    assert found.interval == rtl.estimate.interval_cycles == graph.interval_bound == interval


@pytest.mark.parametrize(
    ("name", "folds", "hls"),
    [("TFC_1W1A", TFC, {"MVAU"}), ("SFC_1W1A", SFC, {"MVAU"}), ("CNV_2W2A", CNV, {"Pool"})],
)
def test_what_needs_hls_is_lowered_and_named(
    name: str, folds: tuple[Fold, ...], hls: set[str], tmp_path: Path
) -> None:
    _, rtl = made(name, folds, tmp_path)
    assert {node.kind for node in rtl.layers if node.needs} == hls
    assert rtl.missing and "Vitis HLS" in rtl.missing
    assert sum(node.kind == "MVAU" for node in rtl.layers) == len(folds)
