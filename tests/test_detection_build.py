"""A detector, like any other build: every rung to the virtual board, its report, and what io.json says."""

import json
from pathlib import Path

import pytest

import retort

BUILD = Path(__file__).parents[1] / "builds" / "digits-detection-icebreaker.toml"
CONV = "kind='conv', kernel=3, padding=1, weight_bits=4, activation_bits=4"
LAYERS = (
    *(f"{{{CONV}, outputs=4}}", "{kind='max-pool', size=2}"),
    *(f"{{{CONV}, outputs=8}}", "{kind='max-pool', size=2}"),
    *(f"{{{CONV}, outputs=16}}", "{kind='conv', outputs=15, kernel=1, weight_bits=6}"),
)
SMALL = (
    *("task.scenes=300", "task.test_scenes=40", "teacher.epochs=6", "student.epochs=16"),
    *("verify.minimum_accuracy=0.05", "verify.netlist_samples=2", "verify.bitstream_samples=2"),
    f"student.layers=[{', '.join(LAYERS)}]",
)
"""So little that all weights are in block RAM, and the bitstream can be simulated, too."""


@pytest.mark.slow
def test_every_rung_of_a_detector(tmp_path: Path) -> None:
    folder = retort.run(retort.load(BUILD, SMALL), out=tmp_path / "out", store=tmp_path / "store")
    rows = json.loads((folder.path / "verification.json").read_text())
    rungs = [row["rung"] for row in rows]
    assert rungs[:7] == ["teacher", "student", "onnxruntime", "golden", "finn", "rtl", "netlist"]
    assert "board" in rungs and all(row["passed"] is not False for row in rows)
    assert all(row["mismatches"] == 0 for row in rows[2:] if row["passed"])
    metrics = json.loads((folder.path / "metrics.json").read_text())
    assert metrics["metric"] == "mean average precision"
    assert 0 < metrics["student"] <= 1 and 0 < metrics["student_without_distillation"] <= 1
    decoding = json.loads((folder.path / "io.json").read_text())["decoding"]
    assert decoding["task"] == "detection" and decoding["grid"]["cells"] == 6
    assert "mean average precision" in folder.report.read_text().lower()
