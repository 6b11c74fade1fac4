import re

import pytest
from pydantic import ValidationError

from common import topology
from common.errors import ConfigError
from common.topology import AveragePool, Conv, Dense, Depthwise, MaxPool, Residual
from pipeline.config.quantized import USUAL_BITS, USUAL_OUTPUTS, QuantizedStudent

TRAINING = {"epochs": 1, "batch_size": 2, "learning_rate": 0.1, "weight_decay": 0.0}
LAST = {"outputs": 10, "weight_bits": 4}


def student(*layers):
    return QuantizedStudent(layers=layers, **TRAINING)


def test_every_kind():
    conv = {"kind": "conv", "outputs": 8, "kernel": 3, "padding": 1, "weight_bits": 1, "activation_bits": 2}
    config = student(
        conv,
        {"kind": "max-pool", "size": (2, 1)},
        {"kind": "residual", "body": (conv,), "activation_bits": 2},
        {"kind": "depthwise", "kernel": (3, 1), "stride": 2, "weight_bits": 4, "activation_bits": 3},
        {"kind": "average-pool", "size": 2, "activation_bits": 5},
        {"kind": "average-pool"},
        {"kind": "dense", "outputs": 6, "weight_bits": 2, "activation_bits": 1},
        LAST,
    )
    body = Conv(8, (3, 3), 1, 2, padding=(1, 1))
    assert config.topology((14, 14, 1)) == topology.Topology(
        (14, 14, 1),
        (
            body,
            MaxPool((2, 1)),
            Residual((body,), 2),
            Depthwise((3, 1), 4, 3, (2, 2)),
            AveragePool((2, 2), 5),
            AveragePool(None, None),
            Dense(6, 2, 1),
            Dense(10, 4, None),
        ),
    )
    assert config.choices == {}


def test_open_numbers():
    config = student(
        {"kind": "conv", "kernel": 3, "weight_bits": (2, 4), "activation_bits": 4},
        {"kind": "conv", "outputs": 8, "kernel": 1, "activation_bits": (3,), "optional": True},
        LAST,
    )
    assert config.choices == {
        "layers[0].outputs": USUAL_OUTPUTS,
        "layers[0].weight_bits": (2, 4),
        "layers[1].weight_bits": USUAL_BITS,
        "layers[1].present": (0, 1),
    }
    with pytest.raises(ConfigError, match=r"student\.layers\[0\]\.outputs: .* is left open; give one, or a"):
        config.topology((8, 8, 1))
    chosen = {"layers[0].outputs": 16, "layers[0].weight_bits": 2, "layers[1].present": 0}
    assert config.topology((8, 8, 1), chosen).layers == (Conv(16, (3, 3), 2, 4), Dense(10, 4, None))
    chosen |= {"layers[1].present": 1, "layers[1].weight_bits": 3}
    assert config.topology((8, 8, 1), chosen).layers[1] == Conv(8, (1, 1), 3, 3)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (({"kind": "average-pool"},), r"layers\[0\]\.kind: the last layer gives the logits"),
        ((LAST | {"activation_bits": 4},), r"layers\[0\]\.activation_bits: the last layer"),
        ((LAST | {"optional": True},), r"layers\[0\]\.optional"),
        ((LAST, LAST), r"layers\[0\]\.activation_bits: missing"),
    ],
)
def test_problems(layers, message):
    with pytest.raises(ValidationError) as caught:
        student(*layers)
    (error,) = caught.value.errors()
    assert any(re.search(message, f"{key}: {what}") for key, what in error["ctx"]["problems"])
