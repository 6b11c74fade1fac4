"""A build for a board with an AMD chip: FINN's RTL beside the open core, everything but what needs Vivado."""

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from filelock import FileLock

from pipeline.config.file import load
from pipeline.ladder.finn_rtl import finn_rtl
from pipeline.ladder.networks import QuantizedArtefacts
from tests.conftest import ROOT, TINY, Built, retort

pytestmark = pytest.mark.slow

RUNGS = ["teacher", "student", "onnxruntime", "golden", "finn", "rtl", "finn-rtl"]
COMMAND = "retort build {lock} --store {store}"


@pytest.fixture(scope="session")
def amd(shared: Path) -> Built:
    folder = shared / "amd"
    file = folder / "tiny-amd.toml"
    with FileLock(shared / "amd.lock"):
        folder.mkdir(exist_ok=True)
        file.write_text(TINY.format(name="tiny-amd").replace('"icebreaker"', '"pynq-z1"'))
        done = retort("build", file, "--store", folder / "store", "--out", folder / "out")
    built = Built(file, folder / "out" / "tiny-amd", folder / "store", done.stdout)
    check_end(done.returncode, done.stderr.splitlines()[-1], built)
    return built


def check_end(code: int, last: str, built: Built) -> None:
    """Without Vivado the build ends with what is missing, and how to go on."""
    assert code == 4
    assert last.startswith("error: stage 'vivado': ")
    assert last.endswith(COMMAND.format(lock=built.folder / "build.lock.json", store=built.store))


def test_every_rung_passes_on_the_whole_test_set(amd: Built) -> None:
    rows = amd.json("verification.json")
    assert [row["rung"] for row in rows] == RUNGS
    assert all(row["passed"] for row in rows)
    for name in ("rtl", "finn-rtl"):
        assert (amd.rung(name)["samples"], amd.rung(name)["mismatches"]) == (360, 0)
    found = amd.rung("finn-rtl")["metrics"]
    assert found["interval_cycles"] == found["interval_bound_cycles"]
    assert found["stalled_samples"] == 256 and found["stalled_interval_cycles"] > found["interval_cycles"]
    assert amd.json("performance.json")["interval_cycles"] == found["interval_cycles"]
    assert {row["key"] for row in rows} == {amd.json("build.lock.json")["stages"]["finn-rtl"]["key"]}


def test_what_is_left_and_what_is_not(amd: Built) -> None:
    names = {path.name for path in amd.folder.iterdir()}
    assert {"finn_rtl.zip", "finn_rtl.json", "implemented.onnx", "core.v", "report.html"} <= names
    assert not {"bitstream.bin", "netlist.json", "weights.bin"} & names
    page = (amd.folder / "report.html").read_text()
    assert "MVAU_rtl_1" in page and "finn-rtl" in page


def test_estimates_stand_beside_counts_of_yosys(amd: Built) -> None:
    found = amd.json("estimates.json")
    described = amd.json("finn_rtl.json")
    assert [row["name"] for row in found["layers"]] == [row["name"] for row in described["layers"]]
    assert found["interval_cycles"] == described["estimate"]["interval_cycles"]
    assert all(row["yosys"]["luts"] + row["yosys"]["flip_flops"] > 0 for row in found["layers"])
    page = (amd.folder / "report.html").read_text()
    assert f"{found['total']['yosys']['luts']:,}" in page and f"{found['total']['finn']['luts']:,}" in page


def test_second_run_builds_nothing(amd: Built) -> None:
    done = retort("build", amd.file, "--store", amd.store, "--out", amd.folder.parent)
    assert ": 0 of " in done.stdout
    check_end(done.returncode, done.stderr.splitlines()[-1], amd)
    again = retort("build", amd.folder / "build.lock.json", "--store", amd.store, "--out", amd.folder.parent)
    assert again.stdout == done.stdout


def test_one_command_compares_both_cores_again(amd: Built) -> None:
    done = retort("verify", amd.folder, "--json")
    assert done.returncode == 0
    rows = {row["rung"]: row for row in json.loads(done.stdout)}
    for name in ("rtl", "finn-rtl"):
        assert (rows[name]["samples"], rows[name]["mismatches"]) == (360, 0)


def test_published_network_of_one_bit(tmp_path: Path) -> None:
    """Brevitas's own, of random weights: lowered whole, through the open core; FINN has HLS of it."""
    script, name = ROOT / "builds" / "bnn_pynq.py", "tfc-w1a1-pynq-z1"
    made = subprocess.run(
        [sys.executable, script, "TFC_1W1A", "--untrained"], cwd=tmp_path, capture_output=True, check=False
    )
    assert made.returncode == 0, made.stderr[-2000:]
    done = retort("build", ROOT / "builds" / f"{name}.toml", "--store", "store", cwd=tmp_path)
    built = Built(script, tmp_path / "out" / name, tmp_path / "store", done.stdout)
    assert done.returncode == 4, done.stderr[-2000:]
    assert (built.rung("rtl")["samples"], built.rung("rtl")["mismatches"]) == (256, 0)
    assert built.rung("rtl")["metrics"]["interval_cycles"] == 64
    assert built.rung("network")["metrics"]["recorded_agreement"] == 1
    dense = [row for row in built.json("finn_rtl.json")["layers"] if row["kind"] == "MVAU"]
    assert [(row["pe"], row["simd"], row["needs"]) for row in dense] == [
        (pe, simd, "Vitis HLS") for pe, simd in ((16, 49), (8, 8), (8, 8), (10, 8))
    ]
    assert all(row["name"] in built.rung("finn-rtl")["skipped"] for row in dense)
    counted = [row for row in built.json("estimates.json")["layers"] if row["yosys"]]
    assert {"Thresholding", "StreamingFIFO"} <= {row["kind"] for row in counted}


def artefacts(amd: Built, tmp_path: Path) -> QuantizedArtefacts:
    folder = tmp_path / "built"
    shutil.copytree(amd.folder, folder)
    return QuantizedArtefacts(load(amd.file), folder, tmp_path, tmp_path / "log", lambda *_: None)


def test_a_spoiled_weight_is_found(amd: Built, tmp_path: Path) -> None:
    spoiled = artefacts(amd, tmp_path)
    archive = spoiled.folder / "finn_rtl.zip"
    with zipfile.ZipFile(archive) as opened:
        files = {name: opened.read(name).decode() for name in opened.namelist()}
    memory = files["MVAU_rtl_1_memblock.dat"].split()
    memory[0] = f"{int(memory[0], 16) ^ 0b110:0{len(memory[0])}x}"
    files["MVAU_rtl_1_memblock.dat"] = "\n".join(memory) + "\n"
    with zipfile.ZipFile(archive, "w") as opened:
        for name, text in files.items():
            opened.writestr(name, text)
    found = finn_rtl(spoiled)
    assert found.passed is False and found.mismatches
    assert found.first_mismatch and found.first_mismatch.startswith("sample ")


def test_only_layers_without_rtl_skip_the_rung(amd: Built, tmp_path: Path) -> None:
    skipped = artefacts(amd, tmp_path)
    path = skipped.folder / "finn_rtl.json"
    described = json.loads(path.read_text())
    described["layers"][1] |= {"implementation": "hls", "needs": "Vitis HLS"}
    path.write_text(json.dumps(described))
    found = finn_rtl(skipped)
    assert found.passed is False, "FINN has RTL of it"
    assert found.first_mismatch and "FINN says: it has RTL of all layers" in found.first_mismatch
    described["layers"][1] |= {"implementation": "rtl", "needs": None}
    path.write_text(json.dumps(described | {"part": "xc7z010clg400-1"}))
    assert finn_rtl(skipped).first_mismatch == "FINN's RTL is for xc7z010clg400-1"
