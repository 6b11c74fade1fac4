"""The whole chip: serial link, framing and core, as a plain Verilog top or for a board's pins."""

from pathlib import Path
from typing import Any

from amaranth.build import Attrs
from amaranth.build.run import BuildPlan
from amaranth.hdl import ClockDomain, ClockSignal, Instance, Module, ResetSignal
from amaranth.lib import io, wiring
from amaranth.lib.wiring import In, Out
from amaranth_boards.resources import UARTResource

from hw.boards import Board
from hw.interface import CoreInterface
from hw.shell.link import Link
from hw.shell.uart import Receiver, Transmitter
from hw.verilog import to_verilog

TIMEOUT_BITS = 1 << 16  # 65 ms at 1 Mbaud: more than a host is held up within a frame


class Chip(wiring.Component):  # type: ignore[misc]
    """Shell around an instance of module `core`, which is another file's; `busy` is for a light.

    The core's ports: `clk`, `rst` (synchronous, active high), streams `s_axis_*` and `m_axis_*` of
    `interface`. A request that breaks off is given up after `timeout_bits` bit times.
    """

    def __init__(
        self,
        interface: CoreInterface,
        identity: bytes,
        clocks_per_bit: int,
        timeout_bits: int = TIMEOUT_BITS,
    ) -> None:
        self._interface = interface
        self._clocks_per_bit = clocks_per_bit
        self._link = Link(interface, identity, timeout_bits * clocks_per_bit)
        super().__init__({"rx": In(1, init=1), "tx": Out(1, init=1), "busy": Out(1)})

    def elaborate(self, platform: Any) -> Module:
        """Receiver and transmitter, link, core."""
        m = Module()
        m.submodules.receiver = receiver = Receiver(self._clocks_per_bit)
        m.submodules.transmitter = transmitter = Transmitter(self._clocks_per_bit)
        m.submodules.link = link = self._link
        wiring.connect(m, receiver.bytes, link.received)
        wiring.connect(m, link.sent, transmitter.bytes)
        m.d.comb += [
            receiver.line.eq(self.rx),
            self.tx.eq(transmitter.line),
            self.busy.eq(link.busy),
        ]
        m.submodules.core = Instance(
            "core",
            i_clk=ClockSignal(),
            i_rst=ResetSignal(allow_reset_less=True) | link.core_reset,
            i_s_axis_tdata=link.to_core.payload,
            i_s_axis_tvalid=link.to_core.valid,
            o_s_axis_tready=link.to_core.ready,
            o_m_axis_tdata=link.from_core.payload,
            o_m_axis_tvalid=link.from_core.valid,
            i_m_axis_tready=link.from_core.ready,
        )
        return m


class _Plain(wiring.Component):  # type: ignore[misc]
    """The chip with ports `clk`, `rx`, `tx`, started by the power-on values of its flip-flops."""

    def __init__(self, chip: Chip) -> None:
        self._chip = chip
        super().__init__({"clk": In(1), "rx": In(1), "tx": Out(1)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.domains.sync = ClockDomain(reset_less=True)
        m.submodules.shell = self._chip
        m.d.comb += [
            ClockSignal().eq(self.clk),
            self._chip.rx.eq(self.rx),
            self.tx.eq(self._chip.tx),
        ]
        return m


class _OnBoard(wiring.Component):  # type: ignore[misc]
    """The chip on a board's serial pins, `busy` on its first light if it has one."""

    def __init__(self, chip: Chip) -> None:
        self._chip = chip
        super().__init__({})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.shell = self._chip
        wires = platform.lookup("uart", 0).ios
        uart = platform.request("uart", 0, dir={wire.name: "-" for wire in wires})
        m.submodules.rx = rx = io.Buffer("i", uart.rx)
        m.submodules.tx = tx = io.Buffer("o", uart.tx)
        m.d.comb += [self._chip.rx.eq(rx.i), tx.o.eq(self._chip.tx)]
        if ("led", 0) in platform.resources:
            m.submodules.light = light = io.Buffer("o", platform.request("led", 0, dir="-"))
            m.d.comb += light.o.eq(self._chip.busy)
        return m


def chip_verilog(
    interface: CoreInterface,
    identity: bytes,
    work: Path,
    *,
    clocks_per_bit: int = 12,
    timeout_bits: int = TIMEOUT_BITS,
) -> str:
    """Module `chip` with ports `clk`, `rx`, `tx`, to be read together with the core's Verilog.

    `identity` is the core's digest, of which the board tells the first bytes; `work` takes the files between.
    """
    chip = Chip(interface, identity, clocks_per_bit, timeout_bits)
    return to_verilog(_Plain(chip), "chip", None, work)


def build_plan(
    board: Board,
    core_verilog: str,
    interface: CoreInterface,
    identity: bytes,
    *,
    timeout_bits: int = TIMEOUT_BITS,
) -> BuildPlan:
    """What Yosys and nextpnr need, in Amaranth's form: `top.il`, `top.pcf` or `top.lpf`, and `core.v`."""
    platform = board.make_platform()
    if board.uart_pins is not None:
        rx, tx = board.uart_pins
        attributes = Attrs(IO_TYPE="LVCMOS33")
        platform.add_resources([UARTResource(0, rx=rx, tx=tx, conn=("io", 0), attrs=attributes)])
    platform.add_file("core.v", core_verilog)
    chip = Chip(interface, identity, board.clocks_per_bit, timeout_bits)
    return platform.prepare(_OnBoard(chip), "top", emit_src=False)
