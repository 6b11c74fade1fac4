"""The losses against numpy and finite differences, and where the teacher bounds them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import ConfigError
from models.distill.features import Shapes
from models.distill.losses.detection import DetectionLoss, teacher_bounded, weighted_cross_entropy
from models.distill.method import Signals
from models.tasks.detection import Detection

BATCH, CELLS, CLASSES = 3, 9, 4
LABELS = Detection().labels_only()


def signals(student, teacher, classes, boxes):
    """All that a loss may look at, of arrays or tensors, one teacher or none."""
    given = [torch.as_tensor(each) for each in (student, classes[..., None], boxes)]
    teachers = torch.empty(0) if teacher is None else torch.as_tensor(teacher).flatten(1)[None]
    return Signals(given[0].flatten(1), teachers, torch.cat(given[1:], dim=-1))


def drawn(seed):
    """Outputs of student and teacher, classes (some cells with an object), boxes, float64."""
    rng = np.random.default_rng(seed)
    student, teacher = rng.normal(0, 2, (2, BATCH, CELLS, CLASSES + 5))
    classes = rng.integers(1, CLASSES + 1, (BATCH, CELLS)) * (rng.random((BATCH, CELLS)) < 0.4)
    return student, teacher, classes, rng.normal(0, 1, (BATCH, CELLS, 4))


def softmax(z):
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def smooth_l1(d):
    d = np.abs(d)
    return np.where(d < 1, d * d / 2, d - 0.5)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 1000),
    st.floats(0, 0.9),
    st.floats(0.5, 3),
    st.floats(0.5, 8),
    st.floats(0.1, 2),
    st.floats(0.1, 2),
    st.floats(0, 5),
)
def test_terms_against_numpy(seed, share, background, temperature, box, bounded, margin):
    student, teacher, classes, boxes = drawn(seed)
    loss = DetectionLoss(share, background, temperature, box, bounded, margin, hint_weight=0.0)
    found = loss.terms(signals(student, teacher, classes, boxes))
    count = max(1, (classes > 0).sum())
    hard = soft = regression = bound = 0.0
    for row, cell in np.ndindex(BATCH, CELLS):
        own, other, label = student[row, cell], teacher[row, cell], classes[row, cell]
        hard -= np.log(softmax(own[:-4]))[label]
        weights = np.array([background] + [1.0] * CLASSES)
        wanted, given = softmax(other[:-4] / temperature), np.log(softmax(own[:-4] / temperature))
        soft -= (weights * wanted * given).sum()
        if label:
            own_error, other_error = (((each[-4:] - boxes[row, cell]) ** 2).sum() for each in (own, other))
            regression += smooth_l1(own[-4:] - boxes[row, cell]).sum()
            bound += own_error if own_error + margin > other_error else 0.0
    expected = {
        "labels": share * hard / count,
        "teacher": (1 - share) * soft / count,
        "boxes": box * regression / count,
        "bounded": box * bounded * bound / count,
    }
    assert set(found) == set(expected)
    for name, value in expected.items():
        assert found[name].item() == pytest.approx(value, rel=1e-9), name


@pytest.mark.parametrize("seed", range(3))
def test_gradients_by_finite_differences(seed):
    student, teacher, classes, boxes = (torch.tensor(each) for each in drawn(seed))
    loss = DetectionLoss(0.3, temperature=2.0, margin=0.1, hint_weight=0.0)

    def total(outputs):
        return torch.stack(list(loss.terms(signals(outputs, teacher, classes, boxes)).values())).sum()

    # Smooth but where the teacher's bound, or the teacher's class, switches: nowhere near these numbers.
    assert torch.autograd.gradcheck(total, student.clone().requires_grad_())


def test_the_bound_lets_go_of_what_is_better_than_the_teacher():
    wanted = torch.zeros(3, 4, dtype=torch.float64)
    teacher = torch.tensor([[1.0, 0, 0, 0]] * 3, dtype=torch.float64)
    # Squared errors 0.81, 1 and 1.21; the teacher's is 1.
    student = torch.tensor([[0.9, 0, 0, 0], [1.0, 0, 0, 0], [1.1, 0, 0, 0]], dtype=torch.float64)
    student.requires_grad_()
    for margin, expected in ((0.0, 1.21), (0.1, 2.21), (0.2, 3.02)):
        value = teacher_bounded(student, teacher, wanted, margin)
        assert value.item() == pytest.approx(expected)
        (gradient,) = torch.autograd.grad(value, student)
        held = (student.detach() ** 2).sum(dim=1) + margin > 1
        torch.testing.assert_close(gradient, 2 * student.detach() * held[:, None])


def test_background_weighs_more():
    teacher = torch.tensor([[20.0, 0, 0], [0.0, 20, 0]])
    student = torch.zeros(2, 3, requires_grad=True)
    value = weighted_cross_entropy(student, teacher.softmax(dim=-1), 1.5, 1.0)
    assert value.item() == pytest.approx(2.5 * np.log(3), rel=1e-6)
    (gradient,) = torch.autograd.grad(value, student)
    assert gradient[0, 0].item() == pytest.approx(1.5 * gradient[1, 1].item(), rel=1e-5)


def test_terms_are_switched_by_their_weights():
    student, teacher, classes, boxes = (torch.tensor(each) for each in drawn(0))
    assert set(LABELS.terms(signals(student, None, classes, boxes))) == {"labels", "boxes"}
    assert LABELS.needs == {"labels"}
    off = {"hard_label_weight": 1.0, "bounded_weight": 0.0, "hint_weight": 0.0}
    for key, name in (("hard_label_weight", "teacher"), ("bounded_weight", "bounded")):
        loss = DetectionLoss(**(off | {key: 0.5}))
        assert set(loss.terms(signals(student, teacher, classes, boxes))) == {"labels", "boxes", name}
        assert loss.needs == {"labels", "teacher"}
    assert DetectionLoss(**(off | {"hint_weight": 0.5})).needs == {"labels", "features"}


def test_two_teachers_are_their_mean():
    student, teacher, classes, boxes = (torch.tensor(each) for each in drawn(0))
    one = signals(student, teacher, classes, boxes)
    loss = DetectionLoss(hint_weight=0.0)
    twice = loss.terms(replace(one, teacher=one.teacher.repeat(2, 1, 1)))
    for name, term in loss.terms(one).items():
        torch.testing.assert_close(twice[name], term)


def test_the_hint_is_the_mean_square_difference_of_the_last_features():
    shapes = Shapes({"layer0": (2, 4, 4), "layer1": (3, 4, 4)}, {"layers.3": (5, 4, 4)}, 1)
    loss = DetectionLoss(hint_weight=0.5)
    adapters = loss.adapters(shapes)
    assert adapters.pairs == (("layer1", "layers.3"),) and LABELS.adapters(shapes) is None
    own, other = torch.rand(BATCH, 3, 4, 4), torch.rand(BATCH, 5, 4, 4)
    both = replace(
        signals(*(torch.tensor(each) for each in drawn(0))),
        student_features={"layer1": own},
        teacher_features={"layers.3": other},
    )
    expected = 0.5 * (adapters[0].channels(own) - other).square().mean()
    torch.testing.assert_close(loss.terms(both, adapters)["hint"], expected)
    with pytest.raises(ConfigError, match="the student has no hidden layer 'layer9'"):
        DetectionLoss(pairs=(("layer9", "layers.3"),)).adapters(shapes)


def test_scenes_without_objects_have_no_boxes_to_learn():
    student, teacher, classes, boxes = (torch.tensor(each) for each in drawn(0))
    found = DetectionLoss(hint_weight=0.0).terms(signals(student, teacher, torch.zeros_like(classes), boxes))
    assert found["boxes"] == 0 and found["bounded"] == 0 and found["labels"] > 0


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"temperature": 0.0}, "temperature is 0.0; give"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"background_weight": -1.0}, "background_weight is -1.0; give"),
        ({"hard_label_weight": 1.5}, "hard_label_weight is 1.5; give"),
        ({"margin": -0.1}, "margin is -0.1; give at least 0"),
        ({"bounded_weight": float("inf")}, "bounded_weight is inf"),
    ],
)
def test_refuses(bad, message):
    with pytest.raises(ConfigError, match=message):
        DetectionLoss(**({"hint_weight": 0.0} | bad))
