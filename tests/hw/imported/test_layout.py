"""What a byte stands for, and how frames of the core are frames of the network."""

from pathlib import Path

import numpy as np
import pytest

from common.errors import LoweringError
from hw.imported import ByteValues, Layout
from hw.imported.file import load
from hw.imported.layout import leading
from hw.imported.steps import MAKERS
from tests.hw.foreign import Foreign


def test_a_float_for_each_channel() -> None:
    frames = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    floats = ByteValues((1.0, 2.0, 0.5), (0.0, -1.0, 3.0)).floats(frames)
    assert floats.dtype == np.float32
    np.testing.assert_array_equal(floats[:, 1], 2.0 * frames[:, 1] - 1)
    np.testing.assert_array_equal(floats[:, 2], 0.5 * frames[:, 2] + 3)
    with pytest.raises(LoweringError, match=r"its input is \(1, 3, 4\): 2 numbers"):
        ByteValues((1.0, 2.0)).floats(frames)


@pytest.mark.parametrize(
    ("shape", "moves", "core"),
    [
        ((6,), (), (6,)),
        ((2, 3, 4), (), (3, 4, 2)),
        ((2, 5), (("reshape", (2, 5, 1)),), (5, 1, 2)),
        ((2, 5), (("reshape", (1, 2, 5)),), (2, 5, 1)),
        ((3, 4, 2), (("transpose", (2, 0, 1)),), (3, 4, 2)),
        ((2, 3, 4), (("reshape", (24,)),), (24,)),
    ],
)
def test_frames_go_to_the_core_and_back(shape: tuple[int, ...], moves: tuple, core: tuple[int, ...]) -> None:
    layout = Layout(shape, moves)
    frames = np.random.default_rng(0).integers(0, 256, (5, *shape), dtype=np.uint8)
    taken = layout.to_core(frames)
    assert taken.shape == (5, *core)
    np.testing.assert_array_equal(layout.from_core(taken), frames)


def first(tmp_path: Path, shape: tuple[int, ...], *nodes: tuple[str, dict]) -> Layout:
    network = Foreign(shape)
    x = "input"
    for operator, options in nodes:
        operands = [network.constant(options[name]) for name in ("axes", "shape") if name in options]
        kept = {name: value for name, value in options.items() if name not in ("axes", "shape")}
        x = (
            network.quant(x, 4, 0.25)
            if operator == "Quant"
            else network.node(operator, [x, *operands], **kept)
        )
    network.node("Relu", [x])
    return leading(load(network.save(tmp_path / "x.onnx")), tuple(MAKERS))[0]


def test_what_comes_before_the_first_layer_is_part_of_the_layout(tmp_path: Path) -> None:
    axis = {"axes": np.array([2])}
    assert first(tmp_path, (3, 8), ("Unsqueeze", axis)).moves == (("reshape", (3, 1, 8)),)
    channel = {"axes": np.array([1])}
    assert first(tmp_path, (3, 8), ("Quant", {}), ("Unsqueeze", channel)).moves == (("reshape", (1, 3, 8)),)
    assert first(tmp_path, (3, 8)).moves == (("reshape", (3, 8, 1)),)
    turned = first(tmp_path, (8, 3), ("Transpose", {"perm": [0, 2, 1]}))
    assert turned.moves == (("transpose", (1, 0)), ("reshape", (3, 8, 1)))
    made = {"shape": np.array([1, 1, 4, 4])}
    assert first(tmp_path, (16,), ("Reshape", made)).moves == (("reshape", (1, 4, 4)),)
    assert first(tmp_path, (2, 4, 4), ("Flatten", {"axis": 1})).moves == (("reshape", (32,)),)


def test_a_batch_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LoweringError, match=r"its input is \[1, 2, 2, 2, 2\]; export it for one frame"):
        first(tmp_path, (2, 2, 2, 2))
