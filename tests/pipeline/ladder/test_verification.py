"""The ladder on a real build, whole and tampered with."""

import json
import os
import re
import shutil
import time
import tty
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from common.errors import ModelFileError, PortError, SilentBoardError, UnreachableError, VerificationError
from hw.interface import WeightsFormat
from pipeline.artefacts.verification import VERIFICATION, Rung, RungError
from pipeline.config import file as config
from pipeline.ladder import hardware, networks
from pipeline.ladder.climbing import failure, hardware_stage
from pipeline.ladder.networks import QuantizedArtefacts
from pipeline.ladder.result import compare
from tests.conftest import retort
from tests.locks import lock_again

pytestmark = pytest.mark.slow


@pytest.fixture
def tampered(tiny, tmp_path):
    """A copy of the build to spoil, as the rungs see it."""
    folder = tmp_path / "tiny"
    shutil.copytree(tiny.folder, folder)
    return QuantizedArtefacts(
        config.load(tiny.file), folder, tmp_path / "work", tmp_path / "log", lambda *_: None
    )


def test_verify_climbs_a_built_folder_again(tiny, tmp_path):
    done = retort("verify", tiny.folder, "--json", "--junit", tmp_path / "ladder.xml")
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert [row["rung"] for row in rows] == [row["rung"] for row in tiny.json("verification.json")]
    assert failure(VERIFICATION.load(tiny.folder), "tiny") is None
    assert (tiny.folder / "logs" / "verify.log").stat().st_size
    suite = ElementTree.parse(tmp_path / "ladder.xml").getroot()[0]
    assert len(suite) == len(rows)
    assert suite.get("failures") == "0"


def spoil_core(folder) -> None:
    """Invert weight codes of the first layer, for the middle rows of the picture and the first neurons."""
    path = folder / "core.v"
    text = path.read_text()
    start = text.index("module core_mvau_0(")
    end = text.index("endmodule", start)

    def inverted(match: re.Match[str]) -> str:
        width = int(match[2])
        value = int(match[4], {"h": 16, "d": 10}[match[3]]) ^ ((1 << width) - 1)
        return f"{match[1]}{width}'h{value:x}"

    words = r"(\[(?:3|4|11|12|19|20)\] = )(\d+)'([hd])([0-9a-f]+)"
    spoiled, count = re.subn(words, inverted, text[start:end])
    assert count >= 6
    path.write_text(text[:start] + spoiled + text[end:])


def test_rtl_names_sample_values_and_layer(tampered):
    spoil_core(tampered.folder)
    found = hardware.rtl(tampered)
    assert found.passed is False
    assert found.mismatches > 0
    assert re.match(r"sample \d+, output \d: expected -?\d+, got -?\d+; ", found.first_mismatch)
    assert "the first layer that differs is thresholding_0" in found.first_mismatch


def test_command_ends_with_the_failed_rung(tampered, tmp_path):
    spoil_core(tampered.folder)
    done = retort("verify", tampered.folder)
    assert done.returncode == 6 and "core.v: is not what was built" in done.stderr
    lock_again(tampered.folder)
    done = retort("verify", tampered.folder, "--json", "--junit", tmp_path / "ladder.xml")
    assert done.returncode == 12
    assert "error: " in done.stderr
    assert "rung 'rtl'" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    rows = json.loads(done.stdout)
    # The netlist is of the other core, and says so: no error of a link, for there is none.
    assert [row["rung"] for row in rows if row["passed"] is False][:2] == ["rtl", "netlist"]
    assert not [row for row in rows if "error" in row]
    suite = ElementTree.parse(tmp_path / "ladder.xml").getroot()[0]
    assert int(suite.get("failures", 0)) >= 2 and suite.get("errors") == "0"


def spoil_constant(path, name: str) -> None:
    model = onnx.load(path)
    for tensor in model.graph.initializer:
        if tensor.name == name:
            values = numpy_helper.to_array(tensor).copy()
            values.flat[:8] ^= 3
            tensor.CopyFrom(numpy_helper.from_array(values, name))
    path.write_bytes(model.SerializeToString())


def test_golden_is_compared_in_every_integer(tampered):
    spoil_constant(tampered.folder / "golden.onnx", "weights1")
    found = networks.golden(tampered)
    assert found.passed is False
    assert "expected" in found.first_mismatch


def test_corrupt_onnx_is_a_clear_error(tampered):
    path = tampered.folder / "student.onnx"
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ModelFileError, match=r"student\.onnx: "):
        networks.onnxruntime(tampered)
    lock_again(tampered.folder)
    done = retort("verify", tampered.folder)
    assert done.returncode == 8
    assert len([line for line in done.stderr.splitlines() if line.startswith("error: ")]) == 1
    assert "Traceback" not in done.stderr


def test_student_rung_holds_the_build_to_its_limits(tampered):
    assert networks.student(tampered).passed
    limits = tampered.config.verify.model_copy(update={"minimum_accuracy": 1.0, "maximum_drop": 0.0})
    strict = replace(tampered, config=tampered.config.model_copy(update={"verify": limits}))
    found = networks.student(strict)
    assert found.passed is False
    assert "verify.minimum_accuracy" in found.first_mismatch


def test_student_rung_fails_for_a_student_that_always_says_the_same(tampered):
    tampered.__dict__["student"] = np.eye(10, dtype=np.float32)[np.zeros(len(tampered.x), int)]
    found = networks.student(tampered)
    assert found.passed is False
    assert "that of the best constant answer" in found.first_mismatch


def test_core_that_ignores_its_input_does_not_pass(tampered):
    """Were golden dead, the core would agree with it."""
    logits, label = tampered.golden
    tampered.__dict__["golden"] = (np.zeros_like(logits), np.zeros_like(label))
    found = networks.finn(tampered)
    assert found.passed is False
    whole = compare("golden", tampered.expected, np.zeros_like(tampered.expected))
    assert whole.passed is False and whole.mismatches == 0


def test_no_layer_agrees_where_none_is_listened_to(tampered):
    path = tampered.folder / "layers.json"
    layers = [layer for layer in json.loads(path.read_text()) if layer["kind"] != "Threshold"]
    path.write_text(json.dumps(layers))
    assert hardware.first_layer(tampered, 0) == "no layer has activations to compare"


def test_bitstream_without_the_decompiler_is_skipped_with_the_reason(tampered, monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    path = tampered.folder / "utilization.json"
    used = json.loads(path.read_text())
    used["resources"]["ICESTORM_SPRAM"]["used"] = 4
    path.write_text(json.dumps(used))
    found = hardware.bitstream(tampered)
    assert found.passed is None
    assert "icebox_vlog is not installed" in found.skipped, "the folder gives no reason to skip"


def test_weights_that_are_loaded_skip_the_bitstream(tampered):
    tampered.__dict__["interface"] = replace(tampered.interface, weights=WeightsFormat((2,), 0))
    found = hardware.bitstream(tampered)
    assert found.passed is None and "single-port RAM" in found.skipped


class Silent:
    """A serial port behind which nobody answers."""

    def __enter__(self):
        self.ends = os.openpty()
        tty.setraw(self.ends[1])
        return os.ttyname(self.ends[1])

    def __exit__(self, *exc_info):
        for end in self.ends:
            os.close(end)


def missing_board(built, port, code, kind, tmp_path):
    began = time.monotonic()
    junit = tmp_path / "ladder.xml"
    done = retort("verify", built.folder, "--port", port, "--junit", junit, "--json")
    assert done.returncode == code, done.stderr
    assert done.stderr.splitlines()[-1].startswith(f"error: {built.folder}: rung 'board': {port}: ")
    *others, board = json.loads(done.stdout)
    assert {row["passed"] for row in others} == {None} and len(others) == 8
    assert (board["rung"], board["passed"], board["error"]["kind"]) == ("board", False, kind)
    suite = ElementTree.parse(junit).getroot()[0]
    assert [suite.get(each) for each in ("tests", "failures", "errors", "skipped")] == ["9", "0", "1", "8"]
    assert (suite[-1][0].tag, suite[-1][0].get("type")) == ("error", kind)
    assert time.monotonic() - began < 60, "no rung was climbed"


def test_a_missing_board_is_an_error_found_first(tiny, tmp_path):
    missing_board(tiny, "/dev/none", PortError.exit_code, "PortError", tmp_path)


def test_a_silent_board_is_an_error_found_first(tiny, tmp_path):
    with Silent() as port:
        missing_board(tiny, port, SilentBoardError.exit_code, "SilentBoardError", tmp_path)


def test_an_unreachable_host_is_an_error_found_first(tiny, tmp_path):
    if shutil.which("ssh") is None:
        pytest.skip("no ssh on this machine")
    done = retort("verify", tiny.folder, "--host", "nobody@127.0.0.1:1", "--json")
    assert done.returncode == 2
    junit = tmp_path / "ladder.xml"
    done = retort("verify", tiny.folder, "--host", "nobody@retort.invalid", "--json", "--junit", junit)
    assert done.returncode == UnreachableError.exit_code, done.stderr
    log = re.search(r"see (\S+)$", done.stderr.splitlines()[-1])
    assert log and "retort.invalid" in Path(log[1]).read_text()
    assert ElementTree.parse(junit).getroot()[0].get("errors") == "1"


def test_logs_of_a_folder_that_cannot_be_written_are_not_named(tiny, tmp_path):
    folder = tmp_path / "tiny"
    shutil.copytree(tiny.folder, folder)
    shutil.rmtree(folder / "logs")
    (folder / "logs").write_text("in the way")
    done = retort("verify", folder, "--host", "nobody@retort.invalid")
    assert done.returncode == UnreachableError.exit_code and "see /" not in done.stdout + done.stderr


def test_the_stage_that_names_a_build():
    assert hardware_stage(["data", "compile", "finn-rtl", "verify"]) == "finn-rtl"
    assert hardware_stage(["compile", "bitstream"]) == "bitstream"
    assert hardware_stage(["data", "compile"]) is None


def test_compare_counts_samples():
    expected = np.array([[1, 2], [3, 4], [5, 6]])
    found = compare("golden", expected, np.array([[1, 2], [3, 9], [0, 0]]))
    assert (found.samples, found.mismatches) == (3, 2)
    assert found.first_mismatch == "sample 1, output 1: expected 4, got 9"
    assert compare("golden", expected, expected[:2]).passed is False


def test_a_mismatch_outranks_what_could_not_be_climbed():
    error = RungError.of(PortError("unplugged"))
    rows = [
        Rung("golden", True, "student.onnx", 2, 0, {}, 1.0, "", {}),
        Rung("rtl", False, "golden", 0, None, {}, 1.0, "", {}, error=error),
        Rung("board", False, "golden", 2, 1, {}, 1.0, "", {}),
    ]
    found = failure(rows, "toy")
    assert isinstance(found, VerificationError)
    assert str(found) == "toy: rung 'board' failed: 1 mismatches in 2 samples against golden"
    found = failure(rows[:2], "toy")
    assert isinstance(found, PortError) and str(found) == "toy: rung 'rtl': unplugged"
    assert failure(rows[:1], "toy") is None
