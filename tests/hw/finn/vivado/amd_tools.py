"""Stands in for `vivado` and `vitis_hls` where there are none: does to files what their scripts ask for.

Named by the link that it is called by. Reports are the hand-written ones of `golden/`.
"""

import re
import sys
from pathlib import Path

GOLDEN = Path(__file__).parent / "golden"
REPORTS = {"utilization": "utilization_7series", "timing_summary": "timing_met", "power": "power"}
COLUMNS = (
    "Instance",
    "Module",
    "Total LUTs",
    "Logic LUTs",
    "LUTRAMs",
    "SRLs",
    "FFs",
    "RAMB36",
    "RAMB18",
    "DSP Blocks",
)


def write(path: Path, content: str | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def vivado(script: str, here: Path) -> None:
    """What a Tcl script of FINN's leaves, run in a folder."""
    if "ipx::package_project" in script:
        write(here / "finn_vivado_stitch_proj.xpr", "<Project/>")
        design = re.findall(r'^create_bd_design "(\w+)"', script, re.MULTILINE)[0]
        hdl = here / "finn_vivado_stitch_proj.srcs" / "sources_1" / "bd" / design / "hdl"
        write(hdl / f"{design}_wrapper.v", f"module {design}_wrapper; endmodule\n")
        write(here / "ip" / "component.xml", "<component/>")
    for command, path in re.findall(r'^report_(\w+) -file "([^"]+)"', script, re.MULTILINE):
        write(Path(path), (GOLDEN / f"{REPORTS[command]}.rpt").read_bytes())
    if "write_bitstream" in script:
        shell(here)


def shell(here: Path) -> None:
    """A routed Zynq shell."""
    from tests.hw.finn.vivado.fake_builder import BIT

    runs = here / "finn_zynq_link.runs" / "impl_1"
    write(runs / "top_wrapper.bit", BIT)
    for name, report in (
        ("utilization_placed", "utilization_7series"),
        ("timing_summary_routed", "timing_met"),
        ("power_routed", "power"),
    ):
        write(runs / f"top_wrapper_{name}.rpt", (GOLDEN / f"{report}.rpt").read_bytes())
    write(here / "finn_zynq_link.gen/sources_1/bd/top/hw_handoff/top.hwh", "<EDKSYSTEM/>")
    rows = [COLUMNS, ("(top)", "top", 6542, 6103, 66, 373, 8120, 2, 5, 16)]
    cells = ["".join(f'<tablecell contents="{cell}"/>' for cell in row) for row in rows]
    table = "".join(f"<tablerow>{row}</tablerow>" for row in cells)
    write(here / "synth_report.xml", f"<report><table>{table}</table></report>")


def main(called: str, arguments: list[str]) -> int:
    if arguments == ["-version"]:
        sys.stdout.write("vivado v2024.2 (64-bit)\nTool Version Limit: 2024.11\n")
        return 0
    path = Path(arguments[-1])
    if called == "vitis_hls":
        (path.parent / f"project_{path.stem.removeprefix('hls_syn_')}" / "sol1" / "impl" / "ip").mkdir(
            parents=True
        )
        return 0
    with Path("vivado.log").open("a") as log:
        log.write(f"source {path.name}\n")
    vivado(path.read_text(), Path.cwd())
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[0]).name, sys.argv[1:]))
