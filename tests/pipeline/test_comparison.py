import numpy as np
import pytest

from pipeline import config
from pipeline.comparison import compare, summarize
from pipeline.errors import ConfigError


def test_interval_is_students_t():
    found = summarize(np.array([0.9, 0.92, 0.94]))
    # t(0.975, 2) = 4.302653, standard error 0.02 / sqrt(3)
    assert found["mean"] == pytest.approx(0.92)
    assert found["interval"] == pytest.approx(4.302653 * 0.02 / np.sqrt(3), rel=1e-6)


def test_one_seed_is_refused(tiny_file):
    with pytest.raises(ConfigError, match="--seeds"):
        compare(config.load(tiny_file), 1, lambda *_: None)


def test_pairs_are_trained_from_the_same_seeds(tiny_file):
    found = compare(config.load(tiny_file), 2, lambda *_: None)
    assert [run["seed"] for run in found["runs"]] == [3, 4]
    differences = [run["distilled"] - run["not_distilled"] for run in found["runs"]]
    assert found["difference"]["mean"] == pytest.approx(np.mean(differences))
    assert found["distilled"]["mean"] > 0.5
