import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from hypothesis import given, settings
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx
from qonnx.util.cleanup import cleanup_model

from common.errors import ModelFileError
from common.topology import INPUT
from models.export import golden_model, load_checked, qonnx_model, save_model, student_model
from models.students.freeze import freeze
from models.students.frozen import FrozenStudent
from models.students.integer import Dense, IntegerLayer, IntegerNetwork
from tests.models.networks import random_inputs, random_map, random_network, random_student, seeds


def run(model, x, outputs=None):
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(outputs, {"x": x})


@settings(max_examples=20, deadline=None)
@given(seed=seeds)
def test_golden_is_the_integer_network(seed):
    network = random_network(seed)
    x = random_inputs(seed, network.inputs)
    given, expected = network.intermediates(x), network.forward(x)
    hidden = [each for each, layer in zip(given, network.layers, strict=True) if layer.thresholds is not None]
    logits, label, *taps = run(golden_model(network, taps=True), x)
    np.testing.assert_array_equal(logits, expected)
    np.testing.assert_array_equal(label, expected.argmax(axis=1))
    assert logits.dtype == np.int32 and label.dtype == np.int64 and len(taps) == len(hidden)
    for tap, wanted in zip(taps, hidden, strict=True):
        np.testing.assert_array_equal(tap, wanted)
    tapped = [place for place, layer in enumerate(network.layers) if layer.thresholds is not None]
    names = [each.name for each in golden_model(network, taps=True).graph.output[2:]]
    assert names == [f"tap_layer{place}" for place in tapped]
    assert [o.name for o in golden_model(network).graph.output] == ["logits", "label"]
    np.testing.assert_array_equal(run(golden_model(network), x[:1])[0], expected[:1])


@settings(max_examples=20, deadline=None)
@given(seed=seeds)
def test_student_is_the_integer_network(seed):
    network = random_network(seed)
    x = random_inputs(seed, network.inputs)
    (logits,) = run(student_model(network), x.astype(np.float32))
    np.testing.assert_array_equal(logits, network.forward(x) * np.float32(network.logit_scale))
    torch_logits = FrozenStudent(network)(torch.from_numpy(x).float()).numpy()
    np.testing.assert_array_equal(logits, torch_logits)


@pytest.mark.parametrize("seed", range(8))
def test_maps_of_logits_are_in_rows_channels_last(seed):
    student = random_student(seed, random_map(np.random.default_rng(seed)))
    network = freeze(student)
    x = random_inputs(seed, network.inputs)
    expected = network.forward(x)
    assert expected.shape == (len(x), network.outputs)
    model = golden_model(network)
    assert [each.name for each in model.graph.output] == ["logits"]
    np.testing.assert_array_equal(run(model, x)[0], expected)
    floats = expected * np.float32(network.logit_scale)
    np.testing.assert_array_equal(run(student_model(network), x.astype(np.float32))[0], floats)
    with torch.no_grad():
        for each in (student, FrozenStudent(network)):
            np.testing.assert_array_equal(each(torch.from_numpy(x).float()).numpy(), floats)
    qonnx = cleanup_model(ModelWrapper(qonnx_model(network)))
    entry, end = qonnx.graph.input[0].name, qonnx.graph.output[0].name
    frame = x[0].reshape(qonnx.get_tensor_shape(entry)).astype(np.float32)
    given = execute_onnx(qonnx, {entry: frame})[end]
    np.testing.assert_array_equal(given[0], floats[0].reshape(network.out_shape(len(network.layers) - 1)))


@pytest.mark.parametrize("seed", range(8))
def test_qonnx_is_the_student(seed):
    network = freeze(random_student(seed))
    model = cleanup_model(ModelWrapper(qonnx_model(network)))
    for row in random_inputs(seed, network.inputs, 5):
        frame = row.reshape(model.get_tensor_shape(model.graph.input[0].name)).astype(np.float32)
        outputs = execute_onnx(model, {model.graph.input[0].name: frame})
        expected = network.forward(row[None]) * np.float32(network.logit_scale)
        np.testing.assert_array_equal(outputs[model.graph.output[0].name], expected)


def one_layer(weights, bits):
    layer = IntegerLayer("layer0", Dense(weights, bits, 1.0), (INPUT,))
    return IntegerNetwork((1, 1, weights.shape[1]), (layer,))


def test_tables_and_comparisons_agree(monkeypatch):
    network = random_network(11)
    x = random_inputs(11, network.inputs)
    with_tables = run(golden_model(network), x)[0]
    monkeypatch.setattr("models.export.golden.TABLE_LIMIT", 0)
    model = golden_model(network)
    assert not any(node.op_type == "GatherElements" for node in model.graph.node)
    np.testing.assert_array_equal(run(model, x)[0], with_tables)


def test_extreme_weights_do_not_saturate():
    """255 * 127 * 2 overflows int16: a kernel that adds pairs of products in int16 would clip here."""
    weights = np.full((4, 64), 127, np.int8)
    weights[1], weights[2, ::2] = -127, -127
    network = one_layer(weights, 8)
    x = random_inputs(0, 64)
    np.testing.assert_array_equal(run(golden_model(network), x)[0], network.forward(x))
    np.testing.assert_array_equal(run(student_model(network), x.astype(np.float32))[0], network.forward(x))


def test_first_of_equal_logits_wins():
    weights = np.array([[1, 0], [1, 1], [1, 1]], np.int8)
    network = one_layer(weights, 2)
    _, label = run(golden_model(network), np.array([[0, 0], [3, 0], [0, 3]], np.uint8))
    np.testing.assert_array_equal(label, [0, 0, 1])


@pytest.mark.parametrize("make", [golden_model, student_model, qonnx_model])
def test_files_are_deterministic_and_checked(tmp_path, make):
    network = random_network(7)
    for name in ("a", "b"):
        save_model(make(network), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    loaded = load_checked(tmp_path / "a")
    assert loaded == make(network) and loaded.producer_name == "retort" and loaded.ir_version == 8


def test_corrupt_files(tmp_path):
    path = tmp_path / "model.onnx"
    save_model(golden_model(random_network(7)), path)
    content = path.read_bytes()
    for broken in (b"", content[: len(content) // 2], b"\xff" * 100):
        path.write_bytes(broken)
        with pytest.raises(ModelFileError, match="export it again"):
            load_checked(path)
    with pytest.raises(ModelFileError, match=r"absent\.onnx"):
        load_checked(tmp_path / "absent.onnx")
    model = golden_model(random_network(7))
    model.graph.node[0].op_type = "NoSuchOperator"
    onnx.save(model, path)
    with pytest.raises(ModelFileError, match="NoSuchOperator"):
        load_checked(path)
