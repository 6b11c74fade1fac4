"""The shipped builds, from the data set to the bitstream, as a user runs them."""

import hashlib
import json

import numpy as np
import pytest
import safetensors.numpy

from hw.boards.boards import find
from hw.interface import CoreInterface
from hw.shells.protocol import design_identity
from hw.simulation import netlist, virtual_board
from tests.conftest import build, retort

pytestmark = pytest.mark.slow

RUNGS = ["teacher", "student", "onnxruntime", "golden", "finn", "rtl", "netlist", "bitstream", "board"]
FILES = [
    "sized.json",
    "core.v",
    "student.qonnx.onnx",
    "student.onnx",
    "golden.onnx",
    "io.json",
    "pins.json",
    "verification.json",
    "utilization.json",
    "performance.json",
    "metrics.json",
    "build.lock.json",
    "report.html",
]


@pytest.fixture(params=["icebreaker", "ulx3s"])
def built(request):
    return request.getfixturevalue(request.param)


def test_leaves_every_file(built):
    suffix = "bin" if "icebreaker" in built.folder.name else "bit"
    for name in [*FILES, f"bitstream.{suffix}"]:
        assert (built.folder / name).stat().st_size, name
    assert list((built.folder / "logs").rglob("*.log"))


def test_every_rung_is_climbed(built):
    rows = built.json("verification.json")
    assert [row["rung"] for row in rows] == RUNGS
    for row in rows:
        skipped = row["rung"] == "bitstream" and "icebox_vlog is not installed" in row.get("skipped", "")
        assert row["passed"] or skipped, row
        assert row["key"]
        assert set(row) >= {
            "rung",
            "against",
            "samples",
            "mismatches",
            "metrics",
            "seconds",
            "passed",
            "tools",
        }
    for rung, least in {"onnxruntime": 350, "golden": 350, "rtl": 350, "netlist": 16, "board": 16}.items():
        assert built.rung(rung)["samples"] >= least
        assert built.rung(rung)["mismatches"] == 0


def test_is_as_accurate_as_promised(built):
    metrics = built.json("metrics.json")
    assert len(metrics["ensemble_members"]) >= 3
    assert metrics["student"] >= 0.95
    assert metrics["teacher"] - metrics["student"] <= 0.025
    assert 0.5 < metrics["student_without_distillation"] <= 1
    assert 0.9 < metrics["agreement"] <= 1
    assert metrics["freeze"]["samples"] >= 350


def test_core_keeps_the_bound_and_the_clock(built):
    performance, utilization = built.json("performance.json"), built.json("utilization.json")
    assert performance["interval_cycles"] == performance["interval_bound_cycles"]
    assert performance["core_frames_per_second"] == performance["clock_hz"] / performance["interval_cycles"]
    assert performance["limited_by"] == "link"  # one byte in ten microseconds
    assert performance["frames_per_second"] == performance["link_frames_per_second"]
    assert performance["clock_hz"] >= 12e6
    assert utilization["timing_met"]
    assert utilization["fmax_hz"] >= performance["clock_hz"]
    for name, use in utilization["resources"].items():
        assert use["used"] <= use["available"], name


def test_lock_names_what_is_there(built):
    lock = built.json("build.lock.json")
    for stage in lock["stages"].values():
        for name, stored in stage["files"].items():
            if name not in lock["volatile"] and not name.startswith("logs/"):
                content = (built.folder / name).read_bytes()
                assert hashlib.sha256(content).hexdigest() == stored["sha256"], name


def test_second_run_builds_nothing(icebreaker):
    again = build(icebreaker.file, icebreaker.store.parent)
    assert "0 of 10 stages built" in again.stdout
    planned = retort("plan", icebreaker.file, "--store", icebreaker.store, "--json")
    assert {row["status"] for row in json.loads(planned.stdout)["stages"]} == {"cached"}


def test_builds_of_one_network_share_its_training(icebreaker, ulx3s):
    keys = [
        {name: stage["key"] for name, stage in built.json("build.lock.json")["stages"].items()}
        for built in (icebreaker, ulx3s)
    ]
    same = {name for name in keys[0] if keys[0][name] == keys[1][name]}
    assert {"data", "teacher", "distill", "export"} <= same
    assert not {"compile", "bitstream"} & same


def test_infer_speaks_to_the_virtual_board(icebreaker, tmp_path):
    board, folder = find("icebreaker"), icebreaker.folder
    interface = CoreInterface.load(folder / "io.json")
    identity = design_identity((folder / "core.v").read_bytes())
    model = netlist.rtl_model(board, folder / "core.v", interface, identity, tmp_path)
    executable = virtual_board.build(
        model,
        work=tmp_path / "simulator",
        log=tmp_path / "log",
        clocks_per_bit=board.clocks_per_bit,
    )
    x = safetensors.numpy.load_file(folder / "data.safetensors")["test.x"][:5]
    np.save(tmp_path / "x.npy", x)
    arguments = ["--input", tmp_path / "x.npy", "--output", tmp_path / "y.npy"]
    with virtual_board.VirtualBoard(executable, tmp_path / "log") as running:
        done = retort("infer", folder, "--port", running.port, *arguments)
    assert done.returncode == 0, done.stderr
    from pipeline.ladder.execution import run_onnx

    (logits,) = run_onnx(folder / "golden.onnx", {"x": x}, ["logits"])
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), logits)


def test_two_folders_give_the_same_bits(tiny, tmp_path):
    other = build(tiny.file, tmp_path / "elsewhere", "--until", "bitstream")
    assert other.store != tiny.store
    for name in (
        "core.v",
        "bitstream.bin",
        "golden.onnx",
        "student.qonnx.onnx",
        "hardware.onnx",
        "netlist.json",
    ):
        assert (other.folder / name).read_bytes() == (tiny.folder / name).read_bytes(), name


def test_convolutions_over_series(motions):
    """One-dimensional convolutions, from sensors to a decompiled bitstream."""
    rows = motions.json("verification.json")
    assert [row["rung"] for row in rows] == RUNGS
    for row in rows:
        assert row["passed"] or row["rung"] == "bitstream", row
    for rung in ("onnxruntime", "golden", "rtl"):
        assert (motions.rung(rung)["samples"], motions.rung(rung)["mismatches"]) == (40, 0)
    assert motions.json("metrics.json")["student"] >= 0.85
    kinds = {layer["kind"] for layer in motions.json("layers.json")}
    assert {"Window", "MatrixVector", "Threshold", "GlobalSum"} <= kinds
    assert motions.json("io.json")["input"]["shape"] == [100, 1, 6]
    sized, chip = motions.json("sized.json"), motions.json("utilization.json")
    assert sized["fits"] and chip["timing_met"]
    performance = motions.json("performance.json")
    assert performance["interval_cycles"] == sized["interval_cycles"]
