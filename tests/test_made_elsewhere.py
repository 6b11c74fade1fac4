"""An imported network, as docs/students.md has it, from its file to the bitstream."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

from pipeline.config.file import load
from pipeline.ladder import imported, networks
from pipeline.ladder.imported import ImportedArtefacts
from tests.conftest import ROOT, Built, retort
from tests.hw.finn.test_imported import bipolar
from tests.hw.foreign import Foreign

pytestmark = pytest.mark.slow

RUNGS = ["network", "golden", "finn", "rtl", "netlist", "bitstream", "board"]


def block(language: str) -> str:
    guide = (ROOT / "docs" / "students.md").read_text().split("\n## Imported\n")[1]
    (found,) = re.findall(rf"```{language}\n(.*?)```", guide, re.DOTALL)
    return str(found)


@pytest.fixture(scope="session")
def made(shared: Path) -> Built:
    """The guide's network, built as the guide says."""
    folder = shared / "elsewhere"
    with FileLock(shared / "elsewhere.lock"):
        folder.mkdir(exist_ok=True)
        file = folder / "elsewhere.toml"
        if not file.exists():
            subprocess.run([sys.executable, "-c", block("python")], cwd=folder, check=True)
            file.write_text(block("toml"))
        done = retort("build", file, cwd=folder)
    assert done.returncode == 0, done.stderr[-2000:]
    return Built(file, folder / "out" / "elsewhere", folder / ".retort", done.stdout)


def test_every_rung_is_climbed(made: Built) -> None:
    rows = made.json("verification.json")
    assert [row["rung"] for row in rows] == RUNGS
    for row in rows:
        skipped = row["rung"] == "bitstream" and "icebox_vlog is not installed" in row.get("skipped", "")
        assert row["passed"] or skipped, row
        assert skipped or row["mismatches"] == 0 or row["rung"] == "network"
    assert made.rung("rtl")["samples"] == 397
    assert (made.folder / "bitstream.bin").stat().st_size


def test_difference_is_told(made: Built) -> None:
    metrics, found = made.json("metrics.json"), made.rung("network")["metrics"]
    assert metrics["golden"] >= 0.8
    assert metrics["difference"]["frames"] == 64 and metrics["recorded_difference"]["frames"] == 397
    for name in ("difference", "recorded_difference"):
        assert metrics[name]["agreement"] >= 0.95
        # The bias is rounded to a step of the integers; other scales fall into thresholds.
        assert metrics[name]["apart"] == 0
        assert 0 < metrics[name]["largest_error"] < 0.51 * metrics[name]["scale"]
        assert metrics[name]["tied_frames"] < 10
    assert found["agreement"] == metrics["difference"]["agreement"]
    assert found["recorded_agreement"] == metrics["recorded_difference"]["agreement"]
    assert found["recorded_tied_frames"] == metrics["recorded_difference"]["tied_frames"]
    assert made.json("io.json")["input"]["values"] == [{"scale": 0.0625, "offset": 0.0}]
    (output,) = made.json("io.json")["output"]["values"]
    assert output == {key: metrics["difference"][key] for key in ("scale", "offset")}
    assert np.sum(metrics["confusion_matrix"]) == 397
    page = (made.folder / "report.html").read_text()
    assert "same class as the imported network" in page and "largest error of a logit" in page


def test_commands_work_on_its_folder(made: Built) -> None:
    planned = retort("plan", made.file, "--json", cwd=made.file.parent)
    assert [row["status"] for row in json.loads(planned.stdout)["stages"]] == ["cached"] * 6
    assert retort("report", made.folder).returncode == 0
    for command, refusal in (("size", "of kind 'imported'"), ("study", "study: missing")):
        done = retort(command, made.file, cwd=made.file.parent)
        assert done.returncode == 2 and refusal in done.stderr


def test_another_place_of_the_same_file_builds_nothing(made: Built, tmp_path: Path) -> None:
    folder = made.file.parent
    shutil.copy(folder / "digits.qonnx.onnx", tmp_path / "moved.onnx")
    for data in folder.glob("digits.qonnx.onnx.data"):
        shutil.copy(data, tmp_path)
    text = made.file.read_text().replace('"digits.qonnx.onnx"', f'"{tmp_path / "moved.onnx"}"')
    (tmp_path / "moved.toml").write_text(text)
    planned = retort("plan", tmp_path / "moved.toml", "--until", "verify", "--json", cwd=folder)
    assert {row["status"] for row in json.loads(planned.stdout)["stages"]} == {"cached"}


RECORDED = """
name = "bits"
seed = 1
[student]
kind = "imported"
path = "bits.onnx"
scale = 0.015625
offset = -2.0
recorded = "bits.npz"
[compile]
target_cycles = 3000
output = "label"
[board]
name = "icebreaker"
"""


def test_bits_counted_without_data(tmp_path: Path) -> None:
    """Golden counts equal bits where the network multiplies -1 and 1, and gives logits beside the label."""
    network = Foreign((1, 8, 8), seed=7)  # of some, all frames have one label
    bipolar(network)
    network.save(tmp_path / "bits.onnx")
    x = np.random.default_rng(0).integers(0, 256, (20, 1, 8, 8))
    np.savez(tmp_path / "bits.npz", inputs=(x / 64 - 2).astype(np.float32), outputs=np.zeros((20, 5)))
    (tmp_path / "bits.toml").write_text(RECORDED)
    done = retort("-q", "build", "bits.toml", "--until", "compile", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "out" / "bits"
    made = ImportedArtefacts(
        load(tmp_path / "bits.toml"), folder, tmp_path / "work", tmp_path / "log", lambda *_: None
    )
    assert made.x.shape == (20, 8, 8, 1) and made.expected.shape == (20, 1)
    for rung in (imported.golden, networks.finn):
        found = rung(made)
        assert found.passed and found.mismatches == 0 and found.samples == 16
    found = imported.network(made)
    assert found.metrics["agreement"] == 1 and "accuracy" not in found.metrics
    assert found.metrics["apart"] == 0 and found.mismatches == 0
    assert found.passed is False  # what was recorded is not of this network
    assert "what was recorded and golden are more than a step of golden's outputs" in str(
        found.first_mismatch
    )
    metrics = json.loads((folder / "metrics.json").read_text())
    assert {"difference", "recorded_difference"} <= set(metrics) and "network" not in metrics


def failing(folder: Path, path: Path, more: str = "") -> subprocess.CompletedProcess[str]:
    changed = {
        '"digits.qonnx.onnx"': f'"{path}"',
        'recorded = "recorded.npz"': "",
        'source = "npz"\npath = "digits.npz"': 'source = "digits"\ntest_fraction = 0.2',
    }
    text = block("toml")
    for old, new in changed.items():
        assert text.count(old) == 1
        text = text.replace(old, new)
    file = folder / "x.toml"
    file.write_text(text + more)
    return retort("-q", "build", file, cwd=folder)


def errors(done: subprocess.CompletedProcess[str]) -> list[str]:
    assert "Traceback" not in done.stderr
    return [line for line in done.stderr.splitlines() if line.startswith("error: ")]


def test_unlowerable_network_names_its_nodes(tmp_path: Path) -> None:
    network = Foreign((64,))
    x = network.quant(network.node("Sin", [network.dense(network.quant("input", 4, 0.2), 64, 6)]), 3, 0.1)
    network.dense(network.relu(network.node("Softplus", [network.dense(x, 6, 6)]), 3, 0.1), 6, 10)
    done = failing(tmp_path, network.save(tmp_path / "odd.onnx"))
    assert done.returncode == 9
    (line,) = errors(done)
    assert "Sin_0 (Sin)" in line and "Softplus_0 (Softplus)" in line


@pytest.mark.parametrize("content", [b"", b"not a network at all", None], ids=["empty", "text", "cut"])
def test_corrupt_file(tmp_path: Path, content: bytes | None) -> None:
    network = Foreign((64,))
    network.dense(network.quant("input", 4, 0.2), 64, 10)
    path = network.save(tmp_path / "x.onnx")
    path.write_bytes(path.read_bytes()[:1000] if content is None else content)
    done = failing(tmp_path, path)
    assert done.returncode == 8
    assert len(errors(done)) == 1


def test_tables_of_training_beside_the_network(tmp_path: Path) -> None:
    done = failing(tmp_path, tmp_path / "x.onnx", "[teacher]\nhidden = [8]\n[training]\nthreads = 1\n")
    assert done.returncode == 2
    assert [line.rpartition("; ")[2] for line in errors(done)] == ["remove [teacher]", "remove [training]"]
