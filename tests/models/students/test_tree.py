"""Decision trees fitted to a teacher: against scikit-learn's own answers, a walk by hand, and files."""

import json

import numpy as np
import pytest
from sklearn.tree import DecisionTreeRegressor

from common.errors import ConfigError, ModelFileError
from models.students.tree import LEAF, DecisionTree, fit


def teacher(seed=0, n=400, shape=(3, 4, 2), classes=4):
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 256, (n, int(np.prod(shape)))).astype(np.uint8)
    return x, (x / 64) @ rng.normal(size=(x.shape[1], classes)), shape


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("targets", ["logits", "probabilities"])
@pytest.mark.parametrize(("depth", "leaves"), [(1, None), (5, None), (9, 20)])
@pytest.mark.parametrize("seed", range(3))
def test_answers_are_those_of_the_regression(targets, depth, leaves, seed):
    x, logits, shape = teacher(seed)
    wanted = softmax(logits) if targets == "probabilities" else logits
    tree = fit(x, wanted, shape, depth=depth, leaves=leaves)
    other = DecisionTreeRegressor(max_depth=depth, max_leaf_nodes=leaves, random_state=0).fit(x, wanted)
    fresh = teacher(seed + 100, n=2000)[0]
    np.testing.assert_array_equal(tree.predict(fresh), other.predict(fresh).argmax(axis=1))
    assert tree.depth <= depth and tree.leaves <= other.get_n_leaves()


def test_branches_of_one_class_are_one_leaf():
    x, logits, shape = teacher()
    tree = fit(x, logits, shape, depth=8)
    leaf = tree.feature == LEAF
    for node in np.flatnonzero(~leaf):
        left, right = tree.left[node], tree.right[node]
        assert not (leaf[left] and leaf[right] and tree.label[left] == tree.label[right])


def small():
    """x[1, 0] > 9 ? (x[0, 1] > 254 ? 2 : 1) : 0."""
    return DecisionTree(
        *(np.array(each) for each in ([2, -1, 1, -1, -1], [9, 0, 254, 0, 0])),
        *(np.array(each) for each in ([1, 0, 3, 0, 0], [2, 0, 4, 0, 0], [0, 0, 0, 1, 2])),
        input_shape=(2, 2),
        classes=3,
    )


def test_a_tree_by_hand(tmp_path):
    tree = small()
    x = np.array([[0, 255, 9, 0], [0, 255, 10, 0], [0, 254, 10, 0]], np.uint8)
    assert tree.predict(x).tolist() == [0, 2, 1]
    assert (tree.depth, tree.leaves) == (2, 3)
    assert list(tree.lines()) == [
        "x[1, 0] <= 9: class 0",
        "x[1, 0] > 9",
        "  x[0, 1] <= 254: class 1",
        "  x[0, 1] > 254: class 2",
    ]
    tree.save(tmp_path / "tree.json")
    again = DecisionTree.load(tmp_path / "tree.json")
    assert list(again.lines()) == list(tree.lines()) and again.classes == 3


@pytest.mark.parametrize(("key", "value"), [("left", [2, 0, 3, 0, 0]), ("threshold", [256, 0, 0, 0, 0])])
def test_damaged_files_are_refused(tmp_path, key, value):
    path = tmp_path / "tree.json"
    small().save(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    with pytest.raises(ModelFileError, match="build again"):
        DecisionTree.load(path)


@pytest.mark.parametrize("bad", [{"depth": 0}, {"depth": 21}, {"leaves": 1}])
def test_refuses(bad):
    x, logits, shape = teacher(n=20)
    with pytest.raises(ConfigError, match=r"tree: .*; give"):
        fit(x, logits, shape, **bad)
