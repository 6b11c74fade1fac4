"""Tables: what becomes of their columns, and what is wrong with them."""

import numpy as np
import pytest

from common.errors import ConfigError, DataError
from models import data
from models.data.dataset import Scaling
from models.data.table import read_table

GOOD = """id,length,colour,size code,kind
1,0.5,red,10,dog
2,1.5,"blue, light",2,cat
3,2.5,red,7,dog

4,-0.5,green,10,bird
"""


def write(tmp_path, text):
    path = tmp_path / "t.csv"
    path.write_bytes(text.encode())
    return path


def read(path, label="kind", **columns):
    return read_table({"table": path}, label, **columns)


def test_columns_become_numbers_codes_and_classes(tmp_path):
    source = read(write(tmp_path, GOOD), categorical=("size code",), leave_out=("id",))
    assert source.classes == 3 and source.test is None
    assert source.train.y.tolist() == [2, 1, 2, 0]  # bird, cat, dog
    expected = [[0.5, 2, 2], [1.5, 0, 0], [2.5, 2, 1], [-0.5, 1, 2]]  # 2, 7 and 10 in their own order
    np.testing.assert_array_equal(source.train.x, expected)
    assert source.ranges == {1: (0, 2), 2: (0, 2)}


def test_a_byte_order_mark_and_windows_lines_are_no_matter(tmp_path):
    plain = read(write(tmp_path, GOOD))
    other = read(write(tmp_path, "\ufeff" + GOOD.replace("\n", "\r\n")))
    np.testing.assert_array_equal(plain.train.x, other.train.x)


def test_categories_spread_over_the_byte_whatever_the_training_part_holds(tmp_path):
    rng = np.random.default_rng(0)
    lines = [f"{rng.normal()},{name},{i % 2}" for i, name in enumerate("abcdef" * 20)]
    lines.append("0,z,0")  # once only: in one of the parts
    path = write(tmp_path, "\n".join(["a,name,y", *lines]))
    asked = data.DataSource("table", path, test_fraction=0.3, validation_fraction=0.2, label="y")
    for seed in range(5):
        dataset = data.load_source(asked, seed)
        assert dataset.input_shape == (2,) and dataset.classes == 2
        seen = np.unique(np.concatenate([getattr(dataset, part).x[:, 1] for part in data.SPLITS]))
        np.testing.assert_array_equal(seen, np.rint(np.arange(7) * 255 / 6))
        assert (dataset.train.x[:, 0].min(), dataset.train.x[:, 0].max()) == (0, 255)


def test_given_ranges_replace_those_of_the_samples():
    x = np.array([[1.0, 3.0], [2.0, 4.0]])
    assert Scaling.fit(x, {1: (0.0, 5.0)}) == Scaling((1.0, 0.0), (1 / 255, 5 / 255))


@pytest.mark.parametrize(
    ("text", "columns", "message"),
    [
        (GOOD, {"label": "kinds"}, r"t\.csv: label: no column 'kinds'; did you mean 'kind'\?"),
        (
            GOOD,
            {"leave_out": ("zzz",)},
            "leave_out: no column 'zzz'; there are id, length, colour, size code",
        ),
        (GOOD, {"categorical": ("zzz",)}, "categorical: no column 'zzz'"),
        (GOOD.replace("1.5", ""), {}, "line 3: column 'length' is empty; fill it in"),
        (GOOD.replace("dog\n\n", "\n\n"), {}, "line 4: column 'kind' is empty"),
        (GOOD.replace("1.5", "n/a"), {}, "line 3: column 'length' is 'n/a' among numbers; give a finite"),
        (GOOD.replace("1.5", "nan"), {}, "line 3: column 'length' is 'nan' among numbers"),
        (GOOD.replace("7,dog", "7"), {}, "line 4: 4 cells, the header names 5 columns; give one each"),
        (GOOD.replace("length", "id"), {}, "among its columns is 'id' twice; give every column a name"),
        (GOOD.replace("length", " "), {}, "among its columns is one without a name"),
        ("a,b\n1,x\n1,y\n", {"label": "b"}, "column 'a' has one value only, 1; name it in `leave_out`"),
        ("a,b\nq,x\nq,y\n", {"label": "b"}, "column 'a' has one value only, 'q'"),
        ("a,b\n1,x\n2,x\n", {"label": "b"}, "label column 'b' has one value only, 'x'"),
        ("b\nx\ny\n", {"label": "b"}, "no column beside the label"),
        ("a,b\n", {"label": "b"}, "has no rows; give a line of column names"),
        ("", {}, "has no rows"),
        ('a,b\n"1,x', {}, "cannot be read .*; give a UTF-8 file of comma-separated values"),
        (
            "a,b\n" + "\n".join(f"c{i},{i % 2}" for i in range(257)),
            {"label": "b"},
            "column 'a' has 257 categories, a byte has 256",
        ),
        (
            "a,b\n" + "\n".join(f"{i % 5},{i / 7}" for i in range(300)),
            {"label": "b"},
            "label column 'b' has 300 categories",
        ),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path, text, columns, message):
    with pytest.raises(DataError, match=message) as caught:
        read(write(tmp_path, text), **columns)
    assert "\n" not in str(caught.value)


def test_left_out_columns_may_be_anything(tmp_path):
    broken = GOOD.replace("1.5", "").replace("2.5", "n/a")
    assert read(write(tmp_path, broken), leave_out=("length", "id")).train.x.shape == (4, 2)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match=r"c\.csv: cannot be read"):
        read(tmp_path / "c.csv")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: data.DataSource("table", path), "data.label: table has columns; name the one"),
        (lambda path: data.DataSource("npz", path, label="y"), "data.label: npz has no columns with names"),
        (
            lambda path: data.DataSource("table", path, label="y", leave_out=("y",)),
            "column 'y' is named twice; say one thing",
        ),
        (lambda _: data.DataSource("table", label="y"), "table is read from files; give their path"),
    ],
)
def test_columns_that_cannot_be(tmp_path, make, message):
    with pytest.raises(ConfigError, match=message):
        make(tmp_path / "t.csv")


@pytest.mark.parametrize(
    ("name", "classes", "shape", "samples"), [("wine", 3, (13,), 178), ("breast-cancer", 2, (30,), 569)]
)
def test_bundled_tables(name, classes, shape, samples):
    dataset = data.load_source(data.DataSource(name, test_fraction=0.2, validation_fraction=0.2), 1)
    assert (dataset.classes, dataset.input_shape) == (classes, shape)
    assert sum(len(getattr(dataset, part)) for part in data.SPLITS) == samples
    assert (dataset.train.x.min(axis=0) == 0).all() and (dataset.train.x.max(axis=0) == 255).all()
    assert not data.digests(data.DataSource(name, test_fraction=0.2))
