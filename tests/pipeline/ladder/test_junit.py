from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

from common.errors import PortError
from pipeline.artefacts.verification import Rung, RungError
from pipeline.ladder.junit import write

GOLDEN = Rung("golden", True, "student.onnx", 360, 0, {}, 1.5, "", {})
RTL = Rung("rtl", False, "golden", 360, 2, {}, 2.25, "", {}, "sample 3, class 1: expected 5, got <6>")
RUNGS = [GOLDEN, RTL, Rung("board", None, "golden", 0, 0, {}, 0.0, "", {}, skipped="no port")]


def test_one_test_case_a_rung(tmp_path: Path) -> None:
    write(tmp_path / "junit.xml", "toy", RUNGS)
    suite = ElementTree.parse(tmp_path / "junit.xml").getroot().find("testsuite")
    assert suite is not None
    assert {key: suite.attrib[key] for key in ("name", "tests", "failures", "errors", "skipped", "time")} == {
        "name": "retort.toy",
        "tests": "3",
        "failures": "1",
        "errors": "0",
        "skipped": "1",
        "time": "3.750",
    }
    passed, failed, skipped = suite
    assert (passed.attrib["name"], list(passed)) == ("golden", [])
    assert failed[0].tag == "failure"
    assert failed[0].attrib["message"] == (
        "2 mismatches in 360 samples against golden: sample 3, class 1: expected 5, got <6>"
    )
    assert (skipped[0].tag, skipped[0].attrib["message"]) == ("skipped", "no port")


def test_what_could_not_be_climbed_is_an_error_and_no_failure(tmp_path: Path) -> None:
    error = RungError.of(PortError("/dev/none: not there"))
    write(tmp_path / "junit.xml", "toy", [GOLDEN, replace(RTL, rung="board", error=error)])
    suite = ElementTree.parse(tmp_path / "junit.xml").getroot()[0]
    assert (suite.get("failures"), suite.get("errors"), suite.get("skipped")) == ("0", "1", "0")
    ((told,),) = suite[1:]
    assert (told.tag, told.attrib) == ("error", {"type": "PortError", "message": "/dev/none: not there"})
