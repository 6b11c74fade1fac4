"""Networks that torch trained, and their data: what bytes stand for, in which order, compared by value."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.artefacts.imported import Recorded
from pipeline.config.file import load
from pipeline.ladder import imported
from pipeline.ladder.execution import run_onnx
from pipeline.ladder.imported import ImportedArtefacts
from tests.conftest import retort

pytestmark = pytest.mark.slow

SCALE, OFFSET = 0.02, -1.3
BUILD = """
name = "values"
seed = 1
[student]
kind = "imported"
path = "network.onnx"
scale = 0.02
offset = -1.3
{network}
{data}
[compile]
target_cycles = 20000
output = "{output}"
[board]
name = "ulx3s-85f"
"""
DATA = """
[data]
source = "npz"
path = "data.npz"
validation_fraction = 0.1
"""


def trained(shape: tuple[int, ...], outputs: int, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """A network of Brevitas with free scales, exported; bytes (n, *shape) and what torch makes of them."""
    import torch
    from brevitas import nn as qnn
    from brevitas.export import export_qonnx
    from torch import nn

    torch.manual_seed(0)
    torch.set_num_threads(1)
    layers: list[nn.Module] = [qnn.QuantIdentity(bit_width=6)]
    if len(shape) == 3:
        layers += [qnn.QuantConv2d(shape[0], 6, 3, bias=False, weight_bit_width=3), nn.BatchNorm2d(6)]
        layers += [qnn.QuantReLU(bit_width=3), nn.Flatten()]
        features = 6 * (shape[1] - 2) * (shape[2] - 2)
    else:
        layers += [qnn.QuantLinear(shape[0], 12, bias=False, weight_bit_width=3), nn.BatchNorm1d(12)]
        layers += [qnn.QuantReLU(bit_width=3)]
        features = 12
    layers += [qnn.QuantLinear(features, outputs, bias=True, weight_bit_width=4)]
    network = nn.Sequential(*layers)
    x = np.random.default_rng(0).integers(0, 256, (120, *shape), dtype=np.uint8)
    floats = torch.tensor(x * SCALE + OFFSET, dtype=torch.float32)
    with torch.no_grad():
        for _ in range(3):
            network(floats)
        network.eval()
        given = network(floats)
        # Both signs of a single output; for classes to tell inputs apart, none must outweigh the others.
        network[-1].bias -= given.mean(dim=0)
        given = network(floats).numpy()
    export_qonnx(network, floats[:1], export_path=str(folder / "network.onnx"))
    return x, given


def built(folder: Path, *options: str, **parts: str) -> Any:
    text = BUILD.format_map({"network": "", "data": DATA, "output": "logits"} | parts)
    (folder / "values.toml").write_text(text)
    return retort("-q", "build", "values.toml", *options, cwd=folder)


def artefacts(folder: Path) -> ImportedArtefacts:
    return ImportedArtefacts(
        load(folder / "values.toml"),
        folder / "out" / "values",
        folder / "work",
        folder / "log",
        lambda *_: None,
    )


def errors(done: Any) -> str:
    assert "Traceback" not in done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    return str(line)


def test_floats_in_any_order_are_what_torch_took(tmp_path: Path) -> None:
    """A cube, whose shape tells nothing: labels are torch's classes, so that all are right or nothing is."""
    x, given = trained((8, 8, 8), 4, tmp_path)
    floats, labels = x * SCALE + OFFSET, given.argmax(axis=1)
    last = np.moveaxis(floats, 1, -1)
    np.savez(
        tmp_path / "data.npz", x_train=last[:60], y_train=labels[:60], x_test=last[60:], y_test=labels[60:]
    )
    done = built(tmp_path, "--until", "network", network='flattened = "chw"')
    assert done.returncode == 2 and "student.flattened: the network takes (8, 8, 8), in a" in errors(done)
    done = built(tmp_path, "--until", "data")
    assert done.returncode == 3 and "set data.layout to 'nhwc' or 'nchw'" in errors(done)
    np.savez(tmp_path / "recorded.npz", inputs=floats[60:100].astype(np.float32), outputs=given[60:100])
    recorded = 'recorded = "recorded.npz"'
    done = built(tmp_path, "--until", "data", network=recorded, data=DATA + 'layout = "nchw"')
    assert done.returncode == 3 and "40 frames of student.recorded are in it in another order" in errors(done)
    done = built(tmp_path, "--until", "compile", network=recorded)
    assert done.returncode == 0, done.stderr
    made = artefacts(tmp_path)
    np.testing.assert_array_equal(made.x, np.moveaxis(x[60:], 1, -1))
    (logits,) = run_onnx(made.folder / "golden.onnx", {"x": made.x}, ["logits"])
    values = json.loads((made.folder / "io.json").read_text())
    assert values["input"]["values"] == [{"scale": SCALE, "offset": OFFSET}]
    (output,) = values["output"]["values"]
    errors_of_torch = np.abs(output["scale"] * logits + output["offset"] - given[60:])
    assert errors_of_torch.max() <= output["scale"]
    metrics = json.loads((made.folder / "metrics.json").read_text())
    assert metrics["difference"]["apart"] == metrics["recorded_difference"]["apart"] == 0
    assert metrics["golden"] == np.mean(logits.argmax(axis=1) == labels[60:]) >= 0.95


def test_floats_beyond_the_bytes_are_refused(tmp_path: Path) -> None:
    x, given = trained((12,), 3, tmp_path)
    np.savez(tmp_path / "data.npz", x=x / 1.0, y=given.argmax(axis=1))
    done = built(tmp_path, "--until", "data", data=DATA + "test_fraction = 0.5")
    assert done.returncode == 3
    assert "values are 0 to 255, bytes stand for -1.3 to 3.8; set student.scale" in errors(done)


def test_one_output_is_compared_by_value_and_sign(tmp_path: Path) -> None:
    x, given = trained((12,), 1, tmp_path)
    labels = (given[:, 0] > 0).astype(np.int64)
    np.savez(tmp_path / "data.npz", x=x * SCALE + OFFSET, y=labels)
    np.savez(tmp_path / "recorded.npz", inputs=x, outputs=given)
    parts = {"network": 'recorded = "recorded.npz"', "data": DATA + "test_fraction = 0.5"}
    done = built(tmp_path, "--until", "compile", **parts, output="label")
    assert done.returncode == 2
    assert "compile.output: the label of a network with one output is always 0; give 'logits'" in errors(done)
    done = built(tmp_path, "--until", "compile", **parts)
    assert done.returncode == 0, done.stderr
    made = artefacts(tmp_path)
    found = imported.network(made)
    assert found.passed and found.metrics["recorded_agreement"] >= 0.95 and found.metrics["apart"] == 0
    assert found.metrics["accuracy"] == 1.0
    assert imported.golden(made).passed
    inverted = Recorded(x, -given.astype(np.float64))
    found = imported.network(_with(made, inverted))
    assert found.passed is False
    assert "what was recorded and golden agree on 0.0" in str(found.first_mismatch)
    assert "more than a step of golden's outputs" in str(found.first_mismatch)


def _with(made: ImportedArtefacts, recorded: Recorded) -> ImportedArtefacts:
    again = replace(made)
    again.__dict__["trial"] = replace(made.trial, recorded=recorded)
    return again
