"""A chip family and a board that the product does not know: put in from outside, with tools that stand in."""

import ast
import json
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hw.boards.board import Board
from hw.boards.boards import BOARDS, FAMILIES, find
from hw.boards.families import ice40
from hw.implementation import bitstream, floorplan
from hw.interface import CoreInterface, StreamFormat
from hw.tools.kinds import CommandTool
from pipeline.cli.app import app
from tests.conftest import TINY

ROOT = Path(__file__).parents[1]

YOSYS = """
echo "$@" >> script
echo '{"modules": {"top": {"cells": {"a": {}}}}}' > top.json
"""
NEXTPNR = """
echo "$@" > options
echo '{"fmax": {"clk": {"achieved": 50.0}}, "utilization": {"TOY_LUT": {"used": 7}}}' > report.json
echo '{"modules": {"top": {"settings": {"arch.type": "t1"}, "cells": {"core.layer.x": {"type": "TOY_LUT",
"attributes": {"NEXTPNR_BEL": "X1/Y1/lc0"}}}}}}' > placed.json
echo routed > top.fasm
"""
PACKER = r"printf 'header \124\117\131 bits' > $2"


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Board]:
    """A family like no other, and a board with its chip: native tools only."""
    assert ice40.FAMILY.toolchain
    native = tuple(
        CommandTool(name, "stands in", ("bitstream",), "nowhere to be had", optional=True)
        for name in ("nextpnr-toy", "toypack")
    )
    toolchain = replace(
        ice40.FAMILY.toolchain,
        native=(native[0], native[1]),
        synthesis="synth_toy -top {top}",
        routed=".fasm",
        routed_option="--fasm",
        bitstream=".toy",
        synchronization=b"TOY",
        drawing=replace(ice40.FAMILY.toolchain.drawing, kinds={"TOY_LUT": "logic"}),
    )
    family = replace(
        ice40.FAMILY,
        name="toy",
        title="Toy",
        lut="TOY_LUT",
        flip_flop="TOY_FF",
        tools=native,
        toolchain=toolchain,
    )
    resources = {"TOY_LUT": 5000, "TOY_FF": 5000, "ICESTORM_RAM": 30}
    board = replace(find("icebreaker"), name="toyboard", family=family, device="t1", resources=resources)
    monkeypatch.setitem(FAMILIES, family.name, family)
    monkeypatch.setitem(BOARDS, board.name, board)
    for name, body in (("yosys", YOSYS), ("nextpnr-toy", NEXTPNR), ("toypack", PACKER)):
        script = tmp_path / "bin" / name
        script.parent.mkdir(exist_ok=True)
        script.write_text(f'#!/bin/sh\nif [ "$1" = --version ]; then echo {name} 1; exit; fi\n{body}\n')
        script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    yield board


def retort(*arguments: str | Path) -> str:
    done = CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)
    assert done.exit_code == 0, done.stderr
    return done.stdout


def test_is_listed_sized_and_planned(toy: Board, tmp_path: Path) -> None:
    text = TINY.format(name="toy").replace('name = "icebreaker"', 'name = "toyboard"\ntoolchain = "native"')
    assert "toyboard" in text
    file = tmp_path / "toy.toml"
    file.write_text(text)
    assert re.search(r"toyboard +toy t1 +12 MHz", retort("boards"))
    assert {"nextpnr-toy", "toypack"} <= {
        tool["name"] for tool in json.loads(retort("doctor", "--json"))["tools"]
    }
    limits = {
        limit["name"]: limit["available"] for limit in json.loads(retort("size", file, "--json"))["limits"]
    }
    assert limits["luts"] == limits["flip_flops"] == 5000
    assert "bitstream" in retort("plan", file, "--store", tmp_path / "store")


def test_is_synthesized_placed_and_packed(toy: Board, tmp_path: Path) -> None:
    core, log = tmp_path / "given.v", tmp_path / "log"
    core.write_text("module core; endmodule\n")
    io = CoreInterface(StreamFormat((8,), "uint8", 1), StreamFormat((2,), "int8", 1))
    bitstream.synthesize(toy, core, io, bytes(8), work=tmp_path, log=log, native=True)
    found = bitstream.place_and_route(toy, work=tmp_path, log=log, seed=3, native=True)
    assert found.resources["TOY_LUT"].used == 7 and found.fmax_hz == 50e6
    assert "synth_toy -top top" in (tmp_path / "script").read_text()
    options = (tmp_path / "options").read_text()
    assert options.startswith("--t1 --package sg48 --json top.json --pcf top.pcf --fasm top.fasm")
    packed = bitstream.pack(toy, work=tmp_path, log=log, native=True)
    assert packed.name == "top.toy" and packed.read_bytes() == b"header TOY bits"
    assert "layer: 1 logic" in floorplan.draw(tmp_path / bitstream.PLACED, toy.toolchain.drawing)


def strings(tree: ast.Module) -> Iterator[ast.Constant]:
    """The string constants of a module that are no docstrings."""
    prose = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            yield node


def test_no_family_is_spelled_outside_its_folder() -> None:
    names = re.compile(rf"({'|'.join(FAMILIES)})|.*\b(ice40|ecp5).*", re.DOTALL)
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}: {node.value!r}"
        for package in ("common", "hw", "models", "pipeline", "retort")
        for path in sorted((ROOT / package).rglob("*.py"))
        if path.parent != ROOT / "hw" / "boards" / "families"
        for node in strings(ast.parse(path.read_text()))
        if names.fullmatch(str(node.value))
    ]
    assert found == []
