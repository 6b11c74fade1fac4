"""Inputs that are well-formed and senseless: build files with odd values, networks wired at random."""

import copy
import math
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import RetortError
from common.onnx_checks import check_network
from hw.finn.execution import integers_of
from hw.finn.lowering import Folding, lower
from hw.imported import ByteValues
from models.data.outline import FIXED
from pipeline.config.data import known_of
from pipeline.config.file import check, parse
from pipeline.config.imported import ImportedStudent, network_content
from pipeline.config.quantized import QuantizedStudent
from pipeline.sizing import require_feasible
from tests.fuzz.targets import BUILDS, SECONDS, Target, attempt, mlp
from tests.fuzz.test_bytes import COMMON, FEW
from tests.hw.foreign import Foreign

RAW = [tomllib.loads(path.read_text()) for path in sorted(BUILDS.glob("*.toml"))]

NUMBERS = (
    0,
    -1,
    1,
    2,
    3,
    7,
    10,
    65_536,
    2**31,
    2**62,
    10**30,
    0.0,
    -1.0,
    0.5,
    1e-320,
    1e6,
    1.7e308,
    math.inf,
)
TEXTS = ("", "x", "\0", "\x1b[31m", "a" * 10_000)
EXTREMES = st.sampled_from(
    (*NUMBERS, math.nan, *TEXTS, True, [], {}, [[]], [8] * 300, [16, 32], None),
)
VALUES = st.recursive(
    EXTREMES | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every table and array with each of its keys."""
    for key, item in value.items() if isinstance(value, dict) else enumerate(value):
        yield value, key
        if isinstance(item, dict | list):
            yield from places(item)


@st.composite
def odd_builds(draw: st.DrawFn) -> dict[str, Any]:
    """A shipped build with up to three values exchanged, taken out, or put in."""
    raw: dict[str, Any] = copy.deepcopy(draw(st.sampled_from(RAW)))
    for _ in range(draw(st.integers(1, 3))):
        found = list(places(raw))
        table, key = found[draw(st.integers(0, len(found) - 1))]
        value = copy.deepcopy(draw(VALUES))  # later edits may go into it
        match draw(st.sampled_from(("exchange", "exchange", "exchange", "remove", "add", "double"))):
            case "exchange":
                table[key] = value
            case "remove":
                del table[key]
            case "add" if isinstance(table, dict):
                table[draw(st.text(max_size=8))] = value
            case "double" if isinstance(table, list):
                table.append(copy.deepcopy(table[key]))
        if not raw:
            break
    return raw


def take_build(raw: dict[str, Any]) -> None:
    """What every command does with a build before its first stage, and sizing before any training."""
    config = parse(raw, "x.toml")
    assert parse(config.model_dump(mode="json"), "again") == config
    if config.data is None or config.data.source not in FIXED or getattr(config.data, "folder", None):
        return
    check(config, "x.toml", known_of(config.data))
    if isinstance(config.student, QuantizedStudent):
        require_feasible(config, FIXED[config.data.source].shape)


def fuzz_builds(how: settings) -> None:
    @how
    @given(odd_builds())
    def run(raw: dict[str, Any]) -> None:
        attempt(Target((), lambda _: take_build(raw)), b"")

    run()


def test_odd_builds() -> None:
    fuzz_builds(FEW)


@pytest.mark.nightly
def test_many_odd_builds() -> None:
    fuzz_builds(settings(COMMON, max_examples=5000))


def convolutions(path: Path) -> Path:
    network = Foreign((2, 6, 6))
    x = network.relu(network.norm(network.conv("input", 2, 4, (3, 3), bias=True), 4, 2), 3, 0.3)
    x = network.node("MaxPool", [x], kernel_shape=[2, 2], strides=[2, 2])
    network.dense(network.node("Flatten", [x], axis=1), 16, 3)
    return network.save(path)


OPERATORS = ("Relu", "Softmax", "Flatten", "MatMul", "Add", "ReduceMean", "Identity", "Nonsense", "Loop", "")
Edit = Callable[[st.DrawFn, onnx.GraphProto], None]


def _rewire(draw: st.DrawFn, graph: onnx.GraphProto) -> None:
    names = sorted({name for node in graph.node for name in (*node.input, *node.output)})
    node = draw(st.sampled_from(list(graph.node)))
    if node.input:
        node.input[draw(st.integers(0, len(node.input) - 1))] = draw(st.sampled_from(names))


def _drop_node(draw: st.DrawFn, graph: onnx.GraphProto) -> None:
    del graph.node[draw(st.integers(0, len(graph.node) - 1))]


def _drop_input(draw: st.DrawFn, graph: onnx.GraphProto) -> None:
    node = draw(st.sampled_from(list(graph.node)))
    if node.input:
        del node.input[-1]


def _rename_operator(draw: st.DrawFn, graph: onnx.GraphProto) -> None:
    operators = (
        "Relu",
        "Softmax",
        "Flatten",
        "MatMul",
        "Add",
        "ReduceMean",
        "Identity",
        "Nonsense",
        "Loop",
        "",
    )
    draw(st.sampled_from(list(graph.node))).op_type = draw(st.sampled_from(operators))


def _drop_attribute(draw: st.DrawFn, graph: onnx.GraphProto) -> None:
    node = draw(st.sampled_from(list(graph.node)))
    if node.attribute:
        del node.attribute[draw(st.integers(0, len(node.attribute) - 1))]


def _change_attribute(draw: st.DrawFn, graph: onnx.GraphProto) -> None:
    node = draw(st.sampled_from(list(graph.node)))
    for attribute in node.attribute:
        if attribute.ints:
            attribute.ints[0] = draw(st.sampled_from((0, -1, 2, 7, 2**40)))
        attribute.i = draw(st.sampled_from((0, 1, -1, 2**40)))
        attribute.s = draw(st.sampled_from((b"ROUND", b"FLOOR", b"", b"\xff")))


def _change_shape(draw: st.DrawFn, graph: onnx.GraphProto) -> None:
    side = draw(st.sampled_from(list(graph.input[0].type.tensor_type.shape.dim)))
    side.dim_value = draw(st.sampled_from((0, -1, 1, 2, 5, 4096, 2**40)))


def _change_tensor(draw: st.DrawFn, graph: onnx.GraphProto) -> None:
    tensor = draw(st.sampled_from(list(graph.initializer)))
    match draw(st.sampled_from(("values", "shape", "type"))):
        case "values":
            value = draw(st.sampled_from((0.0, -1.0, 1e30, 1e-30, math.nan, math.inf, 0.3)))
            tensor.raw_data = np.full(len(tensor.raw_data) // 4, value, np.float32).tobytes()
        case "shape":
            tensor.dims.append(draw(st.sampled_from((1, 2, -1, 2**40))))
        case "type":
            tensor.data_type = draw(st.integers(0, 24))


EDITS: tuple[Edit, ...] = (
    _rewire,
    _drop_node,
    _drop_input,
    _rename_operator,
    _drop_attribute,
    _change_attribute,
    _change_shape,
    _change_tensor,
)


@st.composite
def odd_networks(draw: st.DrawFn, models: list[bytes]) -> bytes:
    model = onnx.load_from_string(draw(st.sampled_from(models)))
    for _ in range(draw(st.integers(1, 3))):
        if model.graph.node and model.graph.initializer:
            draw(st.sampled_from(EDITS))(draw, model.graph)
    content: bytes = model.SerializeToString()
    return content


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    folder = tmp_path_factory.mktemp("networks")
    return [make(folder / f"{make.__name__}.onnx").read_bytes() for make in (mlp, convolutions)]


def take_network(path: Path) -> None:
    """What stage `network` does with it."""
    network_content(ImportedStudent(kind="imported", path=str(path)))
    made = integers_of(path, values=ByteValues(1 / 64), log=path.with_suffix(".log"))
    assert min(made.layout.shape) > 0 and made.outputs > 0 and made.meaning.scale > 0


def lower_network(path: Path) -> None:
    take_network(path)
    lower(path, folding=Folding(500), label=False, log=path.with_suffix(".log"), values=ByteValues(1 / 64))


def fuzz_networks(models: list[bytes], take: Callable[[Path], None], how: settings) -> None:
    @how
    @given(odd_networks(models))
    def run(content: bytes) -> None:
        attempt(Target((), take, "n.onnx"), content)

    run()


def test_odd_networks(models: list[bytes]) -> None:
    fuzz_networks(models, take_network, FEW)


@pytest.mark.nightly
def test_many_odd_networks(models: list[bytes]) -> None:
    fuzz_networks(models, lower_network, settings(COMMON, max_examples=1000))


def test_a_network_that_is_whole(models: list[bytes]) -> None:
    for content in models:
        check_network(onnx.load_from_string(content), "x")


def test_a_hang_is_a_fault() -> None:
    def hang(path: Path) -> None:
        while True:
            pass

    assert SECONDS > 1
    with pytest.raises(AssertionError, match="not done after 1 s"):
        attempt(Target((), hang), b"", seconds=1)


def test_another_exception_is_a_fault() -> None:
    def fail(path: Path) -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        attempt(Target((), fail), b"")
    assert isinstance(
        attempt(Target((), lambda _: (_ for _ in ()).throw(RetortError("x"))), b""), RetortError
    )
