"""Small designs built once for all tests: one for an iCE40 board, one for an ECP5 board."""

import gc
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from amaranth.hdl import UnusedElaboratable

from hw.boards.board import Board
from hw.boards.boards import BOARDS, find
from hw.core import CoreDesign, design
from hw.dataflow import DataflowGraph
from hw.dataflow.fold import Fold
from hw.finn.reader import read
from hw.implementation import bitstream
from hw.implementation.bitstream import Utilization
from hw.shells.protocol import design_identity
from models.students.integer import IntegerNetwork
from tests.hw.networks import lowered, random_network

OPEN_BOARDS = [board for board in BOARDS.values() if board.family.toolchain]


@dataclass(frozen=True)
class Compiled:
    """A network and its core, `folder/core.v`."""

    board: Board
    network: IntegerNetwork
    graph: DataflowGraph
    design: CoreDesign
    folder: Path

    @property
    def core(self) -> Path:
        return self.folder / "core.v"

    @property
    def identity(self) -> bytes:
        return design_identity(self.core.read_bytes())


@dataclass(frozen=True)
class Built(Compiled):
    """With the products of the bitstream step in `folder`."""

    utilization: Utilization

    @property
    def bitstream(self) -> Path:
        return self.folder / f"top{self.board.toolchain.bitstream}"

    @property
    def constraints(self) -> Path:
        return self.folder / f"top{self.board.toolchain.constraints}"


def compile_core(board: str, widths: list[int], folds: list[tuple[int, int]], folder: Path) -> Compiled:
    """Lower a random network by FINN, and write its core."""
    folder.mkdir(parents=True, exist_ok=True)
    network = random_network(widths)
    graph = read(lowered(network, folder, [Fold(*fold) for fold in folds]))
    core = design(graph, folder / "amaranth")
    (folder / "core.v").write_text(core.verilog)
    return Compiled(find(board), network, graph, core, folder)


def synthesize(compiled: Compiled, work: Path) -> None:
    bitstream.synthesize(
        compiled.board,
        compiled.core,
        compiled.design.interface,
        compiled.identity,
        work=work,
        log=work / "synthesis.log",
    )


def build(compiled: Compiled) -> Built:
    """The bitstream step as the pipeline has it."""
    board, work = compiled.board, compiled.folder
    synthesize(compiled, work)
    utilization = bitstream.place_and_route(board, work=work, log=work / "place_and_route.log", seed=1)
    bitstream.pack(board, work=work, log=work / "packing.log")
    return Built(board, compiled.network, compiled.graph, compiled.design, work, utilization)


@pytest.fixture(scope="session")
def icebreaker(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Weights of both layers in block RAM."""
    work = tmp_path_factory.mktemp("icebreaker")
    return build(compile_core("icebreaker", [16, 32, 8], [(1, 2), (1, 2)], work))


@pytest.fixture(scope="session")
def ulx3s(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Block RAMs of 4, 18 and 36 bits."""
    work = tmp_path_factory.mktemp("ulx3s")
    return build(compile_core("ulx3s-85f", [64, 64, 64, 4], [(1, 1), (2, 4), (1, 2)], work))


@pytest.fixture
def unbuilt() -> Iterator[None]:
    """Amaranth complains of components that are made and not used, when they are collected."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnusedElaboratable)
        yield
        gc.collect()
