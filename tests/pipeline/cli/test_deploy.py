"""`retort deploy`: the folder's files, JUnit, exit codes, on a virtual board behind a real SSH server."""

import json
import os
import re
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from common.errors import DiskError, StoreError
from pipeline.artefacts.verification import VERIFICATION, Rung
from pipeline.cli.app import app
from pipeline.config.file import parse
from pipeline.engine.lock import open_built
from pipeline.ladder import hardware
from pipeline.ladder.folder import record
from pipeline.ladder.networks import QuantizedArtefacts
from tests.locks import write_lock
from tests.packages import make_folder
from tests.virtual_board import NEEDS_SSH, virtual_board

OTHER = {
    "rung": "rtl",
    "passed": True,
    "against": "golden",
    "samples": 80,
    "mismatches": 0,
    "metrics": {},
    "seconds": 1.0,
    "key": "",
    "tools": {},
}
PACE = {
    "interval_cycles": 16,
    "interval_bound_cycles": 16,
    "latency_cycles": 40,
    "clock_hz": 1e8,
    "frames_per_second": 6.25e6,
}


@pytest.fixture
def folder(tmp_path):
    made = make_folder(tmp_path / "build")
    (made / "verification.json").write_text(
        json.dumps([OTHER, OTHER | {"rung": "board", "passed": None}, OTHER])
    )
    (made / "performance.json").write_text(json.dumps(PACE))
    write_lock(made, volatile=("verification.json",))
    return made


def deploy(target, folder, *options):
    remote = target.remote
    argv = ["deploy", folder, "--host", remote.host, "--port-ssh", remote.port, "--identity", remote.identity]
    argv += ["--known-hosts", remote.known_hosts, "--board-folder", target.folder, *options]
    return CliRunner().invoke(app, list(map(str, argv)))


@pytest.mark.slow
@NEEDS_SSH
def test_board_is_proven_and_measured_into_the_folder(folder, tmp_path):
    with virtual_board(tmp_path) as target:
        done = deploy(target, folder, "--junit", tmp_path / "board.xml")
        assert done.exit_code == 0, done.output
        again = deploy(target, folder, "--json", "--samples", 7)
        lock = json.loads((folder / "build.lock.json").read_text())
        config = parse(lock["config"], "tiny")
        work = tmp_path / "work"
        climbed = hardware.board(
            QuantizedArtefacts(config, folder, work, tmp_path / "log", lambda *_: None, None, target)
        )
    assert re.search(r"^package +sent$", done.stdout, re.MULTILINE)
    assert "0 mismatches in 80 samples against golden" in done.stdout
    row = json.loads(again.stdout)
    assert (row["samples"], row["mismatches"], row["passed"], row["metrics"]["sent"]) == (7, 0, True, False)
    assert (climbed.passed, climbed.samples, climbed.metrics["sent"]) == (True, 80, False)
    rows = json.loads((folder / "verification.json").read_text())
    assert rows == [OTHER, row, OTHER]
    assert json.loads((folder / "performance.json").read_text()) == PACE
    assert open_built(folder).lock.build == "tiny", "the folder is what was built, with what deploy found"
    case = ElementTree.parse(tmp_path / "board.xml").getroot()[0][0]
    assert (case.get("name"), list(case)) == ("board", [])
    assert (folder / "logs" / "deploy.log").stat().st_size


@pytest.mark.slow
@NEEDS_SSH
def test_wrong_outputs_fail_and_name_the_first(folder, tmp_path):
    with virtual_board(tmp_path, fault="wrong") as target:
        failed = deploy(target, folder, "--samples", 20, "--junit", tmp_path / "board.xml")
    assert failed.exit_code == 12
    last = failed.stderr.splitlines()[-1]
    found = re.search(
        r"20 mismatches in 20 samples .*sample 0, output 0: expected (-?\d+), got (-?\d+)$", last
    )
    assert found and abs(int(found[1]) - int(found[2])) == 1, last
    (row,) = [row for row in json.loads((folder / "verification.json").read_text()) if row["rung"] == "board"]
    assert (row["passed"], row["mismatches"]) == (False, 20)
    assert ElementTree.parse(tmp_path / "board.xml").getroot()[0].get("failures") == "1"


@pytest.mark.slow
@NEEDS_SSH
def test_unknown_host_leaves_the_folder_as_it_was(folder, tmp_path):
    before = (folder / "verification.json").read_bytes()
    with virtual_board(tmp_path) as target:
        target.remote.known_hosts.write_text("")
        failed = deploy(target, folder, "--junit", tmp_path / "board.xml")
    assert failed.exit_code == 18
    ((case,),) = ElementTree.parse(tmp_path / "board.xml").getroot()
    assert (case[0].tag, case[0].get("type")) == ("error", "HostKeyError")
    assert "log in once by `ssh" in failed.stderr and "Traceback" not in failed.stderr
    assert (folder / "verification.json").read_bytes() == before


def test_folder_without_package_says_what_makes_it(folder):
    (folder / "deploy" / "bitfile" / "finn-accel.bit").unlink()
    write_lock(folder, volatile=("verification.json",))
    failed = CliRunner().invoke(app, ["deploy", str(folder), "--host", "board"])
    assert failed.exit_code == StoreError.exit_code
    assert "`retort build` makes it" in failed.stderr


@pytest.mark.parametrize("make", [lambda path: path.write_text(""), lambda path: fifo(path / "deploy.log")])
def test_a_log_that_cannot_be_written_is_an_error_of_the_disk(folder, make):
    make(folder / "logs")
    failed = CliRunner().invoke(app, ["deploy", str(folder), "--host", "board"])
    assert failed.exit_code == DiskError.exit_code
    assert f"{folder}/logs/deploy.log: " in failed.stderr


def fifo(path):
    path.parent.mkdir()
    os.mkfifo(path)


def test_first_row_of_a_folder_and_damaged_files(tmp_path):
    row = Rung("board", True, "golden", 1, 0, {}, 1.0, "", {})
    write_lock(tmp_path)
    record(tmp_path, row)
    assert open_built(tmp_path)
    assert VERIFICATION.load(tmp_path) == (row,)
    (tmp_path / "verification.json").write_text('{"rung": 1}')
    with pytest.raises(StoreError, match=r"verification\.json: file: "):
        record(tmp_path, row)
