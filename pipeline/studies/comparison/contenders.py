"""Who competes: methods by their names, joined by `+`, as whole ways to train a student."""

from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any

from common.errors import ConfigError
from common.topology import AveragePool, Conv, Dense, Depthwise, Residual, Topology
from models.distill.losses import METHODS, HardLabels, SoftenedSoftmax
from models.distill.method import Distillation, WeightedSum
from models.distill.recipe import Recipe
from models.distill.schedules import SCHEDULES, OneStep, Schedule
from models.distill.sources import SOURCES, Source, TrainingData
from models.tasks import CLASSIFICATION
from pipeline.config.distill import DistillConfig

BASELINE = HardLabels.method
"""No distillation: what all others are compared with."""
OWN = "build"
"""The build file's own `[distill]`."""


@dataclass(frozen=True)
class Contender:
    """A way to train a student, and its name."""

    name: str
    recipe: Recipe


def every_method() -> tuple[str, ...]:
    """The baseline, then every loss, source and schedule by itself, but for the plain ones."""
    names = [*(name for name, each in METHODS.items() if CLASSIFICATION.accepts(each)), *SOURCES, *SCHEDULES]
    plain = (BASELINE, TrainingData.source, OneStep.kind)
    return (BASELINE, *(name for name in names if name not in plain))


def contender(name: str, own: DistillConfig) -> Contender:
    """Make the way that `name` says, at the methods' defaults.

    Parts are joined by `+`: losses are summed, a source and a schedule may stand beside them. Without a loss
    it is softened softmax; losses that never look at the logits are joined by the labels' cross-entropy.
    Where the source has no labels, hard labels weigh nothing.

    Raises:
        ConfigError: no such method, two sources or schedules, or parts that do not go together.
    """
    if name == OWN:
        return Contender(OWN, own.recipe())
    losses: list[Distillation] = []
    sources: list[Source] = []
    schedules: list[Schedule] = []
    for part in name.split("+"):
        if part in METHODS:
            losses.append(METHODS[part]())
        elif part in SOURCES:
            sources.append(SOURCES[part]())
        elif part in SCHEDULES:
            schedules.append(SCHEDULES[part]())
        else:
            raise ConfigError(f"--methods: {_unknown(part)}")
    if len(sources) > 1 or len(schedules) > 1:
        raise ConfigError(f"--methods: '{name}' has more than one source or schedule; give one of each")
    source = sources[0] if sources else TrainingData()
    if not losses:
        losses = [SoftenedSoftmax() if source.labelled else SoftenedSoftmax(hard_label_weight=0.0)]
    elif not any(loss.whole for loss in losses):
        losses = [HardLabels(), *losses]
    parts = tuple((1.0, loss) for loss in losses)
    return Contender(name, Recipe(WeightedSum(parts), source, schedules[0] if schedules else OneStep()))


def at_bits(topology: Topology, bits: int) -> Topology:
    """The same network with weights and activations of so many bits in every layer that has some."""
    return replace(topology, layers=tuple(_at_bits(layer, bits) for layer in topology.layers))


def _at_bits(layer: Any, bits: int) -> Any:
    match layer:
        case Conv() | Depthwise():
            return replace(layer, weight_bits=bits, activation_bits=bits)
        case Dense():
            own = None if layer.activation_bits is None else bits
            return replace(layer, weight_bits=bits, activation_bits=own)
        case AveragePool():
            return replace(layer, activation_bits=None if layer.activation_bits is None else bits)
        case Residual():
            body = tuple(_at_bits(each, bits) for each in layer.body)
            shortcut = None if layer.shortcut is None else _at_bits(layer.shortcut, bits)
            return replace(layer, body=body, activation_bits=bits, shortcut=shortcut)
    return layer


def _unknown(part: str) -> str:
    known = [OWN, *METHODS, *SOURCES, *SCHEDULES]
    near = get_close_matches(part, known, n=1)
    hint = f"did you mean '{near[0]}'?" if near else "`retort methods` lists all"
    return f"no method '{part}'; {hint}"
