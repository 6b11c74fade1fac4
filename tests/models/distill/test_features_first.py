"""Schedules that begin with features, and losses on features that train and resume to the same bits."""

from dataclasses import dataclass, field, replace

import pytest
import torch

from common.errors import ConfigError
from common.topology import Conv, Dense, MaxPool, Topology
from models.distill import SoftenedSoftmax, WeightedSum
from models.distill.losses import (
    ContrastiveRepresentation,
    FitNetHints,
    FlowOfSolution,
    HardLabels,
    VariationalInformation,
)
from models.distill.recipe import Recipe
from models.distill.schedules import FitNets, FspStages
from models.distill.training.setup import TrainingSetup
from models.students.student import Student
from models.teachers import Cnn, Mlp
from models.teachers.ensemble import TeacherConfig, make_transfer_set, train_ensemble
from models.training import TrainingConfig
from tests.models.networks import toy_dataset

TRAINING = TrainingConfig(
    epochs=3, batch_size=32, learning_rate=1e-2, weight_decay=1e-1, seed=3, checkpoint_every=1
)
TOPOLOGY = Topology(
    (4, 4, 1),
    (
        Conv(4, (3, 3), 4, 3, padding=(1, 1)),
        MaxPool((2, 2)),
        Conv(6, (3, 3), 4, 3, padding=(1, 1)),
        Dense(8, 3, 2),
        Dense(3, 4, None),
    ),
)
NETWORK = Cnn(((8,), (12,)), dense=(16,))


@dataclass(frozen=True, eq=False)
class Recorded(TrainingSetup):
    """A setup that keeps what it trained."""

    runs: list = field(default_factory=list)

    def distill(self, name="student", **settings):
        student, history = super().distill(name, **settings)
        self.runs.append((name, settings, self.training, student, history))
        return student, history


@pytest.fixture(scope="module")
def parts():
    dataset = toy_dataset()
    members = train_ensemble(TeacherConfig((NETWORK,), TRAINING), dataset).members
    return dataset, make_transfer_set(members, dataset, views=1), members


@pytest.fixture
def setup(parts):
    dataset, examples, members = parts
    return Recorded(TOPOLOGY, dataset, examples, members, SoftenedSoftmax(), TRAINING)


def untrained():
    with torch.random.fork_rng():
        torch.manual_seed(TRAINING.seed)
        return Student(TOPOLOGY).state_dict()


@pytest.mark.parametrize(
    ("schedule", "name", "loss", "reached"),
    [
        (FitNets(hint_epochs=8), "hints", FitNetHints(), 2),
        (FitNets(8, (("layer0", "layers.4"),)), "hints", FitNetHints((("layer0", "layers.4"),)), 0),
        (FspStages(flow_epochs=8), "flows", FlowOfSolution(), 2),
        (
            FspStages(8, (("layer2", "layers.5"), ("layer1", "layers.5"))),
            "flows",
            FlowOfSolution((("layer2", "layers.5"), ("layer1", "layers.5"))),
            2,
        ),
    ],
    ids=["hints", "early hint", "flows", "named flow"],
)
def test_first_by_features_then_by_the_losses(setup, schedule, name, loss, reached):
    longer = replace(setup, training=replace(TRAINING, epochs=10))
    student, history = Recipe(HardLabels(), schedule=schedule).train(longer)
    (first, second), drawn = setup.runs, untrained()
    assert (first[0], first[1]["loss"], first[1]["epochs"]) == (name, loss, 8)
    losses = [epoch.loss for epoch in first[4].epochs]
    assert losses[-1] < 0.9 * losses[0]
    # By no accuracy is the first stage's best epoch chosen: the classes are not learned yet.
    assert first[4].chosen == 7 and not first[2].keep_best and second[2].keep_best
    # Layers behind have not moved, by weight decay neither, and are drawn anew with their statistics.
    begun = first[3].state_dict()
    for key, weight in begun.items():
        behind = int(key.split(".")[1]) > reached
        if "running" not in key and "tracked" not in key and behind:
            assert torch.equal(weight, drawn[key]), key
        assert (key in second[1]["start"]) != behind
    assert all(torch.equal(weight, begun[key]) for key, weight in second[1]["start"].items())
    trained = [key for key in second[1]["start"] if key.endswith("linear.weight")]
    assert trained and all(not torch.equal(begun[key], drawn[key]) for key in trained)
    assert second[0] == "student" and second[3] is student and second[4] is history
    assert set(student.state_dict()) == set(drawn)
    assert history.validation_score > 0.8


@pytest.mark.parametrize(
    ("loss", "schedule", "message"),
    [
        (HardLabels(), FitNets(pairs=(("layer7", "layers.4"),)), "no hidden layer 'layer7'"),
        (HardLabels(), FspStages(pairs=(("layer0", "layers.4"),)), "wants 2 pairs"),
        (FitNetHints((("layer0", "layers.99"),)), FitNets(), "the teacher has no hidden layer"),
    ],
)
def test_layers_are_checked_before_any_training(loss, schedule, message):
    Recipe(HardLabels(), schedule=FitNets()).check(TOPOLOGY, NETWORK)
    Recipe(FlowOfSolution(), schedule=FspStages()).check(TOPOLOGY, Mlp((20, 20)))
    with pytest.raises(ConfigError, match=message):
        Recipe(loss, schedule=schedule).check(TOPOLOGY, NETWORK)


@pytest.mark.parametrize("make", [lambda: FitNets(0), lambda: FspStages(0)])
def test_refuses_no_epochs(make):
    with pytest.raises(ConfigError, match="_epochs is 0; give at least 1"):
        make()


LOSSES = [
    ContrastiveRepresentation(negatives=32),
    ContrastiveRepresentation(negatives=32, negatives_from="other-samples"),
    WeightedSum(((1.0, SoftenedSoftmax()), (0.5, VariationalInformation()), (0.5, FitNetHints()))),
]


@pytest.mark.parametrize("loss", LOSSES, ids=["contrast", "contrast of samples", "sum"])
def test_killed_and_run_again_to_the_same_bits(setup, tmp_path, loss):
    """Memory banks and adapters are in the checkpoint; what is drawn depends on seed and epoch alone."""

    class Killed(Exception):
        pass

    def kill(label, done, total):
        if done == 2:
            raise Killed

    whole, _ = setup.distill(loss=loss)
    again, _ = setup.distill(loss=loss)
    kept = replace(setup, checkpoints=tmp_path)
    with pytest.raises(Killed):
        replace(kept, progress=kill).distill(loss=loss)
    resumed, _ = kept.distill(loss=loss)
    for key, weight in whole.state_dict().items():
        assert torch.equal(weight, again.state_dict()[key]), key
        assert torch.equal(weight, resumed.state_dict()[key]), key


@pytest.mark.parametrize("loss", LOSSES, ids=["contrast", "contrast of samples", "sum"])
def test_training_lowers_the_loss(setup, loss):
    _, history = setup.distill(loss=loss, epochs=10)
    assert history.epochs[-1].loss < history.epochs[0].loss
