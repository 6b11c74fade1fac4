"""The verification ladder as a JUnit file, one test case a rung, for CI systems."""

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from common.files import write_output
from pipeline.artefacts.verification import Rung


def write(path: Path, build: str, rungs: Sequence[Rung]) -> None:
    """Write the rungs of `build`; raises as `common.files.write_output` does."""
    suite = ElementTree.Element(
        "testsuite",
        name=f"retort.{build}",
        tests=str(len(rungs)),
        failures=str(sum(rung.failed for rung in rungs)),
        errors=str(sum(rung.error is not None for rung in rungs)),
        skipped=str(sum(rung.passed is None for rung in rungs)),
        time=f"{sum(rung.seconds for rung in rungs):.3f}",
    )
    suite.extend(_case(build, rung) for rung in rungs)
    root = ElementTree.Element("testsuites")
    root.append(suite)
    ElementTree.indent(root)
    write_output(path, ElementTree.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n")


def _case(build: str, rung: Rung) -> ElementTree.Element:
    case = ElementTree.Element(
        "testcase", classname=f"retort.{build}", name=rung.rung, time=f"{rung.seconds:.3f}"
    )
    if rung.error:
        ElementTree.SubElement(case, "error", type=rung.error.kind, message=rung.summary)
    elif rung.verdict != "passed":
        ElementTree.SubElement(case, rung.verdict.replace("failed", "failure"), message=rung.summary)
    return case
