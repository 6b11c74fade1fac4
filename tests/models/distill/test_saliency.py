"""Second derivatives of students against autograd and closed forms; the surgeon against brute force."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from common.topology import Conv, Dense, Depthwise, MaxPool, Residual, Topology
from models.distill.schedules.brain_surgeon import damped_inverse, group_costs, prune_layer, removal, without
from models.distill.schedules.saliency import brain_damage, curvature, input_moments, magnitude, patches
from models.students.masks import weighted_layers, weights_of
from models.students.student import Student
from models.training.evaluation import deterministic


@pytest.fixture(autouse=True)
def one_thread():
    """These networks are so small that threads would only wait for each other."""
    with deterministic(1):
        yield


TOPOLOGY = Topology(
    (6, 6, 2),
    (
        Conv(4, (3, 3), 4, 3, stride=(1, 1), padding=(1, 1)),
        Residual((Depthwise((3, 3), 4, 3, padding=(1, 1)), Conv(4, (1, 1), 4, 3)), 3),
        MaxPool((2, 2)),
        Dense(5, 4, 3),
        Dense(3, 4, None),
    ),
)


def made(topology=TOPOLOGY, seed=0):
    """A student with batch-norms that fit its inputs, in evaluation mode."""
    torch.manual_seed(seed)
    return fitted(Student(topology))


def fitted(student):
    """The student, its batch-norms after a look at random frames, in evaluation mode."""
    student.train()
    with torch.no_grad():
        for _ in range(30):
            student(torch.randint(0, 256, (64, student.topology.inputs)).float())
    return student.eval()


def frames(count=7, seed=0, inputs=72):
    return np.random.default_rng(seed).integers(0, 256, (count, inputs)).astype(np.uint8)


def test_patches_times_weights_are_the_accumulators():
    student, x = made(), torch.from_numpy(frames()).float()
    taken, given_ = {}, {}
    for name, layer in weighted_layers(student).items():
        layer.linear.register_forward_hook(
            lambda _, i, o, name=name: (taken.update({name: i[0]}), given_.update({name: o}))[0] and None
        )
    student(x)
    for name, layer in weighted_layers(student).items():
        cut = patches(layer.step, taken[name])
        weight = layer.linear.quant_weight().value
        shaped = weight.reshape(cut.shape[1], -1, cut.shape[3])
        product = torch.einsum("ngpt,got->ngop", cut, shaped).flatten(1)
        torch.testing.assert_close(product, given_[name].flatten(1))


def test_curvature_is_the_gauss_newton_diagonal():
    """Sample by sample and class by class with autograd, but for the weights that set the scale."""
    student, x = made(), frames()
    found = curvature(student, x)
    parameters = weights_of(student)
    expected = {name: torch.zeros_like(weight, dtype=torch.float64) for name, weight in parameters.items()}
    for sample in x:
        logits = student(torch.from_numpy(sample[None]).float())[0]
        log_p = logits.log_softmax(0)
        for c in range(3):
            slopes = torch.autograd.grad(log_p[c], list(parameters.values()), retain_graph=True)
            for name, slope in zip(parameters, slopes, strict=True):
                expected[name] += log_p[c].exp().item() * slope.double() ** 2 / len(x)
    for name, weight in parameters.items():
        plain = weight.abs() < weight.abs().max()
        torch.testing.assert_close(found[name][plain], expected[name][plain], rtol=1e-4, atol=1e-12)
        assert found[name].max() > 0, name
        w = weight.detach().double()
        torch.testing.assert_close(brain_damage(student, x)[name], found[name] * w**2 / 2)


def test_saliency_of_a_single_layer_in_closed_form():
    """Softmax regression: h_ki = E p_k (1 - p_k) x_i^2, and the change of the loss that it foretells."""
    topology = Topology((6,), (Dense(3, 8, None),))
    torch.manual_seed(1)
    student = Student(topology).eval()
    with torch.no_grad():
        student.layers[0].linear.weight.mul_(0.02)
    x = frames(50, inputs=6)
    p = student(torch.from_numpy(x).float()).detach().double().softmax(1).numpy()
    expected = np.einsum("nk,ni->ki", p * (1 - p), x.astype(float) ** 2) / len(x)
    np.testing.assert_allclose(curvature(student, x)["layer0"].numpy(), expected, rtol=1e-5)
    moments = input_moments(student, x)["layer0"].numpy()
    np.testing.assert_allclose(moments, (x.T.astype(float) @ x / len(x))[None], rtol=1e-6)


def test_magnitude_is_in_units_of_the_layers_deviation():
    student = made()
    before = magnitude(student)
    with torch.no_grad():
        student.layers[0].linear.weight.mul_(8)
    after = magnitude(student)
    for name, weight in weights_of(student).items():
        torch.testing.assert_close(before[name], after[name])
        w = weight.detach().numpy().astype(float)
        np.testing.assert_allclose(after[name].numpy(), np.abs(w) / w.std(), rtol=1e-9)


def problem(seed, rows=3, taps=6):
    rng = np.random.default_rng(seed)
    mixed = rng.normal(size=(20, taps)) @ rng.normal(size=(taps, taps))
    return torch.tensor(rng.normal(size=(rows, taps))), torch.tensor(mixed.T @ mixed / 20)


def best(row, moment, keep):
    """The constrained least squares solution, and its cost, by numpy."""
    w, h = row.numpy(), moment.numpy()
    solution = np.zeros_like(w)
    if keep.any():
        solution[keep] = np.linalg.solve(h[np.ix_(keep, keep)], h[keep] @ w)
    return solution, (solution - w) @ h @ (solution - w) / 2


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_surgeon_removes_the_cheapest_and_adjusts_the_rest(seed):
    rows, moment = problem(seed)
    order, costs = removal(rows[0], torch.linalg.inv(moment))
    keep = np.ones(6, bool)
    for step, q in enumerate(order.tolist()):
        _, already = best(rows[0], moment, keep)
        trials = []
        for other in np.flatnonzero(keep):
            trial = keep.copy()
            trial[other] = False
            trials.append(best(rows[0], moment, trial)[1])
        keep[q] = False
        solution, cost = best(rows[0], moment, keep)
        assert cost == pytest.approx(min(trials), rel=1e-6, abs=1e-9)
        assert costs[step].item() == pytest.approx(cost - already, rel=1e-5, abs=1e-8)
        changed = without(rows[:1], torch.tensor(keep)[None], torch.linalg.inv(moment))[0]
        np.testing.assert_allclose(changed.numpy(), solution, rtol=1e-6, atol=1e-8)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 17))
def test_surgeon_over_the_rows_of_a_layer(seed, count):
    rows, moment = problem(seed)
    changed, keep = prune_layer(rows[None], moment[None], count, 1e-12)
    assert int((~keep).sum()) == count and not changed[~keep].any()
    for row, kept, new in zip(rows, keep[0].numpy(), changed[0], strict=True):
        np.testing.assert_allclose(new.numpy(), best(row, moment, kept)[0], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_cost_of_a_group_of_taps(seed):
    rows, moment = problem(seed)
    members = torch.tensor([[0, 3], [1, 4], [2, 5]])
    for group, cost in zip(members, group_costs(rows, torch.linalg.inv(moment), members), strict=True):
        keep = np.ones(6, bool)
        keep[group.numpy()] = False
        assert cost.item() == pytest.approx(sum(best(row, moment, keep)[1] for row in rows), rel=1e-8)


def test_damping_makes_inputs_that_are_always_zero_harmless():
    moment = torch.zeros(4, 4, dtype=torch.float64)
    assert torch.isfinite(damped_inverse(moment, 1e-3)).all()
    moment[0, 0] = 5.0
    changed, keep = prune_layer(torch.ones(1, 2, 4, dtype=torch.float64), moment[None], 6, 1e-3)
    assert keep[0, :, 0].all() and torch.equal(changed[0, :, 0], torch.ones(2, dtype=torch.float64))
