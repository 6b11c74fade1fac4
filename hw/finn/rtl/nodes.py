"""FINN's own implementation of a hardware graph for an AMD part: RTL where there is some, HLS otherwise."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.errors import LoweringError
from hw.finn.execution import unspecialized
from hw.finn.graph import apply, base_kind, naming

VITIS = "Vitis HLS"

# Of the memories that weights stream from, FINN's own list of a node's files is silent.
_MEMORY = ("axi/hdl/axilite.sv", "memstream/hdl/memstream_axi.sv", "memstream/hdl/memstream.sv")


@dataclass(frozen=True)
class Node:
    """A layer of FINN's, as it is made for a part.

    Attributes:
        name: FINN's.
        kind: FINN's layer, whatever it is made with.
        implementation: "rtl" or "hls".
        needs: the tool without which there is no Verilog of it; None where FINN has RTL.
        cycles: a frame, by FINN's estimate.
        pe, simd: its fold, where it has one.
    """

    name: str
    kind: str
    implementation: str
    needs: str | None
    cycles: int
    pe: int | None = None
    simd: int | None = None


@dataclass(frozen=True)
class Estimate:
    """FINN's estimate of a graph.

    Attributes:
        interval_cycles: of its slowest node.
        slowest: the name of that node.
        latency_cycles: of all nodes one after the other.
    """

    interval_cycles: int
    slowest: str
    latency_cycles: int


def implement(model: Any, part: str) -> Any:
    """The graph in FINN's variants for `part`, RTL preferred, with width converters and FIFOs between layers.

    To be called in a session of FINN's. `model` stays as it is.
    """
    from finn.transformation.fpgadataflow.insert_dwc import InsertDWC
    from finn.transformation.fpgadataflow.insert_fifo import InsertFIFO
    from finn.transformation.fpgadataflow.specialize_layers import SpecializeLayers
    from qonnx.custom_op.registry import getCustomOp

    model = unspecialized(model)
    for node in model.graph.node:
        op = getCustomOp(node)
        op.set_nodeattr("preferred_impl_style", "rtl")
        if "resType" in op.get_nodeattr_types():
            op.set_nodeattr("resType", "auto")  # it was chosen for HLS, where LUTs multiply
    model = apply(model, [SpecializeLayers(part), InsertDWC()])
    for node in model.graph.node:
        _hold_a_vector(model, node)
    return apply(model, [InsertFIFO(create_shallow_fifos=True), SpecializeLayers(part), *naming()])


def _hold_a_vector(model: Any, node: Any) -> None:
    """Before a layer that reads a vector once, and then reckons with it, a FIFO that holds the next one.

    Without it what comes before stands still meanwhile. A window has a memory of its own, and vectors of the
    first layer come from without.
    """
    from qonnx.custom_op.registry import getCustomOp

    before = model.find_producer(node.input[0])
    if base_kind(node) != "MVAU" or before is None or base_kind(before) == "ConvolutionInputGenerator":
        return
    op = getCustomOp(node)
    words = op.get_nodeattr("MW") // op.get_nodeattr("SIMD")
    depths = list(op.get_nodeattr("inFIFODepths"))
    if op.get_nodeattr("MH") > op.get_nodeattr("PE") and words > depths[0]:
        op.set_nodeattr("inFIFODepths", [words, *depths[1:]])


def listing(model: Any) -> tuple[Node, ...]:
    """Every node of an implemented graph, in order."""
    from qonnx.custom_op.registry import getCustomOp

    found = []
    for node in model.graph.node:
        op, implementation = getCustomOp(node), node.op_type.rsplit("_", 1)[-1]
        needs = None if implementation == "rtl" else VITIS
        known = op.get_nodeattr_types()
        pe, simd = (op.get_nodeattr(name) if name in known else None for name in ("PE", "SIMD"))
        cycles = int(op.get_exp_cycles())
        found.append(Node(node.name, base_kind(node), implementation, needs, cycles, pe, simd))
    return tuple(found)


def require_row(model: Any) -> None:
    """Raise `LoweringError` where a node does not take from the one before it alone, as the top has it."""
    stream = model.graph.input[0].name
    for node in model.graph.node:
        taken = [name for name in node.input if model.get_initializer(name) is None]
        if taken != [stream] or len(node.output) != 1:
            raise LoweringError(
                f"{node.name}: is not in a row with the layers before it; FINN's RTL has no joints"
            )
        stream = node.output[0]


def estimate(model: Any) -> Estimate:
    """FINN's estimate of an implemented graph."""
    from finn.analysis.fpgadataflow.dataflow_performance import dataflow_performance
    from finn.transformation.fpgadataflow.annotate_cycles import AnnotateCycles

    found = model.transform(AnnotateCycles()).analysis(dataflow_performance)
    return Estimate(found["max_cycles"], found["max_cycles_node_name"], found["critical_path_cycles"])


def write_verilog(model: Any, part: str, clock_hz: float) -> Any:
    """Have FINN write the Verilog of every node that has RTL; the graph of those nodes alone."""
    from finn.transformation.fpgadataflow.prepare_ip import PrepareIP
    from qonnx.core.modelwrapper import ModelWrapper

    written = ModelWrapper(model.model, make_deepcopy=True)
    for node in list(written.graph.node):
        if not node.op_type.endswith("_rtl"):
            written.graph.node.remove(node)
    # Sorting, part of qonnx's cleanup, drops nodes that are alone now.
    return written.transform(PrepareIP(part, 1e9 / clock_hz), cleanup=False)


def products(node: Any) -> tuple[list[Path], list[Path]]:
    """The Verilog files of a node that FINN wrote, and the memory files that they read."""
    from finn.util.settings import get_settings
    from qonnx.custom_op.registry import getCustomOp

    op = getCustomOp(node)
    folder = Path(op.get_nodeattr("code_gen_dir_ipgen"))
    own = sorted(path for path in folder.iterdir() if path.suffix in (".v", ".sv"))
    library = [Path(file) for file in op.get_rtl_file_list(abspath=True)]
    if any(path.name.endswith("_memstream_wrapper.v") for path in own):
        library += [Path(get_settings().finn_rtllib) / file for file in _MEMORY]
    return [*own, *(path for path in library if path.parent != folder)], sorted(folder.glob("*.dat"))
