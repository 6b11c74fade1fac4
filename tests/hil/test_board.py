"""A real board on a serial port: flash a build into it, then

RETORT_BOARD_PORT=/dev/ttyUSB1 RETORT_BOARD_BUILD=out/digits-icebreaker pytest -m board

One that your ssh logs in to without asking, with the PYNQ image:

RETORT_BOARD_HOST=root@pynq RETORT_BOARD_BUILD=out/fashion-pynq-z2 pytest -m board
"""

import os
from pathlib import Path

import pytest

from hw.host.deployment import Target
from hw.tools.ssh import Remote
from pipeline.engine.lock import open_built
from pipeline.ladder.folder import climb_board, verify_folder
from pipeline.students import student_of

PORT, BUILD = os.environ.get("RETORT_BOARD_PORT"), os.environ.get("RETORT_BOARD_BUILD")
HOST = os.environ.get("RETORT_BOARD_HOST")


@pytest.mark.board
@pytest.mark.skipif(not (PORT and BUILD), reason="needs RETORT_BOARD_PORT and RETORT_BOARD_BUILD")
def test_board_gives_what_golden_gives():
    built = open_built(Path(str(BUILD)))
    ladder = student_of(built.config).ladder()
    rows = {row["rung"]: row for row in verify_folder(ladder, built, lambda *_: None, PORT)}
    assert rows["board"]["passed"], rows["board"]
    assert rows["board"]["samples"] >= 16


@pytest.mark.board
@pytest.mark.skipif(not (HOST and BUILD), reason="needs RETORT_BOARD_HOST and RETORT_BOARD_BUILD")
def test_board_by_ssh_gives_what_golden_gives_and_is_sent_a_package_once(tmp_path):
    target = Target(Remote(str(HOST)))
    built = open_built(Path(str(BUILD)))
    ladder = student_of(built.config).ladder()
    rows = [climb_board(ladder, built, target, tmp_path / "log", lambda *_: None) for _ in range(2)]
    assert all(row["passed"] for row in rows), rows
    assert rows[0]["samples"] >= 16 and rows[1]["metrics"]["sent"] is False
    assert rows[0]["metrics"]["frames_per_second"] > 0
