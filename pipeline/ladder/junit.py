"""The verification ladder as a JUnit file, one test case a rung, for CI systems."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from common.files import write_output


def write(path: Path, build: str, rungs: Sequence[Mapping[str, Any]]) -> None:
    """Write the rungs of `build`: a rung whose `passed` is None was skipped, one with an `error` not climbed.

    Raises as `common.files.write_output` does.
    """
    suite = ElementTree.Element(
        "testsuite",
        name=f"retort.{build}",
        tests=str(len(rungs)),
        failures=str(sum(rung["passed"] is False and "error" not in rung for rung in rungs)),
        errors=str(sum("error" in rung for rung in rungs)),
        skipped=str(sum(rung["passed"] is None for rung in rungs)),
        time=f"{sum(_seconds(rung) for rung in rungs):.3f}",
    )
    for rung in rungs:
        suite.append(_case(build, rung))
    root = ElementTree.Element("testsuites")
    root.append(suite)
    ElementTree.indent(root)
    write_output(path, ElementTree.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n")


def _case(build: str, rung: Mapping[str, Any]) -> ElementTree.Element:
    case = ElementTree.Element(
        "testcase", classname=f"retort.{build}", name=str(rung["rung"]), time=f"{_seconds(rung):.3f}"
    )
    if rung["passed"] is None:
        ElementTree.SubElement(case, "skipped", message=summary(rung))
    elif "error" in rung:
        error = rung["error"]
        ElementTree.SubElement(case, "error", type=str(error["kind"]), message=str(error["message"]))
    elif not rung["passed"]:
        ElementTree.SubElement(case, "failure", message=summary(rung))
    return case


def summary(rung: Mapping[str, Any]) -> str:
    """A rung in a few words."""
    if "error" in rung:
        return str(rung["error"]["message"])
    if rung.get("passed") is None:
        return str(rung.get("skipped", "not run"))
    samples, against = rung.get("samples"), rung.get("against")
    text = f"{rung.get('mismatches')} mismatches in {samples} samples against {against}"
    first = rung.get("first_mismatch")
    return f"{text}: {first}" if first else text


def _seconds(rung: Mapping[str, Any]) -> float:
    return float(rung.get("seconds") or 0.0)
