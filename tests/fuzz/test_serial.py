"""The host against a line that answers with anything: the right value, or an error of the link."""

import os
import threading
import tty
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hw.host import Link
from hw.interface import CoreInterface, StreamFormat
from hw.shell import protocol
from pipeline.errors import LinkError
from tests.fuzz.test_bytes import FEW

INTERFACE = CoreInterface(StreamFormat((4,), "uint8", 1), StreamFormat((2,), "int16", 1))
FRAMES = np.arange(8, dtype=np.uint8).reshape(2, 4)
GOOD = protocol.encode_reply(protocol.Status.OK, bytes(INTERFACE.output.frame_bytes))
PIECES = st.one_of(
    st.binary(max_size=40),
    st.sampled_from([GOOD, GOOD[:-1], GOOD[1:], bytes([GOOD[0]]) + b"\x00\xff\xff", GOOD + GOOD]),
)


@contextmanager
def babbling(pieces: list[bytes]) -> Iterator[str]:
    """A port whose other end answers each request with the next piece, and then with nothing."""
    board, port = os.openpty()
    tty.setraw(port)
    answers = iter(pieces)

    def answer() -> None:
        while True:
            try:
                if not os.read(board, 4096):
                    return
                os.write(board, next(answers, b""))
            except OSError:
                return

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    try:
        yield os.ttyname(port)
    finally:
        os.close(port)
        thread.join(timeout=5)
        os.close(board)


@FEW
@given(st.lists(PIECES, max_size=5))
def test_a_line_that_babbles(pieces: list[bytes]) -> None:
    with babbling(pieces) as name:
        try:
            with Link(name, 1_000_000, timeout=0.02, retries=1) as link:
                found = link.infer(FRAMES, INTERFACE)
        except LinkError as error:
            assert str(error)
            return
    assert found.shape == (2, 2) and found.dtype == np.int16
