import json
from pathlib import Path

import pytest

from common.errors import ModelFileError, StoreError
from pipeline.artefacts.folder import Folder
from pipeline.report.render import layer_table, render
from tests.pipeline.report.sample import FINN_RTL, LAYERS, METRICS, TRAINING, VERIFICATION, write_folder


def test_reads_everything(tmp_path: Path) -> None:
    data = Folder(write_folder(tmp_path / "out"))
    assert data.name == "digits-icebreaker"
    assert [rung.verdict for rung in data.verification] == ["passed"] * 8 + ["skipped"]
    assert data.verification[-1].skipped == "no serial port given"
    assert data.training and data.training.student and data.training.student.chosen == 79
    assert data.utilization and data.utilization.resources["ICESTORM_RAM"].used == 28


def test_artefacts_are_all_files_but_logs_leftovers_and_the_report(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "out")
    (folder / "report.html").write_text("old")
    (folder / "failed").mkdir()
    (folder / "failed" / "core.v").write_text("module")
    artefacts = {artefact.name: artefact for artefact in Folder(folder).artefacts()}
    assert not {name for name in artefacts if name.startswith(("logs", "failed", "report"))}
    core = artefacts["core.bin"]
    assert (core.size, core.stage, core.sha256) == (104161, "bitstream", "12" * 32)
    assert artefacts["metrics.json"].stage == "export"
    (folder / "notes.txt").write_text("a user's own")
    assert {each.name: each.stage for each in Folder(folder).artefacts()}["notes.txt"] == ""


def test_layers_are_those_that_the_board_gets(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "out")
    (folder / "finn_rtl.json").write_text(json.dumps(FINN_RTL))
    table = layer_table(Folder(folder))
    assert table and [row["name"] for row in table.rows] == [row["name"] for row in LAYERS]
    (folder / "build.lock.json").unlink()  # where no lock says what is the build's, all is
    table = layer_table(Folder(folder))
    assert table and [row["name"] for row in table.rows] == ["MVAU_rtl_0"]
    (folder / "finn_rtl.json").write_text("{}")
    with pytest.raises(ModelFileError, match=r"finn_rtl\.json: finn: "):
        layer_table(Folder(folder))


@pytest.mark.parametrize("name", ["metrics.json", "verification.json"])
def test_mandatory_files(tmp_path: Path, name: str) -> None:
    folder = write_folder(tmp_path / "out")
    (folder / name).unlink()
    with pytest.raises(StoreError, match=rf"{name}: cannot be read .*retort build"):
        render(folder)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("metrics.json", "{", r"metrics\.json: file: Invalid JSON"),
        ("metrics.json", "[]", r"metrics\.json: file: "),
        ("metrics.json", json.dumps(METRICS | {"student": "good"}), "student: "),
        ("metrics.json", json.dumps(METRICS | {"confusion_matrix": [[1, 2], [3]]}), "not square"),
        ("verification.json", json.dumps([VERIFICATION[0] | {"passed": "yes"}]), r"0\.passed: "),
        ("verification.json", "", "Invalid JSON"),
        (
            "training.json",
            json.dumps(TRAINING | {"student": {"epochs": [], "chosen": 0}}),
            "student: .* epoch 0 of 0 chosen",
        ),
        ("layers.json", '{"name": "mvau_0"}', r"layers\.json: file: "),
        ("utilization.json", '{"device": "up5k"}', "utilization.json: board: Field required"),
        ("build.lock.json", "{}", r"build\.lock\.json: not a lock of a build .build: Field required"),
        ("floorplan.svg", "<html></html>", "not a plain SVG"),
        ("floorplan.svg", "<svg ><script>1</script></svg>", "not a plain SVG"),
    ],
)
def test_malformed_files(tmp_path: Path, name: str, content: str, message: str) -> None:
    folder = write_folder(tmp_path / "out")
    (folder / name).write_text(content)
    with pytest.raises(StoreError, match=message) as caught:
        render(folder)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "out")
    (folder / "floorplan.svg").write_bytes(b"<svg \xff")
    with pytest.raises(StoreError, match="cannot be read"):
        render(folder)
