"""Tools that end well and leave garbage: an error that names the product, whichever tool it is."""

from collections.abc import Callable
from pathlib import Path

import pytest

from common.errors import ToolError
from hw.boards.boards import find
from hw.boards.families import ice40
from hw.implementation.bitstream import pack, place_and_route, synthesize
from hw.interface import CoreInterface, StreamFormat
from hw.simulation import netlist

BOARD = find("icebreaker")
INTERFACE = CoreInterface(StreamFormat((4,), "uint8", 1), StreamFormat((2,), "int16", 1))
GARBAGE = {
    "text": b"nothing of use\n",
    "half": b"{",
    "array": b"[]",
    "null": b"null",
    "other": b'{"modules": {"top": []}, "fmax": {"a": 3}, "utilization": [1]}',
    "infinite": b'{"fmax": {"a": {"achieved": 1e999}}, "utilization": {"LC": {"used": 1e999}}}',
    "deep": b"[" * 100_000,
    "digits": b"9" * 10_000,
    "bytes": bytes(range(256)) * 4,
    "header": b"module top (input a",
}
PRODUCTS = ("top.json", "report.json", "placed.json", "top.asc", "top.bin")


@pytest.fixture(params=GARBAGE)
def liars(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, where every tool on the PATH writes the same garbage to all that it could."""
    work, garbage, folder = tmp_path / "work", tmp_path / "garbage", tmp_path / "bin"
    work.mkdir()
    folder.mkdir()
    garbage.write_bytes(GARBAGE[request.param])
    copies = "\n".join(f"cp {garbage} {name}" for name in PRODUCTS)
    for name in ("yosys", "nextpnr-ice40", "icepack", ice40.DECOMPILER.name):
        program = folder / name
        program.write_text(f"#!/bin/sh\n{copies}\ncat {garbage}\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    return work


def yosys(work: Path) -> None:
    (work / "core.v.in").write_text("module core; endmodule\n")
    synthesize(BOARD, work / "core.v.in", INTERFACE, b"12345678", work=work, log=work / "log", native=True)


def nextpnr(work: Path) -> None:
    place_and_route(BOARD, work=work, log=work / "log", seed=1, native=True)


def icepack(work: Path) -> None:
    pack(BOARD, work=work, log=work / "log", native=True)


def icebox_vlog(work: Path) -> None:
    netlist.decompile(BOARD, work / "unpacked.asc", work, work / "log")


@pytest.mark.parametrize(
    ("call", "product"),
    [(yosys, "top.json"), (nextpnr, "report.json"), (icepack, "top.bin"), (icebox_vlog, "log")],
)
def test_garbage_is_no_product(call: Callable[[Path], None], product: str, liars: Path) -> None:
    with pytest.raises(ToolError, match=f"{product}: (not|no) "):
        call(liars)
