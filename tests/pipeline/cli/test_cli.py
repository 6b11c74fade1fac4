import json
import os
import re
import resource
import signal
import subprocess
import sys
import zlib
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from common.errors import RetortError, ToolMissingError, VerificationError, kinds
from hw.interface import CoreInterface, StreamFormat, WeightsFormat
from pipeline.artefacts.study import Interval, StudyResult, Summary
from pipeline.artefacts.verification import VERIFICATION, Rung
from pipeline.cli import building
from pipeline.cli.app import app
from pipeline.engine.stage import StageContext
from tests.locks import write_lock
from tests.pipeline.toy import BUILDS, ROOT, identify, stages

FILE = str(BUILDS / "digits-icebreaker.toml")
NAMES = ["first", "second", "third"]


def call(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def module(monkeypatch: pytest.MonkeyPatch, name: str, **content: Any) -> None:
    made = ModuleType(name)
    for key, value in content.items():
        setattr(made, key, value)
    monkeypatch.setitem(sys.modules, name, made)


@pytest.fixture
def toys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    def use(**replaced: Callable[[StageContext], Any]) -> None:
        module(monkeypatch, "pipeline.stages", stages_of=lambda _: stages(**replaced))

    use()
    monkeypatch.setattr(building, "fingerprint", identify)
    monkeypatch.setenv("RETORT_STORE", str(tmp_path / "store"))
    monkeypatch.chdir(tmp_path)
    return use


def built(tmp_path: Path) -> Path:
    assert call("-q", "build", FILE).exit_code == 0
    return tmp_path / "out" / "digits-icebreaker"


def test_plan_then_build_then_cached(toys: Callable[..., None], tmp_path: Path) -> None:
    planned = json.loads(call("plan", FILE, "--json").stdout)["stages"]
    assert [each["stage"] for each in planned] == NAMES
    assert {each["status"] for each in planned} == {"run"}

    done = call("build", FILE)
    assert done.exit_code == 0
    assert done.stdout == "digits-icebreaker: 3 of 3 stages built, files in out/digits-icebreaker\n"
    assert "second: running\n  second, steps: 0/20\n" in done.stderr

    done = call("build", FILE, "--json")
    assert done.stderr == ""
    answer = json.loads(done.stdout)
    assert [each["status"] for each in answer["stages"]] == ["cached"] * 3
    assert (Path(answer["folder"]) / "d.txt").read_text() == "SEED 1!"
    planned = call("plan", FILE).stdout.splitlines()
    assert planned[0] == "first   cached  in the store"
    assert any(line.split() == ["student.warmup", "0.0"] for line in planned)


def test_help_has_the_exit_codes() -> None:
    told = call("--help").stdout
    for kind in kinds()[1:]:
        assert f"{kind.exit_code:>5}  {(kind.__doc__ or '').splitlines()[0]}" in told
    assert "  143  SIGTERM." in told


def test_the_rest_elsewhere(
    toys: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lacking(name: str) -> str:
        if name == "icepack":
            raise ToolMissingError("icepack is not on this machine: install it")
        return identify(name)

    table = stages()
    module(
        monkeypatch, "pipeline.stages", stages_of=lambda _: (*table[:2], replace(table[2], elsewhere=True))
    )
    monkeypatch.setattr(building, "fingerprint", lacking)
    for built in (2, 0):
        done = call("-q", "build", FILE, "--store", "kept")
        assert done.exit_code == 4
        assert (
            done.stdout == f"digits-icebreaker: {built} of 2 stages built, files in out/digits-icebreaker\n"
        )
        assert done.stderr == (
            "error: stage 'third': icepack is not on this machine: install it; where it is, with"
            " out/digits-icebreaker/build.lock.json and the store copied there:"
            " retort build out/digits-icebreaker/build.lock.json --store kept\n"
        )
    monkeypatch.setattr(building, "fingerprint", identify)
    done = call("-q", "build", "out/digits-icebreaker/build.lock.json", "--store", "kept", "--json")
    assert done.exit_code == 0
    assert [each["status"] for each in json.loads(done.stdout)["stages"]] == ["cached", "cached", "built"]


def test_store_and_out(toys: Callable[..., None], tmp_path: Path) -> None:
    done = call("-q", "build", FILE, "--until", "first", "--store", "else", "--out", "there")
    assert (done.exit_code, done.stderr) == (0, "")
    assert (tmp_path / "else" / "manifests").is_dir()
    assert (tmp_path / "there" / "digits-icebreaker" / "a.txt").is_file()
    assert not (tmp_path / "store").exists()


def test_repair(toys: Callable[..., None], tmp_path: Path) -> None:
    built(tmp_path)
    for path in (tmp_path / "store" / "manifests").iterdir():
        path.write_text("")
    failed = call("build", FILE)
    assert failed.exit_code == 6
    assert failed.stderr.endswith("the manifest is damaged; run `retort build --repair FILE`\n")
    assert call("build", FILE, "--repair").exit_code == 0


def all_errors(base: type[RetortError]) -> list[type[RetortError]]:
    return [base, *(found for each in base.__subclasses__() for found in all_errors(each))]


@pytest.mark.parametrize("kind", all_errors(RetortError), ids=lambda kind: kind.__name__)
def test_every_error_is_one_line_and_its_code(toys: Callable[..., None], kind: type[RetortError]) -> None:
    def fails(context: StageContext) -> None:
        raise kind("what, where,\nwhat to do")

    toys(first=fails)
    failed = call("--quiet", "build", FILE)
    assert failed.exit_code == kind.exit_code
    assert (failed.stdout, failed.stderr) == ("", "error: what, where, what to do\n")


def test_exit_codes_differ() -> None:
    codes = [kind.exit_code for kind in all_errors(RetortError)]
    assert len(set(codes)) == len(codes) and not {0, 70, 130} & set(codes)


def test_unexpected(toys: Callable[..., None]) -> None:
    def fails(context: StageContext) -> None:
        raise ValueError("odd")

    toys(first=fails)
    failed = call("-q", "build", FILE)
    assert failed.exit_code == 70
    assert failed.stderr == "error: ValueError: odd; unexpected, `retort --debug ...` shows where\n"
    debugged = call("-q", "--debug", "build", FILE)
    assert debugged.exit_code == 70 and "Traceback (most recent call last)" in debugged.stderr


def test_interrupt(toys: Callable[..., None]) -> None:
    def stops(context: StageContext) -> None:
        raise KeyboardInterrupt

    toys(second=stops)
    stopped = call("-q", "build", FILE)
    assert stopped.exit_code == 130
    assert stopped.stderr == "interrupted; the same command goes on from here\n"


def test_a_failed_verification_leaves_its_findings(toys: Callable[..., None], tmp_path: Path) -> None:
    def fails(context: StageContext) -> None:
        (context.work / "verification.json").write_text("[]")
        raise VerificationError("rung 'rtl': sample 3, class 1: expected 5, got 6")

    toys(third=fails)
    failed = call("build", FILE)
    assert failed.exit_code == 12
    lines = failed.stderr.splitlines()
    assert lines[-2] == "third: failed; what it left is in out/digits-icebreaker/failed"
    assert lines[-1] == "error: rung 'rtl': sample 3, class 1: expected 5, got 6"
    assert (tmp_path / "out" / "digits-icebreaker" / "failed" / "verification.json").read_text() == "[]"


def test_doctor() -> None:
    answer = call("doctor", "--json")
    found = json.loads(answer.stdout)
    assert answer.exit_code == (0 if found["ok"] else 4)
    assert {"torch", "finn-plus"} <= {tool["name"] for tool in found["tools"]}


def test_doctor_without_a_needed_tool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    answer = call("doctor")
    assert answer.exit_code == 4
    assert "g++" in answer.stderr and answer.stderr.count("\n") == 1
    assert any(line.split()[:2] == ["make", "MISSING"] for line in answer.stdout.splitlines())


def test_boards_and_methods() -> None:
    assert [board["name"] for board in json.loads(call("boards", "--json").stdout)][:1] == ["icebreaker"]
    table = call("boards").stdout
    assert "xc7z020clg400-1" in table and "u250: AMD Alveo U250" in table
    assert "iCEBreaker" in table and max(map(len, table.splitlines())) <= 100
    assert re.search(r"orangecrab +ecp5 25k +48 MHz +19 +12 bits +24288 +24288 +1008 kbit", table)
    methods = json.loads(call("methods", "--json").stdout)
    (softened,) = (each for each in methods["losses"] if each["name"] == "softened-softmax")
    assert softened["settings"] == {
        "temperature": 4.0,
        "hard_label_weight": 0.1,
        "mean": "arithmetic",
        "member_weights": [],
    }
    assert softened["needs"] == ["labels", "teacher"] and "1503.02531" in softened["paper"]


RUNGS = [
    Rung("golden", True, "student.onnx", 9, 0, {}, 1.0, "", {}),
    Rung("board", None, "golden", 0, 0, {}, 0.0, "", {}, skipped="no port"),
]
FAILING = Rung("rtl", False, "golden", 9, 2, {}, 1.0, "", {})


def test_verify(toys: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.ladder.folder.verify_folder", lambda ladder, built, step, *board: RUNGS)
    passed = call("verify", str(built(tmp_path)), "--junit", "junit.xml", "--json")
    assert passed.exit_code == 0 and json.loads(passed.stdout) == VERIFICATION.plain(tuple(RUNGS))
    assert 'tests="2" failures="0"' in Path("junit.xml").read_text()

    monkeypatch.setattr(
        "pipeline.ladder.folder.verify_folder", lambda ladder, built, step, *board: [*RUNGS, FAILING]
    )
    failed = call("verify", "out/digits-icebreaker")
    assert failed.exit_code == 12
    assert failed.stderr == (
        "error: out/digits-icebreaker: rung 'rtl' failed: 2 mismatches in 9 samples against golden\n"
    )


def test_verify_is_given_one_board(
    toys: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    boards: list[Any] = []
    monkeypatch.setattr(
        "pipeline.ladder.folder.verify_folder",
        lambda ladder, built, step, port, target: boards.append((port, target)) or RUNGS,
    )
    folder = str(built(tmp_path))
    assert call("verify", folder, "--host", "root@pynq", "--json").exit_code == 0
    ((port, target),) = boards
    assert port is None and target.remote.host == "root@pynq" and target.samples is None
    both = call("verify", folder, "--host", "root@pynq", "--port", "/dev/ttyUSB1")
    assert both.exit_code == 2 and "give one board" in both.stderr


def test_a_folder_that_is_no_build(tmp_path: Path) -> None:
    infer = ("--port", "/dev/board", "--input", "frames.npy", "--baud", "9600")
    for command, *options in (
        ["verify"],
        ["report"],
        ["flash"],
        ["deploy", "--host", "b"],
        ["infer", *infer],
    ):
        failed = call(command, str(tmp_path), *options)
        assert failed.exit_code == 6
        assert failed.stderr.endswith("build.lock.json: not there; give the folder of a finished build\n")


def test_report(toys: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module(monkeypatch, "pipeline.report", write_report=lambda path: path / "report.html")
    assert call("report", str(built(tmp_path))).stdout.endswith("digits-icebreaker/report.html\n")


def test_study(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked = []

    def performed(build: Any, store: Any, folder: Path, display: Any, *rest: Any) -> StudyResult:
        asked.append((build.study, folder, rest))
        score = {"score": Interval(0.9, 0.01, 0.89, 0.91)}
        summary = Summary({"method": "b+c"}, 3, score, {"score": Interval(0.02, 0.01, 0.0, 0.03)}, "better")
        made = {"kind": "compare"}, "accuracy", {}, 0.95, {"torch": "1 00"}, ("Left out: d.",), (), ()
        return StudyResult(build.name, *made, (summary,))

    monkeypatch.setattr("pipeline.studies.study.perform", performed)
    file = tmp_path / "build.toml"
    study = '[study]\nkind = "compare"\nmethods = ["dist"]\nseeds = 3\n'
    file.write_text(Path(FILE).read_text() + study)
    options = ("--out", str(tmp_path), "--workers", "2", "--until", "bitstream")
    found = json.loads(call("study", str(file), *options, "--json").stdout)
    assert asked[0][0].methods == ("dist",) and asked[0][0].seeds == 3
    assert asked[0][1:] == (tmp_path / found["build"], (2, None, "bitstream"))
    assert "90.00 ± 1.00" in (tmp_path / found["build"] / "study.html").read_text()
    told = call("study", str(file), *options).stdout
    assert "**+2.00 ± 1.00**" in told and "Left out: d." in told
    file.write_text(file.read_text().replace("compare", "compair"))
    assert "did you mean 'compare'" in call("study", str(file)).stderr


def test_flash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_lock(tmp_path, name="ulx3s-85f")
    assert "no bitstream there" in call("flash", str(tmp_path)).stderr

    (tmp_path / "top.bit").write_bytes(b"bits")
    write_lock(tmp_path, name="ulx3s-85f")
    monkeypatch.setenv("PATH", "")
    missing = call("flash", str(tmp_path))
    assert missing.exit_code == 4 and "openFPGALoader" in missing.stderr

    programmer = tmp_path / "bin" / "openFPGALoader"
    programmer.parent.mkdir()
    programmer.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/called\n')
    programmer.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programmer.parent}:/bin:/usr/bin")
    assert call("flash", str(tmp_path)).exit_code == 0
    called = (tmp_path / "called").read_text()
    assert called.splitlines()[-1] == f"-b ulx3s {tmp_path}/top.bit"

    (tmp_path / "top.bit").write_bytes(b"bots")
    refused = call("flash", str(tmp_path))
    assert refused.exit_code == 6
    assert refused.stderr.startswith(f"error: {tmp_path}/top.bit: is not what was built")
    assert (tmp_path / "called").read_text() == called


class Echo:
    """A board that gives the first two bytes of each frame, and notes what weights it was offered."""

    weights: ClassVar[list[bytes]] = []

    def __init__(self, port: str, baud: int) -> None:
        assert (port, baud) == ("/dev/board", 1_000_000)

    def __enter__(self) -> "Echo":
        return self

    def __exit__(self, *exc_info: object) -> None:
        pass

    def expect(self, design: bytes) -> None:
        assert design == sha256(b"module core").digest()[:8]

    def infer(
        self, frames: Any, interface: CoreInterface, progress: Callable[[int], None], *, weights: bytes
    ) -> Any:
        progress(len(frames))
        self.weights.append(weights)
        return frames.reshape(len(frames), -1)[:, :2].astype("int16")


@pytest.fixture
def core(tmp_path: Path) -> Path:
    (tmp_path / "core.v").write_text("module core")
    streams = StreamFormat((2, 2, 1), "uint8", 1), StreamFormat((2,), "int16", 1)
    CoreInterface(*streams).save(tmp_path / "io.json")
    write_lock(tmp_path)
    np.save(tmp_path / "frames.npy", np.arange(12, dtype=np.uint8).reshape(3, 4))
    return tmp_path


def test_infer(core: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module(monkeypatch, "hw.host.host", Link=Echo)
    arguments = ["infer", str(core), "--port", "/dev/board", "--input", str(core / "frames.npy")]
    assert json.loads(call(*arguments, "--json").stdout) == {"frames": 3, "outputs": [[0, 1], [4, 5], [8, 9]]}
    assert call(*arguments).stdout.splitlines() == ["frame  output", "0      0 1", "1      4 5", "2      8 9"]
    done = call("infer", str(core / "core.v"), *arguments[2:], "--output", str(core / "out.npy"))
    assert done.exit_code == 0
    assert np.load(core / "out.npy").tolist() == [[0, 1], [4, 5], [8, 9]]


def test_infer_with_weights_to_load(core: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module(monkeypatch, "hw.host.host", Link=Echo)
    plain = CoreInterface.load(core / "io.json")
    weights = b"\x01\x02\x03\x04"
    replace(plain, weights=WeightsFormat((2,), zlib.crc32(weights))).save(core / "io.json")
    write_lock(core)
    arguments = ["infer", str(core), "--port", "/dev/board", "--input", str(core / "frames.npy")]
    missing = call(*arguments)
    assert missing.exit_code == 8 and "weights.bin: No such file or directory" in missing.stderr
    (core / "weights.bin").write_bytes(weights)
    assert call(*arguments).exit_code == 0
    assert Echo.weights[-1] == weights


@pytest.mark.parametrize(
    ("array", "told"),
    [
        (np.zeros((3, 4), np.float32), "float32 values; the core takes uint8, convert them"),
        (np.zeros((3, 5), np.uint8), "shape (3, 5); give (frames, 2, 2, 1)"),
        (np.uint8(1), "shape (); give (frames, 2, 2, 1)"),
        (np.array([{}], object), "holds object, not numbers"),
    ],
)
def test_infer_refuses_other_data(core: Path, array: Any, told: str) -> None:
    np.save(core / "frames.npy", array)
    failed = call("infer", str(core), "--port", "/dev/board", "--input", str(core / "frames.npy"))
    assert failed.exit_code == 3
    assert failed.stderr.startswith(f"error: {core / 'frames.npy'}: {told}")


@pytest.mark.parametrize("place", ["fifo", "device", "new/y.npy", "folder"])
def test_infer_refuses_places_before_it_asks_the_board(core: Path, place: str) -> None:
    os.mkfifo(core / "fifo")
    (core / "device").symlink_to("/dev/full")
    (core / "folder").mkdir()
    before = sorted(path.name for path in core.iterdir())
    arguments = ["infer", str(core), "--port", "/dev/none", "--input", str(core / "frames.npy")]
    failed = call(*arguments, "--output", str(core / place))
    assert failed.exit_code == 2 and failed.stderr.startswith(f"error: {core / place}: ")
    for command in (["verify", str(core)], ["deploy", str(core), "--host", "nowhere"]):
        assert call(*command, "--junit", str(core / place)).stderr == failed.stderr
    assert sorted(path.name for path in core.iterdir()) == before


def test_infer_takes_no_core_that_the_build_does_not_name(core: Path) -> None:
    content = (core / "core.v").read_bytes()
    (core / "core.v").unlink()
    write_lock(core)
    (core / "core.v").write_bytes(content)
    failed = call("infer", str(core), "--port", "/dev/none", "--input", str(core / "frames.npy"))
    assert failed.exit_code == 6 and f"{core}: built without core.v" in failed.stderr


def test_infer_waits_for_no_fifo(core: Path) -> None:
    os.mkfifo(core / "fifo")
    for path, told in ((core / "fifo", "is a FIFO"), (Path("/dev/zero"), "is a device")):
        failed = call("infer", str(core), "--port", "/dev/none", "--input", str(path))
        assert failed.exit_code == 3
        assert failed.stderr == f"error: {path}: {told}; give a .npy or .npz file\n"


@pytest.mark.parametrize("name", ["core.v", "io.json", "build.lock.json"])
def test_no_command_takes_what_was_not_built(core: Path, name: str) -> None:
    with (core / name).open("ab") as file:
        file.write(b" ")
    infer = ("--port", "/dev/none", "--input", "frames.npy", "--baud", "9600")
    for command, *options in (
        ["verify"],
        ["report"],
        ["flash"],
        ["deploy", "--host", "b"],
        ["infer", *infer],
    ):
        failed = call(command, str(core), *options)
        assert failed.exit_code == 6 and failed.stderr.startswith(f"error: {core}/"), command
        assert name in failed.stderr and failed.stderr.count("\n") == 1


@pytest.mark.parametrize("content", [b"", b"text\n", b"\x93NUMPY", b"PK\x03\x04junk"])
def test_infer_refuses_files_of_no_arrays(core: Path, content: bytes) -> None:
    (core / "frames.npy").write_bytes(content)
    failed = call("infer", str(core), "--port", "/dev/board", "--input", str(core / "frames.npy"))
    assert failed.exit_code == 3 and failed.stderr.startswith(f"error: {core / 'frames.npy'}: ")


@pytest.mark.parametrize(
    "arguments",
    [
        ("study", "--workers", "99999999"),
    ],
)
def test_numbers_have_limits(arguments: tuple[str, ...]) -> None:
    *command, option, number = arguments
    failed = call(*command, FILE, option, number)
    assert failed.exit_code == 2 and f"'{option}'" in failed.stderr


@pytest.mark.parametrize("baud", ["99999999999", "0", "-1"])
def test_infer_refuses_bauds_of_no_port(core: Path, baud: str) -> None:
    arguments = ("--port", "/dev/board", "--input", str(core / "frames.npy"), "--baud", baud)
    failed = call("infer", str(core), *arguments)
    assert failed.exit_code == 2 and "'--baud'" in failed.stderr


def test_memory_that_ends_is_no_fault_of_the_code(toys: Callable[..., None]) -> None:
    def fails(context: StageContext) -> None:
        raise MemoryError("Unable to allocate 1 TiB")

    toys(first=fails)
    failed = call("-q", "build", FILE)
    assert failed.exit_code == 1
    assert failed.stderr.startswith("error: out of memory: Unable to allocate 1 TiB; give less data")


def test_several_findings_are_a_line_each(toys: Callable[..., None]) -> None:
    def fails(context: StageContext) -> None:
        raise RetortError("one, where,\nwhat to do", "two")

    toys(first=fails)
    assert call("-q", "build", FILE).stderr == "error: one, where, what to do\nerror: two\n"
    assert str(RetortError("one", "two")) == "one | two"


@pytest.mark.parametrize("command", [["verify"], ["infer", "--input", "frames.npy"]])
def test_build_without_a_serial_link(command: list[str], tmp_path: Path) -> None:
    write_lock(tmp_path, shell="parallel")
    refused = call(*command, str(tmp_path), "--port", "/dev/board")
    assert refused.exit_code == 2
    assert "built with board.shell 'parallel', whose chip has no serial link" in refused.stderr


def test_amd_boards_have_no_serial_link_and_no_programmer(tmp_path: Path) -> None:
    write_lock(tmp_path, name="pynq-z1")
    for command in (["flash"], ["verify", "--port", "/dev/board"]):
        refused = call(command[0], str(tmp_path), *command[1:])
        assert refused.exit_code == 2
        assert "board 'pynq-z1' has an AMD chip, for which only Vivado makes bitstreams" in refused.stderr


def test_infer_without_a_board(core: Path) -> None:
    failed = call("infer", str(core), "--port", "/dev/none", "--input", str(core / "frames.npy"))
    assert failed.exit_code == 15
    assert failed.stderr.startswith("error: /dev/none: ") and failed.stderr.count("\n") == 1


def test_every_board_has_a_programmer() -> None:
    from hw.boards.boards import BOARDS
    from hw.tools import tools

    for board in BOARDS.values():
        lines = board.programmers
        assert bool(lines) == (board.family.toolchain is not None)
        assert all(tools.find(line[0]) and "" not in line for line in lines)


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    argv = [sys.executable, "-m", "pipeline", *arguments]
    return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=60)


def test_process_with_a_malformed_build_file(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text("name = ")
    done = run("plan", str(tmp_path / "x.toml"))
    assert done.returncode == 2
    assert done.stderr == f"error: {tmp_path}/x.toml: not TOML: Invalid value (at end of document)\n"
    assert run("plan").returncode == 2


def test_a_full_disk_behind_standard_output() -> None:
    with open("/dev/full", "w") as full:  # noqa: PTH123
        argv = [sys.executable, "-m", "pipeline", "boards"]
        done = subprocess.run(argv, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == 25
    assert done.stderr.startswith("error: No space left on device; free space there")


HEAVY = {"torch", "finn", "amaranth", "sklearn", "matplotlib", "onnxruntime", "onnx", "brevitas", "numpy"}


def test_start_up_imports_nothing_heavy() -> None:
    code = "import sys, pipeline.cli; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not HEAVY & set(done.stdout.split())


TOY_BUILD = """
import sys
from types import ModuleType
sys.path[:0] = [{root!r}, {toys!r}]
from tests.pipeline import toy
made = ModuleType("pipeline.stages")
made.stages_of = lambda build: toy.stages()
sys.modules["pipeline.stages"] = made
from pipeline.cli import building, main
building.fingerprint = toy.identify
main()
"""


def toy_argv(*arguments: str) -> list[str]:
    code = TOY_BUILD.format(root=str(ROOT), toys=str(Path(__file__).parents[1]))
    return [sys.executable, "-c", code, *arguments]


def test_sigterm_ends_a_process_as_ctrl_c_does(tmp_path: Path) -> None:
    process = subprocess.Popen(
        toy_argv("build", FILE),
        cwd=tmp_path,
        env={**os.environ, "TOY_SLOW": "1"},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr
    while "second, steps" not in process.stderr.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.stderr.read().splitlines()[-1] == "interrupted; the same command goes on from here"
    assert process.wait() == 143
    done = subprocess.run(toy_argv("build", FILE), cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "first: cached" in done.stderr

    began = resource.getrusage(resource.RUSAGE_CHILDREN)
    cached = subprocess.run(toy_argv("build", FILE, "--json"), cwd=tmp_path, capture_output=True, check=True)
    assert {stage["status"] for stage in json.loads(cached.stdout)["stages"]} == {"cached"}
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert ended.ru_utime - began.ru_utime < 10, "a cached build takes a second of processor"
