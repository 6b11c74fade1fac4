"""Each loader reads back what was written, and says in one line what is wrong with a file."""

import gzip
import io
import os
import struct
import tarfile
from pathlib import Path

import numpy as np
import pytest

from common.errors import DataError
from models import data
from models.data.cifar import CIFAR10, CIFAR100, find_cifar, read_cifar
from models.data.download import PACKAGES
from models.data.idx import find_idx, read_idx, read_images
from models.data.npz import read_npz
from models.data.series import bundled_folder, find_series, read_series

LABELS = np.arange(40, dtype=np.uint8) % 10


def idx(array):
    header = bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.tobytes()


def write_idx(folder, train=LABELS, test=LABELS[:20], side=4, suffix=""):
    """A set of random pictures; gives the pictures."""
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (len(y), side, side), dtype=np.uint8) for y in (train, test)]
    for part, x, y in zip(("train", "t10k"), pictures, (train, test), strict=True):
        for kind, array in (("images-idx3", x), ("labels-idx1", y)):
            content = idx(array)
            path = folder / f"{part}-{kind}-ubyte{suffix}"
            path.write_bytes(gzip.compress(content) if suffix else content)
    return pictures


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_idx(tmp_path, name, suffix):
    pictures = write_idx(tmp_path / "set", suffix=suffix)
    dataset = data.load_source(data.DataSource(name, tmp_path / "set", validation_fraction=0.25), 0)
    assert (dataset.name, dataset.classes, dataset.input_shape) == (name, 10, (4, 4, 1))
    np.testing.assert_array_equal(dataset.test.x, pictures[1].reshape(20, 16))
    np.testing.assert_array_equal(dataset.test.y, LABELS[:20])
    assert (len(dataset.train), len(dataset.validation)) == (30, 10)
    np.testing.assert_array_equal(np.bincount(dataset.validation.y), np.ones(10))
    both = np.concatenate([dataset.train.x, dataset.validation.x])
    np.testing.assert_array_equal(np.unique(both, axis=0), np.unique(pictures[0].reshape(40, 16), axis=0))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "f: truncated after 0 bytes; get the file again"),
        (idx(LABELS)[:6], "f: truncated after 6 bytes"),
        (idx(LABELS)[:-1], r"f: 39, not 40, bytes of values for shape \(40,\); get the file again"),
        (idx(LABELS) + b"x", r"f: more than 40 bytes of values for shape \(40,\)"),
        (
            b"\x89PNG" + bytes(50),
            "f: starts with 89504e47, not 00000801; give an IDX file of uint8 with 1 dim",
        ),
        (idx(LABELS.reshape(4, 10)), "f: starts with 00000802, not 00000801"),
        (b"\0\0\x0d\1" + idx(LABELS)[4:], "f: starts with 00000d01, not 00000801; .* of uint8"),
    ],
)
def test_damaged_idx(tmp_path, content, message):
    (tmp_path / "f").write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_idx(tmp_path / "f", 1)


def test_damaged_gzip(tmp_path):
    whole = bytearray(gzip.compress(idx(LABELS)))
    path = tmp_path / "f.gz"
    flipped = whole.copy()
    flipped[-5] ^= 1  # in the checksum
    for content in (whole[:5], whole[:-9], whole[:-1], flipped, b"plain"):
        path.write_bytes(bytes(content))
        with pytest.raises(DataError, match=r"f\.gz: cannot be read .*; get the file again"):
            read_idx(path, 1)


def test_idx_files_that_do_not_fit_each_other(tmp_path):
    def message(**parts):
        write_idx(tmp_path / "set", **parts)
        with pytest.raises(DataError) as caught:
            data.load_source(data.DataSource("mnist", tmp_path / "set"), 0)
        return str(caught.value)

    write_idx(tmp_path / "set")
    shorter = idx(LABELS[:39])
    (tmp_path / "set" / "train-labels-idx1-ubyte").write_bytes(shorter)
    with pytest.raises(DataError, match=r"train-labels-idx1-ubyte: 40 samples but labels of shape \(39,\)"):
        data.load_source(data.DataSource("mnist", tmp_path / "set"), 0)
    assert "train-labels-idx1-ubyte: sample 10 has label 10; labels are 0 to 9" in message(
        train=np.arange(20, dtype=np.uint8) % 11
    )
    assert "t10k-labels-idx1-ubyte: 0 samples" in message(test=LABELS[:0])
    assert "mnist: class 9 of 10 has no training samples" in message(train=LABELS[LABELS < 9])
    write_idx(tmp_path / "set")
    (tmp_path / "set" / "t10k-images-idx3-ubyte").write_bytes(idx(np.zeros((20, 5, 5), np.uint8)))
    with pytest.raises(DataError, match=r"images of \(5, 5\), but \(4, 4\) to train on"):
        read_images(find_idx(tmp_path / "set"))


@pytest.mark.parametrize("name", ["npz", "table", "mnist"])
def test_nothing_waits_for_a_fifo_or_reads_a_device(tmp_path, name):
    write_idx(tmp_path / "set")
    place = {"mnist": tmp_path / "set", "npz": tmp_path / "x.npz", "table": tmp_path / "x.csv"}[name]
    odd = place / "t10k-labels-idx1-ubyte" if name == "mnist" else place
    odd.unlink(missing_ok=True)
    source = data.DataSource(name, place, test_fraction=None, label="y" if name == "table" else None)
    for make in (os.mkfifo, lambda path: path.symlink_to("/dev/zero"), Path.mkdir):
        make(odd)
        for ask in (data.digests, lambda source: data.load_source(source, 0)):
            with pytest.raises(DataError, match=f"{odd.name}"):
                ask(source)
        odd.rmdir() if odd.is_dir() else odd.unlink()


def test_missing_idx(tmp_path):
    write_idx(tmp_path / "set")
    (tmp_path / "set" / "t10k-labels-idx1-ubyte").unlink()
    source = data.DataSource("mnist", tmp_path / "set")
    for ask in (data.digests, lambda source: data.load_source(source, 0)):
        with pytest.raises(
            DataError, match=r"set: no t10k-labels-idx1-ubyte or t10k-labels-idx1-ubyte.gz inside"
        ):
            ask(source)
    with pytest.raises(DataError, match="absent: no train-images-idx3-ubyte"):
        find_idx(tmp_path / "absent")


def test_digests_tell_the_content_and_not_its_place(tmp_path):
    write_idx(tmp_path / "a")
    write_idx(tmp_path / "b")
    write_idx(tmp_path / "c", train=LABELS[::-1].copy())
    a, b, c = (data.digests(data.DataSource("mnist", tmp_path / name)) for name in "abc")
    assert a == b and len(a) == 4
    assert [role for role in a if a[role] != c[role]] == ["train-labels-idx1-ubyte"]
    published = data.digests(data.DataSource("mnist"))
    assert published["t10k-labels-idx1-ubyte.gz"].startswith("f7ae60f9")
    assert not data.digests(data.DataSource("digits", test_fraction=0.2))


@pytest.mark.skipif(
    not PACKAGES["fashion-mnist"].folder.is_dir(), reason="Debian's dataset-fashion-mnist is not installed"
)
def test_the_real_fashion_mnist():
    dataset = data.load_source(data.DataSource("fashion-mnist", validation_fraction=0.1), 1)
    assert (len(dataset.train), len(dataset.validation), len(dataset.test)) == (54000, 6000, 10000)
    for part, count in (("train", 5400), ("validation", 600), ("test", 1000)):
        np.testing.assert_array_equal(np.bincount(getattr(dataset, part).y), np.full(10, count))
    assert dataset.input_shape == (28, 28, 1) and dataset.train.x.max() == 255
    # Known of this set: the first test picture is an ankle boot, the mean of the test pixels 73.15 of 255.
    assert dataset.test.y[0] == 9
    assert abs(dataset.test.x.mean() - 73.15) < 0.01


def test_a_package_with_other_content(tmp_path):
    write_idx(tmp_path / "set")
    paths = find_idx(tmp_path / "set")
    with pytest.raises(
        DataError, match="train-images-idx3-ubyte: is not the published file; install it again"
    ):
        read_images(paths, PACKAGES["fashion-mnist"].contents)


def cifar_records(kind, count, seed=0):
    """Random records; gives their bytes, pictures (n, 32, 32, 3) and classes."""
    rng = np.random.default_rng(seed)
    classes = np.arange(count) % kind.classes
    planes = rng.integers(0, 256, (count, 3, 32, 32), dtype=np.uint8)
    labels = np.full((count, kind.labels), 77, np.uint8)
    labels[:, -1] = classes
    content = np.concatenate([labels, planes.reshape(count, -1)], axis=1).tobytes()
    return content, planes.transpose(0, 2, 3, 1), classes


def pack(path, contents, mode="w:gz"):
    with tarfile.open(path, mode) as archive:
        for name, content in contents.items():
            member = tarfile.TarInfo(f"cifar/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(("name", "kind"), [("cifar10", CIFAR10), ("cifar100", CIFAR100)])
def test_cifar(tmp_path, name, kind, packed):
    made = {file: cifar_records(kind, kind.classes * 2, seed) for seed, file in enumerate(kind.names)}
    contents = {file: content for file, (content, _, _) in made.items()}
    if packed:
        pack(tmp_path / kind.archive, {"readme.html": b"", **dict(reversed(contents.items()))})
    else:
        for file, content in contents.items():
            (tmp_path / file).write_bytes(content)
    source = read_cifar(kind, find_cifar(kind, tmp_path))
    np.testing.assert_array_equal(source.train.x, np.concatenate([made[file][1] for file in kind.train]))
    np.testing.assert_array_equal(source.train.y, np.concatenate([made[file][2] for file in kind.train]))
    assert source.test is not None
    np.testing.assert_array_equal(source.test.x, made[kind.test[0]][1])
    dataset = data.load_source(data.DataSource(name, tmp_path, validation_fraction=0.5), 0)
    assert (dataset.classes, dataset.input_shape) == (kind.classes, (32, 32, 3))
    assert set(data.digests(data.DataSource(name, tmp_path))) == (
        {kind.archive} if packed else set(kind.names)
    )


def test_damaged_cifar(tmp_path):
    content = cifar_records(CIFAR100, 100)[0]
    for file in CIFAR100.names:
        (tmp_path / file).write_bytes(content)
    source = data.DataSource("cifar100", tmp_path)
    (tmp_path / "test.bin").write_bytes(content[:-1])
    with pytest.raises(
        DataError, match=r"test.bin: 307399 bytes are not whole records of 3074; get the file again"
    ):
        data.load_source(source, 0)
    (tmp_path / "test.bin").write_bytes(b"")
    with pytest.raises(DataError, match=r"test.bin: 0 bytes are not whole records"):
        data.load_source(source, 0)
    wrong = bytearray(content)
    wrong[3074 + 1] = 100
    (tmp_path / "test.bin").write_bytes(bytes(wrong))
    with pytest.raises(DataError, match=r"test.bin: sample 1 has label 100; labels are 0 to 99"):
        data.load_source(source, 0)
    (tmp_path / "test.bin").unlink()
    with pytest.raises(DataError, match=r"no test.bin inside; give the folder .* or cifar-100-binary.tar.gz"):
        data.digests(source)


def test_damaged_cifar_archive(tmp_path):
    path = tmp_path / CIFAR100.archive
    content = cifar_records(CIFAR100, 100)[0]
    pack(path, dict.fromkeys(CIFAR100.names, content))
    whole = path.read_bytes()
    for damaged in (whole[: len(whole) // 2], whole[:-4], whole[:3], b"", b"no archive" * 100):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=r"cifar-100-binary.tar.gz: (cannot be read|no train.bin)"):
            data.load_source(data.DataSource("cifar100", tmp_path), 0)
    pack(path, {"train.bin": content})
    with pytest.raises(DataError, match=r"binary.tar.gz: no test.bin inside"):
        data.load_source(data.DataSource("cifar100", tmp_path), 0)
    pack(path, {"train.bin": content, "test.bin": content[:100]})
    with pytest.raises(DataError, match=r"binary.tar.gz, test.bin: 100 bytes are not whole records"):
        data.load_source(data.DataSource("cifar100", tmp_path), 0)


X = np.arange(40 * 12, dtype=np.uint8).reshape(40, 2, 6, 1)
Y = np.arange(40) % 4
GOOD = {"x_train": X, "y_train": Y, "x_test": X[:8], "y_test": Y[:8]}


def write_npz(path, **arrays):
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize("shape", [(40, 2, 6, 1), (40, 2, 6), (40, 12)])
def test_npz(tmp_path, shape):
    x = X.reshape(shape)
    path = write_npz(tmp_path / "a.npz", x_train=x, y_train=Y, x_test=x[:8], y_test=Y[:8].astype(np.uint8))
    dataset = data.load_source(data.DataSource("npz", path, validation_fraction=0.1), 0)
    assert dataset.input_shape == ((2, 6, 1) if len(shape) > 2 else (12,))
    assert (dataset.classes, len(dataset.train), len(dataset.validation)) == (4, 36, 4)
    np.testing.assert_array_equal(dataset.test.x, X[:8].reshape(8, 12))

    source = data.DataSource("npz", write_npz(tmp_path / "b.npz", x=x, y=Y), 0.2, 0.25)
    whole = data.load_source(source, 0)
    assert (len(whole.train), len(whole.validation), len(whole.test)) == (24, 8, 8)
    assert data.digests(source) != data.digests(data.DataSource("npz", path))


@pytest.mark.parametrize(
    ("shape", "layout", "kept", "order"),
    [
        ((2, 6, 3), None, (2, 6, 3), (0, 1, 2, 3)),
        ((36, 1, 1), None, (36, 1, 1), (0, 1, 2, 3)),
        ((12, 1, 3), None, (12, 1, 3), (0, 1, 2, 3)),
        ((3, 3, 4), "nhwc", (3, 3, 4), (0, 1, 2, 3)),
        ((1, 6, 6), "nchw", (6, 6, 1), (0, 2, 3, 1)),
        ((3, 3, 4), "nchw", (3, 4, 3), (0, 2, 3, 1)),
        ((3, 12), "ncl", (12, 1, 3), (0, 2, 1)),
        ((3, 12), "nlc", (3, 1, 12), (0, 1, 2)),
        ((3, 12), "nhw", (3, 12, 1), (0, 1, 2)),
    ],
)
def test_npz_in_its_layout(tmp_path, shape, layout, kept, order):
    x = np.random.default_rng(0).integers(0, 256, (8, *shape), dtype=np.uint8)
    path = write_npz(tmp_path / "a.npz", x_train=x, y_train=Y[:8], x_test=x, y_test=Y[:8])
    dataset = data.load_source(data.DataSource("npz", path, validation_fraction=0.1, layout=layout), 0)
    assert dataset.input_shape == kept
    np.testing.assert_array_equal(dataset.test.x, x.transpose(order).reshape(8, -1))


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 8, 8), (8, 8, 8), (6, 1, 100), (3, 8, 3), (1, 1, 2)])
def test_npz_whose_shape_leaves_its_layout_open(tmp_path, shape):
    path = write_npz(tmp_path / "a.npz", x=np.zeros((8, *shape), np.uint8), y=Y[:8])
    with pytest.raises(DataError, match=r"a\.npz: the shape .* set data\.layout to 'nhwc' or 'nchw'"):
        data.load_source(data.DataSource("npz", path, 0.5), 0)


def test_npz_of_floats_with_three_axes(tmp_path):
    path = write_npz(tmp_path / "a.npz", x=np.random.default_rng(0).random((8, 4, 4)), y=Y[:8])
    with pytest.raises(DataError, match=r"float64 samples .* set data\.layout to 'nhw' or 'nlc' or 'ncl'"):
        data.load_source(data.DataSource("npz", path, 0.5), 0)


@pytest.mark.parametrize("layout", ["nhwc", "ncl", "flat"])
def test_npz_of_other_axes_than_its_layout(tmp_path, layout):
    ndim = 3 if layout == "nhwc" else 4
    path = write_npz(tmp_path / "a.npz", x=np.zeros((8, 4, 4, 4)[:ndim], np.uint8), y=Y[:8])
    with pytest.raises(DataError, match=rf"a\.npz, x: shape .* is not in data\.layout '{layout}'; give 'nh"):
        data.load_source(data.DataSource("npz", path, 0.5, layout=layout), 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y_test": Y[:7]}, r"x_test: 8 samples but labels of shape \(7,\)"),
        ({"y_train": Y[:39]}, r"x_train: 40 samples but labels of shape \(39,\)"),
        ({"y_test": Y[:8] + 1}, "x_test: sample 3 has label 4; labels are 0 to 3"),
        ({"y_train": Y - 1}, "x_train: sample 0 has label -1; labels are 0 to 2"),
        ({"y_train": Y * 1.0}, "y_train: float64 of shape .*; give integers"),
        ({"y_train": Y[:, None]}, r"y_train: int64 of shape \(40, 1\); give integers, one label a sample"),
        ({"x_train": X.astype(np.int32)}, "x_train: int32 values; give uint8, or floats"),
        ({"x_train": X.reshape(40, 2, 2, 3, 1)}, r"x_train: shape \(40, 2, 2, 3, 1\); give images"),
        ({"x_train": X[:, :0]}, r"x_train: shape \(40, 0, 6, 1\)"),
        ({"x_test": X[:8, :1]}, r"x_test is uint8 of \(1, 6, 1\), x_train uint8 of \(2, 6, 1\)"),
        ({"x_test": X[:8] * 1.0}, "x_test is float64 of"),
        ({"x_train": np.where(X == 13, np.nan, X)}, "x_train: sample 1 holds NaN or infinity"),
        (
            {"y_train": np.where(Y == 2, 3, Y), "y_test": Y[:8] * 0},
            "npz: class 2 of 4 has no training samples",
        ),
        ({"y_train": Y * 2**60}, r"y_train: sample 3 has label 3458764513820540928; labels count classes"),
        ({"y_train": Y.astype(np.uint64) + 2**63}, r"y_train: sample 3 has label 9223372036854775811"),
        ({"y_train": Y * 0, "y_test": Y[:8] * 0}, "npz: all samples are of one class; give samples of two"),
        ({"x_train": X * 0}, "npz: all training samples are equal; there is nothing to tell classes by"),
        (
            {"x_train": X * 1.7e305, "x_test": X[:8] * 1.0},
            r"x_train: sample 0 holds 1.7e\+305, beyond 1e\+30",
        ),
        ({"x_train": X * 1e-318, "x_test": X[:8] * 1.0}, "its values differ by .* only, less than 1e-30"),
        ({"x_train": np.array([{}] * 40)}, "x_train: holds object, not numbers; give plain arrays"),
    ],
)
def test_npz_that_does_not_fit(tmp_path, change, message):
    source = data.DataSource("npz", write_npz(tmp_path / "a.npz", **GOOD | change))
    with pytest.raises(DataError, match=message) as caught:
        data.load_source(source, 0)
    assert "\n" not in str(caught.value)


def test_damaged_npz(tmp_path):
    path = tmp_path / "a.npz"
    with pytest.raises(DataError, match=r"a.npz: is missing, truncated, or no .npz file"):
        read_npz(path)
    np.savez_compressed(path, **GOOD)
    whole = path.read_bytes()
    for length in (0, 10, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match=r"a\.npz: .*numpy.savez"):
            read_npz(path)
    damaged = bytearray(whole)
    damaged[60:90] = bytes(30)
    path.write_bytes(bytes(damaged))
    with pytest.raises(DataError, match=r"a\.npz: cannot be read"):
        read_npz(path)
    with pytest.raises(DataError, match=r"a.npz: holds x; give x_train, y_train, x_test, y_test, or x, y"):
        read_npz(write_npz(path, x=X, z=Y))
    with pytest.raises(DataError, match=r"absent.npz: cannot be read .No such file"):
        data.digests(data.DataSource("npz", tmp_path / "absent.npz"))


def test_basic_motions():
    dataset = data.load_source(data.DataSource("basic-motions", validation_fraction=0.2), 0)
    assert (dataset.classes, dataset.input_shape) == (4, (100, 1, 6))
    assert (len(dataset.train), len(dataset.validation), len(dataset.test)) == (32, 8, 40)
    np.testing.assert_array_equal(np.bincount(dataset.test.y), np.full(4, 10))
    source = read_series(find_series(bundled_folder("BasicMotions")))
    # From the first line of the training file: "0.079106,0.079106,...", of class Standing.
    assert source.train.x[0, :2, 0, 0].tolist() == [0.079106, 0.079106] and source.train.y[0] == 0
    assert dataset.scaling is not None and len(dataset.scaling.scale) == 6
    assert set(data.digests(data.DataSource("basic-motions"))) == {"TRAIN", "TEST"}


@pytest.mark.slow
def test_series_are_read_as_sktime_reads_them():
    from sktime.datasets import load_basic_motions

    source = read_series(find_series(bundled_folder("BasicMotions")))
    classes = np.array(["standing", "running", "walking", "badminton"])
    for part, samples in (("train", source.train), ("test", source.test)):
        x, y = load_basic_motions(split=part, return_X_y=True, return_type="numpy3D")
        np.testing.assert_array_equal(samples.x[:, :, 0, :], x.transpose(0, 2, 1))
        np.testing.assert_array_equal(classes[samples.y], y)


SERIES = """# a comment
@problemName toy
@timeStamps false
@classLabel true up down

@data
1,2,3:4,5,6:up
3,2,1:6,5,4:Down
"""


def write_series(folder, train=SERIES, test=SERIES):
    (folder / "toy_TRAIN.ts").write_text(train)
    (folder / "toy_TEST.ts").write_text(test)


def test_series(tmp_path):
    write_series(tmp_path)
    source = read_series(find_series(tmp_path))
    assert source.train.x.shape == (2, 3, 1, 2) and source.train.y.tolist() == [0, 1]
    np.testing.assert_array_equal(source.train.x[1, :, 0, :], [[3, 6], [2, 5], [1, 4]])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("6,5,4:Down\n", "6,5", "toy_TEST.ts, line 8: ends with '6,5', no class of up, down"),
        ("6,5,4", "6,5", "toy_TEST.ts, line 8: .*; give numbers, none missing, equally many a channel"),
        ("3,2,1:6,5,4", "3,2:6,5", r"line 8: series of \(channels, time\) \(2, 2\) after \(2, 3\)"),
        ("4,5,6", "4,?,6", "line 7: could not convert string to float: '\\?'; give numbers, none missing"),
        ("4,5,6", "4,NaN,6", "toy_TEST.ts: sample 0 holds NaN or infinity"),
        (":Down", ":left", "line 8: ends with 'left', no class of up, down"),
        ("@timeStamps false", "@timeStamps true", "line 3: series with time stamps"),
        ("@classLabel true up down", "@classLabel false", "no '@classLabel true ...' before @data"),
        ("@data\n", "", "no @data line; give a .ts file"),
        ("1,2,3:4,5,6:up\n3,2,1:6,5,4:Down\n", "", "no series after @data"),
        (
            "1,2,3:4,5,6:up\n3,2,1:6,5,4:Down\n",
            "1,2:up\n",
            r"series \(2, 1, 1\) of classes up, down; to train on",
        ),
    ],
)
def test_series_that_do_not_fit(tmp_path, old, new, message):
    assert SERIES.count(old) == 1
    write_series(tmp_path, test=SERIES.replace(old, new))
    with pytest.raises(DataError, match=message):
        data.load_source(data.DataSource("ts", tmp_path), 0)


def test_missing_series(tmp_path):
    with pytest.raises(DataError, match=r"no \*_TRAIN.ts inside; give a folder with one NAME_TRAIN.ts"):
        data.digests(data.DataSource("ts", tmp_path))
    write_series(tmp_path)
    (tmp_path / "other_TEST.ts").write_text(SERIES)
    with pytest.raises(DataError, match=r"2 files \*_TEST.ts inside"):
        find_series(tmp_path)
    (tmp_path / "other_TEST.ts").unlink()
    (tmp_path / "toy_TEST.ts").write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match=r"toy_TEST.ts: cannot be read"):
        read_series(find_series(tmp_path))
    with pytest.raises(DataError, match="Absent: comes with sktime"):
        bundled_folder("Absent")


def test_an_unreadable_place(tmp_path):
    (tmp_path / "f").write_text("")
    for name in ("mnist", "cifar10", "ts"):
        with pytest.raises(DataError, match="f: no "):
            data.digests(data.DataSource(name, Path(tmp_path / "f")))
