"""Build files around a network made elsewhere."""

import os
from pathlib import Path

import numpy as np
import pytest

from common.errors import ConfigError, DataError, ModelFileError
from pipeline.config.file import load, parse
from pipeline.config.imported import ImportedStudent, network_key
from pipeline.config.quantized import QuantizedStudent
from pipeline.stages import stages_of
from tests.hw.foreign import Foreign
from tests.pipeline.toy import BUILDS

GOOD = {
    "name": "x",
    "seed": 1,
    "student": {"kind": "imported", "path": "x.onnx", "scale": [0.5, 1], "offset": 2},
    "data": {"source": "digits", "test_fraction": 0.2, "validation_fraction": 0.2},
    "compile": {"target_cycles": 100},
    "board": {"name": "icebreaker"},
}
RECORDED = {"kind": "imported", "path": "x", "recorded": "y"}


def changed(**tables: object) -> dict[str, object]:
    return {key: value for key, value in (GOOD | tables).items() if value is not None}


def test_student_as() -> None:
    imported, trained = parse(GOOD, "x.toml"), load(BUILDS / "digits-icebreaker.toml")
    student = imported.student_as(ImportedStudent)
    assert student.scale == (0.5, 1.0) and student.offset == 2.0
    assert trained.student_as(QuantizedStudent) is trained.student
    assert (imported.teacher, imported.distill, imported.training) == (None, None, None)
    with pytest.raises(ConfigError, match=r"x: student\.kind: 'imported' has nothing to train"):
        imported.student_as(QuantizedStudent)


def test_a_lock_gives_the_same_build() -> None:
    config = parse(GOOD, "x.toml")
    assert parse(config.model_dump(mode="json"), "lock") == config


@pytest.mark.parametrize(
    ("tables", "first"),
    [
        ({}, ["network", "data"]),
        ({"data": None, "student": RECORDED}, ["network"]),
    ],
)
def test_its_stages(tables: dict[str, object], first: list[str]) -> None:
    stages = stages_of(parse(changed(**tables), "x.toml"))
    assert [stage.name for stage in stages] == [*first, "compile", "bitstream", "verify", "report"]


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        (
            {"teacher": {}},
            "teacher: an imported network is not trained; remove [teacher]",
        ),
        ({"data": None}, "data: missing; add it, or student.recorded, for frames to verify with"),
        ({"network": {"path": "x"}}, 'network: is now [student] with kind = "imported", and the same keys'),
        ({"student": {"kind": "trees"}}, "student.kind: unknown kind 'trees'; did you mean 'tree'?"),
        (
            {"compile": {"target_cycles": 9, "fold": [{"pe": 1, "simd": 1}]}},
            "compile.target_cycles: compile.target_cycles and compile.fold are set; give one of them",
        ),
        (
            {
                "data": None,
                "student": RECORDED,
                "verify": {"minimum_accuracy": 0.5},
            },
            "verify.minimum_accuracy: without [data] there are no labels; add it, or remove the key",
        ),
        (
            {"verify": {"maximum_drop": 0.5}},
            "verify.maximum_drop: a student of kind 'imported' does not use it; remove the key",
        ),
        (
            {"student": {"kind": "imported", "path": "x", "scale": 0}},
            "student.scale: input should be a number, 1e-09 to 1e+09, or one for each channel, not 0",
        ),
        (
            {"student": {"kind": "imported", "path": "x", "offset": ["a"]}},
            "student.offset: input should be a number, -1e+09 to 1e+09, or one for each channel",
        ),
        ({"student": {"kind": "imported", "scale": 1.0}}, "student.path: missing; add it"),
        (
            {"student": {"kind": "imported", "path": "x", "flattened": "nchw"}},
            "student.flattened: unknown value 'nchw'; give 'chw' or 'hwc'",
        ),
        (
            {"verify": {"minimum_agreement": 0, "maximum_apart": 1}},
            "verify.maximum_apart: with minimum_agreement 0 every network passes; give less than 1",
        ),
    ],
)
def test_what_is_wrong_is_one_line(tables: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(changed(**tables), "x.toml")
    assert str(caught.value) == f"x.toml: {message}"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    network = Foreign((6,))
    network.dense(network.quant("input", 4, 0.2), 6, 3)
    return network.save(tmp_path / "x.onnx")


def test_content_makes_the_key_and_not_the_place(file: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    moved = tmp_path / "other" / "y.onnx"
    moved.write_bytes(file.read_bytes())
    key = network_key(ImportedStudent(kind="imported", path=str(file)))
    assert network_key(ImportedStudent(kind="imported", path=str(moved))) == key
    assert network_key(ImportedStudent(kind="imported", path=str(file), scale=0.5)) != key
    other = Foreign((6,), seed=1)
    other.dense(other.quant("input", 4, 0.2), 6, 3)
    assert network_key(ImportedStudent(kind="imported", path=str(other.save(moved)))) != key


def test_weights_beside_the_file_are_its_content(file: Path, tmp_path: Path) -> None:
    import onnx

    path = tmp_path / "split.onnx"
    onnx.save(onnx.load(file), path, save_as_external_data=True, location="split.data", size_threshold=0)
    key = network_key(ImportedStudent(kind="imported", path=str(path)))
    weights = tmp_path / "split.data"
    weights.write_bytes(bytes(byte ^ (at % 4 == 0) for at, byte in enumerate(weights.read_bytes())))
    assert network_key(ImportedStudent(kind="imported", path=str(path))) != key
    weights.unlink()
    with pytest.raises(ModelFileError, match=r"split\.onnx: not ONNX"):
        network_key(ImportedStudent(kind="imported", path=str(path)))


def test_nothing_waits_for_a_fifo_or_reads_a_device(file: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for odd in (str(tmp_path / "fifo"), "/dev/zero", str(tmp_path)):
        with pytest.raises(ModelFileError, match=rf"student\.path: {odd}: is no file"):
            network_key(ImportedStudent(kind="imported", path=odd))
        with pytest.raises(DataError, match=rf"student\.recorded: {odd}: is no file"):
            network_key(ImportedStudent(kind="imported", path=str(file), recorded=odd))


def test_recorded_tensors_are_part_of_the_key(file: Path, tmp_path: Path) -> None:
    recorded = tmp_path / "r.npz"
    config = ImportedStudent(kind="imported", path=str(file), recorded=str(recorded))
    with pytest.raises(DataError, match=r"student\.recorded: .*cannot be read"):
        network_key(config)
    keys = []
    for value in (0, 1):
        np.savez(recorded, inputs=np.full((1, 6), value), outputs=np.zeros((1, 3)))
        keys.append(network_key(config))
    assert keys[0] != keys[1]


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"student\.path: .*none\.onnx: not ONNX"):
        network_key(ImportedStudent(kind="imported", path=str(tmp_path / "none.onnx")))
