"""The host against a line that answers with anything: the right value, or an error of the link."""

import os
import threading
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from common.errors import LinkError
from hw.host.host import Link
from hw.interface import CoreInterface, StreamFormat
from hw.shells import protocol
from tests.fuzz.test_bytes import FEW

INTERFACE = CoreInterface(StreamFormat((4,), "uint8", 1), StreamFormat((2,), "int16", 1))
OUTPUT = bytes(range(INTERFACE.output.frame_bytes))
FRAMES = np.arange(8, dtype=np.uint8).reshape(2, 4)
Piece = Callable[[bytes], bytes]
"""What the line makes of a good reply."""
PIECES = st.one_of(
    st.binary(max_size=40).map(lambda noise: lambda good: noise),
    st.sampled_from(
        [
            lambda good: good,
            lambda good: good[:-1],
            lambda good: good[1:],
            lambda good: good[:2] + b"\x00\xff\xff",
            lambda good: good + good,
        ]
    ),
)


@contextmanager
def babbling(pieces: list[Piece]) -> Iterator[str]:
    """A port whose other end answers each request with the next piece, and then with nothing."""
    board, port = os.openpty()
    tty.setraw(port)
    answers = iter(pieces)

    def answer() -> None:
        while True:
            try:
                if not (request := os.read(board, 4096)):
                    return
                reply = protocol.encode_reply(request, protocol.Status.OK, OUTPUT)
                os.write(board, next(answers, lambda good: b"")(reply))
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
def test_a_line_that_babbles(pieces: list[Piece]) -> None:
    with babbling(pieces) as name:
        try:
            with Link(name, 1_000_000, timeout=0.02, retries=1) as link:
                found = link.infer(FRAMES, INTERFACE)
        except LinkError as error:
            assert str(error)
            return
    np.testing.assert_array_equal(found, [np.frombuffer(OUTPUT, np.int16)] * 2)
