from pathlib import Path
from xml.etree import ElementTree

from pipeline.ladder.junit import write

RUNGS = [
    {
        "rung": "golden",
        "against": "student.onnx",
        "samples": 360,
        "mismatches": 0,
        "seconds": 1.5,
        "passed": True,
    },
    {
        "rung": "rtl",
        "against": "golden",
        "samples": 360,
        "mismatches": 2,
        "seconds": 2.25,
        "passed": False,
        "first_mismatch": "sample 3, class 1: expected 5, got <6>",
    },
    {
        "rung": "board",
        "against": "golden",
        "samples": 0,
        "mismatches": 0,
        "passed": None,
        "skipped": "no port",
    },
]


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
    error = {"kind": "PortError", "exit_code": 15, "message": "/dev/none: not there"}
    write(tmp_path / "junit.xml", "toy", [RUNGS[0], {**RUNGS[1], "rung": "board", "error": error}])
    suite = ElementTree.parse(tmp_path / "junit.xml").getroot()[0]
    assert (suite.get("failures"), suite.get("errors"), suite.get("skipped")) == ("0", "1", "0")
    ((told,),) = suite[1:]
    assert (told.tag, told.attrib) == ("error", {"type": "PortError", "message": "/dev/none: not there"})
