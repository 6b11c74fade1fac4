"""Parts of the script that is sent to where Vivado is: what it makes of the files that AMD's tools leave."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from hw.finn.vivado import finn_build

ROUTE = "CRITICAL WARNING: [Route 35-39] The design did not meet timing requirements."


def log(folder: Path, name: str, text: str, age: int = 0) -> None:
    path = folder / "finn" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (1e9 - age, 1e9 - age))


def test_first_error_of_the_last_log_that_has_one(tmp_path: Path) -> None:
    log(tmp_path, "stitch/vivado.log", "ERROR: [Old 1-1] of another step\n", age=9)
    log(
        tmp_path,
        "zynq/runs/impl_1/runme.log",
        "INFO: x\nERROR: [Place 30-640] too many LUTs\nERROR: it failed\n",
        5,
    )
    log(tmp_path, "zynq/vivado.log", "WARNING: [Common 1-2] ERROR is not what this is\n")
    assert finn_build.amd_error(tmp_path) == "ERROR: [Place 30-640] too many LUTs"


def test_finn_is_asked_where_amd_says_nothing(tmp_path: Path) -> None:
    assert finn_build.amd_error(tmp_path) is None
    assert finn_build.finn_error(tmp_path) == "FINN's builder failed and said nothing"
    (tmp_path / "build").mkdir()
    (tmp_path / "build" / "build_dataflow.log").write_text(
        "[t]INFO:Running step: step_hw_ipgen\n[t]ERROR:FINN ERROR: HLS IP   Generation failed.\n"
    )
    assert finn_build.finn_error(tmp_path) == "FINN ERROR: HLS IP Generation failed."


def test_missed_timing_is_told_though_the_build_went_on(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "plan.json").write_text(json.dumps({"finn": "1.6.1", "vivado": None, "shell": "zynq"}))
    monkeypatch.setattr(finn_build, "find_versions", lambda: {"finn": "1.6.1", "vivado": "2024.2"})
    monkeypatch.setattr(finn_build, "run_finn", lambda folder, plan: 0)
    log(tmp_path, "zynq/runs/impl_1/runme.log", f"INFO: x\n{ROUTE}\nINFO: y\n")
    (tmp_path / "build" / "report").mkdir(parents=True)
    assert finn_build.main(tmp_path) == 0
    outcome = json.loads((tmp_path / "out" / "outcome.json").read_text())
    assert outcome["timing"] == [ROUTE]
    assert (tmp_path / "out" / "vivado_logs.zip").stat().st_size > 100


def test_builder_that_ends_with_minus_one(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "plan.json").write_text(json.dumps({"finn": "1.6.1", "vivado": "2024.2", "shell": "zynq"}))
    monkeypatch.setattr(finn_build, "find_versions", lambda: {"finn": "1.6.1", "vivado": "2024.2"})
    monkeypatch.setattr(finn_build, "run_finn", lambda folder, plan: -1)
    log(tmp_path, "stitch/vivado.log", "ERROR: [Common 17-345] no licence\n")
    assert finn_build.main(tmp_path) == 1
    outcome = json.loads((tmp_path / "out" / "outcome.json").read_text())
    assert (outcome["status"], outcome["message"]) == ("failed", "ERROR: [Common 17-345] no licence")


@dataclass
class Model:
    """FINN's notes on what its steps made."""

    notes: dict[str, str]

    def get_metadata_prop(self, key: str) -> str | None:
        return self.notes.get(key)


@dataclass
class Config:
    folder: Path

    def get_report_directory(self) -> Path:
        return self.folder


def reports(notes: dict[str, str], files: list[Path], folder: Path) -> dict[str, str]:
    """What the last step gathers of files that hold their own names."""
    for path in files:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(path.name)
    report = folder / "report"
    report.mkdir()
    finn_build.step_gather_reports(Model(notes), Config(report))
    return {path.name: path.read_text() for path in report.iterdir()}


def test_reports_of_an_alveo_design_after_the_last_optimization(tmp_path: Path) -> None:
    link = tmp_path / "link"
    runs = link / "_x" / "link" / "vivado" / "vpl" / "prj" / "prj.runs" / "impl_1"
    names = ["a_timing_summary_routed.rpt", "a_timing_summary_postroute_physopted.rpt", "a_power_routed.rpt"]
    found = reports(
        {"bitfile": json.dumps({"0": str(link / "a.xclbin")})},
        [runs / name for name in [*names, "a_utilization_placed.rpt"]],
        tmp_path,
    )
    assert found == {
        "vivado_timing.rpt": "a_timing_summary_postroute_physopted.rpt",
        "vivado_utilization.rpt": "a_utilization_placed.rpt",
        "vivado_power.rpt": "a_power_routed.rpt",
    }


def test_report_that_is_one_of_two_is_none(tmp_path: Path) -> None:
    runs = tmp_path / "zynq" / "finn_zynq_link.runs" / "impl_1"
    names = ["a_power_routed.rpt", "b_power_routed.rpt", "a_timing_summary_routed.rpt"]
    found = reports({"vivado_pynq_proj": str(tmp_path / "zynq")}, [runs / name for name in names], tmp_path)
    assert found == {"vivado_timing.rpt": "a_timing_summary_routed.rpt"}


@pytest.mark.parametrize("found", ["2024.2", None])
def test_version(found: str | None) -> None:
    plan = {"finn": "1.6.1", "vivado": found}
    finn_build.check_versions(plan, {"finn": "1.6.1", "vivado": "2024.2"})
    with pytest.raises(finn_build.MissingError, match=r"finn 1\.5 is here, the plan is for 1\.6\.1"):
        finn_build.check_versions(plan, {"finn": "1.5", "vivado": "2024.2"})
