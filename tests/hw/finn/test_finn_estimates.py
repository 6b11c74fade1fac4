"""FINN's estimates beside Yosys's counts of FINN's RTL."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import pytest

from common.errors import LoweringError, ToolError
from hw.dataflow.fold import Fold
from hw.finn.reader import read
from hw.finn.rtl import ARCHIVE, generate, sources, synthesis
from hw.finn.rtl.estimates import estimates
from hw.finn.rtl.synthesis import Cells, amd_cell, count
from hw.mapping.cost.finn import finn_cost
from hw.tools import tools
from tests.hw.networks import lowered, random_network

LAYER = "MVAU_rtl_0"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("architecture", "part"), [("7-series", "xc7z020clg400-1"), ("ultrascale+", "xck26-sfvc784-2LV-c")]
)
def test_every_layer_has_both(tmp_path: Path, architecture: str, part: str) -> None:
    model = lowered(random_network([16, 8, 5], seed=1), tmp_path, [Fold(4, 4), Fold(1, 2)])
    log = tmp_path / "log"
    rtl = generate(model, part=part, clock_hz=100e6, folder=tmp_path, log=log)
    found = estimates(tmp_path, architecture, work=tmp_path / "work", log=log)
    assert [row.name for row in found.layers] == [node.name for node in rtl.layers]
    assert (found.part, found.interval_cycles) == (part, rtl.estimate.interval_cycles)
    dense = {row.name: row for row in found.layers if row.kind == "MVAU"}
    layers = [layer for layer in read(model).layers if type(layer).__name__ == "MatrixVector"]
    for row, layer in zip(dense.values(), layers, strict=True):
        assert row.yosys and row.yosys.dsps == finn_cost(layer, 8, 8).dsps
        assert row.finn.dsps and row.yosys.luts and row.yosys.flip_flops > 50
    fifo = next(row for row in found.layers if row.kind == "StreamingFIFO")
    assert 0.5 < fifo.yosys.luts / fifo.finn.luts < 2
    for tool in ("finn", "yosys"):
        for key, total in asdict(getattr(found.total, tool)).items():
            counts = [getattr(getattr(row, tool), key) for row in found.layers]
            assert total == (None if None in counts else sum(counts)), (tool, key)
    assert found.total.yosys_layers == len(rtl.layers)


@pytest.mark.slow
def test_layers_of_hls_are_estimated_and_not_counted(tmp_path: Path) -> None:
    model = lowered(random_network([8, 6, 3]), tmp_path, [Fold(2, 4), Fold(1, 2)], label=True)
    log = tmp_path / "log"
    generate(model, part="xc7z020clg400-1", clock_hz=100e6, folder=tmp_path, log=log)
    found = estimates(tmp_path, "7-series", work=tmp_path / "work", log=log)
    assert [row.kind for row in found.layers if row.yosys is None] == ["LabelSelect"]
    assert found.total.yosys_layers == len(found.layers) - 1


def test_cells_by_what_they_take() -> None:
    counts = {"LUT6": 3, "INV": 1, "RAM32M": 2, "FDRE": 5, "FDSE": 1, "RAMB36E1": 2, "RAMB18E2": 1}
    found = Cells.of({**counts, "DSP48E2": 4, "CARRY4": 9, "URAM288": 1})
    assert found == Cells(luts=12, flip_flops=6, block_rams_18k=5, ultra_rams=1, dsps=4)
    with pytest.raises(ToolError, match=r"2 cells \$mul, of unknown cost"):
        Cells.of({"LUT1": 1, "$mul": 2})


def test_cells_of_amd_are_declared() -> None:
    text = amd_cell("DSP48E2")
    assert text.startswith("module DSP48E2") and "parameter" in text and "assign" not in text
    with pytest.raises(ToolError, match="no model of AMD's cell DSP99"):
        amd_cell("DSP99")


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"modules": {f"\\{LAYER}": {"num_cells_by_type": {}}}}, f"counted no cells of {LAYER}"),
        ({"modules": {}}, f"counted no cells of {LAYER}"),
        ({"design": {}}, "not counts of Yosys"),
    ],
)
def test_yosys_is_not_believed(
    said: Mapping[str, object], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources.pack({f"{LAYER}.v": f"module {LAYER}; endmodule\n"}, tmp_path / ARCHIVE)

    def run(script: object, *, cwd: Path, **_: object) -> None:
        (cwd / synthesis.STAT).write_text(json.dumps(said))

    monkeypatch.setattr(tools, "run_yosys", run)
    with pytest.raises(ToolError, match=message):
        count(tmp_path / ARCHIVE, [LAYER], "7-series", work=tmp_path / "work", log=tmp_path / "log")


def test_text_that_yosys_cannot_read_must_be_there(tmp_path: Path) -> None:
    sources.pack({"thresholding.sv": "module other; endmodule\n"}, tmp_path / ARCHIVE)
    with pytest.raises(LoweringError, match=r"thresholding\.sv: .* is there 0 times"):
        count(tmp_path / ARCHIVE, [], "7-series", work=tmp_path / "work", log=tmp_path / "log")
