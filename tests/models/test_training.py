import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from models import teacher
from models.distill import HardLabels, SoftenedSoftmax, transfer
from models.distill.student_training import distill, load_student, save_student, temperature_sweep
from models.evaluation import predict
from models.metrics import accuracy, combine
from models.topology import DenseLayer, Topology
from models.training import TrainingConfig
from pipeline.errors import CheckpointError, ConfigError, DataError

from .networks import toy_dataset

TOPOLOGY = Topology(16, (DenseLayer(8, 3, 2), DenseLayer(3, 4, None)))
TRAINING = TrainingConfig(
    epochs=5, batch_size=32, learning_rate=1e-2, weight_decay=1e-3, seed=3, checkpoint_every=2
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


def test_another_runs_checkpoint(tmp_path, dataset, hints):
    path = tmp_path / "student"
    distill(TOPOLOGY, dataset, hints, HardLabels(), replace(TRAINING, epochs=1), path)
    for changed in (replace(TRAINING, epochs=1, seed=4), replace(TRAINING, epochs=2)):
        with pytest.raises(CheckpointError, match="is of another run"):
            distill(TOPOLOGY, dataset, hints, HardLabels(), changed, path)
    with pytest.raises(CheckpointError, match="is of another run"):
        distill(TOPOLOGY, dataset, hints, SoftenedSoftmax(), replace(TRAINING, epochs=1), path)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(CheckpointError, match="cannot be read"):
        distill(TOPOLOGY, dataset, hints, HardLabels(), replace(TRAINING, epochs=1), path)


def test_history(dataset, hints):
    _, history = distill(TOPOLOGY, dataset, hints, SoftenedSoftmax(), TRAINING)
    scores = [epoch.validation_accuracy for epoch in history.epochs]
    assert history.chosen == len(scores) - 1 - int(np.argmax(scores[::-1]))  # the later of equals
    for epoch in json.loads(json.dumps(history.to_json()))["epochs"]:
        assert epoch["loss"] == pytest.approx(sum(epoch["terms"].values())) and set(epoch["terms"]) == {
            "soft",
            "hard",
        }
    last, history = distill(TOPOLOGY, dataset, hints, SoftenedSoftmax(), replace(TRAINING, keep_best=False))
    assert history.chosen == 4
    validated = accuracy(predict(last, dataset.validation.x), dataset.validation.y)
    assert validated == history.validation_accuracy


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
    assert validated == history.validation_accuracy
    again, _ = distill(TOPOLOGY, dataset, hints, SoftenedSoftmax(), several, tmp_path / "student")
    assert same(student, again)


def test_ensemble_learns_saves_and_loads(tmp_path, dataset):
    config = teacher.TeacherConfig(2, (16,), TRAINING, views=1)
    ensemble = teacher.train_ensemble(config, dataset, tmp_path / "checkpoints")
    logits = teacher.ensemble_logits(ensemble.members, dataset.test.x)
    assert logits.shape == (2, len(dataset.test), 3) and logits.dtype == np.float32
    assert not np.array_equal(logits[0], logits[1])
    assert accuracy(combine(logits), dataset.test.y) > 0.95
    again = teacher.train_ensemble(config, dataset, tmp_path / "checkpoints")
    assert all(same(a, b) for a, b in zip(ensemble.members, again.members, strict=True))

    path = tmp_path / "ensemble"
    teacher.save_ensemble(ensemble.members, path)
    loaded = teacher.load_ensemble(config, dataset, path)
    np.testing.assert_array_equal(teacher.ensemble_logits(loaded.members, dataset.test.x), logits)
    with pytest.raises(CheckpointError, match="does not hold 3 teachers"):
        teacher.load_ensemble(replace(config, members=3), dataset, path)
    with pytest.raises(CheckpointError, match="teacher 0: weight"):
        teacher.load_ensemble(replace(config, hidden=(8,)), dataset, path)


def test_transfer_set(tmp_path, dataset):
    members = [teacher.Teacher(16, (4,), 3).eval() for _ in range(2)]
    made = teacher.make_transfer_set(members, dataset, views=6)
    n = len(dataset.train)
    assert made.logits.shape == (2, 6 * n, 3)
    images = made.split.x.reshape(6, n, 4, 4)
    np.testing.assert_array_equal(images[0].reshape(n, -1), dataset.train.x)
    np.testing.assert_array_equal(images[1][:, :-1], images[0][:, 1:])  # up
    assert not images[1][:, -1].any()
    np.testing.assert_array_equal(images[2][:, :, :-1], images[0][:, :, 1:])  # left
    np.testing.assert_array_equal(images[3][:, :, 1:], images[0][:, :, :-1])  # right
    np.testing.assert_array_equal(images[4][:, 1:], images[0][:, :-1])  # down
    np.testing.assert_array_equal(images[5][:, :-1, :-1], images[0][:, 1:, 1:])
    np.testing.assert_array_equal(made.split.y, np.tile(dataset.train.y, 6))

    transfer.save(made, tmp_path / "set")
    loaded = transfer.load(tmp_path / "set")
    np.testing.assert_array_equal(loaded.logits, made.logits)
    np.testing.assert_array_equal(loaded.split.x, made.split.x)
    transfer.save(transfer.TransferSet(made.split, made.logits[:, 1:]), tmp_path / "set")
    with pytest.raises(DataError, match="logits"):
        transfer.load(tmp_path / "set")


def test_views_need_an_image(dataset):
    with pytest.raises(ConfigError, match="only images"):
        transfer.shifted_views(dataset.train, (16,), 2)
    with pytest.raises(ConfigError, match="give 1 to 25"):
        transfer.shifted_views(dataset.train, (4, 4, 1), 26)
    assert transfer.shifted_views(dataset.train, (16,), 1) is dataset.train


def test_temperature_sweep(dataset, hints):
    curve = temperature_sweep([1.0, 4.0], TOPOLOGY, dataset, hints, SoftenedSoftmax(), TRAINING, epochs=1)
    assert [point["temperature"] for point in curve] == [1.0, 4.0]
    assert all(0 <= point["validation_accuracy"] <= 1 for point in curve)


def test_student_file(tmp_path, dataset, hints):
    student, _ = distill(TOPOLOGY, dataset, hints, HardLabels(), replace(TRAINING, epochs=1))
    save_student(student, tmp_path / "student")
    assert same(load_student(TOPOLOGY, tmp_path / "student"), student)
    with pytest.raises(CheckpointError, match="another network's"):
        load_student(Topology(16, (DenseLayer(9, 3, 2), DenseLayer(3, 4, None))), tmp_path / "student")


def test_topology_must_fit_the_data(dataset, hints):
    with pytest.raises(ConfigError, match="takes 15 inputs"):
        distill(Topology(15, (DenseLayer(3, 4, None),)), dataset, hints, HardLabels(), TRAINING)


@pytest.mark.parametrize(
    "change",
    [
        {"epochs": 0},
        {"batch_size": 1},
        {"learning_rate": 0.0},
        {"weight_decay": -1.0},
        {"devices": 20},
        {"seed": -1},
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
