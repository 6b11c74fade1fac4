"""`retort size`: what a build's student takes of its board, before anything is trained."""

from collections.abc import Mapping
from typing import Any

import typer

from hw.boards.boards import find
from pipeline.cli.app import AsJson, BuildFile, Overrides, print_json, print_table, say, shown
from pipeline.config.build import Build
from pipeline.config.file import load_checked


def size(ctx: typer.Context, file: BuildFile, values: Overrides = None, as_json: AsJson = False) -> None:
    """Show what the student takes of its board, layer by layer; trains nothing.

    If numbers are open, it shows the fitting candidate with the most multiplications a frame.
    """
    config = load_checked(file, values or ())
    from pipeline.sizing.assessment import require_fit
    from pipeline.sizing.result import size_of

    with shown(ctx, as_json) as display:
        outcome, found = size_of(config, display.step)
    if as_json:
        print_json({"chosen": dict(outcome.chosen), **outcome.details})
    else:
        _print(config, outcome.chosen, outcome.details)
    if not found.fits:
        require_fit(found.topology, config)


def _print(config: Build, chosen: Mapping[str, int], details: Mapping[str, Any]) -> None:
    found = details["search"]
    if found["combinations"] > 1:
        rejected = ", ".join(f"{count} by {name}" for name, count in found["rejected"].items()) or "none"
        say(f"{found['combinations']} combinations; rejected: {rejected}")
        say("shown: " + ", ".join(f"{key} {value}" for key, value in chosen.items()))
        say("")
    board = find(config.board.name)
    logic = "cell" if board.budget.shared_cells else "LUT"
    print_table([(*_COLUMNS, logic, *_OTHERS), *map(_row, details["layers"]), *_sums(details)])
    say("")
    print_table([_LIMITS, *(_limit(limit, details["binding"]) for limit in details["limits"])])
    say("")
    say(f"core: a frame every {details['interval_cycles']} cycles at {board.clock_hz / 1e6:g} MHz")
    say(details["pace"])
    if details["steps"]:
        say("")
        print_table([(*_STEPS, logic, *_OTHERS, ""), *map(_step, details["steps"])])


_COLUMNS = ("layer", "kind", "shape", "bits", "PE x SIMD", "cycles", "in", "out")
_OTHERS = ("FF", "RAM", "DSP")
_LIMITS = ("limit", "need", "budget", "of", "")
_STEPS = ("one step more", "")


def _row(layer: Mapping[str, Any]) -> tuple[str, ...]:
    bits = [str(layer[key]) for key in ("in_bits", "weight_bits", "activation_bits") if layer.get(key)]
    fold = f"{layer['pe']} x {layer['simd'] or 1}" if layer.get("pe") else ""
    shape = "x".join(map(str, layer["out_shape"])) if "out_shape" in layer else ""
    streams = (str(layer[f"stream_{side}_bits"]) for side in ("in", "out"))
    about = (layer["name"], layer["kind"], shape, "/".join(bits), fold, str(layer["cycles"]))
    return *about, *streams, *_costs(layer)


def _sums(details: Mapping[str, Any]) -> list[tuple[str, ...]]:
    blank = ("",) * 6
    shell, total = details["shell"], details["total"]
    return [("shell", shell["kind"], *blank, *_costs(shell)), ("total", "", *blank, *_costs(total))]


def _costs(cost: Mapping[str, Any], sign: str = "") -> tuple[str, ...]:
    return tuple(f"{cost[key]:{sign}}" for key in ("luts", "flip_flops", "block_rams", "dsps"))


def _limit(limit: Mapping[str, Any], binding: str) -> tuple[str, ...]:
    word = "exceeded" if not limit["fits"] else "binding" if limit["name"] == binding else ""
    return limit["title"], str(limit["need"]), str(limit["budget"]), str(limit["available"]), word


def _step(step: Mapping[str, Any]) -> tuple[str, ...]:
    move = f"{step['from']} to {step['to']}"
    if "luts" not in step:
        return step["key"], move, "", "", "", "", "does not fit"
    word = "fits" if step["fits"] else f"does not fit: {step['binding_title']}"
    return step["key"], move, *_costs(step, "+"), word
