"""Vivado's reports, against hand-written ones in its formats (`golden/README.md`)."""

from pathlib import Path

import pytest

from common.errors import ToolError
from hw.finn.vivado.reports import Power, Timing, read_power, read_timing, read_utilization
from hw.implementation.bitstream import Use

GOLDEN = Path(__file__).parent / "golden"


def test_utilization_of_a_7_series_chip() -> None:
    assert read_utilization(GOLDEN / "utilization_7series.rpt") == {
        "LUT": Use(6542, 53200),
        "FF": Use(8120, 106400),
        "BRAM_18K": Use(9, 280),
        "DSP": Use(16, 220),
    }


def test_utilization_of_an_ultrascale_chip_without_what_each_slr_takes() -> None:
    assert read_utilization(GOLDEN / "utilization_ultrascale.rpt") == {
        "LUT": Use(146578, 1728000),
        "FF": Use(121495, 3456000),
        "BRAM_18K": Use(522, 5376),
        "URAM": Use(8, 1280),
        "DSP": Use(1585, 12288),
    }


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("met", Timing(2.5, 0.0, 0.021, 0.0, 3.75, 0.0, 0, True)),
        ("missed", Timing(-0.75, -7.451, 0.021, 0.0, 3.75, 0.0, 31, False)),
        ("hold", Timing(1.1, 0.0, -0.008, -0.008, 3.75, 0.0, 1, False)),
    ],
)
def test_timing(name: str, expected: Timing) -> None:
    assert read_timing(GOLDEN / f"timing_{name}.rpt") == expected


def test_timing_without_a_clock_is_none() -> None:
    with pytest.raises(
        ToolError, match=r"timing_unconstrained\.rpt: not what .*no clock constrains the design"
    ):
        read_timing(GOLDEN / "timing_unconstrained.rpt")


def test_timing_without_a_verdict(tmp_path: Path) -> None:
    path = tmp_path / "timing.rpt"
    path.write_text((GOLDEN / "timing_met.rpt").read_text().replace("All user specified", "Some"))
    with pytest.raises(ToolError, match="no verdict"):
        read_timing(path)


def test_power() -> None:
    assert read_power(GOLDEN / "power.rpt") == Power(1.573, 1.434, 0.139, "Medium")


def test_power_that_burns_the_chip(tmp_path: Path) -> None:
    path = tmp_path / "power.rpt"
    text = (GOLDEN / "power.rpt").read_text()
    path.write_text(text.replace("1.573        |", "91.573 (Junction temp exceeded!) |", 1))
    assert read_power(path).total_w == 91.573


@pytest.mark.parametrize("read", [read_utilization, read_timing, read_power])
@pytest.mark.parametrize("content", [b"", b"ERROR: [Common 17-345] no licence\n", b"\xff\xfe\x00", None])
def test_what_is_no_report(read, content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "x.rpt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ToolError, match=r"x\.rpt: not what Vivado's report_\w+ writes"):
        read(path)


@pytest.mark.parametrize("read", [read_utilization, read_timing, read_power])
@pytest.mark.parametrize("name", ["utilization_7series", "timing_met", "power"])
def test_report_that_is_cut_off(read, name: str, tmp_path: Path) -> None:
    text = (GOLDEN / f"{name}.rpt").read_text()
    path = tmp_path / "x.rpt"
    for end in range(0, len(text), 97):
        path.write_text(text[:end])
        try:
            found = read(path)
        except ToolError:
            continue
        assert found == read(GOLDEN / f"{name}.rpt")
