import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from torch import nn

from common.errors import CheckpointError, ConfigError
from common.topology import Conv, Dense, MaxPool, Topology
from models.augmentation import Augmentation
from models.distill import HardLabels, SoftenedSoftmax
from models.distill.training import transfer
from models.distill.training.setup import TrainingSetup
from models.distill.training.student_training import load_student, save_student
from models.metrics import accuracy
from models.training import Job, NetworkTerms, TrainingConfig, fit
from models.training.evaluation import predict
from tests.models.distilled import distill
from tests.models.networks import toy_dataset

TOPOLOGY = Topology((16,), (Dense(8, 3, 2), Dense(3, 4, None)))
TRAINING = TrainingConfig(
    epochs=5, batch_size=32, learning_rate=1e-2, weight_decay=1e-3, seed=3, checkpoint_every=2
)


PICTURES = Topology(
    (4, 4, 1),
    (Conv(6, (3, 3), 4, 3, padding=(1, 1)), Conv(5, (2, 2), 1, 4), MaxPool((3, 3)), Dense(3, 4, None)),
)


class Killed(Exception):
    pass


def kill_at(epoch):
    def progress(label, done, total):
        if done == epoch:
            raise Killed

    return progress


@pytest.fixture(scope="module")
def dataset():
    return toy_dataset()


@pytest.fixture(scope="module")
def hints(dataset):
    logits = np.random.default_rng(0).normal(size=(2, 2 * len(dataset.train), 3)).astype(np.float32)
    split = transfer.shifted_views(dataset.train, dataset.input_shape, 2)
    return transfer.TransferSet(split, logits)


def same(first, second):
    states = first.state_dict(), second.state_dict()
    return states[0].keys() == states[1].keys() and all(
        torch.equal(states[0][k], states[1][k]) for k in states[0]
    )


@pytest.mark.parametrize("epoch", [1, 2, 3, 4])
def test_killed_and_resumed_student_has_the_same_bits(tmp_path, dataset, hints, epoch):
    args = (TOPOLOGY, dataset, hints, SoftenedSoftmax(), TRAINING)
    whole, history = distill(*args)
    path = tmp_path / "student"
    with pytest.raises(Killed):
        distill(*args, path, kill_at(epoch))
    torch.manual_seed(999)  # the global generator must not matter
    resumed, resumed_history = distill(*args, path)
    assert same(whole, resumed) and history == resumed_history
    labels = []
    distill(*args, path, lambda *state: labels.append(state))
    assert [done for _, done, _ in labels] == [5]  # finished: nothing is trained again


def test_convolutions_and_augmentation_resume_with_the_same_bits(tmp_path, dataset, hints):
    training = replace(TRAINING, warmup=0.2)
    args = (PICTURES, dataset, hints, SoftenedSoftmax(), training)
    members = [nn.Linear(16, 3)]
    augmented = {"augmentation": Augmentation(shift=1, mirror=True, cutout=1), "members": members}
    whole, history = distill(*args, **augmented)
    path = tmp_path / "student"
    with pytest.raises(Killed):
        distill(*args, path, kill_at(2), **augmented)
    resumed, resumed_history = distill(*args, path, **augmented)
    assert same(whole, resumed) and history == resumed_history
    plain, _ = distill(*args)
    assert not same(whole, plain)


def test_every_epoch_draws_anew():
    """Dropout, augmentation and order: two epochs differ, the same epoch of two runs does not."""
    dataset = toy_dataset()
    seen = []

    class Watched(nn.Module):
        def __init__(self):
            super().__init__()
            self.dropout, self.linear = nn.Dropout(0.5), nn.Linear(16, 3)

        def forward(self, x):
            dropped = self.dropout(x)
            if self.training:
                seen.append((x.clone(), dropped.clone()))
            return self.linear(dropped)

    config = replace(TRAINING, epochs=2, batch_size=len(dataset.train))
    job = Job(
        build=Watched,
        loss=NetworkTerms(HardLabels()),
        train=dataset.train,
        validation=dataset.validation,
        config=config,
        input_shape=dataset.input_shape,
        augmentation=Augmentation(shift=1),
    )
    fit(job)
    fit(job)
    (x0, d0), (x1, d1), (again, dropped), _ = seen
    assert torch.equal(x0, again) and torch.equal(d0, dropped)
    assert not torch.equal(x0, x1) and not torch.equal(d0 == 0, d1 == 0)


def test_schedule():
    rates = [replace(TRAINING, warmup=0.25).rate(done) for done in (0.0, 0.125, 0.25, 0.625, 1.0)]
    assert rates == pytest.approx([0, 5e-3, 1e-2, 5e-3, 0])
    assert replace(TRAINING, learning_rate=2.0).rate(0.0) == 2.0


def test_students_train_in_float32(dataset, hints):
    with pytest.raises(ConfigError, match="precision is bfloat16"):
        distill(TOPOLOGY, dataset, hints, HardLabels(), replace(TRAINING, precision="bfloat16"))


@pytest.mark.parametrize("change", [{"learning_rate": 1e30}, {"weight_decay": 1e38}])
def test_training_that_diverges(dataset, hints, change):
    with pytest.raises(ConfigError, match=r"student .*: training diverged in epoch \d, .*lower learn"):
        distill(TOPOLOGY, dataset, hints, HardLabels(), replace(TRAINING, **change))


def test_augmentation_must_fit_the_samples(dataset, hints):
    with pytest.raises(ConfigError, match="augmentation: shift is 4"):
        distill(PICTURES, dataset, hints, HardLabels(), TRAINING, augmentation=Augmentation(shift=4))


def test_another_runs_checkpoint(tmp_path, dataset, hints):
    path = tmp_path / "student"
    distill(TOPOLOGY, dataset, hints, HardLabels(), replace(TRAINING, epochs=1), path)
    for changed in (replace(TRAINING, epochs=1, seed=4), replace(TRAINING, epochs=2)):
        with pytest.raises(CheckpointError, match="is of another run"):
            distill(TOPOLOGY, dataset, hints, HardLabels(), changed, path)
    with pytest.raises(CheckpointError, match="is of another run"):
        distill(TOPOLOGY, dataset, hints, SoftenedSoftmax(), replace(TRAINING, epochs=1), path)
    file = path / "student.safetensors"
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(CheckpointError, match="cannot be read"):
        distill(TOPOLOGY, dataset, hints, HardLabels(), replace(TRAINING, epochs=1), path)


def test_history(dataset, hints):
    _, history = distill(TOPOLOGY, dataset, hints, SoftenedSoftmax(), TRAINING)
    scores = [epoch.validation_score for epoch in history.epochs]
    assert history.chosen == len(scores) - 1 - int(np.argmax(scores[::-1]))  # the later of equals
    for epoch in json.loads(json.dumps(asdict(history)))["epochs"]:
        assert epoch["loss"] == pytest.approx(sum(epoch["terms"].values())) and set(epoch["terms"]) == {
            "soft",
            "hard",
        }
    last, history = distill(TOPOLOGY, dataset, hints, SoftenedSoftmax(), replace(TRAINING, keep_best=False))
    assert history.chosen == 4
    validated = accuracy(predict(last, dataset.validation.x), dataset.validation.y)
    assert validated == history.validation_score


def test_torch_settings_are_given_back(dataset, hints):
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled(), torch.get_rng_state()
    distill(TOPOLOGY, dataset, hints, HardLabels(), replace(TRAINING, epochs=1))
    assert (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()) == before[:2]
    assert torch.equal(torch.get_rng_state(), before[2])


@pytest.mark.slow
def test_two_devices(tmp_path, dataset, hints):
    several = replace(TRAINING, devices=2)
    student, history = distill(TOPOLOGY, dataset, hints, SoftenedSoftmax(), several, tmp_path / "student")
    assert len(history.epochs) == 5
    validated = accuracy(predict(student, dataset.validation.x), dataset.validation.y)
    assert validated == history.validation_score
    again, _ = distill(TOPOLOGY, dataset, hints, SoftenedSoftmax(), several, tmp_path / "student")
    assert same(student, again)


def test_temperature_sweep(dataset, hints):
    setup = TrainingSetup(TOPOLOGY, dataset, hints, (), SoftenedSoftmax(), TRAINING)
    curve = setup.temperature_sweep([1.0, 4.0], epochs=1)
    assert [point["temperature"] for point in curve] == [1.0, 4.0]
    assert all(0 <= point["validation_score"] <= 1 for point in curve)


def test_student_file(tmp_path, dataset, hints):
    student, _ = distill(TOPOLOGY, dataset, hints, HardLabels(), replace(TRAINING, epochs=1))
    save_student(student, tmp_path / "student")
    assert same(load_student(TOPOLOGY, tmp_path / "student"), student)
    with pytest.raises(CheckpointError, match="another network's"):
        load_student(Topology((16,), (Dense(9, 3, 2), Dense(3, 4, None))), tmp_path / "student")


def test_topology_must_fit_the_data(dataset, hints):
    with pytest.raises(ConfigError, match="takes 15 inputs"):
        distill(Topology((15,), (Dense(3, 4, None),)), dataset, hints, HardLabels(), TRAINING)


@pytest.mark.parametrize(
    "change",
    [
        {"epochs": 0},
        {"batch_size": 1},
        {"learning_rate": 0.0},
        {"weight_decay": -1.0},
        {"devices": 20},
        {"seed": -1},
        {"warmup": 1.0},
    ],
)
def test_training_config_refuses(change):
    with pytest.raises(ConfigError, match="training: "):
        replace(TRAINING, **change)


@pytest.mark.parametrize("accelerator", ["cuda", "abacus"])
@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without that accelerator")
def test_missing_accelerator(dataset, hints, accelerator):
    config = replace(TRAINING, accelerator=accelerator)
    with pytest.raises(ConfigError, match=f"accelerator '{accelerator}'"):
        distill(TOPOLOGY, dataset, hints, HardLabels(), config)
