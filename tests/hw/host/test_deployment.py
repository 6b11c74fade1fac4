"""FINN's package on a virtual board behind a real SSH server, and on bad boards."""

import contextlib
import fcntl
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from common.errors import (
    BoardFullError,
    BoardSetupError,
    BusyBoardError,
    ConfigError,
    DriverError,
    FrameError,
    ModelFileError,
    SilentBoardError,
    StoreError,
    UnreachableError,
)
from hw.host.deployment import execute, find_package
from hw.interface import CoreInterface
from hw.tools.ssh import Remote
from models import data
from pipeline.ladder.execution import run_onnx
from tests.packages import make_folder
from tests.virtual_board import NEEDS_SSH, small_disk, virtual_board


@pytest.fixture
def folder(tmp_path):
    return make_folder(tmp_path / "build")


@pytest.fixture
def x(folder):
    return data.load(folder / "data.safetensors").test.x


@pytest.fixture
def package(folder):
    return find_package(folder, CoreInterface.load(folder / "io.json"))


def golden(folder, x):
    return run_onnx(folder / "golden.onnx", {"x": x}, ["logits"])[0]


@pytest.mark.slow
@NEEDS_SSH
@pytest.mark.parametrize("driver", ["retort", "finn-plus-driver"])
def test_outputs_are_golden_and_a_package_is_sent_once(folder, package, x, tmp_path, driver):
    modules = ("virtual_pynq", *(["virtual_finn"] if driver == "finn-plus-driver" else []))
    log = tmp_path / "log"
    with virtual_board(tmp_path, modules=modules) as target:
        first = execute(target, package, x, log)
        stamp = (there(target, package) / "bitfile" / "finn-accel.bit").stat().st_mtime_ns
        second = execute(target, package, x[:5], log)
        assert (there(target, package) / "bitfile" / "finn-accel.bit").stat().st_mtime_ns == stamp
    np.testing.assert_array_equal(first.outputs, golden(folder, x))
    np.testing.assert_array_equal(second.outputs, golden(folder, x)[:5])
    assert (first.sent, second.sent) == (True, False)
    assert first.measured["driver"] == driver
    assert first.measured["frames_per_second"] > 0 and first.measured["latency_microseconds"] > 0
    assert ("finn_throughput_test" in first.measured) == (driver == "finn-plus-driver")
    assert list((Path(target.folder) / "runs").iterdir()) == []


def there(target, package) -> Path:
    return Path(target.folder) / "packages" / package.digest


@pytest.mark.slow
@NEEDS_SSH
def test_changed_package_and_one_that_was_cut_off_are_sent_again(folder, package, x, tmp_path):
    log = tmp_path / "log"
    with virtual_board(tmp_path) as target:
        incoming = Path(target.folder) / f"incoming-{package.digest}"
        (incoming / "bitfile").mkdir(parents=True)
        (incoming / "bitfile" / "finn-accel.bit").write_bytes(b"half")
        assert execute(target, package, x[:2], log).sent
        assert not incoming.exists()
        settings = folder / "deploy" / "driver" / "settings.json"
        settings.write_text(settings.read_text() + "\n")
        changed = find_package(folder, CoreInterface.load(folder / "io.json"))
        assert changed.digest != package.digest
        assert execute(target, changed, x[:2], log).sent
        assert {path.name for path in there(target, package).parent.iterdir()} == {
            package.digest,
            changed.digest,
        }


BAD = {
    "crash": (DriverError, "exit code 1: RuntimeError: Programming Device failed: the chip is on strike"),
    "hang": (SilentBoardError, "no outputs after 3 s, the driver was stopped"),
    "cut": (UnreachableError, "connection was lost"),
}


@pytest.mark.slow
@NEEDS_SSH
@pytest.mark.parametrize("fault", BAD)
def test_bad_board_is_one_line_with_the_log(package, x, tmp_path, fault):
    kind, text = BAD[fault]
    log = tmp_path / "log"
    with virtual_board(tmp_path, fault=fault) as target, pytest.raises(kind, match=text) as caught:
        execute(replace(target, seconds=3.0 if fault == "hang" else 300.0), package, x, log)
    assert str(caught.value).endswith(f"see {log}") and "\n" not in str(caught.value)
    assert log.stat().st_size


@pytest.mark.slow
@NEEDS_SSH
def test_board_without_pynq(package, x, tmp_path):
    with virtual_board(tmp_path, modules=()) as target, pytest.raises(BoardSetupError, match="PYNQ image"):
        execute(target, package, x, tmp_path / "log")


@pytest.mark.slow
@NEEDS_SSH
def test_wrong_number_of_outputs(package, x, tmp_path):
    with (
        virtual_board(tmp_path, fault="short", modules=("virtual_pynq", "virtual_finn")) as target,
        pytest.raises(FrameError, match=r"outputs int64 \(79, 4\) for 80 frames"),
    ):
        execute(target, package, x, tmp_path / "log")


@pytest.mark.slow
@NEEDS_SSH
def test_two_runs_do_not_share_a_board(package, x, tmp_path):
    with virtual_board(tmp_path) as target:
        Path(target.folder).mkdir()
        with (Path(target.folder) / "lock").open("wb") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            with pytest.raises(BusyBoardError, match="another run has the board"):
                execute(target, package, x, tmp_path / "log")


@pytest.mark.slow
@NEEDS_SSH
def test_damaged_package_is_not_used_but_sent_again(package, x, tmp_path, monkeypatch):
    send, log = Remote.send, tmp_path / "log"

    def damaging(self, sources, target, **rest):
        send(self, sources, target, **rest)
        with contextlib.suppress(FileNotFoundError):
            (Path(target) / "bitfile" / "finn-accel.bit").write_bytes(b"other")

    with virtual_board(tmp_path) as target:
        with monkeypatch.context() as context:
            context.setattr(Remote, "send", damaging)
            with pytest.raises(FrameError, match="not the one that was sent"):
                execute(target, package, x, log)
        assert not there(target, package).exists()
        assert execute(target, package, x, log).sent
        (there(target, package) / "bitfile" / "finn-accel.bit").write_bytes(b"rotten")
        with pytest.raises(FrameError, match="not the one that was sent"):
            execute(target, package, x, log)
        assert execute(target, package, x, log).sent


@NEEDS_SSH
def test_board_without_room_is_sent_nothing(package, x, tmp_path):
    with virtual_board(tmp_path) as target, small_disk(tmp_path / "disk", 4) as disk:
        with pytest.raises(BoardFullError, match=r"4 KiB free, 6 wanted"):
            execute(replace(target, folder=str(disk)), package, x, tmp_path / "log")
        assert list((disk / "packages").iterdir()) == []


def edited(folder, change) -> None:
    path = folder / "deploy" / "driver" / "settings.json"
    settings = json.loads(path.read_text())
    change(settings["driver_information"]["io_shape_dict"])
    path.write_text(json.dumps(settings))


@pytest.mark.parametrize(
    ("change", "kind", "text"),
    [
        (lambda shapes: shapes.pop("odt"), StoreError, "not the settings of an accelerator"),
        (lambda shapes: shapes.update(odt=["DataType['FLOAT32']"]), StoreError, "not a type of integers"),
        (lambda shapes: shapes.update(ishape_normal=[[1, 16], [1, 16]]), StoreError, "one input"),
        (lambda shapes: shapes.update(ishape_normal=[[1, 17]]), ModelFileError, "takes 17 values of"),
        (lambda shapes: shapes.update(idt=["DataType['INT8']"]), ModelFileError, "values of .*INT8"),
        (lambda shapes: shapes.update(oshape_normal=[[1, 3]]), ModelFileError, "gives 3"),
    ],
)
def test_package_of_another_core_is_refused(folder, change, kind, text):
    edited(folder, change)
    with pytest.raises(kind, match=text):
        find_package(folder, CoreInterface.load(folder / "io.json"))


@pytest.mark.parametrize("name", ["bitfile/finn-accel.bit", "bitfile/finn-accel.hwh", "driver/settings.json"])
def test_package_that_is_not_whole_is_refused(folder, name):
    (folder / "deploy" / name).unlink()
    with pytest.raises(StoreError, match="build"):
        find_package(folder, CoreInterface.load(folder / "io.json"))


@pytest.mark.parametrize("name", ["", "a b", "x;rm", "-rf", "$HOME"])
def test_folder_on_the_board_is_a_plain_path(tmp_path, name):
    with pytest.raises(ConfigError, match="on the board"):
        replace(target_of("user@board"), folder=name)


def target_of(host):
    from hw.host.deployment import Target

    return Target(Remote(host))
