"""AMD's way to a bitstream: FINN's builder drives Vivado and Vitis HLS on whichever machine has them.

`make_plan` says what to build; `build` builds it there and checks every product. May import `hw.boards`,
`hw.implementation` and `hw.tools`.
"""

import shutil
from pathlib import Path

from common.errors import ToolError, ToolMissingError
from hw.finn.vivado.machines import Docker, Local, Machine, Ssh, launch
from hw.finn.vivado.plan import LOGS, OUT, Plan, ShellKind, Target, make_plan, products_of
from hw.finn.vivado.products import Products, VivadoUtilization, check, load_outcome

__all__ = [
    "Docker",
    "Local",
    "Machine",
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


def build(plan: Plan, machine: Machine, *, work: Path, log: Path, hours: float) -> Products:
    """Build a plan on a machine, in a new folder `work`; what it prints goes to `log`.

    Raises:
        ToolMissingError: a tool is missing, here or there.
        LinkError: the build host cannot be reached.
        ToolError: the builder or a tool of AMD's failed, took longer than `hours`, or left no product.
        VerificationError: Vivado's simulator gave other outputs than golden, or none.
        TimingError: the design misses its clock.
    """
    plan.write(work)
    try:
        _launch(machine, work, log, hours * 3600)
    except ToolError as error:
        outcome = load_outcome(work / OUT)
        if outcome is None or "message" not in outcome:
            raise
        if outcome["status"] == "missing":
            raise ToolMissingError(f"{outcome['message']}; see {log}") from error
        raise ToolError(f"FINN's builder: {outcome['message']}; see {log}") from error
    return check(plan, work / OUT, log)


def _launch(machine: Machine, work: Path, log: Path, seconds: float) -> None:
    """Run the plan; copy the logs of AMD's tools beside `log`, however it ends."""
    try:
        launch(machine, work, log=log, seconds=seconds)
    finally:
        for name in LOGS:
            if (work / OUT / name).is_file():
                shutil.copyfile(work / OUT / name, log.with_name(name))
