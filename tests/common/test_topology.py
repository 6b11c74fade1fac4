import subprocess
import sys

import pytest

from common.errors import ConfigError
from common.topology import INPUT, AveragePool, Conv, Dense, Depthwise, MaxPool, Residual, Topology

LAST = Dense(10, 4, None)


def test_dense_steps():
    topology = Topology((8, 8, 1), (Dense(32, 4, 4), Dense(10, 3, None)))
    first, second = topology.steps
    assert (first.inputs, first.out_shape, first.in_bits) == (64, (1, 1, 32), 8)
    assert (second.inputs, second.sources, second.in_bits) == (32, (0,), 4)
    assert topology.outputs == 10 and topology.products == 64 * 32 + 32 * 10
    assert Topology((64,), topology.layers).frame == (1, 1, 64)


def test_narrow_waist():
    """The student of 32-32-8-4-8-64 channels, dense 128-128."""
    convs = [Conv(width, (3, 3), 4, 4, padding=(1, 1)) for width in (32, 32, 8, 4, 8, 64)]
    layers = (*convs[:2], MaxPool((2, 2)), *convs[2:5], MaxPool((2, 2)), convs[5], MaxPool((2, 2)))
    topology = Topology((32, 32, 3), (*layers, Dense(128, 4, 4), Dense(128, 4, 4), LAST))
    assert [step.out_shape for step in topology.steps][-5:] == [
        (8, 8, 64),
        (4, 4, 64),
        (1, 1, 128),
        (1, 1, 128),
        (1, 1, 10),
    ]
    assert topology.steps[0].products == 32 * 32 * 27 * 32


def test_shapes_of_pictures_and_series():
    conv = Conv(6, (5, 3), 2, 3, stride=(2, 1), padding=(2, 0))
    topology = Topology((28, 28, 1), (conv, Depthwise((3, 3), 1, 2), AveragePool((2, 2), 4), LAST))
    assert [step.out_shape for step in topology.steps[:3]] == [(14, 26, 6), (12, 24, 6), (6, 12, 6)]
    assert topology.steps[1].weights == 9 * 6 and topology.steps[3].in_bits == 4
    series = Topology((100, 1, 6), (Conv(8, (5, 1), 4, 4, (2, 1)), MaxPool((3, 1), (2, 1)), LAST))
    assert [step.out_shape for step in series.steps[:2]] == [(48, 1, 8), (23, 1, 8)]


def test_a_sum_keeps_all_its_bits():
    topology = Topology((7, 7, 4), (AveragePool(None, None), LAST))
    assert topology.steps[1].in_bits == (49 * 255).bit_length()


def test_the_last_convolution_gives_logits_for_every_pixel():
    topology = Topology((8, 6, 1), (CONV, Conv(5, (3, 3), 4, None)))
    last = topology.steps[-1]
    assert last.gives_logits and last.out_shape[2] == 5 and topology.outputs == 40
    assert not topology.steps[0].gives_logits


def test_residual_is_laid_out():
    body = (Conv(8, (3, 3), 4, 3, (2, 2), (1, 1)), Conv(8, (3, 3), 4, 3, padding=(1, 1)))
    shortcut = Conv(8, (1, 1), 4, 3, (2, 2))
    plain = Residual((Conv(8, (3, 3), 4, 3, padding=(1, 1)),), 3)
    steps = Topology((8, 8, 2), (Residual(body, 3, shortcut), plain, LAST)).steps
    names = ["layer0.body0", "layer0.body1", "layer0.shortcut", "layer0.add", "layer1.body0", "layer1.add"]
    assert [step.name for step in steps] == [*names, "layer2"]
    assert [step.sources for step in steps] == [(INPUT,), (0,), (INPUT,), (1, 2), (3,), (4, 3), (5,)]


CONV = Conv(4, (3, 3), 4, 4)


@pytest.mark.parametrize(
    ("shape", "layers", "message"),
    [
        ((0,), (LAST,), r"shape \(0,\)"),
        ((64,), (), "no layers"),
        ((64,), (Dense(0, 4, 4), LAST), "layer0: 0 outputs"),
        ((64,), (Dense(32, 0, 4), LAST), "layer0: 0-bit weights"),
        ((64,), (Dense(32, 4, 4), Dense(10, 9, None)), "layer1: 9-bit weights"),
        ((64,), (Dense(32, 4, 0), LAST), "layer0: 0-bit activations"),
        ((64,), (Dense(32, 4, 9), LAST), "layer0: 9-bit activations"),
        ((64,), (Dense(32, 4, None), LAST), "layer0: no activation bits"),
        ((8, 8, 1), (Conv(4, (1, 1), 4, None), LAST), "layer0: no activation bits"),
        ((8, 8, 1), (CONV, Residual((Conv(4, (1, 1), 4, None), CONV), 4), LAST), "layer1.body0: no activat"),
        ((64,), (Dense(32, 4, 4), Dense(10, 4, 4)), "layer 1: the last layer"),
        ((8, 8, 1), (CONV,), "layer 0: the last layer gives integer logits; make it dense"),
        ((2, 8, 1), (CONV, LAST), r"layer0: kernel \(3, 3\) is greater"),
        ((8, 8, 1), (Conv(4, (3, 3), 4, 4, (0, 1)), LAST), "give sizes above 0"),
        ((8, 8, 1), (Conv(4, (3, 3), 4, 4, padding=(3, 0)), LAST), "not less than the kernel"),
        ((8, 8, 1), (AveragePool((2, 2), None), CONV, LAST), "layer0: .* before a dense layer"),
        ((8, 8, 1), (Residual((CONV,), 4), LAST), "layer0: adds the raw input"),
        ((8, 8, 1), (CONV, Residual((CONV,), 4), LAST), r"layer1: its body gives \(4, 4, 4\)"),
        ((8, 8, 1), (CONV, Residual((Conv(4, (1, 1), 4, 3),), 4), LAST), "adds 3-bit and 4-bit"),
        ((8, 8, 1), (CONV, Residual((), 4), LAST), "without body"),
    ],
)
def test_refuses(shape, layers, message):
    with pytest.raises(ConfigError, match=message):
        Topology(shape, layers)


@pytest.mark.parametrize(
    "module", ["common.topology", "models.students.integer", "models.data", "models.metrics"]
)
def test_light_modules_do_not_import_torch(module):
    code = f"import sys, {module}; sys.exit('torch' in sys.modules or 'onnx' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
