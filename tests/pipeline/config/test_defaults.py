"""What a build file may leave out, and values that are set from outside."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from common.errors import ConfigError
from hw.boards.boards import find
from models.distill.losses import SoftenedSoftmax
from models.distill.losses.detection import DetectionLoss
from pipeline.config.file import left_out, load, load_checked, with_values
from pipeline.config.quantized import QuantizedStudent
from tests.conftest import retort

SHORT = """
[data]
{data}
[student]
layers = [{{ outputs = 8, weight_bits = 4, activation_bits = 4 }}, {{ outputs = {classes}, weight_bits = 4 }}]
[board]
name = "{board}"
"""


DIGITS = 'source = "digits"'


def short(tmp_path: Path, data: str = DIGITS, classes: int = 10, board: str = "icebreaker") -> Path:
    path = tmp_path / "short-build.toml"
    path.write_text(SHORT.format(data=data, classes=classes, board=board))
    return path


def test_data_layers_and_board_are_enough(tmp_path: Path) -> None:
    build = load_checked(short(tmp_path))
    assert (build.name, build.seed, build.task.kind) == ("short-build", 0, "classification")
    assert build.teacher and build.distill and build.training
    assert [network.kind for network in build.teacher.networks or ()] == ["cnn"] and build.teacher.views == 5
    assert [each.loss for each in build.distill.losses] == [SoftenedSoftmax()]
    assert build.compile.target_cycles == 64 * 10 * 12  # bytes, bits of each on the line, clocks a bit


def test_defaults_suit_data_and_board(tmp_path: Path) -> None:
    table = load_checked(short(tmp_path, 'source = "wine"', 3))
    assert table.teacher
    assert [network.kind for network in table.teacher.networks or ()] == ["mlp"] and table.teacher.views == 1
    amd = load_checked(short(tmp_path, board="pynq-z1"))
    assert amd.compile.target_cycles == find(amd.board.name).clock_hz // 1000
    path, rng = tmp_path / "own.npz", np.random.default_rng(0)
    np.savez(path, x=rng.random((60, 4)), y=np.arange(60) % 3)
    own = load_checked(short(tmp_path, f'source = "npz"\npath = "{path}"', 3))
    assert getattr(own.data, "test_fraction", None) == 0.2
    assert own.teacher and own.teacher.batch_size == own.student_as(QuantizedStudent).batch_size == 5


def test_what_is_given_stays(tmp_path: Path) -> None:
    values = ["teacher.views=2", "teacher.hidden=[16]", "compile.fold=[{pe=1,simd=1},{pe=1,simd=1}]"]
    build = load_checked(short(tmp_path), values)
    assert build.teacher and build.compile.target_cycles is None
    assert (build.teacher.views, build.teacher.hidden, build.teacher.networks) == (2, (16,), None)


def test_the_lock_has_all_defaults(tmp_path: Path) -> None:
    build = load_checked(short(tmp_path))
    lock = tmp_path / "build.lock.json"
    lock.write_text(json.dumps({"config": build.model_dump(mode="json")}))
    assert load(lock) == build == load_checked(lock)


def test_what_is_left_out_is_told(tmp_path: Path) -> None:
    path, values = short(tmp_path), ["student.epochs=3", 'distill.losses=[{method="dist"}]']
    found = left_out(load_checked(path, values), path, values)
    assert found["student.batch_size"] == 128 and found["compile.target_cycles"] == 7680
    assert found["distill.losses[0].weight"] == 1.0 and "distill.losses[0].method" not in found
    assert not {"student.epochs", "student.layers", "board.name", "verify.maximum_apart"} & found.keys()


def test_a_task_has_its_own_loss(tmp_path: Path) -> None:
    build = load(short(tmp_path), ["task.kind=detection"])
    assert build.distill and [type(each.loss) for each in build.distill.losses] == [DetectionLoss]
    with pytest.raises(ConfigError, match=r"losses\[0\]\.method: serves classification, not detection"):
        load(short(tmp_path), ["task.kind=detection", 'distill.losses=[{method="softened-softmax"}]'])


@pytest.mark.parametrize(
    ("override", "found"),
    [
        ("student.epochs=3", lambda build: build.student.epochs == 3),
        ("board.name=hx8k", lambda build: build.board.name == "hx8k"),
        ("student.layers[0].outputs=16", lambda build: build.student.layers[0].outputs == (16,)),
        ("student.layers[*].weight_bits=2", lambda build: build.student.layers[1].weight_bits == (2,)),
        ("size.trials=3", lambda build: build.size.trials == 3),
        ("seed=7", lambda build: build.seed == 7),
    ],
)  # fmt: skip
def test_set(override: str, found: Any, tmp_path: Path) -> None:
    build = load(short(tmp_path), [override])
    assert found(build)
    key, _, text = override.partition("=")
    value = int(text) if text.isdigit() else text
    assert found(with_values(load(short(tmp_path)), {key.strip(): value}))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("student.epoch=3", r"student\.epoch: unknown key; did you mean 'epochs'\?"),
        ("student.layers[2].outputs=3", r"layers\[2\]\.outputs: there is no such item; the array has 2"),
        ("student.layers[*].kernel=3", "there is no such item"),
        ("student.epochs.x=3", r"student\.epochs\.x: x is no key, for what is before it is no table"),
        ("seed[0]=3", r"seed\[0\]: \[0\] is no item"),
        ("seed", r"--set seed: no value; give KEY=VALUE"),
        ("a b=1", "a b: is no key"),
        ("seed=[", "--set seed=.: the value is not TOML"),
        ("seed=soon", r"seed: input should be a valid integer, not 'soon'"),
    ],
)  # fmt: skip
def test_set_what_cannot_be(override: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        load(short(tmp_path), ["student.epochs=1", "seed=1", override])


@pytest.mark.slow
def test_the_shortest_build_becomes_a_core(tmp_path: Path) -> None:
    quick = ("--set", "teacher.epochs=1", "--set", "student.epochs=1")
    done = retort("build", short(tmp_path), *quick, "--until", "compile", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lock = json.loads((tmp_path / "out" / "short-build" / "build.lock.json").read_text())
    assert lock["config"]["student"]["epochs"] == 1 and lock["config"]["student"]["batch_size"] == 128
    assert (tmp_path / "out" / "short-build" / "core.v").exists()
