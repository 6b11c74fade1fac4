"""`[vivado]` of the build file."""

import tomllib
from pathlib import Path

import pytest

from common.errors import ConfigError
from pipeline.config.file import parse
from pipeline.config.vivado import VivadoConfig

GOOD = tomllib.loads((Path(__file__).parents[1] / "good.toml").read_text())
AMD = {**GOOD, "board": {"name": "pynq-z2"}}
IMAGE = "finn-plus@sha256:" + "0f" * 32


def problem(raw: dict[str, object] = AMD, **asked: object) -> str | None:
    """What is wrong with a table, well-formed or not."""
    try:
        parse({**raw, "vivado": asked}, "x.toml")
    except ConfigError as error:
        return str(error).removeprefix("x.toml: ")
    return None


def test_left_out() -> None:
    assert parse(GOOD, "x.toml").vivado is None


def test_board_of_another_make() -> None:
    assert str(problem(GOOD)).startswith("vivado: icebreaker is none of AMD's; remove [vivado]")


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"target": "stitched-ip", "samples": 0},
        {"settings": ["/tools/Xilinx/Vivado/2024.2/settings64.sh"], "version": "2024.2"},
        {"where": "docker", "image": IMAGE, "mounts": ["/tools/Xilinx"]},
        {
            "where": "ssh",
            "host": "user@farm",
            "version": "2022.2",
            "folder": "/scratch/retort",
            "hours": 30.0,
        },
    ],
    ids=["defaults", "stitched-ip", "settings", "docker", "ssh"],
)
def test_good(asked: dict[str, object]) -> None:
    assert problem(**asked) is None


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"where": "cloud"}, "vivado.where"),
        ({"where": "ssh"}, "vivado.host: is missing"),
        ({"where": "ssh", "host": "-oProxyCommand=x"}, "vivado.host"),
        ({"where": "ssh", "host": "farm"}, "vivado.version: is missing"),
        ({"settings": ["/x.sh"]}, "vivado.version: is missing"),
        ({"settings": ["x.sh"], "version": "2024.2"}, "vivado.settings"),
        ({"host": "farm"}, "vivado.host: is for where = 'ssh', here it is 'local'; remove it"),
        ({"where": "docker", "mounts": ["/x"]}, "vivado.image: '' may be another image tomorrow"),
        ({"where": "docker", "image": "finn:latest", "mounts": ["/x"]}, "vivado.image: 'finn:latest' may be"),
        ({"where": "docker", "image": IMAGE[:-1], "mounts": ["/x"]}, "vivado.image"),
        ({"where": "docker", "image": IMAGE}, "vivado.mounts: is missing"),
        ({"where": "docker", "image": IMAGE, "mounts": ["/x,readonly=false"]}, "vivado.mounts"),
        ({"version": "2024"}, "vivado.version"),
        ({"hours": 0.0}, "vivado.hours"),
        ({"cpp_driver": "latest"}, "vivado.cpp_driver"),
        ({"cpp_driver": "0a" * 20}, "vivado.cpp_driver: FINN has it for Alveo cards alone"),
        ({"password": "x"}, "vivado.password"),
    ],
)
def test_wrong(asked: dict[str, object], told: str) -> None:
    found = problem(**asked)
    assert found is not None and found.startswith(told)


def test_key_is_of_what_changes_the_products() -> None:
    here = VivadoConfig(version="2024.2")
    there = VivadoConfig(where="ssh", host="farm", version="2024.2", hours=1.0, settings=("/x.sh",))
    assert here.key == there.key
    for other in (VivadoConfig(version="2022.2"), VivadoConfig(target="stitched-ip", version="2024.2")):
        assert other.key != here.key
