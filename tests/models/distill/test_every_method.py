"""Every loss, source and schedule trains a quantized student, and leaves nothing of itself behind."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from common.topology import Conv, Dense, MaxPool, Topology
from models.distill import METHODS, HardLabels, SoftenedSoftmax
from models.distill.recipe import Recipe
from models.distill.schedules import SCHEDULES
from models.distill.schedules.specialist import Specialist
from models.distill.sources import SOURCES
from models.distill.training import transfer
from models.distill.training.setup import TrainingSetup
from models.students.freeze import freeze
from models.students.student import Student
from models.tasks import CLASSIFICATION
from models.teachers import Cnn
from models.teachers.ensemble import TeacherConfig, make_transfer_set, train_ensemble
from models.training import TrainingConfig
from tests.models.networks import toy_dataset

from .signals import SHAPES, adapters, drawn

CLASSIFIERS = {name: method for name, method in METHODS.items() if CLASSIFICATION.accepts(method)}
TRAINING = TrainingConfig(
    epochs=3, batch_size=32, learning_rate=1e-2, weight_decay=1e-3, seed=3, checkpoint_every=1
)
TOPOLOGY = Topology(
    (4, 4, 1),
    (Conv(6, (3, 3), 4, 3, padding=(1, 1)), MaxPool((2, 2)), Dense(8, 3, 2), Dense(3, 4, None)),
)


@pytest.fixture(scope="module")
def setup():
    dataset = toy_dataset()
    config = TeacherConfig((Cnn(((8,), (12,)), dense=(16,)),), TRAINING, members=2)
    members = train_ensemble(config, dataset).members
    examples = make_transfer_set(members, dataset, views=1)
    return TrainingSetup(TOPOLOGY, dataset, examples, members, SoftenedSoftmax(), TRAINING)


def check_trained(student, history):
    assert type(student) is Student and not student.training
    assert set(student.state_dict()) == set(Student(TOPOLOGY).state_dict())  # no adapters
    assert all(np.isfinite(epoch.loss) for epoch in history.epochs)
    frozen = freeze(student)
    x = toy_dataset().test.x
    assert frozen.forward(x).shape == (len(x), 3)


@pytest.mark.parametrize("method", CLASSIFIERS.values(), ids=CLASSIFIERS)
def test_every_loss_trains_a_quantized_student(setup, method):
    student, history = Recipe(method()).train(setup)
    check_trained(student, history)


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_every_source_trains_a_quantized_student(setup, source):
    student, history = Recipe(SoftenedSoftmax(hard_label_weight=0.0), source=source()).train(setup)
    check_trained(student, history)


@pytest.mark.parametrize("schedule", [each for each in SCHEDULES.values() if each is not Specialist])
def test_every_schedule_trains_a_quantized_student_and_resumes(setup, schedule, tmp_path):
    recipe = Recipe(SoftenedSoftmax(), schedule=schedule())
    whole, history = recipe.train(setup)
    check_trained(whole, history)

    class Killed(Exception):
        pass

    calls = []

    def kill(label, done, total):
        calls.append(label)
        if len(calls) == 3:
            raise Killed

    kept = replace(setup, checkpoints=tmp_path)
    with pytest.raises(Killed):
        recipe.train(replace(kept, progress=kill))
    resumed, _ = recipe.train(kept)
    for name, weight in whole.state_dict().items():
        assert torch.equal(weight, resumed.state_dict()[name]), name


@pytest.mark.parametrize("method", CLASSIFIERS.values(), ids=CLASSIFIERS)
def test_every_loss_is_finite_and_has_gradients(method):
    loss, signals = method(), drawn(1, members=2)
    student = signals.student.clone().requires_grad_()
    features = {name: each.clone().requires_grad_() for name, each in signals.student_features.items()}
    weights = {name: each.clone().requires_grad_() for name, each in signals.weights.items()}
    made = adapters(loss)
    total = loss(replace(signals, student=student, student_features=features, weights=weights), made)
    assert total.ndim == 0 and torch.isfinite(total)
    variables = [student, *features.values(), *weights.values()]
    gradients = torch.autograd.grad(total, variables, allow_unused=True)
    found = [gradient for gradient in gradients if gradient is not None]
    assert found and all(torch.isfinite(each).all() for each in found)


@pytest.mark.parametrize("method", CLASSIFIERS.values(), ids=CLASSIFIERS)
def test_every_loss_says_what_it_needs(method):
    """What a method does not ask for, it does not look at."""
    loss, signals = method(), drawn(2, members=2)
    blind = signals
    if "features" not in loss.needs:
        blind = replace(blind, student_features={}, teacher_features={})
    if "networks" not in loss.needs:
        blind = replace(blind, ask_student=None, ask_teacher=None)
    if "labels" not in loss.needs:
        blind = replace(blind, labels=None)
    if "teacher" not in loss.needs:
        blind = replace(blind, teacher=None)
    assert (loss.adapters(SHAPES) is None) or "features" in loss.needs
    torch.testing.assert_close(loss(blind, adapters(loss)), loss(signals, adapters(loss)))
    assert method.paper and method.__doc__


def test_no_teacher_in_the_step_without_need(setup):
    """The cached logits serve; with an augmentation, the teacher sees what the student sees."""
    from models.augmentation import Augmentation
    from tests.models.distilled import distill

    seen = []

    class Counted(torch.nn.Module):
        def forward(self, x):
            seen.append(x.clone())
            return torch.zeros(len(x), 3)

    one = replace(TRAINING, epochs=1)
    args = (TOPOLOGY, setup.dataset, setup.transfer)
    distill(*args, SoftenedSoftmax(), one, members=[Counted()])
    assert not seen
    distill(*args, HardLabels(), one, members=[Counted()], augmentation=Augmentation(shift=1))
    assert not seen
    distill(*args, SoftenedSoftmax(), one, members=[Counted()], augmentation=Augmentation(shift=1))
    assert len(seen) == len(setup.transfer.split) // 32


def test_sources_are_the_same_for_the_same_seed(setup):
    for source in SOURCES.values():
        first, second = (source().transfer(setup) for _ in range(2))
        assert np.array_equal(first.split.x, second.split.x) and np.array_equal(first.logits, second.logits)
        assert isinstance(first, transfer.TransferSet) and first.logits.dtype == np.float32
