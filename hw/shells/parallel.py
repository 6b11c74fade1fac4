"""The core's streams on pins, for a master that runs on the board's clock.

A beat moves at a rising edge of the clock `clk_out` where valid and ready of its stream are both high, as on
AXI-Stream. A word of more bits than pins takes several beats, low bits first. `out_last` is high in a frame's
last beat. `reset_n`, low for four cycles or more, drops the frames under way; `in_ready` and `out_valid` are
low meanwhile. All outputs are flip-flops; inputs `in_data` and `in_valid` reach theirs through one LUT, and
`out_ready` drives clock enables.
"""

from typing import Any

from amaranth.hdl import Cat, ClockSignal, Instance, Module, Mux, ResetInserter, ResetSignal, Signal
from amaranth.lib import io, stream, wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out

from hw.interface import CoreInterface
from hw.kernels import specs
from hw.kernels.movement import WidthConverter
from hw.kernels.specs.base import ValueType, counter_width
from hw.kernels.streams import wrapping_next
from hw.shells.port import PortWidths


class Skid(wiring.Component):  # type: ignore[misc]
    """A register stage of a stream: `i.ready`, `o.valid` and `o.payload` are flip-flops.

    It moves a word every cycle: a word that comes while the output waits is kept in a second register.
    """

    def __init__(self, bits: int) -> None:
        super().__init__({"i": In(stream.Signature(bits)), "o": Out(stream.Signature(bits))})

    def elaborate(self, platform: Any) -> Module:
        """Two registers: the output, and one that fills only while the output waits."""
        m = Module()
        kept = Signal.like(self.o.payload)
        full = Signal()
        moves, takes = Signal(), Signal()
        m.d.comb += [moves.eq(~self.o.valid | self.o.ready), takes.eq(self.i.valid & self.i.ready)]
        with m.If(self.i.ready):
            m.d.sync += kept.eq(self.i.payload)
        with m.If(moves):
            m.d.sync += [self.o.valid.eq(full | takes), self.o.payload.eq(Mux(full, kept, self.i.payload))]
        m.d.sync += [full.eq(~moves & (full | takes)), self.i.ready.eq(moves | ~(full | takes))]
        return m


class Streams(wiring.Component):  # type: ignore[misc]
    """Beats to the core's words and its words to beats, with a register stage at both ends.

    The core is an instance of module `core`, as in `hw.shells.chip.Chip`; `reset` resets it.
    """

    def __init__(self, interface: CoreInterface, port: PortWidths) -> None:
        self._interface, self._port = interface, port
        self._frame_beats = interface.output.words * port.out_beats
        super().__init__(
            {
                "incoming": In(stream.Signature(port.in_bits)),
                "outgoing": Out(stream.Signature(port.out_bits + 1)),  # `last` on top
                "reset": In(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Register stage, widening, core, narrowing, register stage."""
        m = Module()
        port = self._port
        m.submodules.incoming = incoming = Skid(port.in_bits)
        m.submodules.widen = widen = WidthConverter(
            specs.WidthConverter(ValueType(port.in_bits), 1, port.in_beats)
        )
        m.submodules.narrow = narrow = WidthConverter(
            specs.WidthConverter(ValueType(port.out_bits), port.out_beats, 1)
        )
        m.submodules.outgoing = outgoing = Skid(port.out_bits + 1)
        wiring.connect(m, wiring.flipped(self.incoming), incoming.i)
        wiring.connect(m, outgoing.o, wiring.flipped(self.outgoing))
        beat = Signal(counter_width(self._frame_beats))
        m.d.comb += [
            widen.i.payload.as_value().eq(incoming.o.payload),
            widen.i.valid.eq(incoming.o.valid),
            incoming.o.ready.eq(widen.i.ready),
            outgoing.i.payload.eq(Cat(narrow.o.payload.as_value(), beat == self._frame_beats - 1)),
            outgoing.i.valid.eq(narrow.o.valid),
            narrow.o.ready.eq(outgoing.i.ready),
        ]
        with m.If(outgoing.i.valid & outgoing.i.ready):
            m.d.sync += beat.eq(wrapping_next(beat, self._frame_beats))
        m.submodules.core = Instance(
            "core",
            i_clk=ClockSignal(),
            i_rst=ResetSignal(allow_reset_less=True) | self.reset,
            i_s_axis_tdata=widen.o.payload.as_value(),
            i_s_axis_tvalid=widen.o.valid,
            o_s_axis_tready=widen.o.ready,
            o_m_axis_tdata=narrow.i.payload.as_value(),
            o_m_axis_tvalid=narrow.i.valid,
            i_m_axis_tready=narrow.i.ready,
        )
        return m


class ParallelChip(wiring.Component):  # type: ignore[misc]
    """Both streams and their control on ports, named as the pins are."""

    def __init__(self, interface: CoreInterface, port: PortWidths) -> None:
        self._streams = Streams(interface, port)
        super().__init__(
            {
                "in_data": In(port.in_bits),
                "in_valid": In(1),
                "in_ready": Out(1),
                "out_data": Out(port.out_bits),
                "out_valid": Out(1),
                "out_ready": In(1),
                "out_last": Out(1),
                "reset_n": In(1, init=1),
                "clk_out": Out(1, init=1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """The streams behind a synchronized reset; the clock out, through one LUT."""
        m = Module()
        reset, running = Signal(init=1), Signal()
        streams = self._streams
        m.submodules.synchronizer = FFSynchronizer(~self.reset_n, reset, init=1)
        m.submodules.streams = ResetInserter(reset)(streams)
        m.d.sync += running.eq(1)
        m.d.comb += [
            streams.reset.eq(reset),
            streams.incoming.payload.eq(self.in_data),
            streams.incoming.valid.eq(self.in_valid),
            self.in_ready.eq(streams.incoming.ready),
            Cat(self.out_data, self.out_last).eq(streams.outgoing.payload),
            self.out_valid.eq(streams.outgoing.valid),
            streams.outgoing.ready.eq(self.out_ready),
            # `running` rises while the clock is high, so that the first pulse is a whole one.
            self.clk_out.eq(ClockSignal() | ~running),
        ]
        return m


class ParallelOnBoard(wiring.Component):  # type: ignore[misc]
    """The chip on the pins of resource `parallel`."""

    def __init__(self, chip: ParallelChip) -> None:
        self._chip = chip
        super().__init__({})

    def elaborate(self, platform: Any) -> Module:
        """A plain buffer a pin."""
        m = Module()
        m.submodules.shell = chip = self._chip
        names = chip.signature.members.keys()
        pins = platform.request("parallel", 0, dir=dict.fromkeys(names, "-"))
        for name, member in chip.signature.members.items():
            pad, signal = getattr(pins, name), getattr(chip, name)
            buffer = io.Buffer("i" if member.flow is In else "o", pad)
            m.submodules[name] = buffer
            m.d.comb += signal.eq(buffer.i) if member.flow is In else buffer.o.eq(signal)
        return m
