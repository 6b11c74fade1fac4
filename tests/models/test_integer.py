from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings

from models import integer
from models.integer import IntegerLayer, IntegerNetwork
from models.tensorfile import write_tensors
from pipeline.errors import CheckpointError, ContractError

from .networks import random_inputs, random_network, seeds


def layer(**changes):
    return IntegerLayer(
        **{
            "name": "layer0",
            "weights": np.array([[1, -2], [3, 0]], np.int8),
            "weight_bits": 3,
            "weight_scale": 0.5,
            "thresholds": np.array([[-5, 0, 7], [1, 1, 9]], np.int32),
            "activation_bits": 2,
            "activation_scale": 0.25,
            **changes,
        }
    )


LAST = IntegerLayer("layer1", np.array([[1, 1], [-1, 1]], np.int8), 2, 2.0, None, None, None)


def test_forward_by_hand():
    network = IntegerNetwork((layer(), LAST))
    hidden, logits = network.intermediates(np.array([[0, 0], [7, 0], [1, 3], [3, 0]], np.uint8))
    # accumulators: (0, 0), (7, 21), (-5, 3), (3, 9)
    np.testing.assert_array_equal(hidden, [[2, 0], [3, 3], [1, 2], [2, 3]])
    np.testing.assert_array_equal(logits, [[2, -2], [6, 0], [3, 1], [5, 1]])
    assert network.accumulator_scales == (0.5, 0.5) and network.logit_scale == 0.5
    assert network.input_maxima == (255, 3) and (network.inputs, network.classes) == (2, 2)
    assert logits.dtype == np.int32


@settings(max_examples=40)
@given(seed=seeds)
def test_forward_against_counting(seed):
    network = random_network(seed)
    x = random_inputs(seed, network.inputs)
    current = x.astype(np.int64)
    for part, values, input_max in zip(
        network.layers, network.intermediates(x), network.input_maxima, strict=True
    ):
        current = np.einsum("ni,oi->no", current, part.weights.astype(np.int64))
        low, high = part.reachable(input_max)
        assert (low <= current).all() and (current <= high).all()
        if part.thresholds is not None:
            current = (current[:, :, None] >= part.thresholds).sum(axis=2)
        np.testing.assert_array_equal(values, current)


def test_more_samples_than_a_chunk():
    network = random_network(4)
    x = random_inputs(0, network.inputs, 3 * integer.CHUNK + 5)
    expected = [network.forward(row[None])[0] for row in x[::97]]
    np.testing.assert_array_equal(network.forward(x)[::97], expected)
    assert network.forward(x[:0]).shape == (0, network.classes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weight_scale": 0.3}, "layer0, weight scale: 0.3 is no power of two"),
        ({"weight_scale": -0.5}, "no power of two"),
        ({"activation_scale": 0.0}, "activation scale"),
        ({"weight_bits": 2}, "outside -1 to 1"),
        ({"weights": np.zeros((2, 2), np.int32)}, "weights are int32"),
        ({"thresholds": np.zeros((2, 4), np.int32)}, r"give int32 \(2, 3\)"),
        ({"thresholds": np.array([[3, 2, 4], [1, 1, 9]], np.int32)}, "not ascending"),
        ({"thresholds": None}, "go together"),
    ],
)
def test_layer_refuses(change, message):
    with pytest.raises(ContractError, match=message):
        layer(**change)


def test_network_refuses():
    with pytest.raises(ContractError, match="without layers"):
        IntegerNetwork(())
    with pytest.raises(ContractError, match="layer0: the last layer has thresholds"):
        IntegerNetwork((layer(),))
    with pytest.raises(
        ContractError, match="layer1: takes 2 activations, but layer1 gives 2 without thresholds"
    ):
        IntegerNetwork((LAST, LAST))


def test_accumulator_limit_names_layer_and_figure():
    inputs = 519  # 519 * 255 * 127 is the first beyond 2^24
    wide = replace(LAST, weights=np.full((2, inputs), 127, np.int8), weight_bits=8)
    with pytest.raises(ContractError, match=f"layer1: the accumulator can reach {inputs * 255 * 127}"):
        IntegerNetwork((wide,))
    IntegerNetwork((replace(wide, weights=wide.weights[:, 1:]),))


@settings(max_examples=20)
@given(seed=seeds)
def test_saved_and_loaded(tmp_path_factory, seed):
    folder, network = tmp_path_factory.mktemp("integer"), random_network(seed)
    for name in ("a", "b"):
        integer.save(network, folder / name)
    assert (folder / "a").read_bytes() == (folder / "b").read_bytes()
    loaded = integer.load(folder / "a")
    x = random_inputs(seed, network.inputs)
    np.testing.assert_array_equal(loaded.forward(x), network.forward(x))
    assert loaded.accumulator_scales == network.accumulator_scales and loaded.name == network.name


def test_corrupt(tmp_path):
    integer.save(random_network(1), tmp_path / "file")
    content = (tmp_path / "file").read_bytes()
    (tmp_path / "file").write_bytes(content[:-1])
    with pytest.raises(CheckpointError, match="cannot be read"):
        integer.load(tmp_path / "file")
    write_tensors(tmp_path / "file", integer.KIND, {"layers": [{}], "input_bits": 8, "name": "n"}, {})
    with pytest.raises(CheckpointError, match="is no integer network"):
        integer.load(tmp_path / "file")
