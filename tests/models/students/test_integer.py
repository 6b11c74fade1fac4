from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings

from common.errors import CheckpointError, ContractError
from common.topology import INPUT
from models.students import integer
from models.students.integer import (
    Add,
    Conv,
    Dense,
    Depthwise,
    IntegerLayer,
    IntegerNetwork,
    MaxPool,
    SumPool,
    Weighted,
    reachable,
)
from models.students.integer.files import KIND
from models.tensorfile import write_tensors
from tests.models.networks import random_inputs, random_network, seeds

PAIR = Dense(np.array([[1, -2], [3, 0]], np.int8), 3, 0.5)


def layer(**changes):
    return IntegerLayer(
        **{
            "name": "layer0",
            "operation": PAIR,
            "sources": (INPUT,),
            "thresholds": np.array([[-5, 0, 7], [1, 1, 9]], np.int32),
            "activation_bits": 2,
            "activation_scale": 0.25,
            **changes,
        }
    )


LAST = IntegerLayer("layer1", Dense(np.array([[1, 1], [-1, 1]], np.int8), 2, 2.0), (0,))
FIRST = replace(LAST, sources=(INPUT,))


def network(*layers, shape=(1, 1, 2)):
    return IntegerNetwork(shape, layers)


def test_forward_by_hand():
    built = network(layer(), LAST)
    hidden, logits = built.intermediates(np.array([[0, 0], [7, 0], [1, 3], [3, 0]], np.uint8))
    # accumulators: (0, 0), (7, 21), (-5, 3), (3, 9)
    np.testing.assert_array_equal(hidden, [[2, 0], [3, 3], [1, 2], [2, 3]])
    np.testing.assert_array_equal(logits, [[2, -2], [6, 0], [3, 1], [5, 1]])
    assert [built.accumulator_scale(place) for place in (0, 1)] == [0.5, 0.5] and built.logit_scale == 0.5
    assert [built.input_max(place) for place in (0, 1)] == [255, 3]
    assert (built.inputs, built.classes) == (2, 2) and logits.dtype == np.int32


def test_pictures_by_hand():
    """3 by 3 pixels of one channel; a window that starts beside the picture, and strides."""
    picture = np.arange(9, dtype=np.int32).reshape(1, 3, 3, 1)
    corner = np.zeros((1, 2, 2, 1), np.int8)
    corner[0, 0, 0, 0], corner[0, 1, 1, 0] = 1, 2
    padded = Conv(corner, 3, 1.0, (2, 2), (1, 1)).execute(picture)
    np.testing.assert_array_equal(padded[0, :, :, 0], [[0, 4], [12, 4 + 16]])
    plain = Depthwise(corner[:, :, :, 0], 3, 1.0).execute(picture)
    np.testing.assert_array_equal(plain[0, :, :, 0], [[0 + 8, 1 + 10], [3 + 14, 4 + 16]])
    np.testing.assert_array_equal(MaxPool((2, 2), (1, 1)).execute(picture)[0, :, :, 0], [[4, 5], [7, 8]])
    np.testing.assert_array_equal(SumPool((3, 3), 0.125).execute(picture)[0, :, :, 0], [[36]])
    np.testing.assert_array_equal(Add().execute(picture, picture), 2 * picture)


@settings(max_examples=25, deadline=None)
@given(seed=seeds)
def test_forward_against_counting(seed):
    built = random_network(seed)
    x = random_inputs(seed, built.inputs, 12)
    values = {INPUT: x.reshape(len(x), *built.shape).astype(np.int64)}
    for place, (part, found) in enumerate(zip(built.layers, built.intermediates(x), strict=True)):
        result = slowly(part.operation, *(values[source] for source in part.sources))
        low, high = reachable(part.operation, built.input_max(place), built.in_shape(place))
        assert (low <= result).all() and (result <= high).all()
        if part.thresholds is not None:
            result = (result[..., None] >= part.thresholds).sum(axis=-1)
        assert result.shape[1:] == built.out_shape(place)
        np.testing.assert_array_equal(found, result.reshape(len(x), -1))
        values[place] = result


def slowly(operation, x, y=None):
    """Pixel by pixel."""
    if isinstance(operation, Add):
        return x + y
    if isinstance(operation, Dense):
        return np.einsum("ni,oi->no", x.reshape(len(x), -1), operation.weights.astype(int))[:, None, None]
    kernel = operation.weights.shape[1:3] if isinstance(operation, Weighted) else operation.size
    stride = operation.size if isinstance(operation, SumPool) else operation.stride
    down, across = operation.padding if isinstance(operation, Weighted) else (0, 0)
    x = np.pad(x, ((0, 0), (down, down), (across, across), (0, 0)))
    rows = [
        [
            pixel(operation, x[:, top : top + kernel[0], left : left + kernel[1]])
            for left in range(0, x.shape[2] - kernel[1] + 1, stride[1])
        ]
        for top in range(0, x.shape[1] - kernel[0] + 1, stride[0])
    ]
    return np.array(rows).transpose(2, 0, 1, 3)


def pixel(operation, x):
    match operation:
        case Conv():
            return np.einsum("nhwc,ohwc->no", x, operation.weights.astype(int))
        case Depthwise():
            return np.einsum("nhwc,chw->nc", x, operation.weights.astype(int))
        case MaxPool():
            return x.max(axis=(1, 2))
        case SumPool():
            return x.sum(axis=(1, 2))


def test_more_samples_than_a_chunk(monkeypatch):
    built = random_network(4)
    x = random_inputs(0, built.inputs, 50)
    expected = built.forward(x)
    monkeypatch.setattr("models.students.integer.network.CHUNK_BYTES", 1)
    np.testing.assert_array_equal(built.forward(x), expected)
    assert built.forward(x[:0]).shape == (0, built.classes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"operation": replace(PAIR, weight_scale=0.3)}, "layer0, weight scale: 0.3 is no power of two"),
        ({"operation": replace(PAIR, weight_scale=-0.5)}, "no power of two"),
        ({"operation": SumPool((2, 2), 0.3)}, "layer0, scale: 0.3 is no power of two"),
        ({"activation_scale": 0.0}, "activation scale"),
        ({"operation": replace(PAIR, weight_bits=2)}, "outside -1 to 1"),
        ({"operation": replace(PAIR, weights=np.array([[1, 0]], np.int8), weight_bits=1)}, "a weight is 0"),
        ({"operation": replace(PAIR, weights=np.zeros((2, 2), np.int32))}, "weights are int32"),
        ({"operation": Conv(PAIR.weights, 3, 1.0)}, "give int8 of 4 axes"),
        ({"thresholds": np.zeros((2, 4), np.int32)}, r"give int32 \(channels, 3\)"),
        ({"thresholds": np.array([[3, 2, 4], [1, 1, 9]], np.int32)}, "not ascending"),
        ({"thresholds": None}, "go together"),
        ({"operation": Add()}, "takes from 1 layers; give 2"),
    ],
)
def test_layer_refuses(change, message):
    with pytest.raises(ContractError, match=message):
        layer(**change)


def test_network_refuses():
    with pytest.raises(ContractError, match="without layers"):
        network()
    with pytest.raises(
        ContractError, match="layer0: the last layer must be dense or a convolution, without thresholds"
    ):
        network(layer())
    with pytest.raises(ContractError, match="layer1: layer1 gives signed values, without thresholds"):
        network(FIRST, LAST)
    with pytest.raises(ContractError, match=r"layer1: takes from \(1,\); give layers that come before"):
        network(layer(), replace(LAST, sources=(1,)))
    with pytest.raises(ContractError, match="layer1: takes 2 activations, what comes before it gives 8"):
        network(FIRST, shape=(2, 2, 2))
    with pytest.raises(ContractError, match="thresholds for 2 channels of 4"):
        wide = replace(PAIR, weights=np.ones((4, 2), np.int8))
        network(
            layer(operation=wide), replace(LAST, operation=replace(wide, weights=np.ones((2, 4), np.int8)))
        )
    conv = Conv(np.ones((2, 3, 3, 2), np.int8), 2, 1.0)
    with pytest.raises(ContractError, match=r"kernel \(3, 3\) is greater than its frames"):
        network(layer(operation=conv), LAST)
    halves = [layer(activation_scale=0.5), layer(name="other"), IntegerLayer("sum", Add(), (0, 1))]
    with pytest.raises(ContractError, match="sum: adds shapes"):
        network(*halves, replace(LAST, sources=(2,)))


def test_accumulator_limit_names_layer_and_figure():
    inputs = 519  # 519 * 255 * 127 is the first beyond 2^24
    wide = Dense(np.full((2, inputs), 127, np.int8), 8, 1.0)
    with pytest.raises(ContractError, match=f"layer1: the accumulator can reach {inputs * 255 * 127}"):
        network(replace(FIRST, operation=wide), shape=(1, 1, inputs))
    fits = replace(wide, weights=wide.weights[:, 1:])
    network(replace(FIRST, operation=fits), shape=(1, 1, inputs - 1))


@settings(max_examples=20, deadline=None)
@given(seed=seeds)
def test_saved_and_loaded(tmp_path_factory, seed):
    folder, built = tmp_path_factory.mktemp("integer"), random_network(seed)
    for name in ("a", "b"):
        integer.save(built, folder / name)
    assert (folder / "a").read_bytes() == (folder / "b").read_bytes()
    loaded = integer.load(folder / "a")
    x = random_inputs(seed, built.inputs)
    np.testing.assert_array_equal(loaded.forward(x), built.forward(x))
    assert loaded.logit_scale == built.logit_scale and loaded.name == built.name


def test_corrupt(tmp_path):
    integer.save(random_network(1), tmp_path / "file")
    content = (tmp_path / "file").read_bytes()
    (tmp_path / "file").write_bytes(content[:-1])
    with pytest.raises(CheckpointError, match="cannot be read"):
        integer.load(tmp_path / "file")
    write_tensors(tmp_path / "file", KIND, {"layers": [{}], "shape": [1, 1, 2], "name": "n"}, {})
    with pytest.raises(CheckpointError, match="is no integer network"):
        integer.load(tmp_path / "file")
