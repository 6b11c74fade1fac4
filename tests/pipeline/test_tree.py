"""`retort tree` on a tiny build: what it writes, and that the core gives the tree's labels."""

import json

import numpy as np
import pytest

from models.data import load
from models.tree import DecisionTree
from pipeline.store import Store
from tests.conftest import retort


@pytest.mark.slow
def test_tree_of_a_build(tiny, tmp_path):
    options = ("--store", tiny.store, "--out", tmp_path, "--depth", 5)
    done = retort("tree", tiny.file, *options, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    folder = tmp_path / "tiny" / "tree"
    assert {path.name for path in folder.iterdir()} == {"tree.json", "core.v", "io.json", "simulation.log"}
    tree = DecisionTree.load(folder / "tree.json")
    assert tree.depth == found["depth"] <= 5 and tree.leaves == found["leaves"] <= 32
    keys = json.loads((tiny.folder / "build.lock.json").read_text())["stages"]
    store = Store(tiny.store)
    test = load(store.path(store.manifest(keys["data"]["key"]), "data.safetensors")).test
    assert found["accuracy"] == np.mean(tree.predict(test.x) == test.y) > 0.4
    assert found["samples"] == len(test) and found["interval_cycles"] == 64

    printed = retort("tree", tiny.file, *options, "--print").stdout
    assert printed.count("\n") >= tree.leaves and f"core equal on {len(test)} of {len(test)}" in printed


@pytest.mark.slow
def test_refused_depth(tiny, tmp_path):
    done = retort("tree", tiny.file, "--store", tiny.store, "--out", tmp_path, "--depth", 0)
    assert done.returncode == 2 and "depth" in done.stderr and "Traceback" not in done.stderr
