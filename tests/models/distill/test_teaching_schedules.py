"""Schedules whose teachers are made on the way: who teaches whom, and the same bits after every kill."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from common.errors import ConfigError
from models.distill import HardLabels, Signals, SoftenedSoftmax, WeightedSum
from models.distill.features import shapes_of
from models.distill.losses import FitNetHints
from models.distill.method import Distillation
from models.distill.recipe import Recipe
from models.distill.schedules import (
    BornAgain,
    DefectiveTeacher,
    QuantizationAware,
    ReversedTeacher,
    SelfTraining,
)
from models.distill.schedules.intermediate_teachers import train_network
from models.distill.schedules.joint_training import JointTraining, train_jointly
from models.distill.training.setup import TrainingSetup
from models.metrics import accuracy
from models.students.student import Student
from models.teachers import Cnn
from models.teachers.ensemble import TeacherConfig, make_transfer_set, train_ensemble
from models.training import Batch, TrainingConfig
from models.training.evaluation import predict
from tests.models.distill.test_logits import cross_entropy, softmax
from tests.models.networks import toy_dataset

from .test_every_method import TOPOLOGY

TRAINING = TrainingConfig(
    epochs=3, batch_size=32, learning_rate=1e-2, weight_decay=1e-3, seed=3, checkpoint_every=1
)
TEACHER = Cnn(((8,),), dense=(16,))
SCHEDULES = {
    "born-again": BornAgain(3, share=0.4),
    "from labels, to an ensemble": BornAgain(2, first="labels", ensemble=True),
    "self-training": SelfTraining(),
    "defective": DefectiveTeacher(),
    "reversed": ReversedTeacher(share=0.5),
    "qkd": QuantizationAware(),
}


@pytest.fixture(scope="module")
def setup():
    dataset = toy_dataset()
    members = train_ensemble(TeacherConfig((TEACHER,), TRAINING, members=2), dataset).members
    examples = make_transfer_set(members, dataset, views=1)
    return TrainingSetup(TOPOLOGY, dataset, examples, members, SoftenedSoftmax(), TRAINING)


def validated(setup, module):
    validation = setup.dataset.validation
    return accuracy(predict(module, validation.x), validation.y)


@dataclass(frozen=True)
class Watched(SoftenedSoftmax):
    """Writes down the teacher's logits of every step."""

    def terms(self, signals, adapters=None):
        SEEN.append((signals.rows.clone(), signals.teacher.clone()))
        return super().terms(signals, adapters)


SEEN = []


class Killed(Exception):
    pass


@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
def test_killed_anywhere_it_ends_with_the_same_bits(setup, schedule, tmp_path):
    calls = []
    whole, history = Recipe(SoftenedSoftmax(), schedule=schedule).train(
        replace(setup, progress=lambda *call: calls.append(call))
    )
    kept = replace(setup, checkpoints=tmp_path)
    # Each run dies at the first epoch that none before it has reached.
    for call in calls:
        if call[1] == 0:
            continue

        def kill(*now, last=call):
            if now == last:
                raise Killed

        with pytest.raises(Killed):
            Recipe(SoftenedSoftmax(), schedule=schedule).train(replace(kept, progress=kill))
    resumed, again = Recipe(SoftenedSoftmax(), schedule=schedule).train(kept)
    assert history == again
    for name, weight in whole.state_dict().items():
        assert torch.equal(weight, resumed.state_dict()[name]), name
    assert len(list(tmp_path.iterdir())) == sum(call[1] == 0 for call in calls)  # a name each
    assert history.validation_score == validated(setup, whole)


def test_generations_learn_from_each_other(setup):
    SEEN.clear()
    watched = replace(setup, loss=Watched())
    student, history = BornAgain(2).run(watched)
    steps = len(SEEN) // 2
    first, second = SEEN[:steps], SEEN[steps:]
    for rows, logits in first:
        assert np.array_equal(logits, setup.transfer.logits[:, rows])
    parent, _ = replace(setup, loss=Watched()).distill("generation 1")
    expected = predict(parent, setup.transfer.split.x)
    for rows, logits in second:
        assert np.array_equal(logits[0], expected[rows]) and len(logits) == 1
    assert history.measured.keys() == {"generation 1", "generation 2", "all generations"}
    assert history.measured["generation 1"] == validated(setup, parent)
    both = [predict(each, setup.dataset.validation.x) for each in (parent, student)]
    mean = softmax(np.stack(both)).mean(axis=0)
    assert history.measured["all generations"] == accuracy(mean, setup.dataset.validation.y)


def test_an_ensemble_of_generations_teaches_the_last_student(setup):
    SEEN.clear()
    BornAgain(3, ensemble=True).run(replace(setup, loss=Watched()))
    assert [len(logits) for _, logits in SEEN[:: len(SEEN) // 4]][:4] == [2, 1, 1, 3]


def test_self_training_never_looks_at_the_teacher(setup):
    liar = replace(setup.transfer, logits=-setup.transfer.logits)
    honest, first = SelfTraining().run(setup)
    deceived, second = SelfTraining().run(replace(setup, transfer=liar, members=()))
    assert first == second
    for name, weight in honest.state_dict().items():
        assert torch.equal(weight, deceived.state_dict()[name]), name


def test_features_of_students_can_be_learned_from(setup):
    """Live teachers, tapped: the last generation sees the one before it, layer by layer."""

    @dataclass(frozen=True)
    class Features(Distillation):
        method, paper = "features", "none"

        @property
        def needs(self):
            return frozenset({"teacher", "features"})

        def adapters(self, shapes):
            names.append(dict(shapes.teacher))

        def terms(self, signals, adapters=None):
            shapes = {name: tuple(each.shape[1:]) for name, each in signals.teacher_features.items()}
            assert shapes == names[-1]
            return {"soft": functional.mse_loss(signals.student, signals.teacher.mean(dim=0))}

    names = []
    BornAgain(2, share=0.3).run(replace(setup, loss=Features()))
    assert names[-1] == {"layers.0": (6, 4, 4), "layers.1": (6, 2, 2), "layers.2": (8, 1, 1)}
    assert names[-1] != names[1]


def test_networks_of_the_teachers_shape_are_drawn_anew(setup):
    like = setup.members[0]
    before = {name: weight.clone() for name, weight in like.state_dict().items()}
    network, history = train_network(setup, "fresh", like, HardLabels(), 1)
    other, _ = train_network(setup, "fresh", setup.members[1], HardLabels(), 1)
    assert history.validation_score == validated(setup, network)
    for name, weight in network.state_dict().items():
        assert torch.equal(weight, other.state_dict()[name])  # nothing is left of what they are like
        assert torch.equal(before[name], like.state_dict()[name])
    taught, _ = train_network(setup.taught_by([like]), "taught", like, SoftenedSoftmax(4.0, 0.0), 3)
    assert setup.validation_score([taught]) > 0.9


def test_reversed_measures_all_three(setup):
    _, history = ReversedTeacher().run(setup)
    assert history.measured.keys() == {"student alone", "reversed teacher", "teacher"}
    assert history.measured["teacher"] == setup.validation_score(setup.members)


def test_defective_teachers_are_hardly_trained(setup):
    long = replace(setup, training=replace(TRAINING, epochs=20))
    labels = []
    DefectiveTeacher().run(replace(long, progress=lambda *call: labels.append(call)))
    assert ("defective teacher", 1, 1) in labels and ("student (student)", 20, 20) in labels


def test_co_study_s_terms_are_the_paper_s(setup):
    """Against numpy, with both networks in training mode, whose batch-norms look at the batch."""
    rng = np.random.default_rng(0)
    network = JointTraining(TOPOLOGY, SoftenedSoftmax(3.0, 0.25), setup.members, 2.0, 10).train()
    x = torch.from_numpy(rng.integers(0, 256, (12, 16))).float()
    y = torch.from_numpy(rng.integers(0, 3, 12))
    student = network.learner.student(x).detach().numpy().astype(np.float64)
    teacher = torch.stack([each(x) for each in network.members]).detach().numpy().astype(np.float64)
    terms = network(x, Batch(x, y, torch.arange(12), 0.0, None))
    hard = sum(cross_entropy(each, y.numpy()) for each in teacher)
    q, p = softmax(student / 2.0), softmax(teacher / 2.0)
    soft = 2.0**2 * np.sum(q * np.log(q / p)) / 12
    signals = Signals(torch.tensor(student), torch.tensor(teacher), y)
    own = SoftenedSoftmax(3.0, 0.25).terms(signals)
    assert terms["teacher.hard"].item() == pytest.approx(hard, rel=1e-4)
    assert terms["teacher.soft"].item() == pytest.approx(soft, rel=1e-4)
    assert terms["soft"].item() == pytest.approx(own["soft"].item(), rel=1e-4)
    assert terms["hard"].item() == pytest.approx(own["hard"].item(), rel=1e-4)


def test_in_co_study_no_gradient_crosses_over(setup):
    network = JointTraining(TOPOLOGY, SoftenedSoftmax(), setup.members, 2.0, 10).train()
    x = torch.randint(0, 256, (12, 16)).float()
    terms = network(x, Batch(x, torch.arange(12) % 3, torch.arange(12), 0.0, None))

    def reached(total, module):
        found = torch.autograd.grad(total, tuple(module.parameters()), allow_unused=True, retain_graph=True)
        return any(each is not None for each in found)

    own = terms["soft"] + terms["hard"]
    others = terms["teacher.hard"] + terms["teacher.soft"]
    assert reached(own, network.learner) and not reached(own, network.members)
    assert reached(others, network.members) and not reached(others, network.learner)


def test_co_study_begins_where_both_are_and_leaves_the_build_s_teacher_alone(setup):
    before = {name: weight.clone() for name, weight in setup.members[0].state_dict().items()}
    start, _ = setup.distill("start", loss=HardLabels(), epochs=1)
    still = replace(setup, training=replace(TRAINING, learning_rate=1e-12, weight_decay=0.0))
    student, members, history = train_jointly(still, "co-study", start, 4.0, 1)
    for name, weight in dict(student.named_parameters()).items():
        torch.testing.assert_close(weight, start.get_parameter(name), rtol=0, atol=1e-9)
    for found, given in zip(members, setup.members, strict=True):
        for name, weight in found.named_parameters():
            torch.testing.assert_close(weight, given.get_parameter(name), rtol=0, atol=1e-9)
    moved, teachers, _ = train_jointly(setup, "co-study", start, 4.0, 1)
    assert type(moved) is Student and not moved.training and len(teachers) == 2
    pairs = zip(teachers[0].parameters(), members[0].parameters(), strict=True)
    assert any(not torch.equal(now, then) for now, then in pairs)
    for name, weight in before.items():
        assert torch.equal(weight, setup.members[0].state_dict()[name]), name
    assert history.validation_score == validated(setup, student)


def test_qkd_shares_out_the_epochs(setup):
    calls = []
    long = replace(setup, training=replace(TRAINING, epochs=10), progress=lambda *call: calls.append(call))
    _, history = QuantizationAware(0.2, 0.5).run(long)
    totals = {label: total for label, _, total in calls}
    assert totals == {"student (self-study)": 2, "co-study": 5, "student (tutoring)": 3}
    assert len(history.epochs) == 3
    assert history.measured.keys() == {"self-study", "co-study", "teacher before", "teacher after"}


@pytest.mark.parametrize("schedule", [*SCHEDULES.values()], ids=SCHEDULES)
def test_losses_without_a_teacher_are_refused(setup, schedule):
    with pytest.raises(ConfigError, match="no loss learns from a teacher"):
        schedule.run(replace(setup, loss=HardLabels()))


@pytest.mark.parametrize("schedule", [*SCHEDULES.values()], ids=SCHEDULES)
def test_losses_without_a_teacher_are_refused_before_any_training(schedule):
    with pytest.raises(ConfigError, match="no loss learns from a teacher"):
        Recipe(HardLabels(), schedule=schedule).check(TOPOLOGY, TEACHER)


def test_layers_that_students_lack_are_refused_before_any_training(setup):
    taught = shapes_of(Student(TOPOLOGY), setup.members[0])
    among = shapes_of(Student(TOPOLOGY), Student(TOPOLOGY))
    first = next(iter(taught.student))
    of_teacher, of_student = (
        next(name for name in mine.teacher if name not in theirs.teacher)
        for mine, theirs in ((taught, among), (among, taught))
    )
    other, own = FitNetHints(((first, of_teacher),)), FitNetHints(((first, of_student),))

    def checked(loss, schedule):
        losses = WeightedSum(((1.0, SoftenedSoftmax()), (1.0, loss)))
        Recipe(losses, schedule=schedule).check(TOPOLOGY, TEACHER)

    for schedule in (BornAgain(), BornAgain(first="labels"), SelfTraining()):
        with pytest.raises(ConfigError, match=f"{schedule.kind}: here students teach: .*'{of_teacher}'"):
            checked(other, schedule)
    with pytest.raises(ConfigError, match=f"teacher has no hidden layer '{of_student}'"):
        checked(own, BornAgain())
    for schedule in (BornAgain(first="labels"), SelfTraining()):
        checked(own, schedule)
    for loss, schedule in ((other, QuantizationAware()), (FitNetHints(), BornAgain())):
        checked(loss, schedule)


@pytest.mark.parametrize("schedule", [DefectiveTeacher(), ReversedTeacher(), QuantizationAware()])
def test_a_teacher_of_logits_alone_is_refused_where_its_network_is_wanted(setup, schedule):
    with pytest.raises(ConfigError, match="only its logits"):
        schedule.run(replace(setup, members=()))


@pytest.mark.parametrize(
    "make",
    [
        lambda: BornAgain(generations=1),
        lambda: BornAgain(share=0.0),
        lambda: SelfTraining(share=1.1),
        lambda: DefectiveTeacher(share=-1.0),
        lambda: ReversedTeacher(temperature=0.0),
        lambda: ReversedTeacher(hard_label_weight=2.0),
        lambda: QuantizationAware(self_study=0.5, co_study=0.5),
        lambda: QuantizationAware(co_study=0.0),
        lambda: QuantizationAware(temperature=0.0),
    ],
)
def test_refuses(make):
    with pytest.raises(ConfigError, match="give"):
        make()
