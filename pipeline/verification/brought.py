"""The rungs of a network made elsewhere: how far its integer reference is from it, and whose it is."""

from typing import Any

import numpy as np

from hw.dataflow import Integers
from hw.lowering import Difference
from models.metrics import accuracy
from pipeline.config import brought
from pipeline.verification.artefacts import Artefacts, Finding, compare, run_onnx
from pipeline.verification.networks import with_label

STREAMLINED_SAMPLES = 16


def network(artefacts: Artefacts) -> Finding:
    """The network as it came, executed by qonnx, and what was recorded of it, against golden.

    Floats are not integers: a difference is measured, and fails beyond the build's limits only.
    """
    from hw.lowering.difference import between, execute_given

    limits, trial = brought(artefacts.config).verify, artefacts.trial
    x, (logits, label) = artefacts.x[: limits.network_samples], artefacts.golden
    executed = execute_given(
        artefacts.folder / "network.qonnx.onnx", x, given=trial.entry.given, log=artefacts.log
    )
    found = between(executed, logits[: len(x)].astype(np.int64))
    metrics: dict[str, Any] = _told(found)
    complaints = _disagreement("the network", found, limits.minimum_agreement)
    if trial.recorded:
        frames = trial.recorded_frames(artefacts.interface.input.shape)
        (again,) = run_onnx(artefacts.folder / "golden.onnx", {"x": frames}, ["logits"])
        recorded = trial.recorded_difference(again)
        metrics["recorded_samples"] = recorded.frames
        metrics |= {f"recorded_{name}": value for name, value in _told(recorded).items()}
        complaints += _disagreement("what was recorded", recorded, limits.minimum_agreement)
    if trial.labels is not None:
        metrics["accuracy"] = accuracy(executed, trial.labels[: len(x)])
        reached = float(np.mean(label == trial.labels))
        if reached < limits.minimum_accuracy:
            complaints.append(
                f"golden's accuracy {reached:.4f} is below verify.minimum_accuracy {limits.minimum_accuracy}"
            )
    others = round(found.frames * (1 - found.agreement))
    return Finding(not complaints, "golden, by class", len(x), others, metrics, "; ".join(complaints) or None)


def _told(found: Difference) -> dict[str, Any]:
    told: dict[str, Any] = {"agreement": found.agreement}
    if found.largest_error is not None:
        told |= {"largest_logit_error": found.largest_error, "logit_scale": found.scale}
    return told


def _disagreement(what: str, found: Difference, least: float) -> list[str]:
    if found.agreement >= least:
        return []
    return [f"{what} and golden agree on {found.agreement:.4f}, verify.minimum_agreement is {least}"]


def golden(artefacts: Artefacts) -> Finding:
    """`golden.onnx` against FINN's streamlined form of the network, executed: every integer, on a sample."""
    from hw.lowering import streamlined
    from hw.lowering.reference import execute_streamlined

    x, (logits, label) = artefacts.x[:STREAMLINED_SAMPLES], artefacts.golden
    given, labels = artefacts.trial.entry.given, artefacts.trial.labels
    model = streamlined(artefacts.folder / "network.qonnx.onnx", given=given, log=artefacts.log)
    wanted = execute_streamlined(model, x, artefacts.log)
    metrics = {} if labels is None else {"accuracy": float(np.mean(label == labels))}
    actual = _in_steps_of(wanted, logits[: len(x)].astype(np.int64))
    return with_label(compare("FINN's streamlined network", wanted, actual, **metrics), artefacts)


def _in_steps_of(wanted: Integers, actual: Integers) -> Integers:
    """Golden's integers, as the streamlined network counts them.

    Where FINN counts products of -1 and 1 as equal bits, a step of golden's is several of the network's: one
    factor and one offset for all classes and frames, which the extremes give and all values must obey.
    """
    (low, high), (first, last) = ((int(values.min()), int(values.max())) for values in (actual, wanted))
    step, rest = divmod(last - first, high - low) if high > low else (1, 0)
    if rest or step < 1:
        return actual
    return first + step * (actual - low)
