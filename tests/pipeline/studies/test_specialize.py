"""`retort experiment specialize`: its table recomputed, its cores, and what it refuses."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from common.errors import ConfigError
from common.topology import AveragePool, Conv, Dense, Topology
from models.data.scenes import ANSWERS, TEMPLATES, ask, scenes
from models.students import integer
from pipeline.cli.app import app
from pipeline.studies.specialize import Specialization, build_core, measure, student
from tests.conftest import retort
from tests.models.networks import random_network


def test_measures():
    questions = ask(60, seed=4)
    networks = [random_network(seed, student((3, 3, 67))) for seed in (1, 2)]
    found = measure(networks, questions)
    frames = questions.frames().reshape(60, -1)
    logits = [network.forward(frames) * network.logit_scale for network in networks]
    right = [each.argmax(axis=1) == questions.answers for each in logits]
    exponentials = [np.exp(each - each.max(axis=1, keepdims=True)) for each in logits]
    mean = sum(each / each.sum(axis=1, keepdims=True) for each in exponentials)
    assert found["top1"] == np.mean(mean.argmax(axis=1) == questions.answers)
    assert found["oracle"] == np.mean(right[0] | right[1]) >= found["member"] == np.mean(right)
    for name, score in found["templates"][1].items():
        assert score == right[1][questions.templates == TEMPLATES.index(name)].mean()


@pytest.mark.parametrize(
    ("option", "value", "why"),
    [
        ("members", 1, "an ensemble of 1 cannot specialize"),
        ("overlap", 0, "overlap is 0"),
        ("overlap", 4, "give 1 to 3"),
        ("temperature", 0, "temperature is 0"),
        ("beta", -1, "beta is -1"),
        ("assign", "both", "assign is 'both'"),
        ("seeds", 1, "--seeds: 1"),
        ("samples", 10, "--samples: 10"),
        ("epochs", 0, "epochs is 0"),
        ("board", "hx9k", "unknown board 'hx9k'"),
        ("board", "pynq-z1", "board 'pynq-z1' has an AMD chip"),
    ],
)
def test_refuses_before_anything_runs(option, value, why, tmp_path):
    arguments = ["specialize", f"--{option}", str(value), "--out", str(tmp_path)]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == ConfigError.exit_code and why in done.stderr and done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_every_run_has_seeds_of_its_own():
    asked = Specialization(members=4, overlap=4, seed=7)
    assert [asked.training(run, 1, 1e-2).seed for run in range(3)] == [7, 11, 15]
    assert list(asked.losses()) == ["independent", "mcl", "cmcl", "mcl-kd"]


@pytest.mark.slow
def test_the_command(tmp_path):
    options = ("--members", 2, "--seeds", 2, "--samples", 256, "--base-epochs", 2, "--epochs", 1)
    done = retort("specialize", *options, "--out", tmp_path, "--name", "tiny", "--json")
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    folder = tmp_path / "tiny"
    written = json.loads((folder / "specialize.json").read_text())
    assert written == {key: value for key, value in found.items() if key != "folder"}
    methods = [row["method"] for row in found["table"]]
    assert methods == ["base models", "independent", "mcl", "cmcl", "mcl-kd"]
    for row in found["table"]:
        runs = [run[row["method"]] for run in found["runs"]]
        assert row["oracle"]["mean"] == pytest.approx(np.mean([run["oracle"] for run in runs]))
        against = [run["independent"]["top1"] for run in found["runs"]]
        difference = np.mean([run["top1"] for run in runs]) - np.mean(against)
        assert row["top1_difference"]["mean"] == pytest.approx(difference, abs=1e-9)
    dataset, questions = scenes(256, 1000, 1000, 1)
    networks = [integer.load(folder / f"member{place}" / "frozen.safetensors") for place in range(2)]
    assert measure(networks, questions) == found["runs"][0]["mcl-kd"]
    assert found["majority"] == np.bincount(dataset.test.y).max() / 1000
    assert [core["questions"] for core in found["cores"]] == [1000, 1000]
    for core in found["cores"]:
        files = {path.name for path in (folder / core["folder"]).iterdir()}
        assert {"golden.onnx", "student.qonnx.onnx", "core.v", "io.json", "core.log"} <= files


@pytest.mark.slow
def test_a_member_goes_to_the_board(tmp_path):
    """A smaller one than the command's, which takes nearly all of the chip."""
    small = Topology(
        (3, 3, 67), (Conv(4, (1, 1), 3, 3), AveragePool(None, None), Dense(len(ANSWERS), 3, None))
    )
    network, asked = random_network(3, small), Specialization(board="hx8k")
    found = build_core(network, ask(24, seed=4), tmp_path / "member0", asked, lambda *_: None)
    assert [rung["rung"] for rung in found["rungs"]] == ["rtl", "netlist", "bitstream", "board"]
    for rung in found["rungs"]:
        assert rung["mismatches"] in (0, None), rung
        assert rung["passed"] or "icebox_vlog is not installed" in rung["skipped"]
    assert (tmp_path / "member0" / "bitstream.bin").stat().st_size > 10_000
    assert found["interval_cycles"] == found["rungs"][0]["metrics"]["interval_bound_cycles"]
