"""Pruned students: zeros that stay to the integer network, channels that go, runs that go on."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from common.errors import ConfigError
from common.topology import AveragePool, Conv, Dense, Depthwise, MaxPool, Residual, Topology
from models.distill import HardLabels, SoftenedSoftmax
from models.distill.recipe import Recipe
from models.distill.schedules import Prune, PruneChannels
from models.distill.schedules.channels import FIXED, Channels
from models.distill.schedules.compression import prune_channels, prune_weights
from models.distill.schedules.saliency import input_moments
from models.students.freeze import freeze, student_integers
from models.students.masks import Masks, weights_of, zero_shares
from models.students.student import Student
from models.training.evaluation import deterministic
from tests.models.networks import toy_dataset

from .test_every_method import TOPOLOGY, TRAINING, setup  # noqa: F401 (a fixture)
from .test_saliency import fitted, frames, made


@pytest.fixture(autouse=True)
def one_thread():
    """These networks are so small that threads would only wait for each other."""
    with deterministic(1):
        yield


CRITERIA = ("magnitude", "obd", "obs")

WIDE = Topology(
    (6, 6, 2),
    (
        Conv(8, (3, 3), 4, 3, padding=(1, 1)),
        Residual((Depthwise((3, 3), 4, 3, padding=(1, 1)), Conv(8, (1, 1), 4, 3)), 3),
        MaxPool((2, 2)),
        Residual((Conv(6, (3, 3), 4, 3, padding=(1, 1)), Conv(10, (1, 1), 4, 3)), 3, Conv(10, (1, 1), 4, 3)),
        AveragePool((3, 3), 3),
        Dense(6, 4, 3),
        Dense(3, 4, None),
    ),
)
NARROW = Topology(
    (6, 6, 2),
    (
        Conv(4, (3, 3), 4, 3, padding=(1, 1)),
        Residual((Depthwise((3, 3), 4, 3, padding=(1, 1)), Conv(4, (1, 1), 4, 3)), 3),
        MaxPool((2, 2)),
        Residual((Conv(3, (3, 3), 4, 3, padding=(1, 1)), Conv(5, (1, 1), 4, 3)), 3, Conv(5, (1, 1), 4, 3)),
        AveragePool((3, 3), 3),
        Dense(3, 4, 3),
        Dense(3, 4, None),
    ),
)


@pytest.mark.parametrize("criterion", CRITERIA)
def test_zeros_stay_to_the_integer_network(setup, criterion):  # noqa: F811
    schedule = Prune(criterion, sparsity=0.7, rounds=2, rate=0.5, samples=64)
    student, _ = Recipe(SoftenedSoftmax(), schedule=schedule).train(setup)
    weights = weights_of(student)
    count = sum(weight.numel() for weight in weights.values())
    zeros = sum(int((weight == 0).sum()) for weight in weights.values())
    assert zeros == pytest.approx(0.7 * count, abs=len(weights))
    assert set(student.state_dict()) == set(Student(TOPOLOGY).state_dict())
    network = freeze(student)
    integers = {layer.name: layer.operation for layer in network.layers}
    for name, weight in weights.items():
        transposed = weight.detach().movedim(1, -1).numpy() if weight.ndim == 4 else weight.detach().numpy()
        assert not integers[name].weights[transposed == 0].any()
        assert zero_shares(network)[name] >= np.mean(transposed == 0)
    x = toy_dataset().test.x
    trained = student_integers(student, network, x)[-1]
    assert np.array_equal(trained, network.forward(x))


@pytest.mark.parametrize("criterion", CRITERIA)
def test_a_killed_run_goes_on_to_the_same_bits(setup, tmp_path, criterion):  # noqa: F811
    recipe = Recipe(SoftenedSoftmax(), schedule=Prune(criterion, rounds=2, samples=32))
    whole, _ = recipe.train(setup)

    class Killed(Exception):
        pass

    def kill(label, done, total):
        if "pruned 2" in label and done == 2:
            raise Killed

    kept = replace(setup, checkpoints=tmp_path)
    with pytest.raises(Killed):
        recipe.train(replace(kept, progress=kill))
    resumed, _ = recipe.train(kept)
    for name, weight in whole.state_dict().items():
        assert torch.equal(weight, resumed.state_dict()[name]), name


@pytest.mark.parametrize("criterion", CRITERIA)
@pytest.mark.parametrize("sparsity", [0.01, 0.5, 0.99, 0.999])
def test_as_many_weights_go_as_asked(criterion, sparsity):
    student, x = made(), frames(20)
    before = {name: value.clone() for name, value in student.state_dict().items()}
    state, masks = prune_weights(student, criterion, sparsity, x, 1e-3)
    assert all(torch.equal(before[name], value) for name, value in student.state_dict().items())
    assert all(keep.any() for keep in masks.keep.values())
    total = sum(keep.size for keep in masks.keep.values())
    assert masks.sparsity == pytest.approx(sparsity, abs=(len(masks.keep) + 1) / total)
    pruned = Student(student.topology)
    pruned.load_state_dict(state)
    for name, weight in weights_of(pruned).items():
        assert not weight.detach()[torch.from_numpy(~masks.keep[name])].any()
        if criterion != "obs":
            kept = torch.from_numpy(masks.keep[name])
            assert torch.equal(weight[kept], weights_of(student)[name][kept])


@pytest.mark.parametrize("criterion", CRITERIA)
def test_what_is_pruned_stays_pruned_in_later_rounds(criterion):
    student, x = made(), frames(20)
    state, first = prune_weights(student, criterion, 0.4, x, 1e-3)
    student.load_state_dict(state)
    _, second = prune_weights(student, criterion, 0.6, x, 1e-3)
    for name, keep in first.keep.items():
        assert not (second.keep[name] & ~keep).any()


def test_the_surgeon_keeps_accumulators_better_than_magnitude():
    """With as many zeros in the layer, its accumulators on the samples change less."""
    student, x = made(seed=3), frames(100)
    moment, before = input_moments(student, x)["layer0"][0], weights_of(student)["layer0"].detach()
    state, masks = prune_weights(student, "obs", 0.5, x, 1e-4)
    least = before.abs() > before.abs().flatten().sort().values[int((~masks.keep["layer0"]).sum()) - 1]
    errors = []
    for after in (state["layers.0.linear.weight"], before * least):
        rows = (after - before).double().flatten(1)
        errors.append(torch.einsum("ot,tu,ou->", rows, moment, rows).item())
    assert int(least.sum()) == int(masks.keep["layer0"].sum())
    assert errors[0] < errors[1] / 2


def test_masks_tell_themselves_apart():
    keep = np.eye(4, dtype=bool)
    assert repr(Masks({"layer0": keep})) == repr(Masks({"layer0": keep.copy()}))
    assert (
        len({repr(Masks(each)) for each in ({"layer0": keep}, {"layer1": keep}, {"layer0": ~keep}, {})}) == 4
    )


def test_channels_that_belong_together():
    channels = Channels(WIDE)
    names = [step.name for step in WIDE.steps]
    group = {name: channels.given[place] for place, name in enumerate(names)}
    first = {group[name] for name in names if name.startswith(("layer0", "layer1", "layer2"))}
    assert len(first) == 1 and channels.free[first.pop()] == 8
    assert group["layer3.body1"] == group["layer3.shortcut"] == group["layer3.add"] == group["layer4"]
    assert len({group["layer3.body0"], group["layer4"], group["layer5"], group["layer6"], FIXED}) == 5
    assert sorted(channels.free.values()) == [6, 6, 8, 10]
    assert Channels(NARROW).widened(2.0) == WIDE
    taking = channels.consumers(group["layer0"])
    assert [step.name for step in taking] == ["layer1.body1", "layer3.body0", "layer3.shortcut"]


def test_the_inputs_channels_are_never_widened():
    topology = Topology(
        (4, 4, 3),
        (
            MaxPool((2, 2)),
            Depthwise((1, 1), 4, 3),
            Residual((Conv(3, (1, 1), 4, 3),), 3),
            Dense(4, 4, 3),
            Dense(2, 4, None),
        ),
    )
    wide = Channels(topology).widened(3)
    assert [step.out_shape[2] for step in wide.steps] == [3, 3, 3, 3, 12, 2]


@pytest.mark.parametrize("criterion", CRITERIA)
@pytest.mark.parametrize("seed", range(3))
def test_channels_without_effect_go_and_nothing_else_changes(criterion, seed):
    """A wider student whose extra channels nobody listens to, and which are faint, becomes the narrow one."""
    wide = made(WIDE, seed)
    channels, rng = Channels(NARROW), np.random.default_rng(seed)
    named, steps = weights_of(wide), {step.name: step for step in WIDE.steps}
    with torch.no_grad():
        for group, width in channels.free.items():
            mute = torch.from_numpy(rng.permutation(2 * width)[:width].copy())
            for step in channels.producers(group):
                named[step.name][mute] *= 0.01
            for step in channels.consumers(group):
                weight, (height, across, count) = named[step.name], steps[step.name].in_shape
                if weight.ndim == 4:
                    weight[:, mute] = 0
                else:
                    weight.view(len(weight), height * across, count)[:, :, mute] = 0
    fitted(wide)
    narrow, samples = Student(NARROW), frames(200)
    narrow.load_state_dict(prune_channels(wide, channels, criterion, samples, 1e-3))
    x = torch.from_numpy(samples).float()
    assert wide(x).std() > 0
    assert torch.equal(narrow.eval()(x), wide(x))


@pytest.mark.parametrize("criterion", CRITERIA)
def test_a_pruned_student_is_as_narrow_as_asked_and_exact(setup, criterion):  # noqa: F811
    schedule = PruneChannels(criterion, factor=1.5, samples=64)
    student, history = Recipe(SoftenedSoftmax(), schedule=schedule).train(setup)
    assert student.topology == TOPOLOGY and len(history.epochs) == TRAINING.epochs
    network, x = freeze(student), toy_dataset().test.x
    assert np.array_equal(student_integers(student, network, x)[-1], network.forward(x))


def test_training_starts_from_the_wider_students_weights(setup):  # noqa: F811
    """With no rate to speak of, nothing but batch-norm moves: the kept weights come out as they went in."""
    schedule = PruneChannels(rate=1e-9)
    student, _ = Recipe(SoftenedSoftmax(), schedule=schedule).train(setup)
    topology = Channels(TOPOLOGY).widened(2.0)
    wide, _ = replace(setup, topology=topology).distill("wide", loss=SoftenedSoftmax())
    rows = weights_of(wide)["layer0"].detach().flatten(1)
    for row in weights_of(student)["layer0"].detach().flatten(1):
        assert (rows - row).abs().max(dim=1).values.min() < 1e-6


@pytest.mark.parametrize(
    "make",
    [
        lambda: Prune(sparsity=0.0),
        lambda: Prune(sparsity=1.0),
        lambda: Prune(rounds=0),
        lambda: Prune(samples=0),
        lambda: Prune(rate=0.0),
        lambda: Prune(damping=-1.0),
        lambda: PruneChannels(factor=1.0),
        lambda: PruneChannels(factor=float("nan")),
        lambda: PruneChannels(samples=0),
        lambda: PruneChannels().check(Topology((4,), (Dense(2, 4, None),)), None, HardLabels()),
        lambda: Prune().check(Topology((4,), (Dense(4, 1, 2), Dense(2, 4, None))), None, HardLabels()),
    ],
)
def test_refuses(make):
    with pytest.raises(ConfigError, match=r"prune.*give"):
        make()
