"""What a step shows a method, drawn at random in float64, and gradients by finite differences."""

from dataclasses import replace

import numpy as np
import torch

from models.distill import Signals
from models.distill.features import Shapes

BATCH, CLASSES, FEATURES = 6, 4, 12
STUDENT = {"layer0": (3, 4, 4), "layer1": (5, 2, 2), "layer2": (7, 1, 1)}
TEACHER = {"layers.2": (4, 4, 4), "layers.3": (4, 4, 4), "layers.5": (6, 2, 2), "layers.9": (8, 1, 1)}
SHAPES = Shapes(STUDENT, TEACHER, CLASSES, samples=50)


def drawn(seed=0, members=1, batch=BATCH, scale=1.0):
    """Signals of a step; both networks are fixed random linear maps of the samples."""
    rng = np.random.default_rng(seed)

    def normal(*shape):
        return torch.tensor(rng.normal(0, scale, shape))

    x = torch.tensor(rng.integers(0, 256, (batch, FEATURES)).astype(float))
    own, other = normal(FEATURES, CLASSES) / 256, normal(members, FEATURES, CLASSES) / 256
    return Signals(
        student=normal(batch, CLASSES),
        teacher=normal(members, batch, CLASSES),
        labels=torch.tensor(rng.integers(0, CLASSES, batch)),
        x=x,
        rows=torch.tensor(rng.permutation(SHAPES.samples)[:batch]),
        progress=0.5,
        student_features={name: normal(batch, *shape) for name, shape in STUDENT.items()},
        teacher_features={name: normal(batch, *shape) for name, shape in TEACHER.items()},
        ask_student=lambda samples: samples @ own,
        ask_teacher=lambda samples: samples @ other,
        weights={"layer0": normal(3, 1, 3, 3), "layer1": normal(5, 12)},
    )


def adapters(loss, seed=0):
    """The method's adapters for these shapes, in float64; None where it has none."""
    torch.manual_seed(seed)
    made = loss.adapters(SHAPES)
    return None if made is None else made.double()


def check_gradients(loss, signals, made=None, step=1e-6, rel=1e-4, tolerance=1e-7, most=40):
    """Compare autograd with central differences: at the logits, and at every student feature that counts."""
    for name in (None, *signals.student_features):
        value = signals.student if name is None else signals.student_features[name]
        variable = value.clone().requires_grad_()
        total = loss(_with(signals, name, variable), made)
        (found,) = torch.autograd.grad(total, variable, allow_unused=True) if total.requires_grad else (None,)
        found = torch.zeros_like(value) if found is None else found
        for index in list(np.ndindex(*value.shape))[:most]:
            with torch.no_grad():
                sides = []
                for sign in (1, -1):
                    moved = value.clone()
                    moved[index] += sign * step
                    sides.append(loss(_with(signals, name, moved), made).item())
            slope = (sides[0] - sides[1]) / (2 * step)
            np.testing.assert_allclose(found[index].item(), slope, rtol=rel, atol=tolerance)


def _with(signals, name, value):
    if name is None:
        return replace(signals, student=value)
    return replace(signals, student_features={**signals.student_features, name: value})
