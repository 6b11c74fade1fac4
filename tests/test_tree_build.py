"""A build whose student is a decision tree: stages, all rungs, report, verify, infer; and what it refuses."""

import json

import numpy as np
import pytest

from common.errors import ConfigError
from hw.boards.boards import find
from hw.interface import CoreInterface
from hw.shells.protocol import design_identity
from hw.simulation import netlist, virtual_board
from models.data import load
from models.students.tree import DecisionTree
from pipeline.config.build import Build
from pipeline.config.file import parse
from pipeline.stages import stages_of
from tests.conftest import TINY, Built, build, retort
from tests.locks import lock_again

RUNGS = ["teacher", "student", "onnxruntime", "golden", "finn", "rtl", "netlist", "bitstream", "board"]
TABLES = {
    "name": "x",
    "data": {"source": "digits", "test_fraction": 0.2, "validation_fraction": 0.2},
    "student": {"kind": "tree", "depth": 4},
    "board": {"name": "icebreaker"},
}


def parsed(**tables: object) -> Build:
    return parse(TABLES | tables, "x.toml")


def test_its_stages_and_output() -> None:
    made = parsed()
    assert made.compile.output == "label" and parse(made.model_dump(mode="json"), "lock") == made
    names = [stage.name for stage in stages_of(made)]
    assert names == ["data", "teacher", "distill", "export", "compile", "bitstream", "verify", "report"]


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        (
            {"compile": {"output": "logits"}},
            "compile.output: the core of a tree gives the label; give 'label'",
        ),
        ({"compile": {"multiply": "lut"}}, "compile.multiply: a tree multiplies nothing; remove the key"),
        ({"compile": {"target_cycles": 9}}, "compile.target_cycles: a tree has no layers to fold"),
        ({"board": {"name": "pynq-z1"}}, "board.name: FINN, which builds for pynq-z1, knows no trees"),
        ({"student": {"kind": "tree", "depth": 21}}, "student.depth: "),
        ({"task": {"kind": "detection"}}, "task.kind: a tree gives classes"),
        ({"distill": {"losses": [{"method": "softened-softmax"}]}}, "distill: a tree does not use it"),
    ],
)
def test_what_a_tree_cannot_do_is_refused(tables: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parsed(**tables)
    assert message in str(caught.value)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Built:
    folder = tmp_path_factory.mktemp("tree")
    text = TINY.format(name="tiny-tree")
    head, _, rest = text.partition("[student]")
    file = folder / "tree.toml"
    file.write_text(f'{head}[student]\nkind = "tree"\ndepth = 5\n[board]{rest.partition("[board]")[2]}')
    return build(file, folder)


@pytest.mark.slow
def test_every_rung_passes_without_a_mismatch(tree: Built) -> None:
    rows = {row["rung"]: row for row in tree.json("verification.json")}
    assert list(rows) == RUNGS
    assert "no layers for FINN" in rows["finn"]["skipped"]
    test = load(tree.folder / "data.safetensors").test
    for name in ("onnxruntime", "golden", "rtl"):
        assert (rows[name]["passed"], rows[name]["mismatches"], rows[name]["samples"]) == (True, 0, len(test))
    for name in ("netlist", "bitstream", "board"):
        if name != "bitstream" or "skipped" not in rows[name]:
            assert rows[name]["passed"] and rows[name]["mismatches"] == 0 and rows[name]["samples"] >= 16
    assert rows["rtl"]["metrics"]["interval_cycles"] == 64
    found = DecisionTree.load(tree.folder / "tree.json")
    assert found.depth <= 5 and found.leaves <= 32
    assert len((tree.folder / "tree.txt").read_text().splitlines()) >= found.leaves
    metrics = tree.json("metrics.json")
    assert metrics["student"] == np.mean(found.predict(test.x) == test.y) > 0.4
    assert metrics["teacher"] > metrics["student"] and metrics["student_without_distillation"] > 0.4


@pytest.mark.slow
def test_report_and_verify_and_infer(tree: Built, tmp_path) -> None:
    assert retort("report", tree.folder).returncode == 0
    assert "tiny-tree" in (tree.folder / "report.html").read_text()
    x = load(tree.folder / "data.safetensors").test.x[:16]
    np.save(tmp_path / "x.npy", x)
    board, work = find("icebreaker"), tmp_path / "work"
    core = tree.folder / "core.v"
    interface = CoreInterface.load(tree.folder / "io.json")
    model = netlist.rtl_model(board, core, interface, design_identity(core.read_bytes()), work)
    log = tmp_path / "log"
    executable = virtual_board.build(
        model, work=work / "simulator", log=log, clocks_per_bit=board.clocks_per_bit, optimize="-O0"
    )
    with virtual_board.VirtualBoard(executable, log) as running:
        done = retort("infer", tree.folder, "--port", running.port, "--input", tmp_path / "x.npy", "--json")
    assert done.returncode == 0, done.stderr
    labels = DecisionTree.load(tree.folder / "tree.json").predict(x)
    assert np.ravel(json.loads(done.stdout)["outputs"]).tolist() == labels.tolist()


@pytest.mark.slow
def test_another_tree_is_found(tree: Built, tmp_path) -> None:
    """The rungs compare the tree with its ONNX files, so that a tree with other labels does not pass."""
    raw = tree.json("tree.json")
    kept = (tree.folder / "tree.json").read_text()
    raw["label"] = [9 - label for label in raw["label"]]
    try:
        (tree.folder / "tree.json").write_text(json.dumps(raw))
        done = retort("verify", tree.folder)
        assert done.returncode == 6 and "tree.json: is not what was built" in done.stderr
        lock_again(tree.folder)
        done = retort("verify", tree.folder)
        assert done.returncode == 12 and "rung 'student'" in done.stderr
        assert "onnxruntime  FAILED" in done.stdout
    finally:
        (tree.folder / "tree.json").write_text(kept)
        lock_again(tree.folder)
