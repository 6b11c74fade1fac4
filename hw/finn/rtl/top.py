"""A module that joins FINN's nodes in a row, with a stream in and a stream out."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

NAME = "finn"

# The name of an input port, after attributes, its type and its width.
_INPUT = re.compile(
    r"^\s*(?:\(\*.*?\*\)\s*)*input\s+(?:wire\s+|logic\s+)?(?:\[[^\]]*\]\s*)?(\w+)", re.MULTILINE
)


@dataclass(frozen=True)
class Module:
    """A node's module, the text that declares it, and bits of a word in and of a word out.

    `weights` is the text of the memory that its weights stream from, module `NAME_memstream_wrapper`, and
    bits of a word; None where it has no such stream.
    """

    name: str
    text: str
    i_bits: int
    o_bits: int
    weights: tuple[str, int] | None = None


def top(modules: Sequence[Module]) -> str:
    """Verilog of module `finn`: the modules in a row, ports named as those of `core.v`."""
    stream, body = "s_axis", ["  wire rst_n = !rst;"]
    for index, module in enumerate(modules):
        given = f"stream_{index}"
        if module is modules[-1]:
            given = "m_axis"
        else:
            body += _wires(given, module.o_bits)
        body += _instances(module, stream, given)
        stream = given
    ports = [
        "input clk",
        "input rst",
        f"input [{modules[0].i_bits - 1}:0] s_axis_tdata",
        "input s_axis_tvalid",
        "output s_axis_tready",
        f"output [{modules[-1].o_bits - 1}:0] m_axis_tdata",
        "output m_axis_tvalid",
        "input m_axis_tready",
    ]
    head = ",\n".join(f"  {port}" for port in ports)
    return "\n".join([f"module {NAME} (", head, ");", *body, "endmodule", ""])


def _wires(name: str, bits: int) -> list[str]:
    return [f"  wire [{bits - 1}:0] {name}_tdata;", f"  wire {name}_tvalid, {name}_tready;"]


def _stream(port: str, wires: str) -> dict[str, str]:
    upper = port.endswith("_V")  # as FINN writes the ports of nodes, but not of memories
    parts = ("tdata", "tvalid", "tready")
    return {f"{port}_{part.upper() if upper else part}": f"{wires}_{part}" for part in parts}


def _instances(module: Module, taken: str, given: str) -> list[str]:
    """A node's module, after the memory of its weights."""
    joined = _stream("in0_V", taken) | _stream("out0_V", given)
    if module.weights is None:
        return [_instance(module.name, module.text, joined)]
    text, bits = module.weights
    weights = f"{module.name}_weights"
    memory = _instance(f"{module.name}_memstream_wrapper", text, _stream("m_axis_0", weights))
    node = _instance(module.name, module.text, joined | _stream("in1_V", weights))
    return [*_wires(weights, bits), memory, node]


def _instance(name: str, text: str, joined: Mapping[str, str]) -> str:
    """An instance of a module; inputs of buses that are not used are 0."""
    ports = {"ap_clk": "clk", "ap_rst_n": "rst_n", **joined}
    idle = {port: "0" for port in _INPUT.findall(text) if port not in ports}
    if "ap_clk2x" in idle:  # FINN, too, gives what is not to run at twice the clock the clock
        idle["ap_clk2x"] = "clk"
    pins = ",\n".join(f"    .{port}({wire})" for port, wire in (ports | idle).items())
    return f"  {name} {name}_inst (\n{pins}\n  );"
