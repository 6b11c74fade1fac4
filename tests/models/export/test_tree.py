"""A decision tree as ONNX: both forms give what the tree gives, also right at thresholds."""

import numpy as np
import onnxruntime
import pytest

from common.errors import ModelFileError
from models.export import golden_tree_model, student_tree_model
from models.students.tree import LEAF, DecisionTree, fit


def run(model, x):
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})


@pytest.mark.parametrize(("depth", "classes"), [(1, 2), (4, 3), (9, 7)])
def test_both_forms_give_what_the_tree_gives(depth: int, classes: int) -> None:
    rng = np.random.default_rng(depth)
    x = rng.integers(0, 256, (400, 12), dtype=np.uint8)
    tree = fit(x, rng.random((400, classes)), (12,), depth=depth)
    assert tree.leaves > 1
    edges = rng.integers(0, 2, (400, 12)) + np.resize(tree.threshold[tree.feature != LEAF], 12)
    for samples in (x, edges.astype(np.uint8)):
        labels = tree.predict(samples)
        (logits,) = run(student_tree_model(tree), samples.astype(np.float32))
        np.testing.assert_array_equal(logits, np.eye(classes, dtype=np.float32)[labels])
        votes, label = run(golden_tree_model(tree), samples)
        assert votes.dtype == np.int32
        np.testing.assert_array_equal(votes, logits)
        np.testing.assert_array_equal(label, labels)


def test_golden_has_integers_only() -> None:
    rng = np.random.default_rng(0)
    tree = fit(rng.integers(0, 256, (50, 4), dtype=np.uint8), rng.random((50, 3)), (4,), depth=3)
    model = golden_tree_model(tree)
    assert {node.domain for node in model.graph.node} == {""}
    assert all(tensor.data_type not in (1, 10, 11, 16) for tensor in model.graph.initializer)


def test_a_single_leaf_is_refused() -> None:
    one = np.zeros(1, np.int64)
    with pytest.raises(ModelFileError, match="a single leaf"):
        golden_tree_model(DecisionTree(one + LEAF, one, one, one, one, (4,), 2))
