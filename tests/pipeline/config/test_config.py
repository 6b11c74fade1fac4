import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from common.errors import ConfigError
from common.topology import Dense, Topology
from pipeline.config.file import load
from tests.pipeline.toy import BUILDS

SAMPLE = Path(__file__).parents[1] / "good.toml"
GOOD = SAMPLE.read_text()


@pytest.mark.parametrize("path", sorted(BUILDS.glob("*.toml")), ids=lambda path: path.stem)
def test_every_shipped_build_loads_under_its_own_name(path: Path) -> None:
    assert load(path).name == path.stem


def test_the_two_shipped_builds_train_the_same_network() -> None:
    one, other = (load(BUILDS / f"digits-{board}.toml") for board in ("icebreaker", "ulx3s"))
    for section in ("seed", "data", "teacher", "student", "distill", "training"):
        assert getattr(one, section) == getattr(other, section)
    assert (one.compile.output, other.compile.output) == ("logits", "label")


def test_topology() -> None:
    config = load(SAMPLE)
    hidden = Dense(32, 4, 4)
    assert config.student.topology((8, 8, 1)) == Topology((8, 8, 1), (hidden, hidden, Dense(10, 4, None)))


def test_frozen() -> None:
    with pytest.raises(ValidationError):
        load(BUILDS / "digits-icebreaker.toml").seed = 2  # type: ignore[misc]


LOSS = 'method = "softened-softmax", temperature = 3.0, hard_label_weight = 0.2'
FOLD = "fold = [{ pe = 2, simd = 8 }, { pe = 1, simd = 8 }, { pe = 1, simd = 4 }]"
MALFORMED = {
    "broken TOML": ("seed = 1", "seed = = 1", "not TOML: Invalid value (at line 3, column 8)"),
    "unknown key, near": (
        "epochs = 80\n",
        "epoch = 80\n",
        "student.epoch: unknown key; did you mean 'epochs'?",
    ),
    "unknown key, far": (
        "accelerator =",
        "zzz =",
        "training.zzz: unknown key; known are accelerator, checkpoint_every, devices, threads",
    ),
    "unknown key in a layer": (
        "weight_bits = 4 },\n]",
        "weight_bits = 4, bias = 1 },\n]",
        "student.layers[2].bias: unknown key; known are accumulator_bits, activation_bits, kind, optional,"
        " outputs, weight_bits",
    ),
    "unknown key in a loss": (
        LOSS,
        LOSS + ", temprature = 2.0",
        "distill.losses[0].temprature: unknown key; did you mean 'temperature'?",
    ),
    "missing section": (
        '[board]\nname = "icebreaker"\ntoolchain = "wheels"\n',
        "",
        "board: missing; add it",
    ),
    "wrong type": (
        "members = 3",
        'members = "3"',
        "teacher.members: input should be a valid integer, not '3'",
    ),
    "boolean for a number": (
        "devices = 1",
        "devices = true",
        "training.devices: input should be a valid integer, not True",
    ),
    "out of range": (
        "outputs = 10, weight_bits = 4",
        "outputs = 10, weight_bits = 9",
        "student.layers[2].weight_bits: input should be a number, 1 to 8, or a list to choose from, not 9",
    ),
    "not finite": (
        "temperature = 3.0",
        "temperature = nan",
        "distill.losses[0].temperature: input should be a finite number, not nan",
    ),
    "unknown value": (
        'toolchain = "wheels"',
        'toolchain = "wheel"',
        "board.toolchain: unknown value 'wheel'; give 'wheels' or 'native'",
    ),
    "unknown method": (
        '"softened-softmax"',
        '"soft-softmax"',
        "distill.losses[0].method: unknown method 'soft-softmax'; did you mean 'softened-softmax'?",
    ),
    "no method": (LOSS, "temperature = 3.0", "distill.losses[0].method: missing; add it"),
    "parameter of another method": (
        LOSS,
        'method = "hard-labels", temperature = 3.0',
        "distill.losses[0].temperature: unknown key; known are method, weight",
    ),
    "unknown board": (
        'name = "icebreaker"',
        'name = "icebraker"',
        "board.name: unknown board 'icebraker': the boards are icebreaker, hx8k, ulx3s-85f, orangecrab,"
        " pynq-z1, pynq-z2, ultra96-v2, zcu104, kv260, u250",
    ),
    "shell of an AMD board": (
        'name = "icebreaker"\ntoolchain = "wheels"',
        'name = "pynq-z1"\nshell = "parallel"',
        "board.shell: 'parallel' is for open tools, pynq-z1 has FINN's shell and Vivado; remove it",
    ),
    "tools of an AMD board": (
        'name = "icebreaker"\ntoolchain = "wheels"',
        'name = "pynq-z1"\ntoolchain = "native"',
        "board.toolchain: 'native' is for open tools, pynq-z1 has FINN's shell and Vivado; remove it",
    ),
    "name": (
        '"digits-icebreaker"',
        '"../x"',
        "name: string should match pattern '^[a-z0-9]+(-[a-z0-9]+)*$', not '../x'",
    ),
    "no training data": (
        "validation_fraction = 0.1",
        "validation_fraction = 0.8",
        "data.validation_fraction: with test_fraction 1 of the data, nothing to train on; give less",
    ),
    "activation of the last layer": (
        "outputs = 10, weight_bits = 4",
        "outputs = 10, weight_bits = 4, activation_bits = 4",
        "student.layers[2].activation_bits: the last layer gives logits; remove the key",
    ),
    "no activation": (
        "outputs = 32, weight_bits = 4, activation_bits = 4 },\n    { outputs = 10",
        "outputs = 32, weight_bits = 4 },\n    { outputs = 10",
        "student.layers[1].activation_bits: missing; only the last layer may go without",
    ),
    "both foldings": (
        FOLD,
        FOLD + "\ntarget_cycles = 64",
        "compile.target_cycles: compile.target_cycles and compile.fold are set; give one of them",
    ),
    "DSP slices of another family": (
        FOLD,
        FOLD + '\nmultiply = "dsp"',
        "compile.multiply: 'dsp' has no kernel for ice40; give 'auto', 'lut' or 'table'",
    ),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_build_file_gives_one_line(case: str, tmp_path: Path) -> None:
    old, new, message = MALFORMED[case]
    assert GOOD.count(old) == 1
    path = tmp_path / "x.toml"
    path.write_text(GOOD.replace(old, new))
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert str(caught.value) == f"{path}: {message}"


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match="cannot be read \\(No such file or directory\\); give an existing build file"
    ):
        load(tmp_path / "none.toml")


def test_a_lock_has_its_build(tmp_path: Path) -> None:
    path = tmp_path / "build.lock.json"
    for build in (SAMPLE, *BUILDS.glob("*.toml")):
        config = load(build)
        path.write_text(json.dumps({"config": config.model_dump(mode="json")}))
        assert load(path) == config
    for text in ("{}", "[]", "{"):
        path.write_text(text)
        with pytest.raises(ConfigError, match=r"build\.lock\.json: no lock of a build"):
            load(path)


def test_not_text(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"x\.toml: not UTF-8 but UTF-16 or UTF-32; save it as UTF-8"):
        load(tmp_path / "x.toml")
