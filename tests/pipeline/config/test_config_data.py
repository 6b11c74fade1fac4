"""`[data]`: every source's keys, what is wrong with them, and what a stage's key is made of."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from common.errors import ConfigError, DataError
from pipeline.config.data import data_key, data_source
from pipeline.config.file import load
from pipeline.stages import stages_of
from tests.pipeline.toy import config


def stage(build):
    return next(stage for stage in stages_of(build) if stage.name == "data")


GOOD = (Path(__file__).parents[1] / "good.toml").read_text()
START, END = GOOD.index("[data]"), GOOD.index("[", GOOD.index("[data]") + 1)


def section(tmp_path: Path, text: str):
    """The build file's `[data]`, replaced by `text` and loaded."""
    path = tmp_path / "x.toml"
    path.write_text(f"{GOOD[:START]}[data]\n{text}\n\n{GOOD[END:]}")
    return load(path)


VALID = {
    "digits": ("test_fraction = 0.2", None, 0.2),
    "fashion-mnist": ("", None, None),
    "mnist": ('folder = "mnist"\ntrain_samples = 600\ntest_samples = 100', Path("mnist"), None),
    "cifar10": ('folder = "/data/cifar"', Path("/data/cifar"), None),
    "cifar100": ("", None, None),
    "npz": ('path = "a.npz"\ntest_fraction = 0.25', Path("a.npz"), 0.25),
    "basic-motions": ("train_samples = 20", None, None),
    "ts": ('folder = "toy"', Path("toy"), None),
    "wine": ("test_fraction = 0.2", None, 0.2),
    "breast-cancer": ("test_fraction = 0.2", None, 0.2),
    "table": ('path = "a.csv"\nlabel = "kind"\ntest_fraction = 0.25', Path("a.csv"), 0.25),
}


@pytest.mark.parametrize("source", VALID)
def test_every_source(source: str, tmp_path: Path) -> None:
    text, path, test_fraction = VALID[source]
    data = section(tmp_path, f'source = "{source}"\nvalidation_fraction = 0.1\n{text}').data
    asked = data_source(data)
    assert (asked.name, asked.path, asked.test_fraction) == (source, path, test_fraction)
    assert asked.validation_fraction == 0.1
    assert asked.train_samples == {"mnist": 600, "basic-motions": 20}.get(source)
    assert asked.test_samples == {"mnist": 100}.get(source)


MALFORMED = {
    "validation_fraction = 0.1": "data.source: missing; add it",
    'source = "minst"\nvalidation_fraction = 0.1': (
        "data.source: unknown source 'minst'; did you mean 'mnist'?"
    ),
    'source = "imagenet"\nvalidation_fraction = 0.1': (
        "data.source: unknown source 'imagenet'; known are basic-motions, breast-cancer, cifar10, "
        "cifar100, digits, fashion-mnist, mnist, npz, scenes, table, ts, wine"
    ),
    'source = "mnist"\nvalidation_fraction = 0.1\npath = "x"': (
        "data.path: unknown key; known are folder, source, test_samples, train_samples, validation_fraction"
    ),
    'source = "mnist"\nvalidation_fraction = 0.1\ntest_fraction = 0.1': (
        "data.test_fraction: unknown key; known are folder, source, test_samples, train_samples, "
        "validation_fraction"
    ),
    'source = "npz"\nvalidation_fraction = 0.1': "data.path: missing; add it",
    'source = "ts"\nvalidation_fraction = 0.1\nfolder = ""': (
        "data.folder: string should have at least 1 character, not ''"
    ),
    'source = "table"\npath = "x"\ntest_fraction = 0.5\nvalidation_fraction = 0.1': (
        "data.label: missing; add it"
    ),
    'source = "mnist"\nvalidation_fraction = 1.0': (
        "data.validation_fraction: input should be less than 1, not 1.0"
    ),
    'source = "mnist"\nvalidation_fraction = 0.1\ntrain_samples = 0': (
        "data.train_samples: input should be greater than or equal to 1, not 0"
    ),
    'source = "npz"\npath = "x"\ntest_fraction = 0.5\nvalidation_fraction = 0.5': (
        "data.validation_fraction: with test_fraction 1 of the data, nothing to train on; give less"
    ),
}


@pytest.mark.parametrize("text", MALFORMED)
def test_a_malformed_section_gives_one_line(text: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        section(tmp_path, text)
    assert caught.value.args[0] == f"{tmp_path / 'x.toml'}: {MALFORMED[text]}"


def test_the_digits_key_is_the_section_itself() -> None:
    digits = config()
    assert data_key(digits.data) == {"source": "digits", "test_fraction": 0.2, "validation_fraction": 0.2}
    assert stage(digits).tools == ("scikit-learn",)


def test_the_key_depends_on_the_content_of_the_files_and_not_on_their_path(tmp_path: Path) -> None:
    def key(path: Path) -> object:
        build = section(tmp_path, f'source = "npz"\npath = "{path}"\nvalidation_fraction = 0.1')
        assert stage(build).tools == ()
        return stage(build).config(build)

    x, y = np.zeros((8, 4), np.uint8), np.arange(8) % 2
    np.savez(tmp_path / "a.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    shutil.copyfile(tmp_path / "a.npz", tmp_path / "b.npz")
    first = key(tmp_path / "a.npz")
    assert first == key(tmp_path / "b.npz")
    assert str(tmp_path) not in str(first)
    np.savez(tmp_path / "b.npz", x_train=x, y_train=1 - y, x_test=x, y_test=y)
    assert first != key(tmp_path / "b.npz")
    with pytest.raises(DataError, match=r"c\.npz: cannot be read \(No such file or directory\)"):
        key(tmp_path / "c.npz")


def test_columns_of_a_table_are_part_of_the_key(tmp_path: Path) -> None:
    text = 'source = "table"\npath = "{path}"\ntest_fraction = 0.2\nvalidation_fraction = 0.1\n'
    (tmp_path / "a.csv").write_text("a,b,kind\n1,2,x\n2,3,y\n")
    text = text.format(path=tmp_path / "a.csv") + 'leave_out = ["b"]\nlabel = "{label}"'
    first, second = (data_key(section(tmp_path, text.format(label=label)).data) for label in ("kind", "a"))
    assert first != second and first["leave_out"] == ["b"]
    asked = data_source(section(tmp_path, text.format(label="kind")).data)
    assert (asked.label, asked.leave_out, asked.categorical) == ("kind", ("b",), ())
    wine = section(tmp_path, 'source = "wine"\ntest_fraction = 0.2\nvalidation_fraction = 0.1')
    assert stage(wine).tools == ("scikit-learn",)


def test_a_relative_path_is_below_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    x, y = np.zeros((8, 4), np.uint8), np.arange(8) % 2
    np.savez(tmp_path / "here" / "a.npz", x=x, y=y)
    build = section(
        tmp_path, 'source = "npz"\npath = "a.npz"\ntest_fraction = 0.5\nvalidation_fraction = 0.25'
    )
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"a\.npz: cannot be read"):
        data_key(build.data)
    monkeypatch.chdir(tmp_path / "here")
    assert list(data_key(build.data)["files"]) == ["npz"]
