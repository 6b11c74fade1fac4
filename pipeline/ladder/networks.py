"""The rungs from the teacher to FINN's graph: networks in floating point, then in integers."""

import numpy as np

from models.metrics import accuracy, agreement, divergence, softened
from pipeline.ladder.artefacts import Artefacts, Finding, compare, varied

FINN_SAMPLES = 16


def teacher(artefacts: Artefacts) -> Finding:
    """The ensemble against the labels: it must beat always saying the commonest class."""
    labels = artefacts.dataset.test.y
    score = accuracy(artefacts.teacher, labels)
    commonest = float(np.bincount(labels).max() / len(labels))
    wrong = int((artefacts.teacher.argmax(axis=1) != labels).sum())
    metrics = {"accuracy": score, "commonest_class": commonest}
    passed = score > commonest
    first = None if passed else f"accuracy {score:.4f} is not above the commonest class's {commonest:.4f}"
    return Finding(passed, "labels", len(labels), wrong, metrics, first)


def student(artefacts: Artefacts) -> Finding:
    """The torch student against the teacher, within the build's limits on accuracy.

    Whatever these are, it must beat always saying the commonest class.
    """
    labels, limits = artefacts.dataset.test.y, artefacts.config.verify
    logits, reference = artefacts.torch_logits, artefacts.teacher
    score, ceiling = accuracy(logits, labels), accuracy(reference, labels)
    metrics = {
        "accuracy": score,
        "drop": ceiling - score,
        "agreement": agreement(logits, reference),
        "kl_divergence": divergence(reference, softened(logits)),
    }
    complaints = []
    commonest = float(np.bincount(labels).max() / len(labels))
    if score <= commonest:
        complaints.append(f"accuracy {score:.4f} is not above the commonest class's {commonest:.4f}")
    if score < limits.minimum_accuracy:
        complaints.append(f"accuracy {score:.4f} is below verify.minimum_accuracy {limits.minimum_accuracy}")
    if ceiling - score > limits.maximum_drop:
        complaints.append(
            f"{ceiling - score:.4f} below the teacher, verify.maximum_drop is {limits.maximum_drop}"
        )
    differ = int((logits.argmax(axis=1) != reference.argmax(axis=1)).sum())
    return Finding(not complaints, "teacher", len(labels), differ, metrics, "; ".join(complaints) or None)


def onnxruntime(artefacts: Artefacts) -> Finding:
    """`student.onnx` in onnxruntime against the torch student, bit for bit, and the teacher."""
    logits = artefacts.student_logits
    return compare(
        "torch student",
        artefacts.torch_logits,
        logits,
        accuracy=accuracy(logits, artefacts.dataset.test.y),
        agreement_with_teacher=agreement(logits, artefacts.teacher),
    )


def golden(artefacts: Artefacts) -> Finding:
    """`golden.onnx`'s integers, times their scale, against `student.onnx`, bit for bit."""
    logits, label = artefacts.golden
    scale = artefacts.network.logit_scale
    found = compare(
        "student.onnx",
        artefacts.student_logits.astype(np.float64),
        logits * scale,
        accuracy=float(np.mean(label == artefacts.dataset.test.y)),
        logit_scale=scale,
    )
    return with_label(found, artefacts)


def with_label(found: Finding, artefacts: Artefacts) -> Finding:
    """A finding on golden's logits that fails also where its label is not the largest of them."""
    logits, label = artefacts.golden
    if found.passed and not np.array_equal(label, logits.argmax(axis=1)):
        return Finding(
            False, found.against, found.samples, found.samples, found.metrics, "label is not the arg-max"
        )
    return found


def finn(artefacts: Artefacts) -> Finding:
    """FINN's hardware graph, executed by FINN, against golden on a sample."""
    from hw.finn.lowering import execute, load_hardware

    expected = artefacts.expected()
    rows = varied(expected, FINN_SAMPLES)
    hardware = load_hardware(artefacts.folder / "hardware.onnx")
    outputs = execute(hardware, artefacts.x[rows], artefacts.log)
    return compare("golden", expected[rows], outputs, rows)
