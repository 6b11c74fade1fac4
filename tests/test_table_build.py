"""A table with columns of categories, its student learned from pseudo samples, to its core."""

import numpy as np
import pytest

from hw.interface import Affine
from models.data import Scaling
from pipeline.config import file as config
from pipeline.ladder import hardware, networks
from pipeline.ladder.networks import QuantizedArtefacts
from tests.conftest import TINY, build

ROWS = 240


def write_table(path):
    """Two classes: by a number and a name, and a name that says nothing."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, ROWS)
    size = np.where(rng.random(ROWS) < 0.9, y, 1 - y) * 3.0 + rng.normal(5, 0.8, ROWS)
    colour = np.where(rng.random(ROWS) < 0.8, y, rng.integers(0, 3, ROWS))
    shape, level = rng.integers(0, 4, ROWS), rng.normal(0, 1, ROWS)
    rows = [
        f"{size[row]:.3f},{('red', 'green', 'blue')[colour[row]]},{shape[row]},{level[row]:.3f},c{y[row]}"
        for row in range(ROWS)
    ]
    path.write_text("size,colour,shape,level,kind\n" + "\n".join(rows) + "\n")


@pytest.mark.slow
def test_table_with_categories_to_golden_and_core(tmp_path):
    (tmp_path / "data").mkdir()
    write_table(tmp_path / "data" / "things.csv")
    text = TINY.format(name="table")
    for old, new in (
        (
            'source = "digits"',
            f'source = "table"\npath = "{tmp_path}/data/things.csv"\nlabel = "kind"\ncategorical = ["shape"]',
        ),
        ("members = 2", "members = 2\nviews = 1"),
        ("outputs = 10", "outputs = 2"),
        ("hard_label_weight = 0.2 }]", "hard_label_weight = 0.0 }]\n" + SOURCE),
    ):
        assert text.count(old) == 1
        text = text.replace(old, new)
    file = tmp_path / "table.toml"
    file.write_text(text)
    built = build(file, tmp_path, "--until", "compile")
    assert built.json("metrics.json")["student"] > 0.75
    artefacts = QuantizedArtefacts(
        config.load(file), built.folder, tmp_path / "work", tmp_path / "log", lambda *_: None
    )
    assert artefacts.dataset.input_shape == (4,)
    values = artefacts.interface.input_values  # a byte's worth of every column, for who feeds the core
    assert artefacts.dataset.scaling == Scaling(
        *zip(*((each.offset, each.scale) for each in values), strict=True)
    )
    assert values[1] == Affine(2 / 255, 0.0)  # three names
    assert artefacts.interface.output_values == Affine(artefacts.network.logit_scale, 0.0)
    assert set(np.unique(artefacts.x[:, 1])) <= {0, 127, 128, 255}  # names, spread over a byte
    for rung in (networks.onnxruntime, networks.golden, hardware.rtl):
        found = rung(artefacts)
        assert found.passed and found.mismatches == 0 and found.samples == 48, found


SOURCE = 'data = { source = "munge", multiple = 2, categorical = [1, 2] }'
