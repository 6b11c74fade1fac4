"""A task, a teacher and a loss put into their registries from outside go through a build to its metrics."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

from common.errors import ConfigError
from hw.tools.tools import fingerprint
from models import data
from models.distill.losses import METHODS
from models.distill.method import Distillation
from models.distill.training.transfer import TransferSet
from models.lazy import F
from models.tasks import TASKS, Task
from models.teachers import TEACHERS, TeacherKind, TeacherResult
from pipeline.artefacts.metrics import METRICS
from pipeline.config.file import load_checked
from pipeline.engine import engine
from pipeline.engine.store import Store
from pipeline.stages import stages_of

BUILD = """
[data]
source = "digits"
train_samples = 300
test_samples = 60
[task]
kind = "toy-brightness"
scale = 8.0
[teacher]
kind = "toy-oracle"
offset = 0.5
[student]
layers = [{ outputs = 8, weight_bits = 4, activation_bits = 4 }, { outputs = 1, weight_bits = 6 }]
epochs = 2
[distill]
losses = [{ method = "toy-squares" }]
[board]
name = "icebreaker"
"""


@dataclass(frozen=True)
class Brightness(Task):
    """One output: the mean of a sample's values, times `scale`."""

    kind: ClassVar[str] = "toy-brightness"
    metric: ClassVar[str] = "explained variance"
    distillation: ClassVar[str] = "toy-squares"
    has_label: ClassVar[bool] = False

    scale: float = 1.0

    def outputs(self, shape, classes):
        return 1

    def targets(self, split):
        return (split.x.mean(axis=1, keepdims=True) * self.scale).astype(np.float32)

    def score(self, outputs, split):
        wanted = self.targets(split)
        return float(max(0.0, 1 - np.mean((outputs - wanted) ** 2) / wanted.var()))

    def chance(self, split):
        return 0.0

    def combine(self, members):
        return members.mean(axis=0).astype(np.float64)

    def differing(self, first, second):
        return (np.abs(first - second) > 1).any(axis=1)

    def wrong(self, outputs, split):
        return self.differing(outputs, self.targets(split))

    def labels_only(self, label_smoothing=0.0):
        return Squares(teacher=False)

    def decoding(self, dataset):
        return {"task": self.kind, "scale": self.scale}


@dataclass(frozen=True)
class Squares(Distillation):
    """The squared error, of the teacher's output or of the labels."""

    method: ClassVar[str] = "toy-squares"
    paper: ClassVar[str] = "none"
    tasks: ClassVar[frozenset[str] | None] = frozenset({"toy-brightness"})

    teacher: bool = True

    @property
    def needs(self):
        return frozenset({"teacher" if self.teacher else "labels"})

    def terms(self, signals, adapters=None):
        wanted = signals.teacher.mean(dim=0) if self.teacher else signals.labels
        return {"squares": F.mse_loss(signals.student, wanted)}


@dataclass(frozen=True)
class Oracle(TeacherKind):
    """Knows the answer, but for `offset`; has no network."""

    kind: ClassVar[str] = "toy-oracle"

    offset: float = 0.0

    def make(self, setup):
        train, test = (
            setup.task.targets(split)[None] + np.float32(self.offset)
            for split in (setup.dataset.train, setup.dataset.test)
        )
        return TeacherResult(TransferSet(setup.dataset.train, train), test)


@pytest.fixture(autouse=True)
def _registered(monkeypatch):
    monkeypatch.setitem(TASKS, Brightness.kind, Brightness)
    monkeypatch.setitem(TEACHERS, Oracle.kind, Oracle)
    monkeypatch.setitem(METHODS, Squares.method, Squares)


def loaded(tmp_path, old="", new=""):
    path = tmp_path / "toys.toml"
    path.write_text(BUILD.replace(old, new) if old else BUILD)
    return load_checked(path)


def test_toys_reach_their_metrics(tmp_path):
    build, store = loaded(tmp_path), Store(tmp_path / "store")
    made = engine.build(build, stages_of(build), store, fingerprint, until="export")
    metrics = METRICS.read(store.path(made.manifests["export"], METRICS.name))
    task = build.task
    assert isinstance(task, Brightness) and metrics.metric == "explained variance"
    # The oracle is wrong by its offset alone.
    test = data.load(store.path(made.manifests["data"], "data.safetensors")).test
    expected = 1 - 0.5**2 / task.targets(test).var()
    assert metrics.teacher == pytest.approx(expected, rel=1e-4) and 0.5 < expected < 1
    assert metrics.ensemble_members == pytest.approx((metrics.teacher,))
    assert metrics.student is not None and metrics.student_without_distillation is not None
    assert metrics.agreement is not None and not metrics.confusion_matrix


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            'method = "toy-squares"',
            'method = "softened-softmax"',
            "serves classification, not toy-brightness",
        ),
        ('kind = "toy-brightness"\nscale = 8.0', 'kind = "classification"', "serves toy-brightness, not"),
        ("outputs = 1,", "outputs = 2,", "the student gives 2 values, but toy-brightness"),
        (
            'losses = [{ method = "toy-squares" }]',
            'losses = [{ method = "toy-squares" }, { method = "hints" }]',
            "'toy-oracle' has no features and no networks, which",
        ),
        ("epochs = 2", "epochs = 2\naugment = { shift = 1 }", "'toy-oracle' has no networks, which"),
        ('name = "icebreaker"', 'name = "icebreaker"\n[compile]\noutput = "label"', "is no label; give"),
    ],
)
def test_what_does_not_go_together_is_refused_before_anything_runs(tmp_path, old, new, message):
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, old, new)
    assert message in " ".join(caught.value.args)
