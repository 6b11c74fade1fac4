"""A decision tree as ONNX: `ai.onnx.ml`'s tree ensemble in float32, and integers in standard operators."""

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from common.errors import ModelFileError
from models.students.tree import LEAF, DecisionTree

OPSET, ML_OPSET, IR_VERSION = 13, 3, 8


def student_tree_model(tree: DecisionTree) -> onnx.ModelProto:
    """The tree in float32: `x` (batch, features) to `logits` (batch, classes), 1 for its class, else 0.

    Source: `TreeEnsembleRegressor` of ai.onnx.ml 3, the operator that scikit-learn's trees are exported to.
    """
    nodes, leaves = np.arange(len(tree.feature)), np.flatnonzero(tree.feature == LEAF)
    inner = tree.feature != LEAF
    node = helper.make_node(
        "TreeEnsembleRegressor",
        ["x"],
        ["logits"],
        domain="ai.onnx.ml",
        n_targets=tree.classes,
        nodes_treeids=[0] * len(nodes),
        nodes_nodeids=nodes.tolist(),
        nodes_modes=["BRANCH_LEQ" if each else "LEAF" for each in inner],
        nodes_featureids=np.where(inner, tree.feature, 0).tolist(),
        nodes_values=tree.threshold.astype(np.float32).tolist(),
        nodes_truenodeids=tree.left.tolist(),
        nodes_falsenodeids=tree.right.tolist(),
        target_treeids=[0] * len(leaves),
        target_nodeids=leaves.tolist(),
        target_ids=tree.label[leaves].tolist(),
        target_weights=[1.0] * len(leaves),
    )
    features = int(np.prod(tree.input_shape))
    entry = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", features])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", tree.classes])
    return _model([node], "student", [entry], [logits], [])


def golden_tree_model(tree: DecisionTree) -> onnx.ModelProto:
    """The tree in integers: uint8 `x` (batch, features) to int32 `logits` (batch, classes) and int64 `label`.

    Every comparison is made at once. A leaf is reached where all those on the way to it say its way: the sum
    of answers (0 or 1) times its row of `ways` (1 right, -1 left, 0 elsewhere) is its number of turns right.

    Raises `ModelFileError`: the tree has a single leaf.
    """
    if tree.leaves < 2:
        raise ModelFileError("tree: a single leaf, which gives all samples one class; train a better teacher")
    inner, leaves = np.flatnonzero(tree.feature != LEAF), np.flatnonzero(tree.feature == LEAF)
    ways = _ways(tree, inner, leaves)
    constants: dict[str, NDArray[np.generic]] = {
        "features": tree.feature[inner],
        "thresholds": tree.threshold[inner].astype(np.uint8),
        "ways": ways,
        "rights": (ways > 0).sum(axis=0).astype(np.int32),
        "votes": np.eye(tree.classes, dtype=np.uint8)[tree.label[leaves]],
    }
    nodes = [
        helper.make_node("Gather", ["x", "features"], ["values"], axis=1),
        helper.make_node("Greater", ["values", "thresholds"], ["above"]),
        helper.make_node("Cast", ["above"], ["answers"], to=TensorProto.UINT8),
        helper.make_node("MatMulInteger", ["answers", "ways"], ["sums"]),
        helper.make_node("Equal", ["sums", "rights"], ["reached"]),
        helper.make_node("Cast", ["reached"], ["leaf"], to=TensorProto.UINT8),
        helper.make_node("MatMulInteger", ["leaf", "votes"], ["logits"]),
        helper.make_node("ArgMax", ["logits"], ["label"], axis=1, keepdims=0, select_last_index=0),
    ]
    features = int(np.prod(tree.input_shape))
    entry = helper.make_tensor_value_info("x", TensorProto.UINT8, ["batch", features])
    logits = helper.make_tensor_value_info("logits", TensorProto.INT32, ["batch", tree.classes])
    label = helper.make_tensor_value_info("label", TensorProto.INT64, ["batch"])
    initializers = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    return _model(nodes, "golden", [entry], [logits, label], initializers)


def _ways(tree: DecisionTree, inner: NDArray[np.intp], leaves: NDArray[np.intp]) -> NDArray[np.int8]:
    """For each comparison (rows) and leaf (columns) the side on which the leaf is: 1, -1, or 0 elsewhere."""
    rows = {int(node): row for row, node in enumerate(inner)}
    paths = {0: np.zeros(len(inner), np.int8)}
    for node in inner:  # every node is before its children
        for child, side in ((tree.left[node], -1), (tree.right[node], 1)):
            path = paths[int(node)].copy()
            path[rows[int(node)]] = side
            paths[int(child)] = path
    return np.stack([paths[int(leaf)] for leaf in leaves], axis=1)


def _model(
    nodes: list[onnx.NodeProto],
    name: str,
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
    initializers: list[onnx.TensorProto],
) -> onnx.ModelProto:
    graph = helper.make_graph(nodes, name, inputs, outputs, initializers)
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)]
    return helper.make_model(graph, producer_name="retort", opset_imports=opsets, ir_version=IR_VERSION)
