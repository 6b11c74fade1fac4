"""`retort detect` on the tiny build's digits: core and golden model, what is written, refusals."""

import json
import re
import shutil

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from typer.testing import CliRunner

from common.errors import DataError
from hw.interface import CoreInterface
from models import data
from models.tasks.detection.boxes import mean_average_precision
from models.tasks.detection.grid import Grid
from models.tasks.detection.scenes import NONE, SceneConfig, Scenes, make_scenes
from pipeline.cli.app import app
from pipeline.config.build import load
from pipeline.ladder.own import climb_own
from tests.conftest import retort

SETTINGS = ("--scenes", 60, "--test-scenes", 20, "--epochs", 1, "--teacher-epochs", 1, "--seeds", 2)
SMALL = ("--widths", "4,4,8", "--teacher-widths", "4,8,8", "--bits", 3)


def file_for(tiny_file, base):
    file = base / "tiny.toml"
    file.write_text(tiny_file.read_text().replace('"icebreaker"', '"hx8k"'))
    return file


def run(file, base):
    return retort(
        *("detect", file, "--store", base / "store", "--out", base / "out"),
        *(*SETTINGS, *SMALL, "--hint-layer", "layer4", "--margin", 0.1, "--json"),
    )


@pytest.fixture(scope="module")
def found(tiny_file, tmp_path_factory):
    """What the command says of the tiny build, on a board without memory to load, and its folder."""
    base = tmp_path_factory.mktemp("detect")
    done = run(file_for(tiny_file, base), base)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout), base / "out" / "tiny" / "detection", base


@pytest.mark.slow
def test_the_core_is_simulated_on_all_scenes(found):
    told, folder, _ = found
    assert json.loads((folder / "detection.json").read_text()).items() <= told.items()
    rtl = told["rungs"][0]
    assert (rtl["rung"], rtl["samples"], rtl["mismatches"]) == ("rtl", 20, 0)
    assert 0 < rtl["metrics"]["interval_cycles"] == told["hardware"]["interval_bound_cycles"] <= 20_000
    interface = CoreInterface.load(folder / "io.json")
    assert interface.input.shape == (24, 24, 1) and interface.output.shape == (6 * 6 * 15,)
    assert (folder / "core.v").read_text().count("module core") >= 1
    assert told["settings"]["loss"]["hint_layer"] == "layer4" and told["settings"]["loss"]["margin"] == 0.1


@pytest.mark.slow
def test_it_goes_to_the_board(found):
    told, folder, _ = found
    assert [rung["rung"] for rung in told["rungs"]] == ["rtl", "netlist", "bitstream", "board"]
    for rung in told["rungs"]:
        assert rung["against"] == "golden" and rung["mismatches"] in (0, None), rung
        assert rung["passed"] or "icebox_vlog is not installed" in rung["skipped"]
    assert (folder / "bitstream.bin").stat().st_size > 10_000


@pytest.mark.slow
def test_a_second_run_trains_nothing(found):
    told, _, base = found
    done = run(base / "tiny.toml", base)
    assert json.loads(done.stdout) == told and "student" not in done.stderr


@pytest.mark.slow
def test_a_spoiled_golden_is_found(found, tmp_path):
    _, folder, base = found
    spoiled = tmp_path / "spoiled"
    shutil.copytree(folder, spoiled)
    model = onnx.load(spoiled / "golden.onnx")
    weights = max(model.graph.initializer, key=lambda each: len(each.raw_data))
    weights.raw_data = bytes([weights.raw_data[0] ^ 1]) + weights.raw_data[1:]
    onnx.save(model, spoiled / "golden.onnx")
    config = load(base / "tiny.toml")
    (rtl,) = climb_own(config, spoiled, {"detector": "key"}, tmp_path / "log", lambda *_: None).rungs
    assert rtl["passed"] is False and rtl["mismatches"] > 0 and rtl["key"] == "key"


@pytest.mark.slow
def test_the_files_tell_how_to_decode(found):
    """The first student's score again, from golden model, `decode` and scenes made anew."""
    told, folder, base = found
    file = base / "tiny.toml"
    decode = told["decode"]
    grid = Grid(**{key: decode[key] for key in ("side", "stride", "anchor", "classes")})
    done = retort("build", file, "--until", "data", "--store", base / "store", "--out", base / "data")
    assert done.returncode == 0, done.stderr[-2000:]
    dataset = data.load(base / "data" / "tiny" / "data.safetensors")
    asked, seed = SceneConfig.of(dataset.input_shape), load(file).seed
    scenes = make_scenes(dataset.test, dataset.input_shape, 10, asked, 20, [seed, 2])
    session = ort.InferenceSession(folder / "golden.onnx", providers=["CPUExecutionProvider"])
    (outputs,) = session.run(["logits"], {"x": scenes.x})
    score = mean_average_precision(grid.detections(outputs * decode["scale"]), scenes)
    assert told["students"][0]["distilled"] == score
    assert told["objects"] == (scenes.labels >= 0).sum()
    for key in ("distilled", "labels"):
        assert told[key]["mean"] == pytest.approx(np.mean([row[key] for row in told["students"]]))


def test_scenes_are_read_as_they_were_written(tmp_path):
    scenes = Scenes(
        np.arange(8, dtype=np.uint8).reshape(2, 4),
        np.array([[1], [NONE]]),
        np.array([[[0, 0, 1, 2]], [[0, 0, 0, 0]]]),
        (2, 2, 1),
        3,
    )
    scenes.save(tmp_path / "scenes.safetensors")
    read = Scenes.load(tmp_path / "scenes.safetensors")
    assert (read.shape, read.classes) == ((2, 2, 1), 3)
    for name in ("x", "labels", "boxes"):
        assert np.array_equal(getattr(read, name), getattr(scenes, name))
    (tmp_path / "other").write_bytes(b"{}")
    with pytest.raises(DataError, match="cannot be read as a scenes file"):
        Scenes.load(tmp_path / "other")


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
        (("--widths", "8,32,64"), "the student needs .* the budget of icebreaker is"),
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
