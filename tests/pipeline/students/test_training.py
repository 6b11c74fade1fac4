"""What the training stages make of seeds and of data that a build leaves out."""

import numpy as np
import pytest

from common.errors import ConfigError
from hw.tools.tools import fingerprint
from models.data import load
from models.distill.training import transfer
from pipeline.config import file as config
from pipeline.engine import engine
from pipeline.engine.store import Store
from pipeline.stages import stages_of
from pipeline.students.training import learned
from tests.conftest import TINY


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return Store(tmp_path_factory.mktemp("store"))


@pytest.fixture
def build(tmp_path):
    def changed(*pairs):
        text = TINY.format(name="tiny").replace("temperatures = [2.0, 4.0]", "temperatures = []")
        for old, new in pairs:
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / "build.toml"
        path.write_text(text)
        return config.load(path)

    return changed


def built(build, store, until="distill"):
    return engine.build(build, stages_of(build), store, fingerprint, until=until)


def test_another_loss_shares_the_baseline_and_another_seed_the_teacher(build, store):
    first = built(build(), store)
    loss = built(build(("temperature = 3.0", "temperature = 5.0")), store)
    assert loss.ran == ("distill",)
    seeded = built(build(("[student]\n", "[student]\nseed = 4\n")), store)
    assert seeded.ran == ("baseline", "distill")
    own = built(build(("[student]\n", "[student]\nseed = 3\n")), store)
    assert own.keys == first.keys and not own.ran
    few = built(build(("sweep_epochs = 1\n", "sweep_epochs = 1\nsamples = 90\n")), store)
    assert few.ran == ("baseline", "distill")
    times = [result.manifests["distill"].files["logs/time.json"] for result in (first, loss)]
    assert all(time.size for time in times)


def test_samples_and_classes_that_are_left_out(build, store, tmp_path):
    result = built(build(), store, "teacher")
    data = load(store.path(result.manifests["data"], "data.safetensors"))
    examples = transfer.load(store.path(result.manifests["teacher"], "transfer.safetensors"))
    asked = build(("sweep_epochs = 1\n", "sweep_epochs = 1\nsamples = 90\nleave_out = [3, 7]\n")).distill
    dataset, seen = learned(asked, data, examples, seed=3)
    assert len(seen.split) == 90 and dataset.train is seen.split
    assert set(seen.split.y) == set(dataset.validation.y) == {0, 1, 2, 4, 5, 6, 8, 9}
    again = learned(asked, data, examples, seed=3)[1].split
    assert np.array_equal(again.x, seen.split.x)
    assert not np.array_equal(learned(asked, data, examples, seed=4)[1].split.x, seen.split.x)
    place = next(at for at, x in enumerate(examples.split.x) if np.array_equal(x, seen.split.x[0]))
    assert np.array_equal(examples.logits[:, place], seen.logits[:, 0])
    assert data.test is dataset.test
    wrong = build(("sweep_epochs = 1\n", "sweep_epochs = 1\nleave_out = [10]\n")).distill
    with pytest.raises(ConfigError, match=r"distill\.leave_out.*0 to 9"):
        learned(wrong, data, examples, seed=3)
