"""Every file of a build's folder, in the order of the stages that write them."""

from dataclasses import dataclass
from typing import Any

from common.jsonfile import JsonFile
from hw.finn.rtl import FINN_RTL
from hw.interface import IO
from pipeline.artefacts.hardware import ESTIMATES, LAYERS, PERFORMANCE, UTILIZATION
from pipeline.artefacts.metrics import METRICS
from pipeline.artefacts.study import STUDY
from pipeline.artefacts.training import BASELINE_TRAINING, TEACHER_TRAINING, TRAINING
from pipeline.artefacts.verification import VERIFICATION
from pipeline.engine.lock import LOCK_FILE, VOLATILE_FILE


@dataclass(frozen=True)
class OtherFile:
    """A file whose content has no type here: its name, the stages that write it, and what it holds."""

    name: str
    stages: tuple[str, ...]
    about: str


FILES: tuple[JsonFile[Any] | OtherFile, ...] = (
    OtherFile("network.qonnx.onnx", ("network",), "the imported network, in one file"),
    OtherFile("network.json", ("network",), "what the imported network takes and gives"),
    OtherFile("recorded.safetensors", ("network",), "what the imported network took and gave elsewhere"),
    OtherFile("data.safetensors", ("data",), "the data set, split"),
    OtherFile("teacher.safetensors", ("teacher",), "weights of the teacher's networks"),
    OtherFile("transfer.safetensors", ("teacher",), "training samples and the teacher's outputs on them"),
    OtherFile("teacher_logits.safetensors", ("teacher",), "the teacher's outputs on the test split"),
    TEACHER_TRAINING,
    OtherFile("sized.json", ("size",), "the chosen student, its folds, and its cost against the budget"),
    OtherFile("baseline.safetensors", ("baseline",), "weights of the student trained on labels alone"),
    BASELINE_TRAINING,
    OtherFile("student.safetensors", ("distill",), "weights of the student"),
    TRAINING,
    OtherFile("tree.json", ("distill",), "the decision tree: nodes in arrays, the root first"),
    OtherFile("tree.txt", ("distill",), "the tree to read, a line a branch"),
    OtherFile("baseline.json", ("distill",), "the tree that was fitted to the labels alone"),
    OtherFile("frozen.safetensors", ("export",), "the student in integers"),
    OtherFile("student.qonnx.onnx", ("export",), "the student in QONNX, for FINN"),
    OtherFile("student.onnx", ("export",), "the student in float32"),
    OtherFile("golden.onnx", ("export", "compile"), "the student in integers: the reference for hardware"),
    METRICS,
    OtherFile("hardware.onnx", ("compile",), "FINN's hardware graph, folded"),
    OtherFile("core.v", ("compile",), "the core in Verilog"),
    IO,
    LAYERS,
    OtherFile("weights.bin", ("compile",), "weights to load, for chips with single-port RAM"),
    OtherFile("netlist.json", ("bitstream",), "Yosys's netlist of the whole design"),
    OtherFile("constraints.*", ("bitstream",), "the pins, as the chip's tools take them"),
    OtherFile("pins.json", ("bitstream",), "what a user wires, and how frames travel over the wires"),
    OtherFile("bitstream.*", ("bitstream",), "what is loaded into the chip"),
    UTILIZATION,
    OtherFile("floorplan.svg", ("bitstream",), "the placed design"),
    OtherFile("finn_rtl.zip", ("finn-rtl",), "FINN's Verilog"),
    FINN_RTL,
    OtherFile("implemented.onnx", ("finn-rtl",), "FINN's graph in the variants of the chip"),
    ESTIMATES,
    VERIFICATION,
    PERFORMANCE,
    OtherFile("report.html", ("report",), "all of this on one page"),
    OtherFile("vivado/*", ("vivado",), "FINN's and Vivado's reports and products"),
    OtherFile("deploy/*", ("vivado",), "the package for a PYNQ board"),
    STUDY,
    LOCK_FILE,
    VOLATILE_FILE,
)
