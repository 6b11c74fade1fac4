"""What sizing came to: the chosen student, as `sized.json` has it, and a sizing without any training."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import CapacityError, ConfigError, StoreError
from common.terminal import Step
from common.topology import Topology
from hw.boards.boards import find
from hw.dataflow.fold import Fold
from hw.mapping.cost import Cost, LayerCost, folded_steps
from models import data
from pipeline.config.build import Build, needed
from pipeline.config.data import data_source
from pipeline.config.quantized import QuantizedStudent
from pipeline.sizing.assessment import Assessment, assess, at_target, require_feasible, require_fit
from pipeline.sizing.search import ENUMERATED, Chosen, Scored, SearchSpace

SAMPLED = 200
"""Candidates that are looked at where there are too many for all."""


@dataclass(frozen=True)
class Sized:
    """The chosen student.

    Attributes:
        chosen: a value for each number that the build file leaves open.
        folds: for every layer that has one, in the order of the topology's steps.
        details: what led to it, for reports: layers, limits, steps, candidates.
    """

    chosen: Mapping[str, int]
    folds: tuple[Fold, ...]
    details: Mapping[str, Any]

    def topology(self, config: Build, input_shape: tuple[int, ...]) -> Topology:
        """The chosen network over frames of `input_shape`."""
        return config.student.topology(input_shape, self.chosen)

    def save(self, path: Path) -> None:
        """Write `sized.json`."""
        folds = [{"pe": fold.pe, "simd": fold.simd} for fold in self.folds]
        content = {"chosen": dict(self.chosen), "folds": folds, **self.details}
        path.write_text(json.dumps(content, indent=2) + "\n")


def load_sized(path: Path) -> Sized:
    """Read what `save` wrote; raises `StoreError` where it is no such file."""
    try:
        content = json.loads(path.read_text())
        folds = tuple(Fold(int(fold["pe"]), int(fold["simd"])) for fold in content.pop("folds"))
        chosen = {str(key): int(value) for key, value in content.pop("chosen").items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(f"{path}: holds no sizing ({error!r:.100}); size again") from error
    return Sized(chosen, folds, content)


def sized(
    space: SearchSpace, chosen: Chosen, found: Assessment, scored: Sequence[Scored] = (), how: str = ""
) -> Sized:
    """The chosen student with what led to it: `scored` candidates, and `how` they were found."""
    details = described(found, space.config)
    details["steps"] = list(_steps(space, chosen, found))
    details["search"] = {
        "kind": how or "none",
        "combinations": space.count,
        "rejected": dict(space.rejected),
        "scored": [
            {"chosen": dict(each.chosen), "accuracy": each.accuracy, **_rounded(each.assessment.total)}
            for each in sorted(scored, key=lambda each: -each.accuracy)
        ],
    }
    return Sized(dict(chosen), found.folds, details)


def described(found: Assessment, config: Build) -> dict[str, Any]:
    """An assessment as JSON: layers, totals, limits."""
    board = find(config.board.name)
    return {
        "board": board.name,
        "target_cycles": found.target,
        "interval_cycles": found.estimate.interval,
        **asdict(found.pace),
        "pace": str(found.pace),
        "products": found.topology.products,
        "layers": [_layer(layer, found) for layer in found.estimate.layers],
        "shell": {
            "kind": board.finn_board.shell if board.finn_board else config.board.shell,
            **_rounded(found.shell),
        },
        "total": _rounded(found.total),
        "limits": [asdict(limit) | {"fits": limit.fits} for limit in found.limits],
        "binding": found.binding.name,
        "fits": found.fits,
    }


def _layer(layer: LayerCost, found: Assessment) -> dict[str, Any]:
    steps = found.topology.steps
    number = next((number for number, step in enumerate(steps) if step.name == layer.name), None)
    about: dict[str, Any] = {}
    if number is not None:
        step = steps[number]
        about = {"in_shape": list(step.in_shape), "out_shape": list(step.out_shape), "in_bits": step.in_bits}
        about |= {key: getattr(step.layer, key, None) for key in ("weight_bits", "activation_bits")}
        about |= {"pe": layer.pe, "simd": layer.simd} if number in folded_steps(steps) else {}
    return {
        "name": layer.name,
        "kind": layer.kind,
        **about,
        "cycles": layer.cycles,
        "stream_in_bits": layer.i_bits,
        "stream_out_bits": layer.o_bits,
        **_rounded(layer.cost),
    }


def _rounded(cost: Cost) -> dict[str, int]:
    return {name: round(value) for name, value in asdict(cost).items()}


def _steps(space: SearchSpace, chosen: Chosen, found: Assessment) -> Iterator[dict[str, Any]]:
    """What the next greater choice of each open number would take, and twice the rate."""
    for key, values in space.choices.items():
        after = [value for value in values if value > chosen[key]]
        if after:
            step = {"key": f"student.{key}", "from": chosen[key], "to": after[0]}
            yield step | _difference(space, {**chosen, key: after[0]}, space.config, found)
    if found.target is not None and found.target > 1:
        half = found.target // 2
        step = {"key": "target_cycles", "from": found.target, "to": half}
        yield step | _difference(space, chosen, at_target(space.config, half), found)


def _difference(space: SearchSpace, chosen: Chosen, config: Build, before: Assessment) -> dict[str, Any]:
    try:
        after = assess(config.student.topology(space.input_shape, chosen), config)
    except (CapacityError, ConfigError) as error:
        return {"fits": False, "why": str(error)}
    now, then = _rounded(after.total), _rounded(before.total)
    binding = {"binding": after.binding.name, "binding_title": after.binding.title}
    return {"fits": after.fits, **binding, **{key: now[key] - then[key] for key in now}}


def size_of(config: Build, step: Step) -> tuple[Sized, Assessment]:
    """What a build's student takes of its board, before anything is trained.

    Of a student with open numbers it is the fitting one of the most multiplications a frame.

    Raises `ConfigError`: a student of another kind than "quantized". Raises `CapacityError`: no student fits.
    """
    if not isinstance(config.student, QuantizedStudent):
        raise ConfigError(
            f"{config.name}: student.kind: sizing chooses folds and open numbers of 'quantized' students;"
            f" of kind '{config.student.kind}' `retort build` tells what the core takes"
        )
    dataset = data.load_source(data_source(needed(config.data, "data")), config.seed)
    space = SearchSpace(config, dataset.input_shape)
    chosen, found = _most_products(space, config, step)
    return sized(space, chosen, found), found


def _most_products(space: SearchSpace, config: Build, step: Step) -> tuple[Chosen, Assessment]:
    """The student of the build or, with open numbers, the fitting one of the most multiplications a frame."""
    if not space.choices:
        topology = config.student.topology(space.input_shape)
        try:
            return {}, assess(topology, config)
        except CapacityError:
            return {}, require_fit(topology, config)  # which says what would be reached
    require_feasible(config, space.input_shape)
    fitting = []
    candidates = list(_looked_at(space))
    for index, chosen in enumerate(candidates):
        step("candidates", index, len(candidates))
        if (found := space.fitting(chosen)) is not None:
            fitting.append((chosen, found))
    if not fitting:
        raise CapacityError(f"size: none of {len(candidates)} candidates fits: {space.rejections()}")
    return max(fitting, key=lambda pair: pair[1].topology.products)


def _looked_at(space: SearchSpace) -> Sequence[dict[str, int]]:
    if space.count <= ENUMERATED:
        return list(space.candidates())
    rng, choices = np.random.default_rng(0), space.choices
    return [{key: int(rng.choice(values)) for key, values in choices.items()} for _ in range(SAMPLED)]
