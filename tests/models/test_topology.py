import subprocess
import sys

import pytest

from models.topology import DenseLayer, Topology
from pipeline.errors import ConfigError


def test_shapes_and_classes():
    topology = Topology(64, (DenseLayer(32, 4, 4), DenseLayer(10, 3, None)))
    assert topology.shapes == ((64, 32), (32, 10))
    assert topology.classes == 10


@pytest.mark.parametrize(
    ("inputs", "layers", "message"),
    [
        (0, (DenseLayer(10, 4, None),), "0 inputs"),
        (64, (), "no layers"),
        (64, (DenseLayer(0, 4, 4), DenseLayer(10, 4, None)), "layer 0: 0 outputs"),
        (64, (DenseLayer(32, 1, 4), DenseLayer(10, 4, None)), "layer 0: 1-bit weights"),
        (64, (DenseLayer(32, 4, 4), DenseLayer(10, 9, None)), "layer 1: 9-bit weights"),
        (64, (DenseLayer(32, 4, 0), DenseLayer(10, 4, None)), "layer 0: 0-bit activations"),
        (64, (DenseLayer(32, 4, 9), DenseLayer(10, 4, None)), "layer 0: 9-bit activations"),
        (64, (DenseLayer(32, 4, None), DenseLayer(10, 4, None)), "layer 0: no activation bits"),
        (64, (DenseLayer(32, 4, 4), DenseLayer(10, 4, 4)), "layer 1: the last layer"),
    ],
)
def test_refuses(inputs, layers, message):
    with pytest.raises(ConfigError, match=message):
        Topology(inputs, layers)


@pytest.mark.parametrize("module", ["models.topology", "models.integer", "models.data", "models.metrics"])
def test_light_modules_do_not_import_torch(module):
    code = f"import sys, {module}; sys.exit('torch' in sys.modules or 'onnx' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
