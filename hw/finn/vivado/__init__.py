"""AMD's way to a bitstream: FINN's builder driving Vivado and Vitis HLS, wherever they are.

`make_plan` writes down what is to be built, `build` has it built at a place and believes nothing that it has
not looked at.
"""

import shutil
from pathlib import Path

from common.errors import ToolError, ToolMissingError
from hw.finn.vivado.places import Docker, Local, Place, Ssh, launch
from hw.finn.vivado.plan import LOGS, OUT, Device, Plan, ShellKind, Target, make_plan, products_of
from hw.finn.vivado.products import Products, VivadoUtilization, check, load_outcome

__all__ = [
    "Device",
    "Docker",
    "Local",
    "Place",
    "Plan",
    "Products",
    "ShellKind",
    "Ssh",
    "Target",
    "VivadoUtilization",
    "build",
    "make_plan",
    "products_of",
]


def build(plan: Plan, place: Place, *, work: Path, log: Path, hours: float) -> Products:
    """Build a plan at a place, in a new folder `work`; what is printed there goes to `log`.

    Raises:
        ToolMissingError: what is needed is not here, or not there.
        LinkError: the build host cannot be reached.
        ToolError: the builder or a tool of AMD's failed, took longer than `hours`, or left no product.
        VerificationError: Vivado's simulator gave something else than golden, or nothing.
        TimingError: the design misses its clock.
    """
    plan.write(work)
    try:
        _launch(place, work, log, hours * 3600)
    except ToolError as error:
        outcome = load_outcome(work / OUT)
        if outcome is None or "message" not in outcome:
            raise
        if outcome["status"] == "missing":
            raise ToolMissingError(f"{outcome['message']}; see {log}") from error
        raise ToolError(f"FINN's builder: {outcome['message']}; see {log}") from error
    return check(plan, work / OUT, log)


def _launch(place: Place, work: Path, log: Path, seconds: float) -> None:
    """Run the plan; logs of AMD's tools come to lie beside `log`, however it ends."""
    try:
        launch(place, work, log=log, seconds=seconds)
    finally:
        for name in LOGS:
            if (work / OUT / name).is_file():
                shutil.copyfile(work / OUT / name, log.with_name(name))
