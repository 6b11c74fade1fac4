"""Losses that look at some layers only, on two devices."""

from dataclasses import replace

import pytest
import torch

from models.distill import SoftenedSoftmax, WeightedSum
from models.distill.methods import FitNetHints
from models.distill.recipe import Recipe
from models.distill.schedules import SCHEDULES
from models.distill.workshop import Workshop
from models.evaluation import predict
from models.metrics import accuracy
from models.student import Student
from models.teacher import Cnn, TeacherConfig, make_transfer_set, train_ensemble
from models.training import TrainingConfig
from tests.models.networks import toy_dataset

from .test_every_method import TOPOLOGY

TRAINING = TrainingConfig(epochs=2, batch_size=32, learning_rate=1e-2, weight_decay=1e-3, seed=3)


@pytest.mark.slow
def test_hints_first(tmp_path):
    """In the first stage no gradient comes to the layers behind the hints; adapters are trained, too."""
    dataset = toy_dataset()
    teacher = TeacherConfig((Cnn(((8,),), dense=(16,)),), TRAINING)
    members = train_ensemble(teacher, dataset).members
    examples = make_transfer_set(members, dataset, views=1)
    loss = WeightedSum(((1.0, SoftenedSoftmax()), (1.0, FitNetHints())))
    several = replace(TRAINING, devices=2)
    workshop = Workshop(TOPOLOGY, dataset, examples, members, loss, several, checkpoints=tmp_path)
    schedule = SCHEDULES["fitnets"](hint_epochs=1)
    student, history = Recipe(loss, schedule=schedule).train(workshop)
    assert len(history.epochs) == 2 and {"hints"} < {path.stem for path in tmp_path.iterdir()}
    validation = dataset.validation
    assert history.validation_accuracy == accuracy(predict(student, validation.x), validation.y)
    with torch.random.fork_rng():
        torch.manual_seed(TRAINING.seed)
        drawn = Student(TOPOLOGY)
    for trained, before in zip(student.parameters(), drawn.parameters(), strict=True):
        assert torch.isfinite(trained).all() and not torch.equal(trained, before)
