"""The experiments on toy students, recomputed; and the command on a tiny build."""

import json
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
import pytest
from typer.testing import CliRunner

from common.errors import ConfigError
from common.topology import Dense, Topology
from models.distill import HardLabels, SoftenedSoftmax, WeightedSum
from models.distill.recipe import Recipe
from models.distill.schedules import OneStep
from models.distill.sources import Source, TrainingData
from models.distill.training.setup import TrainingSetup
from models.metrics import accuracy
from models.students.freeze import freeze
from models.teachers import Mlp
from models.teachers.ensemble import TeacherConfig, make_transfer_set, train_ensemble
from models.training import TrainingConfig
from pipeline.cli.app import app
from pipeline.config import file as config
from pipeline.engine.store import Store
from pipeline.studies.comparison.kept import Training
from pipeline.studies.experiments import MissingClass, SoftTargets, TemperatureSearch
from tests.models.networks import toy_dataset

TRAINING = TrainingConfig(epochs=3, batch_size=16, learning_rate=1e-2, weight_decay=1e-3, seed=3)


def ignore(label, done, total):
    pass


@pytest.fixture(scope="module")
def made():
    dataset = toy_dataset()
    members = train_ensemble(TeacherConfig((Mlp((16,)),), TRAINING, members=2), dataset).members
    examples = make_transfer_set(members, dataset, views=2)
    topology = Topology((4, 4, 1), (Dense(8, 3, 2), Dense(3, 4, None)))
    return TrainingSetup(topology, dataset, examples, members, SoftenedSoftmax(), TRAINING)


def seeded(made, seed):
    return replace(made, training=replace(TRAINING, seed=seed))


def on_test(student, made):
    return accuracy(freeze(student).forward(made.dataset.test.x), made.dataset.test.y)


def test_temperature(made):
    recipe = Recipe(SoftenedSoftmax(hard_label_weight=0.0))
    found = TemperatureSearch(temperatures=(20.0, 0.5, 20.0), seeds=2).run(made, recipe, ignore)
    assert [row["temperature"] for row in found["curve"]] == [0.5, 20.0]
    for row in found["curve"]:
        loss = SoftenedSoftmax(row["temperature"], 0.0)
        students = [Recipe(loss).train(seeded(made, seed)) for seed in (3, 4)]
        validation = [history.validation_score for _, history in students]
        assert row["validation"]["mean"] == pytest.approx(np.mean(validation))
        assert row["test"]["least"] == min(on_test(student, made) for student, _ in students)
    assert found["best"]["validation"]["mean"] == max(row["validation"]["mean"] for row in found["curve"])


def test_of_equal_temperatures_the_lowest_is_best(made):
    """The teacher's share in the loss is nothing, hence so is its temperature's."""
    recipe = Recipe(SoftenedSoftmax(hard_label_weight=1.0))
    found = TemperatureSearch(temperatures=(9.0, 2.0), seeds=2, epochs=1).run(made, recipe, ignore)
    assert found["best"]["temperature"] == 2.0 and found["best"] == found["curve"][0]


@dataclass(frozen=True)
class Looking(OneStep):
    """Writes down which labels there are to learn from."""

    kind: ClassVar[str] = "looking"
    seen: tuple[list, ...] = field(default_factory=lambda: ([], [], []))

    def run(self, setup):
        splits = (setup.dataset.train, setup.dataset.validation, setup.transfer.split)
        for seen, split in zip(self.seen, splits, strict=True):
            seen.extend(split.y)
        assert setup.transfer.logits.shape[1] == len(setup.transfer.split)
        return super().run(setup)


def test_missing_class(made):
    schedule = Looking()
    recipe = Recipe(SoftenedSoftmax(2.0, 0.0), schedule=schedule)
    found = MissingClass(label=1, seeds=2).run(made, recipe, ignore)
    assert all(set(seen) == {0, 2} for seen in schedule.seen)
    assert found["test_samples_of_class"] == np.sum(made.dataset.test.y == 1)
    assert [run["seed"] for run in found["runs"]] == [3, 4]

    def kept(split):
        return replace(split, x=split.x[split.y != 1], y=split.y[split.y != 1])

    dataset, transfer = made.dataset, made.transfer
    blind = replace(
        made,
        dataset=replace(dataset, train=kept(dataset.train), validation=kept(dataset.validation)),
        transfer=replace(
            transfer, split=kept(transfer.split), logits=transfer.logits[:, transfer.split.y != 1]
        ),
    )
    test = dataset.test
    for run in found["runs"]:
        student, _ = Recipe(SoftenedSoftmax(2.0, 0.0)).train(seeded(blind, run["seed"]))
        network = freeze(student)
        logits = network.forward(test.x) * network.logit_scale
        assert run["before"]["accuracy"] == accuracy(logits, test.y)
        logits[:, 1] += run["offset"]
        assert run["after"]["accuracy"] == accuracy(logits, test.y)
        assert run["after"]["class_accuracy"] == np.mean(logits[test.y == 1].argmax(axis=1) == 1)
    assert found["after"]["class_accuracy"]["mean"] >= found["before"]["class_accuracy"]["mean"]
    assert 0 <= found["teacher"]["class_accuracy"] <= 1


def test_soft_targets(made):
    recipe = Recipe(SoftenedSoftmax(2.0, 0.0), schedule=Looking())
    found = SoftTargets(share=0.2, seeds=2).run(made, recipe, ignore)
    source = TrainingData(0.2)
    samples = source.transfer(made).split
    assert found["samples"] == len(samples) == 2 * 33  # two views; 11 of 54, 53 and 53 samples a class
    for name, loss in (("hard", HardLabels()), ("soft", SoftenedSoftmax(2.0, 0.0))):
        student, _ = Recipe(loss, source).train(made)
        run = found["runs"][0][name]
        assert run["train"] == accuracy(freeze(student).forward(samples.x), samples.y)
        assert run["test"] == on_test(student, made)
    differences = [run["soft"]["test"] - run["hard"]["test"] for run in found["runs"]]
    assert found["difference"]["test"]["mean"] == pytest.approx(np.mean(differences))
    assert not recipe.schedule.seen[0]


def test_a_share_of_the_data_is_learned_in_as_many_steps(made):
    batch, samples = TRAINING.batch_size, len(made.transfer.split)
    for share in (0.03, 0.2, 1.0):
        epochs = SoftTargets(share=share).prepared(made).training.epochs
        steps = epochs * max(1, int(samples * share) // batch)
        assert (
            TRAINING.epochs * (samples // batch)
            <= steps
            < TRAINING.epochs * (samples // batch) + steps / epochs
        )
    assert SoftTargets(epochs=2).prepared(made).training.epochs == 2
    assert MissingClass(label=0).prepared(made).training == TRAINING


def test_each_student_is_trained_once(made, tmp_path, monkeypatch):
    def run(experiment):
        train = Training(Store(tmp_path / "store"), {"torch": "1"})
        return experiment.run(made, Recipe(SoftenedSoftmax(2.0, 0.0)), ignore, train)

    trained, really = [], Recipe.train

    def count(recipe, shop):
        trained.append(shop.training.seed)
        assert shop.checkpoints is not None
        if len(trained) == 2:
            raise KeyboardInterrupt
        return really(recipe, shop)

    monkeypatch.setattr(Recipe, "train", count)
    with pytest.raises(KeyboardInterrupt):
        run(MissingClass(label=1, seeds=2))
    first = run(MissingClass(label=1, seeds=2))
    assert trained == [3, 4, 4]  # the first was kept, the second anew
    assert run(MissingClass(label=1, seeds=2)) == first and len(trained) == 3
    monkeypatch.setattr(Recipe, "train", really)
    assert MissingClass(label=1, seeds=2).run(made, Recipe(SoftenedSoftmax(2.0, 0.0)), ignore) == first
    monkeypatch.setattr(Recipe, "train", count)
    run(MissingClass(label=2, seeds=2))
    run(MissingClass(label=2, seeds=3))
    assert trained[3:] == [3, 4, 5]  # other samples, other students; one seed more, one student more


@dataclass(frozen=True)
class Unlabelled(Source):
    source: ClassVar[str] = "unlabelled"
    paper: ClassVar[str] = "none"
    labelled: ClassVar[bool] = False

    def transfer(self, setup):
        return setup.transfer


def test_refuses(tiny_file, monkeypatch):
    build = config.load(tiny_file)
    for make in (
        lambda: TemperatureSearch(temperatures=(2.0,), seeds=1),
        lambda: SoftTargets(share=0.0),
        lambda: TemperatureSearch(temperatures=(2.0, 0.0)).check(build),
        lambda: MissingClass(label=10).check(build),
        lambda: MissingClass(label=-1).check(build),
    ):
        with pytest.raises(ConfigError, match="give"):
            make()
    for experiment in (TemperatureSearch(), MissingClass(label=9), SoftTargets()):
        experiment.check(build)
    plain = type(build.distill)
    monkeypatch.setattr(plain, "recipe", lambda self: Recipe(WeightedSum(((1.0, HardLabels()),))))
    for experiment, why in ((TemperatureSearch(), "has a temperature"), (SoftTargets(), "labels alone")):
        with pytest.raises(ConfigError, match=why):
            experiment.check(build)
    monkeypatch.setattr(plain, "recipe", lambda self: Recipe(SoftenedSoftmax(4.0, 0.0), Unlabelled()))
    with pytest.raises(ConfigError, match="have no labels"):
        MissingClass(label=3).check(build)


def call(*arguments):
    return CliRunner().invoke(app, ["-q", "experiment", *map(str, arguments)])


def test_the_command(tiny_file, tmp_path):
    store = ("--store", tmp_path / "store")
    refused = call("missing-class", tiny_file, "--class", 12, *store)
    assert refused.exit_code == ConfigError.exit_code and refused.stderr.count("\n") == 1
    assert "give 0 to 9" in refused.stderr and not list((tmp_path / "store" / "manifests").iterdir())

    args = (*store, "--seeds", 2, "--epochs", 1)
    found = json.loads(call("missing-class", tiny_file, "--class", 3, *args, "--json").stdout)
    assert (found["experiment"], found["build"], found["class"]) == ("missing-class", "tiny", 3)
    assert found["seeds"] == [3, 4] and found["epochs"] == 1
    assert found["after"]["accuracy"]["mean"] >= found["before"]["accuracy"]["mean"] - 0.05
    assert found["teacher"]["accuracy"] > 0.8

    table = call(
        "temperature", tiny_file, "--temperature", 3, "--temperature", 1.5, *args
    ).stdout.splitlines()
    assert [line.split()[0] for line in table[:3]] == ["temperature", "1.5", "3"]
    assert table[3].startswith("best on validation: ")
    table = call("soft-targets", tiny_file, "--share", 0.1, *args).stdout
    assert "10.0% of the training split" in table and "soft targets" in table
