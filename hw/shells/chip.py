"""The whole chip: a shell around the core, as a plain Verilog top or for a board's pins."""

from pathlib import Path
from typing import Any

from amaranth.build import Attrs, Pins, Resource, Subsignal
from amaranth.build.run import BuildPlan
from amaranth.hdl import ClockDomain, ClockSignal, Instance, Module, ResetSignal
from amaranth.lib import io, wiring
from amaranth.lib.wiring import In, Out
from amaranth_boards.resources import UARTResource

from common.errors import CapacityError
from hw.boards.board import Board
from hw.core.verilog import to_verilog
from hw.interface import CoreInterface
from hw.shells.link import Link
from hw.shells.parallel import ParallelChip, ParallelOnBoard
from hw.shells.port import PortWidths, Shell, parallel_port, port_pins
from hw.shells.protocol import TIMEOUT_BITS
from hw.shells.uart import Receiver, Transmitter


class Chip(wiring.Component):  # type: ignore[misc]
    """Shell around an instance of module `core`, defined elsewhere; `busy` drives a light.

    The core's ports: `clk`, `rst` (synchronous, active high), streams `s_axis_*` and `m_axis_*` of
    `interface`, `load_*` where it has weights to load. A request that breaks off is given up after
    `timeout_bits` bit times.
    """

    def __init__(
        self, interface: CoreInterface, identity: bytes, clocks_per_bit: int, timeout_bits: int = TIMEOUT_BITS
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
        m.d.comb += [receiver.line.eq(self.rx), self.tx.eq(transmitter.line), self.busy.eq(link.busy)]
        loads = {}
        if self._interface.weights is not None:
            load = link.load
            loads = {
                "i_load_valid": load.valid,
                "i_load_column": load.column,
                "i_load_address": load.address,
                "i_load_data": load.data,
            }
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
            **loads,
        )
        return m


class _Plain(wiring.Component):  # type: ignore[misc]
    """A chip with its ports and `clk`; the power-on values of its flip-flops start it."""

    def __init__(self, chip: Chip | ParallelChip) -> None:
        self._chip = chip
        super().__init__({"clk": In(1), **dict(chip.signature.members)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.domains.sync = ClockDomain(reset_less=True)
        m.submodules.shell = chip = self._chip
        m.d.comb += ClockSignal().eq(self.clk)
        for name, member in chip.signature.members.items():
            inside, outside = getattr(chip, name), getattr(self, name)
            m.d.comb += inside.eq(outside) if member.flow is In else outside.eq(inside)
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
    port: PortWidths | None = None,
) -> str:
    """Module `chip` with port `clk` and the shell's, to be read together with the core's Verilog.

    The shell is serial, with ports `rx`, `tx` and `busy`, or parallel where there is a `port`. The serial one
    identifies itself by the first bytes of `identity`, the core's digest. `work` takes temporary files.
    """
    if port is not None:
        _require_no_weights(interface)
        return to_verilog(_Plain(ParallelChip(interface, port)), "chip", None, work)
    chip = Chip(interface, identity, clocks_per_bit, timeout_bits)
    return to_verilog(_Plain(chip), "chip", None, work)


def build_plan(
    board: Board,
    core_verilog: str,
    interface: CoreInterface,
    identity: bytes,
    *,
    shell: Shell = "uart",
    timeout_bits: int = TIMEOUT_BITS,
) -> BuildPlan:
    """What Yosys and nextpnr need, in Amaranth's form: `top.il`, `top.pcf` or `top.lpf`, and `core.v`.

    Raises `CapacityError` where the parallel shell has too few pins, or weights to load.
    """
    platform = board.make_platform()
    platform.add_file("core.v", core_verilog)
    if shell == "parallel":
        _require_no_weights(interface)
        port = parallel_port(board, interface)
        platform.add_resources([_port_resource(board, port)])
        return platform.prepare(ParallelOnBoard(ParallelChip(interface, port)), "top", emit_src=False)
    if board.uart_pins is not None:
        rx, tx = board.uart_pins
        attributes = Attrs(**board.toolchain.pin)
        platform.add_resources([UARTResource(0, rx=rx, tx=tx, conn=("io", 0), attrs=attributes)])
    chip = Chip(interface, identity, board.clocks_per_bit, timeout_bits)
    return platform.prepare(_OnBoard(chip), "top", emit_src=False)


def _require_no_weights(interface: CoreInterface) -> None:
    if interface.weights is not None:
        raise CapacityError(
            f"the core has {interface.weights.size} bytes of weights to load into single-port RAM, which the"
            " parallel shell cannot; take shell 'uart', or weights that fit the block RAM"
        )


def _port_resource(board: Board, port: PortWidths) -> Resource:
    """The parallel port's pins for amaranth-boards; an open `reset_n` is pulled up."""
    tools = board.toolchain
    plain, pulled_up = Attrs(**tools.pin), Attrs(**tools.pin, **tools.pulled_up)
    names: dict[str, list[str]] = {}
    directions: dict[str, str] = {}
    for each in port_pins(board, port):
        signal = each.signal.split("[")[0]
        names.setdefault(signal, []).append(each.pin.package_pin)
        directions[signal] = each.direction[0]
    return Resource(
        "parallel",
        0,
        *(
            Subsignal(
                signal,
                Pins(" ".join(pins), dir=directions[signal]),
                pulled_up if signal == "reset_n" else plain,
            )
            for signal, pins in names.items()
        ),
    )
