import pytest

from hw.boards.boards import find
from hw.interface import CoreInterface, StreamFormat
from hw.shells.port import PortWidths, parallel_port
from hw.shells.protocol import Command, Status, encode_reply, encode_request
from hw.shells.throughput import link_cycles, link_for, pace, serial_bits, spoken, stream_pins

IO = CoreInterface(StreamFormat((64,), "uint8", 8), StreamFormat((10,), "int16", 2))
ICEBREAKER, ZYNQ = find("icebreaker"), find("pynq-z1")


def test_bits_are_those_of_the_frames_of_the_protocol() -> None:
    request = encode_request(0, Command.INFER, bytes(64))
    reply = encode_reply(request, Status.OK, bytes(20))
    assert serial_bits(IO) == 10 * (len(request) + len(reply))


def test_slower_of_core_and_link() -> None:
    slow, fast = pace(ICEBREAKER, IO, 10**6), pace(ICEBREAKER, IO, 512)
    assert (slow.limited_by, slow.frames_per_second, slow.as_fast) == ("core", 12.0, "")
    assert fast.limited_by == "link"
    assert fast.frames_per_second == pytest.approx(1e6 / serial_bits(IO))
    assert fast.core_frames_per_second == 12e6 / 512
    assert "serial link at 1,000,000 baud" in str(fast) and "limited by the link" in str(fast)
    assert "limited by the core" in str(slow)


def test_baud_that_is_named_carries_the_rate() -> None:
    words = link_for(ICEBREAKER, IO, 6000)
    baud = int(words.split()[0].replace(",", ""))
    assert baud / serial_bits(IO) >= 2000 > (baud - 1) / serial_bits(IO)


@pytest.mark.parametrize("interval", [64, 512, 8])
def test_pins_that_are_named_carry_the_rate(interval: int) -> None:
    pins = stream_pins(IO, interval)
    widths = [(i, o) for i in range(1, 65) for o in range(1, 33) if 64 % i == 32 % o == 0]
    carrying = [
        i + o
        for i, o in widths
        if link_cycles(ICEBREAKER, IO, PortWidths(i, o, 64 // i, 32 // o)) <= interval
    ]
    assert pins == min(carrying)
    assert f"{pins} data pins" in link_for(ICEBREAKER, IO, interval, PortWidths(1, 1, 64, 32))


def test_parallel_port_and_dma() -> None:
    port = parallel_port(ICEBREAKER, IO)
    beats = max(8 * port.in_beats, 5 * port.out_beats)
    assert link_cycles(ICEBREAKER, IO, port) == beats
    assert pace(ICEBREAKER, IO, 1, port).frames_per_second == 12e6 / beats
    assert link_cycles(ZYNQ, IO) == 8
    assert "DMA of 512 bits a cycle" in link_for(ZYNQ, IO, 1)


def test_rates_are_rounded_down() -> None:
    assert [spoken(rate) for rate in (1162.8, 125.9, 99.999, 0.129)] == ["1,162", "125", "99.99", "0.12"]
