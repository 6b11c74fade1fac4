"""`retort tree` on a tiny build: what it writes, and that core and chip give the tree's labels."""

import json

import numpy as np
import pytest

from models.data import load
from models.students.tree import DecisionTree
from tests.conftest import retort
from tests.locks import lock_again

pytestmark = pytest.mark.slow


def test_tree_and_its_core(tiny, tmp_path):
    options = ("--store", tiny.store, "--out", tmp_path, "--depth", 5, "--no-bitstream")
    done = retort("tree", tiny.file, *options, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    folder = tmp_path / "tiny" / "tree"
    assert not (folder / "netlist.json").exists()
    tree = DecisionTree.load(folder / "tree.json")
    assert tree.depth == found["depth"] <= 5 and tree.leaves == found["leaves"] <= 32
    test = load(folder / "data.safetensors").test
    assert found["accuracy"] == np.mean(tree.predict(test.x) == test.y) > 0.4
    (rung,) = found["rungs"]
    assert (rung["rung"], rung["passed"], rung["samples"]) == ("rtl", True, len(test))
    assert rung["metrics"]["interval_cycles"] == 64

    printed = retort("tree", tiny.file, *options, "--print")
    assert printed.stdout.count("\n") >= tree.leaves and "rtl  passed" in printed.stdout
    assert "tree: cached" in printed.stderr and "verify: cached" in printed.stderr

    raw = json.loads((folder / "tree.json").read_text())
    raw["label"] = [9 - label for label in raw["label"]]
    (folder / "tree.json").write_text(json.dumps(raw))
    done = retort("verify", folder)
    assert done.returncode == 6 and "tree.json: is not what was built" in done.stderr
    lock_again(folder)
    done = retort("verify", folder)
    assert done.returncode == 12 and "rung 'rtl'" in done.stderr and "against tree" in done.stderr
    done = retort("verify", folder, "--port", "/dev/null")
    assert "built without a bitstream; run retort tree" in done.stderr


def test_tree_on_its_board(tiny, tmp_path):
    options = ("--store", tiny.store, "--out", tmp_path, "--depth", 2)
    done = retort("tree", tiny.file, *options, "--json")
    assert done.returncode == 0, done.stderr
    rungs = {rung["rung"]: rung for rung in json.loads(done.stdout)["rungs"]}
    assert list(rungs) == ["rtl", "netlist", "bitstream", "board"]
    for name, rung in rungs.items():
        if rung.get("skipped") and name == "bitstream":
            continue
        assert rung["passed"] and rung["mismatches"] == 0 and rung["samples"] >= 16, rung
    folder = tmp_path / "tiny" / "tree"
    used = json.loads((folder / "utilization.json").read_text())
    assert used["timing_met"] and 0 < used["resources"]["ICESTORM_LC"]["used"] < 500
    assert (folder / "bitstream.bin").stat().st_size > 100_000
    lock = json.loads((folder / "build.lock.json").read_text())
    assert lock["board"] == "icebreaker" and "bitstream.bin" in lock["stages"]["bitstream"]["files"]


def test_refused_depth(tiny, tmp_path):
    done = retort("tree", tiny.file, "--store", tmp_path / "store", "--out", tmp_path, "--depth", 0)
    assert done.returncode == 2 and "depth" in done.stderr and "Traceback" not in done.stderr
    assert "teacher" not in done.stderr
