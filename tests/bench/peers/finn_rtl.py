"""FINN's own RTL of the network, joined by a generated top, and made readable for Yosys."""

import os
from pathlib import Path
from typing import Any

import numpy as np

from hw.dataflow.fold import Fold
from hw.finn.graph import apply
from hw.finn.lowering import Folding, lower
from hw.finn.lowering.layers import PART
from hw.finn.rtl.fixups import FOR_YOSYS, fixed
from hw.finn.rtl.synthesis import READ, UNREAD, amd_cell
from models.export import qonnx_model, save_model
from models.students.integer import Dense as IntegerDense
from models.students.integer import IntegerLayer, IntegerNetwork
from tests.bench.peers.network import ACTIVATION_BITS, WEIGHT_BITS, Layers, inputs

TOP = "finn_top"
BEHAVIOURAL = ("`ifdef FINN_SIMULATION\n\t.FORCE_BEHAVIORAL(1),\n`endif", "\t.FORCE_BEHAVIORAL(1),")
LIBRARY = ("memstream/hdl/memstream.sv", "memstream/hdl/memstream_axi.sv", "skid/skid.sv")
AMD_CELLS = ("DSP48E1", "LUT6_2")
"""Instantiated where multiplications are not behavioural; stay cells."""


def integer_network(layers: Layers) -> IntegerNetwork:
    """The network in Retort's integer form."""
    made = []
    for number, layer in enumerate(layers):
        dense = IntegerDense(layer.weights.astype(np.int8), WEIGHT_BITS, 1.0)
        hidden = layer.bias is not None
        made.append(
            IntegerLayer(
                f"layer{number}",
                dense,
                (number - 1,),
                layer.thresholds.astype(np.int32) if hidden else None,
                ACTIVATION_BITS if hidden else None,
                1.0 if hidden else None,
            )
        )
    return IntegerNetwork((1, 1, inputs(layers)), tuple(made))


def generate(layers: Layers, folds: tuple[Fold, ...], work: Path) -> Any:
    """FINN's graph with RTL for every node, in `work`; width converters and FIFOs of a vector are FINN's."""
    from finn.transformation.fpgadataflow.insert_dwc import InsertDWC
    from finn.transformation.fpgadataflow.insert_fifo import InsertFIFO
    from finn.transformation.fpgadataflow.prepare_ip import PrepareIP
    from finn.transformation.fpgadataflow.specialize_layers import SpecializeLayers
    from finn.util.settings import initialize_dummy_settings
    from qonnx.custom_op.registry import getCustomOp
    from qonnx.transformation.general import GiveReadableTensorNames, GiveUniqueNodeNames

    qonnx = work / "network.onnx"
    save_model(qonnx_model(integer_network(layers)), qonnx)
    model = lower(qonnx, folding=Folding(folds=folds), label=False, log=work / "finn.log")
    os.environ["FINN_BUILD_DIR"] = str(work)
    initialize_dummy_settings()
    model = apply(model, [InsertDWC(), SpecializeLayers(PART)])
    for node in model.graph.node:
        op = getCustomOp(node)
        vector = int(np.prod(op.get_folded_input_shape()[:-1]))
        op.set_nodeattr("inFIFODepths", [vector if node.op_type.startswith("MVAU") else 2])
        op.set_nodeattr("outFIFODepths", [2])
    model = apply(model, [InsertFIFO(), SpecializeLayers(PART)])
    return apply(model, [GiveUniqueNodeNames(), GiveReadableTensorNames(), PrepareIP(PART, 10)])


def write(model: Any, work: Path, *, behavioural: bool) -> tuple[str, int]:
    """Sources and top module in `work`; the Yosys command that reads them, and FINN's cycles a frame.

    `behavioural` has multiplications as such, for Yosys to map; otherwise AMD's DSP cells are instantiated.
    """
    import finn
    from qonnx.custom_op.registry import getCustomOp

    ops = [getCustomOp(node) for node in model.graph.node]
    library = Path(finn.__file__).parent / "finn-rtllib"
    files: dict[str, Path] = {name.split("/")[-1]: library / name for name in LIBRARY}
    for number, op in enumerate(ops):
        folder = Path(op.get_nodeattr("code_gen_dir_ipgen"))
        paths = [Path(path) for path in op.get_rtl_file_list(abspath=True)] + sorted(folder.glob("*.v"))
        files |= {path.name: path for path in paths if path.name not in UNREAD}
        for path in folder.glob("*.dat"):
            name = f"memblock{number}.dat" if path.name == "memblock.dat" else path.name
            (work / name).write_bytes(path.read_bytes())
    texts = fixed({name: path.read_text() for name, path in files.items()})
    for name, text in fixed(texts, FOR_YOSYS).items():
        (work / name).write_text(text.replace(*BEHAVIOURAL) if behavioural else text)
    (work / f"{TOP}.sv").write_text(top_module(ops))
    order = [*sorted(files, key=lambda name: "pkg" not in name), f"{TOP}.sv"]
    if not behavioural:
        (work / "amd_cells.v").write_text("\n".join(map(amd_cell, AMD_CELLS)))
        order = [*(f"--blackboxed-module {cell}" for cell in AMD_CELLS), "amd_cells.v", *order]
    return f"{READ} --top {TOP} {' '.join(order)}", max(op.get_exp_cycles() for op in ops)


def top_module(ops: list[Any]) -> str:
    """The nodes in a chain, weight memories beside the matrix-vector nodes, all writing ports at rest."""
    names = [op.get_verilog_top_module_intf_names() for op in ops]
    widths = [name["s_axis"][0][1] for name in names] + [names[-1]["m_axis"][0][1]]
    declared = [f"wire [{bits - 1}:0] d{i}; wire v{i}, r{i};" for i, bits in enumerate(widths)]
    placed = []
    for i, op in enumerate(ops):
        kind, name = op.onnx_node.op_type, op.onnx_node.name
        ports = f".ap_clk(clk), .ap_rst_n(rst_n), {_stream('in0_V', i)}, {_stream('out0_V', i + 1)}"
        if kind.startswith("MVAU"):
            bits = -(-op.get_nodeattr("PE") * op.get_nodeattr("SIMD") * WEIGHT_BITS // 8) * 8
            declared.append(f"wire [{bits - 1}:0] dw{i}; wire vw{i}, rw{i};")
            ports += f", .ap_clk2x(clk), {_stream('in1_V', f'w{i}')}"
            placed.append(
                f'{name}_memstream_wrapper #(.INIT_FILE("./memblock{i}.dat")) m{i}(.ap_clk(clk),'
                f" .ap_clk2x(clk), .ap_rst_n(rst_n), .m_axis_0_tdata(dw{i}), .m_axis_0_tvalid(vw{i}),"
                f" .m_axis_0_tready(rw{i}), .s_axis_0_tvalid(1'b0), .s_axis_0_tdata(1'b0), {_at_rest()},"
                " .s_axilite_AWPROT(3'b0), .s_axilite_ARPROT(3'b0));"
            )
        if kind.startswith("Thresholding"):
            ports += f", .in1_V_TVALID(1'b0), .in1_V_TDATA(0), {_at_rest()}"
        placed.append(f"{name} n{i}({ports});")
    last = len(ops)
    return "\n".join(
        [
            f"module {TOP}(input clk, input rst_n, input [{widths[0] - 1}:0] s_data, input s_valid,"
            f" output s_ready, output [{widths[-1] - 1}:0] m_data, output m_valid, input m_ready);",
            *declared,
            "assign d0 = s_data, v0 = s_valid, s_ready = r0;",
            f"assign m_data = d{last}, m_valid = v{last}, r{last} = m_ready;",
            *placed,
            "endmodule\n",
        ]
    )


def _stream(port: str, wire: int | str) -> str:
    return f".{port}_TDATA(d{wire}), .{port}_TVALID(v{wire}), .{port}_TREADY(r{wire})"


def _at_rest() -> str:
    bits = {"AWVALID": 1, "WVALID": 1, "ARVALID": 1, "BREADY": 1, "RREADY": 1, "WSTRB": 4}
    ports = [f".s_axilite_{name}({width}'b0)" for name, width in bits.items()]
    return ", ".join([*ports, *(f".s_axilite_{name}(0)" for name in ("AWADDR", "ARADDR", "WDATA"))])
