"""What a build file and its data rule out, told before the first stage, all of it at once."""

from pathlib import Path

import numpy as np
import pytest

from common.errors import CapacityError, ConfigError, DataError
from models.data.outline import FIXED
from models.data.sources import DataSource, load_source
from pipeline.config.data import known_of
from pipeline.config.file import check, load, load_checked
from tests.pipeline.toy import BUILDS

GOOD = (BUILDS / "digits-icebreaker.toml").read_text()
LAST = "{ outputs = 10, weight_bits = 4 }"


def loaded(tmp_path: Path, *changes: tuple[str, str]) -> None:
    text = GOOD
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    path = tmp_path / "b.toml"
    path.write_text(text)
    load_checked(path)


FOLD = "target_cycles = 512"
CASES = {
    "classes": (
        LAST,
        "{ outputs = 9, weight_bits = 4 }",
        "student.layers[2].outputs: the student gives 9 values, but classification of 10",
    ),
    "count of folds": (FOLD, "fold = [{ pe = 1, simd = 1 }]", "compile.fold: 1 folds for 3 layers: layer0,"),
    "PE": (
        FOLD,
        "fold = [{ pe = 3, simd = 1 }, { pe = 1, simd = 1 }, { pe = 1, simd = 1 }]",
        "compile.fold[0].pe: 3 does not divide the 64 outputs of layer0",
    ),
    "SIMD": (
        FOLD,
        "fold = [{ pe = 1, simd = 1 }, { pe = 1, simd = 1 }, { pe = 1, simd = 5 }]",
        "compile.fold[2].simd: 5 does not divide the 32 inputs of layer2",
    ),
    "batch": (
        "epochs = 40",
        "epochs = 40\nbatch_size = 128000",
        "student.batch_size: 128000, but only 5745",
    ),
    "devices": (
        "checkpoint_every = 5",
        "devices = 33",
        "teacher.batch_size: 64 on 33 devices; batch-norm needs two samples on each",
    ),
    "samples": (
        'source = "digits"',
        'source = "digits"\ntrain_samples = 1500',
        "data.train_samples: 1500",
    ),
    "test samples": (
        'source = "digits"',
        'source = "digits"\ntest_samples = 1500',
        "data.test_samples: 1500",
    ),
    "few": (
        'source = "digits"',
        'source = "digits"\ntrain_samples = 9',
        "data: 7 samples to train on, for",
    ),
    "views": ("views = 5", "views = 30", "teacher.views: is 30; give 1 to 25"),
    "augment": (
        "views = 5",
        "views = 5\naugment = { shift = 8 }",
        "teacher.augment: shift is 8 for samples",
    ),
    "kernel": (
        "{ outputs = 64, weight_bits = 4, activation_bits = 4 }",
        '{ kind = "conv", outputs = 8, kernel = 9, weight_bits = 4, activation_bits = 4 }',
        "student.layers[0]: kernel (9, 9) is greater than what comes in, (8, 8)",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_the_data_rule_out(case: str, tmp_path: Path) -> None:
    old, new, message = CASES[case]
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, (old, new))
    assert any(finding.startswith(f"{tmp_path / 'b.toml'}: {message}") for finding in caught.value.args)


def test_all_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, *(CASES[case][:2] for case in ("classes", "views", "devices")))
    keys = [finding.split(": ")[1] for finding in caught.value.args]
    assert keys == ["student.layers[2].outputs", "teacher.views", "teacher.batch_size"]


def test_students_that_no_memory_of_the_chip_holds(tmp_path: Path) -> None:
    wide = "{ outputs = 65536, weight_bits = 4, activation_bits = 4 }"
    with pytest.raises(CapacityError, match=r"b\.toml: student\.layers: their weights take 25167104 bits"):
        loaded(tmp_path, ("{ outputs = 64, weight_bits = 4, activation_bits = 4 }", wide))


def test_shipped_builds() -> None:
    for path in BUILDS.glob("*.toml"):
        config = load(path)
        if config.data is not None:
            check(config, str(path), known_of(config.data))


def test_a_file_of_the_user(tmp_path: Path) -> None:
    path = tmp_path / "d.npz"
    data = ('source = "digits"', f'source = "npz"\npath = "{path}"\ntest_fraction = 0.2')
    x, y = np.random.default_rng(0).random((60, 4)), np.arange(60) % 3
    np.savez(path, x=x, y=y)
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, data)
    told = " ".join(caught.value.args)
    assert (
        "gives 10 values, but classification of 3 classes" in told
        and "views: is 5, but a sample has shape" in told
    )
    np.savez(path, x_train=x, y_train=y, x_test=x, y_test=y)
    with pytest.raises(ConfigError, match=r"data\.test_fraction: npz has its own test part; remove it"):
        loaded(tmp_path, data)
    path.write_bytes(b"")
    with pytest.raises(DataError, match=r"d\.npz: is missing, truncated, or no \.npz file"):
        loaded(tmp_path, data)


@pytest.mark.parametrize("name", ["digits", "wine", "breast-cancer", "basic-motions"])
def test_what_is_said_of_bundled_sets_is_true(name: str) -> None:
    said = FIXED[name]
    fraction = 0.2 if said.test is None else None
    found = load_source(DataSource(name, test_fraction=fraction, validation_fraction=0.25), 1)
    assert (found.classes, found.input_shape) == (said.classes, said.shape)
    _, train = said.split(fraction, 0.25, None)
    assert len(found.train) == train
    assert said.train == train + len(found.validation) + (len(found.test) if said.test is None else 0)
