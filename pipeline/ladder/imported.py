"""The rungs of an imported network: how far golden is from it, and whose integers golden has."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hw.imported.difference import Difference
from hw.interface import Affine
from pipeline.artefacts.hardware import Layer
from pipeline.artefacts.imported import Trial, classified, load_trial
from pipeline.config.build import VerifyConfig
from pipeline.config.imported import ImportedStudent
from pipeline.ladder.artefacts import Artefacts
from pipeline.ladder.climbing import Check, Ladder
from pipeline.ladder.execution import run_model, run_onnx
from pipeline.ladder.networks import FINN, with_label
from pipeline.ladder.result import RungResult, compare, constant, varied

INTEGER_SAMPLES = 16
FLOAT32_LOSS = 0.25
"""Of a step: more would be another integer."""


class ImportedArtefacts(Artefacts):
    """The folder of a build with an imported network."""

    @cached_property
    def trial(self) -> Trial:
        """The network, and what it is tried on."""
        student = self.config.student_as(ImportedStudent)
        data_set, recorded = (self.folder / f"{name}.safetensors" for name in ("data", "recorded"))
        return load_trial(
            self.folder / "network.json",
            data_set if self.config.data else None,
            recorded if student.recorded else None,
        )

    @cached_property
    def x(self) -> NDArray[np.uint8]:
        """What every rung runs on, (n, ...): the test split, or what was recorded."""
        return self.trial.core_frames

    @cached_property
    def output(self) -> Affine:
        """What golden's integers stand for."""
        from hw.finn.graph import kept_output, load_hardware

        return kept_output(load_hardware(self.folder / "hardware.onnx"))

    def tapped(self, x: NDArray[np.uint8], layers: Sequence[Layer]) -> list[NDArray[Any]]:  # noqa: D102
        from hw.dataflow.golden import golden_from_graph
        from hw.finn.graph import load_hardware
        from hw.finn.reader import read

        model = golden_from_graph(read(load_hardware(self.folder / "hardware.onnx")), taps=True)
        names = [f"tap_{layer.name}" for layer in layers]
        return run_model(model.SerializeToString(), {"x": x}, names, "golden.onnx")


def network(artefacts: ImportedArtefacts) -> RungResult:
    """The imported network, executed by qonnx, and what was recorded of it, against golden.

    Floats are not integers: a difference is measured, and fails beyond the build's limits only. Mismatches
    are frames with an output more than one of golden's steps apart.
    """
    from hw.finn.execution import execute_imported
    from hw.imported.difference import between

    limits, trial, output = artefacts.config.verify, artefacts.trial, artefacts.output
    x, (logits, _) = trial.frames[: limits.network_samples], artefacts.golden
    executed = execute_imported(
        artefacts.folder / "network.qonnx.onnx", x, values=trial.entry.values, log=artefacts.log
    )
    found = between(executed, logits[: len(x)].astype(np.int64), output)
    metrics: dict[str, Any] = _described(found)
    complaints = _complaints("the network", found, limits)
    if constant(logits):
        complaints.append(f"golden gives the same for all {len(logits)} frames, which proves nothing")
    if trial.recorded:
        frames = trial.recorded_core_frames
        (again,) = run_onnx(artefacts.folder / "golden.onnx", {"x": frames}, ["logits"])
        recorded = trial.recorded_difference(again, output)
        metrics["recorded_samples"] = recorded.frames
        metrics |= {f"recorded_{name}": value for name, value in _described(recorded).items()}
        complaints += _complaints("what was recorded", recorded, limits)
    if (labels := trial.labels) is not None:
        metrics["accuracy"] = float(np.mean(classified(executed) == labels[: len(x)]))
        reached = _accuracy(artefacts, labels)
        if reached < limits.minimum_accuracy:
            complaints.append(
                f"golden's accuracy {reached:.4f} is below verify.minimum_accuracy {limits.minimum_accuracy}"
            )
    apart = round(found.frames * found.apart)
    against = "golden, by class and value"
    return RungResult(not complaints, against, len(x), apart, metrics, "; ".join(complaints) or None)


def _accuracy(artefacts: ImportedArtefacts, labels: NDArray[np.int64]) -> float:
    """Golden's, whose outputs have the network's sign where there is only one."""
    logits, _ = artefacts.golden
    values = artefacts.output.scale * logits + artefacts.output.offset
    return float(np.mean(classified(values) == labels))


def _described(found: Difference) -> dict[str, Any]:
    return {
        "agreement": found.agreement,
        "tied_frames": found.tied_frames,
        "apart": found.apart,
        "largest_logit_error": found.largest_error,
        "logit_scale": found.scale,
    }


def _complaints(what: str, found: Difference, limits: VerifyConfig) -> list[str]:
    complaints = []
    if found.agreement is None:
        complaints.append(f"{what} and golden cannot be compared: golden's classes tie on every frame")
    elif found.agreement < limits.minimum_agreement:
        complaints.append(
            f"{what} and golden agree on {found.agreement:.4f},"
            f" verify.minimum_agreement is {limits.minimum_agreement}"
        )
    if found.apart > limits.maximum_apart:
        complaints.append(
            f"{what} and golden are more than a step of golden's outputs ({found.scale:.3g}) apart on"
            f" {found.apart:.4f}, verify.maximum_apart is {limits.maximum_apart}"
        )
    return complaints


def golden(artefacts: ImportedArtefacts) -> RungResult:
    """`golden.onnx`, made of FINN's graph, against the integers that qonnx gets, on a sample."""
    from hw.finn.execution import execute_integers, integers_of

    logits, _ = artefacts.golden
    rows = varied(logits, INTEGER_SAMPLES)
    given, labels = artefacts.trial.entry.values, artefacts.trial.labels
    made = integers_of(artefacts.folder / "network.qonnx.onnx", values=given, log=artefacts.log)
    wanted = execute_integers(made, artefacts.x[rows], artefacts.log)
    metrics = {} if labels is None else {"accuracy": _accuracy(artefacts, labels)}
    actual = _counted_as(made.meaning, logits[rows], artefacts.output)
    return with_label(compare("the network's integers", wanted, actual, rows, **metrics), artefacts)


def _counted_as(wanted: Affine, integers: NDArray[np.integer[Any]], output: Affine) -> NDArray[np.float64]:
    """Golden's integers as the network of integers counts.

    Where FINN counts products of -1 and 1 as equal bits, a step of golden's is several of the network's. What
    is no integer then, but for what float32 loses of the scales, stays as it is, and differs.
    """
    counts = (integers * output.scale + (output.offset - wanted.offset)) / wanted.scale
    nearest = np.rint(counts)
    return np.where(np.abs(counts - nearest) <= FLOAT32_LOSS, nearest, counts)


IMPORTED = Ladder(
    ImportedArtefacts,
    {
        "network": Check(network, ("qonnx", "onnxruntime")),
        "golden": Check(golden, ("finn-plus", "qonnx", "onnxruntime")),
        **FINN,
    },
)
