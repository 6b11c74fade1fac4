"""What is told of a sizing: layers, limits, what one step more would cost, candidates."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from common.errors import CapacityError, ConfigError
from hw.boards.boards import find
from hw.mapping.cost import Cost, LayerCost, fold_places
from pipeline.config.build import Build
from pipeline.sizing.assessment import Assessment, assess
from pipeline.sizing.choice import Sized
from pipeline.sizing.feasible import at_target
from pipeline.sizing.search import Scored
from pipeline.sizing.space import Chosen, Space


def sized(
    space: Space, chosen: Chosen, found: Assessment, scored: Sequence[Scored] = (), how: str = ""
) -> Sized:
    """The outcome: `scored` candidates, and `how` they were found."""
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
    total = found.total
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
        "total": _rounded(total),
        "limits": [asdict(limit) | {"fits": limit.fits} for limit in found.limits],
        "binding": found.binding.name,
        "fits": found.fits,
    }


def _layer(layer: LayerCost, found: Assessment) -> dict[str, Any]:
    steps = {step.name: step for step in found.topology.steps}
    step = steps.get(layer.name)
    shapes: dict[str, Any] = {}
    if step is not None:
        shapes = {"in_shape": list(step.in_shape), "out_shape": list(step.out_shape), "in_bits": step.in_bits}
        for key in ("weight_bits", "activation_bits"):
            shapes[key] = getattr(step.layer, key, None)
    fold = {} if step is None or step not in _folded(found) else {"pe": layer.pe, "simd": layer.simd}
    return {
        "name": layer.name,
        "kind": layer.kind,
        **shapes,
        **fold,
        "cycles": layer.cycles,
        "stream_in_bits": layer.i_bits,
        "stream_out_bits": layer.o_bits,
        **_rounded(layer.cost),
    }


def _folded(found: Assessment) -> list[Any]:
    steps = found.topology.steps
    return [steps[place] for place in fold_places(steps)]


def _rounded(cost: Cost) -> dict[str, int]:
    return {name: round(value) for name, value in asdict(cost).items()}


def _steps(space: Space, chosen: Chosen, found: Assessment) -> Iterator[dict[str, Any]]:
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


def _difference(space: Space, chosen: Chosen, config: Build, before: Assessment) -> dict[str, Any]:
    try:
        after = assess(config.student.topology(space.input_shape, chosen), config)
    except (CapacityError, ConfigError) as error:
        return {"fits": False, "why": str(error)}
    now, then = _rounded(after.total), _rounded(before.total)
    binding = {"binding": after.binding.name, "binding_title": after.binding.title}
    return {"fits": after.fits, **binding, **{key: now[key] - then[key] for key in now}}
