"""A real board on a serial port: flash a build into it, then

RETORT_BOARD_PORT=/dev/ttyUSB1 RETORT_BOARD_BUILD=out/digits-icebreaker pytest -m board
"""

import os
from pathlib import Path

import pytest

from pipeline.verification import verify_folder

PORT, BUILD = os.environ.get("RETORT_BOARD_PORT"), os.environ.get("RETORT_BOARD_BUILD")


@pytest.mark.board
@pytest.mark.skipif(not (PORT and BUILD), reason="needs RETORT_BOARD_PORT and RETORT_BOARD_BUILD")
def test_board_gives_what_golden_gives():
    rows = {row["rung"]: row for row in verify_folder(Path(str(BUILD)), lambda *_: None, PORT)}
    assert rows["board"]["passed"], rows["board"]
    assert rows["board"]["samples"] >= 16
