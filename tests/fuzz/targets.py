"""What is fuzzed: for every kind of input, files to begin with, and what takes them.

A target gives the right value or an error of Retort's own tree; anything else is a fault, and so is a hang.
"""

import gzip
import io
import json
import signal
import struct
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import numpy as np

from common.errors import RetortError
from hw.boards.boards import find
from hw.finn.rtl import synthesis
from hw.finn.vivado import reports
from hw.implementation import floorplan
from hw.implementation.bitstream import read_report
from hw.interface import CoreInterface, StreamFormat, WeightsFormat
from hw.shells import protocol
from models import data
from models.data.arrays import read_npy
from models.data.cifar import CIFAR10, read_cifar
from models.data.dataset import Dataset, Split
from models.data.idx import read_idx
from models.data.npz import read_npz
from models.data.samples import Source
from models.data.series import read_series
from models.data.splitting import split
from models.data.table import read_table
from pipeline.config.file import load, load_checked, parse
from pipeline.config.imported import ImportedStudent, network_content
from pipeline.engine.lock import LOCK, read_lock
from tests.hw.foreign import Foreign
from tests.locks import write_lock

ROOT = Path(__file__).parents[2]
BUILDS = ROOT / "builds"
SECONDS = 30
"""Of the processor's time that one input may take, however busy the machine is; the slowest takes one."""


@dataclass(frozen=True)
class Target:
    """A kind of input.

    Attributes:
        seeds: good inputs, and what a fuzzer may begin with.
        take: given the path of a file with the input; asserts what has to hold of a value.
        name: of the file.
        words: what the format is made of.
    """

    seeds: tuple[bytes, ...]
    take: Callable[[Path], object]
    name: str = "input"
    words: tuple[bytes, ...] = ()


def attempt(target: Target, content: bytes, seconds: int = SECONDS) -> RetortError | None:
    """Give an input to a target; its error, if it is of Retort's own tree, and anything else is raised."""
    with tempfile.TemporaryDirectory(prefix="retort-fuzz-") as folder, _in_time(seconds):
        path = Path(folder) / target.name
        path.write_bytes(content)
        try:
            target.take(path)
        except RetortError as error:
            assert error.args and all(str(finding) for finding in error.args)
            return error
    return None


@contextmanager
def _in_time(seconds: int) -> Iterator[None]:
    def late(number: int, frame: FrameType | None) -> None:
        raise AssertionError(f"not done after {seconds} s")

    before = signal.signal(signal.SIGPROF, late)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def _build(path: Path) -> None:
    config = load(path)
    assert parse(json.loads(json.dumps(config.model_dump(mode="json"))), "again") == config
    if config.data is not None and config.data.source in ("digits", "wine", "basic-motions"):
        load_checked(path)


def _lock(path: Path) -> None:
    lock = read_lock(path.parent)
    assert lock.build == lock.config["name"] and all(".." not in name for name in lock.files)


def _source(found: Source) -> None:
    """What every reader promises; and the split of it, where there is enough of it."""
    for part in filter(None, (found.train, found.test)):
        assert part.y.dtype == np.int64 and len(part.x) == len(part.y) > 0
        assert part.y.min() >= 0 and part.y.max() < found.classes and np.isfinite(part.x).all()
    fraction = 0.25 if found.test is None else None
    made: Dataset = split("fuzzed", found, 1, test_fraction=fraction, validation_fraction=0.25)
    for name in data.SPLITS:
        each: Split = getattr(made, name)
        assert each.x.dtype == np.uint8 and each.x.shape == (len(each.y), made.features)


def _table(path: Path) -> None:
    _source(read_table({"table": path}, "kind"))


def _series(path: Path) -> None:
    _source(read_series({"TRAIN": path, "TEST": path}))


def _idx(path: Path) -> None:
    assert read_idx(path, 3).ndim == 3


def _cifar(path: Path) -> None:
    _source(read_cifar(CIFAR10, {CIFAR10.archive: path}))


def _array(path: Path) -> None:
    assert read_npy(path).dtype.kind in "biufc"


def _dataset(path: Path) -> None:
    assert len(data.load(path).train) > 0


def _network(path: Path) -> None:
    assert network_content(ImportedStudent(kind="imported", path=str(path)))


def _report(path: Path) -> None:
    found = read_report(find("icebreaker"), path)
    assert found.fmax_hz > 0 and all(use.used >= 0 for use in found.resources.values())


def _floorplan(path: Path) -> None:
    assert floorplan.draw(path, find("icebreaker").toolchain.drawing).startswith("<svg")


def _counts(path: Path) -> None:
    for cells in synthesis._read(path).values():
        assert all(type(count) is int for count in cells.values())


def _vivado(path: Path) -> None:
    for read in (reports.read_utilization, reports.read_timing, reports.read_power):
        read(path)


def _interface(path: Path) -> None:
    found = CoreInterface.load(path)
    assert found.input.elements > 0 and found.output.frame_bytes > 0


def _reply(path: Path) -> None:
    content = path.read_bytes()
    reply = protocol.decode_reply(_REQUEST, content)
    assert protocol.encode_reply(_REQUEST, reply.status, reply.payload) == content


def _npz(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def _npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def _tar(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return gzip.compress(buffer.getvalue(), mtime=0)


def _made(make: Callable[[Path], object], name: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder) / name)
        return (Path(folder) / name).read_bytes()


def mlp(path: Path) -> Path:
    """A small network of another tool's."""
    network = Foreign((12,))
    x = network.relu(network.norm(network.dense(network.quant("input", 4, 0.13), 12, 8), 8, 2), 3, 0.41)
    network.dense(x, 8, 4)
    return network.save(path)


_X = np.random.default_rng(0).integers(0, 256, (40, 6), dtype=np.uint8)
_Y = np.arange(40) % 3
_CSV = "a,b,kind\n" + "".join(f"{row[0]},{row[1] / 8},{'xyz'[row[0] % 3]}\n" for row in _X)
_TS = "@timeStamps false\n@classLabel true up down\n@data\n" + "1,2,3:4,5,6:up\n3,2,1:6,5,4:down\n" * 9
_STREAMS = StreamFormat((2, 2, 1), "uint8", 1), StreamFormat((2,), "int16", 1)
_WEIGHTS = WeightsFormat((256, 16), 7)
_REQUEST = protocol.encode_request(1, protocol.Command.INFER, b"abcd")
_RECORDS = b"".join(bytes([label]) * 3073 for label in range(10))
_NEXTPNR = {"fmax": {"clk": {"achieved": 31.5}}, "utilization": {"ICESTORM_LC": {"used": 52}}}
_CELL = {"type": "ICESTORM_LC", "attributes": {"NEXTPNR_BEL": "X3/Y2/lc0"}}
_PLACED = {"modules": {"top": {"settings": {"arch.type": "up5k"}, "cells": {"core.a.b": _CELL}}}}
_SET = Dataset("d", 3, (6,), *(Split(_X, _Y.astype(np.int64)) for _ in range(3)))
_JSON = (b"[" * 5000, b"1e999", b"NaN", b"9" * 5000, b"null", b"{}", b'"\\ud800"', b"-1")

TARGETS = {
    "build file": Target(
        tuple(path.read_bytes() for path in sorted(BUILDS.glob("*.toml"))),
        _build,
        "b.toml",
        (b"[[", b"]]", b"= ", b"inf", b"nan", b"1e-320", b"1e400", b"[" * 900, b"a." * 900, b'"\\u0000"'),
    ),
    "lock": Target((_made(lambda path: write_lock(path.parent), LOCK),), _lock, LOCK, _JSON),
    "npz": Target(
        (_npz(x=_X, y=_Y), _npz(x_train=_X / 8, y_train=_Y, x_test=_X / 9, y_test=_Y)),
        lambda path: _source(read_npz(path)),
        words=(b"PK\x01\x02", b"\x93NUMPY", b"'|O'", b"(" * 200, b", 99999999999"),
    ),
    "npy": Target((_npy(_X), _npz(x=_X)), _array, words=(b"'>f8'", b"'|V0'", b"(-1,)", b"9" * 30)),
    "csv": Target((_CSV.encode(),), _table, words=(b'"', b"\0", b"1e308", b"nan", b"\xff", b",,,")),
    "ts": Target((_TS.encode(),), _series, words=(b"?", b"-1e308", b"@data\n", b":", b"nan")),
    "idx": Target((struct.pack(">HBB3I", 0, 8, 3, 40, 2, 3) + bytes(240),), _idx),
    "idx.gz": Target(
        (gzip.compress(struct.pack(">HBB3I", 0, 8, 3, 40, 2, 3) + bytes(240), mtime=0),), _idx, "i.gz"
    ),
    "cifar": Target((_tar(dict.fromkeys(CIFAR10.names, _RECORDS * 10)),), _cifar),
    "data set": Target((_made(lambda path: data.save(_SET, path), "d.safetensors"),), _dataset, words=_JSON),
    "network": Target((_made(mlp, "n.onnx"),), _network, words=(b"\x0a\xff\xff\xff\x7f", b"\x7f\xc0\0\0")),
    "io.json": Target(
        (_made(CoreInterface(*_STREAMS).save, "io"), _made(CoreInterface(*_STREAMS, _WEIGHTS).save, "io")),
        _interface,
        words=_JSON,
    ),
    "reply": Target((protocol.encode_reply(_REQUEST, protocol.Status.OK, b"abc"),), _reply),
    "nextpnr's report": Target((json.dumps(_NEXTPNR).encode(),), _report, words=_JSON),
    "nextpnr's netlist": Target((json.dumps(_PLACED).encode(),), _floorplan, words=_JSON),
    "yosys's counts": Target(
        (b'{"modules": {"\\\\top": {"num_cells_by_type": {"LUT4": 7}}}}',), _counts, words=_JSON
    ),
    "vivado's reports": Target(
        (b"| Site Type | Used | Available |\n| Slice LUTs | 3 | 9 |\n| Slice Registers | 3 | 9 |\n",),
        _vivado,
        words=(b"inf", b"nan", b"1e999", b"|"),
    ),
}
