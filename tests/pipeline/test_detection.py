"""`retort detect` on the tiny build's digits: core and golden model, what is written, refusals."""

import json
import re

import numpy as np
import onnxruntime as ort
import pytest
from typer.testing import CliRunner

from hw.interface import CoreInterface
from models import data
from models.detection.boxes import mean_average_precision
from models.detection.grid import Grid
from models.detection.scenes import SceneConfig, make_scenes
from pipeline.cli.app import app
from pipeline.config import load
from pipeline.detection import _compare
from pipeline.errors import VerificationError
from tests.conftest import retort

SETTINGS = ("--scenes", 60, "--test-scenes", 20, "--epochs", 1, "--teacher-epochs", 1, "--seeds", 2)
SMALL = ("--widths", "4,4,8", "--teacher-widths", "4,8,8", "--bits", 3)


@pytest.fixture(scope="module")
def found(tiny_file, tmp_path_factory):
    """What the command says, and its folder."""
    base = tmp_path_factory.mktemp("detect")
    done = retort(
        *("detect", tiny_file, "--store", base / "store", "--out", base / "out"),
        *(*SETTINGS, *SMALL, "--hint-layer", "layer4", "--margin", 0.1, "--json"),
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout), base / "out" / "tiny" / "detection", base


@pytest.mark.slow
def test_the_core_is_simulated_on_all_scenes(found):
    told, folder, _ = found
    assert json.loads((folder / "detection.json").read_text()) == told
    assert told["hardware"]["samples"] == 20 and told["hardware"]["mismatches"] == 0
    assert 0 < told["hardware"]["interval_cycles"] <= 20_000
    interface = CoreInterface.load(folder / "io.json")
    assert interface.input.shape == (24, 24, 1) and interface.output.shape == (6 * 6 * 15,)
    assert (folder / "core.v").read_text().count("module core") >= 1
    assert told["settings"]["loss"]["hint_layer"] == "layer4" and told["settings"]["loss"]["margin"] == 0.1


@pytest.mark.slow
def test_the_files_tell_how_to_decode(found, tiny_file):
    """The first student's score again, from golden model, `decode` and scenes made anew."""
    told, folder, base = found
    decode = told["decode"]
    grid = Grid(**{key: decode[key] for key in ("side", "stride", "anchor", "classes")})
    done = retort("build", tiny_file, "--until", "data", "--store", base / "store", "--out", base / "data")
    assert done.returncode == 0, done.stderr[-2000:]
    dataset = data.load(base / "data" / "tiny" / "data.safetensors")
    asked, seed = SceneConfig.of(dataset.input_shape), load(tiny_file).seed
    scenes = make_scenes(dataset.test, dataset.input_shape, 10, asked, 20, [seed, 2])
    session = ort.InferenceSession(folder / "golden.onnx", providers=["CPUExecutionProvider"])
    (outputs,) = session.run(["logits"], {"x": scenes.x})
    score = mean_average_precision(grid.detections(outputs * decode["scale"]), scenes)
    assert told["students"][0]["distilled"] == score
    assert told["objects"] == (scenes.labels >= 0).sum()
    for key in ("distilled", "labels"):
        assert told[key]["mean"] == pytest.approx(np.mean([row[key] for row in told["students"]]))


def test_a_mismatch_is_named():
    wanted = np.zeros((4, 6), np.int32)
    given = wanted.copy()
    given[2, 5], given[3, 0] = 7, 1
    with pytest.raises(
        VerificationError, match=r"core differs on 2 of 4 scenes, first on 2, value 5: 7 for 0"
    ):
        _compare("core", given, wanted)
    _compare("core", wanted, wanted.copy())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--temperature", 0), "temperature is 0.0; give a number above 0"),
        (("--hint-layer", ""), "a hint without a layer"),
        (("--hint-layer", "layer9"), "no hidden layer 'layer9' for the hint; known are layer0"),
        (("--side", 8), "8 pixels a side are too small for objects of 12"),
        (("--side", 30), "scenes of 30 pixels, cells of 4; give a multiple"),
        (("--widths", "8,x"), "--widths: '8,x' is no list of numbers"),
        (("--widths", "8,8"), "2 stages of the student, 3 of the teacher"),
        (("--bits", 0), "0-bit weights"),
        (("--seeds", 1), "seeds is 1; give at least 2"),
        (("--cycles", 100), "takes .* cycles a frame however it is folded"),
    ],
)
def test_bad_use_is_refused_before_any_training(tiny_file, tmp_path_factory, options, message):
    store = tmp_path_factory.getbasetemp() / "detect-refused"
    arguments = ("-q", "detect", tiny_file, "--store", store, "--out", store / "out", *options)
    failed = CliRunner().invoke(app, list(map(str, arguments)))
    assert failed.exit_code in (2, 10) and failed.stderr.count("\n") == 1
    assert re.search(message, failed.stderr), failed.stderr
    assert not (store / "out").exists()
