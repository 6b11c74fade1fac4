"""The build file on disk: encodings, depth, size; and that all of its problems are told at once."""

import json
import os
import tomllib
from pathlib import Path

import pytest

from common.errors import ConfigError
from pipeline.config.errors import MOST
from pipeline.config.file import MAX_BYTES, load, parse, read_raw
from tests.pipeline.toy import BUILDS

GOOD = (BUILDS / "digits-icebreaker.toml").read_text()
DEEP = {
    "arrays": "x = " + "[" * 900 + "]" * 900,
    "tables in a line": "x = " + "{ a = " * 900 + "1" + "}" * 900,
    "header": "[" + ".".join("a" * 900) + "]",
    "arrays that end nowhere": "x = " + "[" * 90_000,
    "a key of so many parts that the parser takes minutes": ".".join(["a"] * 100_000) + " = 1",
    "not so deep": "x = " + "[" * 40 + "]" * 40,
}


def told(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load(path)
    return str(caught.value)


@pytest.mark.parametrize("case", DEEP)
def test_deep_nesting(case: str, tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    message = told(path, f"{GOOD}\n{DEEP[case]}\n".encode())
    assert message.startswith(f"{path}: ") and "tables or arrays more than 16 deep" in message
    assert "more than 16 deep" in told(tmp_path / "x.json", b'{"config": ' + b"[" * 90_000)


def test_encodings(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.encode())
    assert load(path) == parse(tomllib.loads(GOOD), "x")
    for name in ("utf-16", "utf-16-le", "utf-16-be", "utf-32"):
        assert "not UTF-8 but UTF-16 or UTF-32; save it as UTF-8" in told(path, GOOD.encode(name))
    assert "not UTF-8: " in told(path, GOOD.encode() + b"# \xe9")
    assert f"more than {MAX_BYTES >> 20} MB" in told(path, b"#" * (MAX_BYTES + 1))


def test_nul_in_a_name(tmp_path: Path) -> None:
    text = GOOD.replace('name = "icebreaker"', 'name = "ice\\u0000breaker"')
    assert "x.toml: board.name: holds a NUL character" in told(tmp_path / "x.toml", text.encode())


@pytest.mark.parametrize("content", ["3", "[]", "null", '"x"'])
def test_locks_that_hold_no_tables(content: str, tmp_path: Path) -> None:
    assert "holds no tables" in told(tmp_path / "x.json", f'{{"config": {content}}}'.encode())


def test_all_problems_are_told(tmp_path: Path) -> None:
    raw = tomllib.loads(GOOD)
    raw["seed"] = -1
    raw["teacher"]["epoch"] = 3
    raw["student"]["layers"][0]["activation_bits"] = 99
    raw["data"]["validation_fraction"] = 0.9
    raw["distill"]["losses"][0]["temperature"] = 1e-320
    with pytest.raises(ConfigError) as caught:
        parse(raw, "x.toml")
    assert [finding.split(": ")[1] for finding in caught.value.args] == [
        "seed",
        "data.validation_fraction",
        "teacher.epoch",
        "student.layers[0].activation_bits",
        "distill.losses[0].temperature",
    ]
    assert all(finding.startswith("x.toml: ") for finding in caught.value.args)


def test_many_problems_are_told_in_few_lines() -> None:
    raw = tomllib.loads(GOOD) | {f"key{number}": 1 for number in range(50_000)}
    with pytest.raises(ConfigError) as caught:
        parse(raw, "x.toml")
    assert len(caught.value.args) == MOST + 1 and caught.value.args[-1] == "x.toml: and more problems"


@pytest.mark.parametrize(
    ("table", "key", "value", "limit"),
    [
        ("teacher", "hidden", [10**12], "less than or equal to 65536"),
        ("teacher", "hidden", [8] * 10**6, "at most 256 items"),
        ("teacher", "views", 10**8, "less than or equal to 50"),
        ("teacher", "batch_size", 1, "greater than or equal to 2"),
        ("student", "learning_rate", 1e300, "less than or equal to 100"),
        ("training", "threads", 2**31, "less than or equal to 1024"),
        ("compile", "target_cycles", 10**30, "less than or equal to 1000000000"),
        ("verify", "stall_seed", 10**30, "less than 4294967296"),
        ("distill", "temperatures", [1e6], "less than or equal to 1000"),
    ],
)
def test_every_number_has_limits(table: str, key: str, value: object, limit: str) -> None:
    raw = tomllib.loads(GOOD)
    raw[table][key] = value
    with pytest.raises(ConfigError) as caught:
        parse(raw, "x.toml")
    message = str(caught.value)
    assert message.startswith(f"x.toml: {table}.{key}") and limit in message and len(message) < 300


def test_what_is_echoed_is_short(tmp_path: Path) -> None:
    raw = tomllib.loads(GOOD)
    raw["board"]["name"] = "a" * 10**6
    raw["data"]["source"] = "b" * 10**6
    raw["c" * 10**6] = json.loads("[]")
    with pytest.raises(ConfigError) as caught:
        parse(raw, "x.toml")
    assert len(caught.value.args) == 3 and all(len(finding) < 500 for finding in caught.value.args)


def test_a_fifo_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "build.toml")
    with pytest.raises(ConfigError, match=r"build\.toml: is a FIFO; give a build file"):
        read_raw(tmp_path / "build.toml")
