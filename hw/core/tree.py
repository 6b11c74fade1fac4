"""The core of a decision tree: `core.v` with the ports of every core, the label its only output."""

from pathlib import Path

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from common.errors import LoweringError
from hw.core.verilog import to_verilog
from hw.interface import CoreInterface, StreamFormat
from hw.kernels.tree import Tree, TreeTable


class TreeCore(wiring.Component):  # type: ignore[misc]
    """A tree between the ports `s_axis_*` (uint8 frames of `shape` in) and `m_axis_*` (uint8 labels out).

    Raises:
        LoweringError: more than 256 classes, or lanes that do not divide a frame.
    """

    def __init__(self, table: TreeTable, shape: tuple[int, ...], classes: int, lanes: int = 1) -> None:
        frame = 1
        for size in shape:
            frame *= size
        if not 1 <= classes <= 256:
            raise LoweringError(f"tree: {classes} classes; give 1 to 256, labels are bytes")
        if lanes < 1 or frame % lanes:
            raise LoweringError(f"tree: {lanes} lanes for {frame} values a frame; give a divisor")
        self.tree = Tree(table, features=frame, classes=classes, lanes=lanes)
        self.format = CoreInterface(StreamFormat(shape, "uint8", lanes), StreamFormat((1,), "uint8", 1))
        super().__init__(
            {
                "s_axis_tdata": In(self.format.input.word_bits),
                "s_axis_tvalid": In(1),
                "s_axis_tready": Out(1),
                "m_axis_tdata": Out(self.format.output.word_bits),
                "m_axis_tvalid": Out(1),
                "m_axis_tready": In(1),
            }
        )

    def elaborate(self, _platform: object) -> Module:  # noqa: D102
        m = Module()
        m.submodules.tree = tree = self.tree
        m.d.comb += [
            tree.i.payload.as_value().eq(self.s_axis_tdata),
            tree.i.valid.eq(self.s_axis_tvalid),
            self.s_axis_tready.eq(tree.i.ready),
            self.m_axis_tdata.eq(tree.o.payload.as_value()),
            self.m_axis_tvalid.eq(tree.o.valid),
            tree.o.ready.eq(self.m_axis_tready),
        ]
        return m


def tree_verilog(core: TreeCore, work: Path) -> str:
    """`core.v`, one self-contained file of plain Verilog: top module `core`. Raises `ToolError`."""
    return to_verilog(core, "core", None, work)
