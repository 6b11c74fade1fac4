"""Stage `vivado`: the proven network through FINN's builder and Vivado, as far as the build asks."""

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from hw.boards.boards import find
from pipeline.config.build import Build
from pipeline.config.vivado import VivadoConfig
from pipeline.engine.stage import Facts, StageContext
from pipeline.students import student_of

if TYPE_CHECKING:
    from hw.finn.vivado.machines import Machine

FOLDER = "vivado"
"""Where in a build's folder products are that no board gets."""


def run(ctx: StageContext) -> Facts:
    """Plan, build, and keep what was checked, the deployment package in `deploy/`."""
    from hw.finn.rtl import GRAPH
    from hw.finn.vivado.machines import build
    from hw.finn.vivado.plan import make_plan

    asked, board = settings(ctx.config), find(ctx.config.board.name)
    folder = ctx.lay_out("build")
    read = student_of(ctx.config).ladder().artefacts
    artefacts = read(ctx.config, folder, ctx.work / "scratch", ctx.log("onnxruntime.log"), ctx.step)
    count = min(asked.samples, len(artefacts.x))
    plan = make_plan(
        (folder / GRAPH).read_bytes(),
        board,
        target=asked.target,
        frames=artefacts.frames[:count],
        expected=artefacts.expected[:count],
        vivado=asked.version,
        cpp_driver=asked.cpp_driver,
    )
    # Gigabytes, which are kept where a build fails, for whoever wants to look, until the next try.
    job = ctx.partial / "job"
    shutil.rmtree(job, ignore_errors=True)
    found = build(plan, machine(asked), work=job, log=ctx.log("vivado.log"), hours=asked.hours)
    for name in found.files:
        path = ctx.work / _kept(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(found.folder / name, path)
    facts = {"plan": plan.digest, "verified_samples": found.verified, "versions": dict(found.versions)}
    if found.utilization is None:
        return facts
    found.utilization.save(ctx.work / "utilization.json")
    return facts | {"fmax_hz": found.utilization.fmax_hz}


def _kept(name: str) -> str:
    """A product's name in the build's folder."""
    return name if name.startswith("deploy/") else f"{FOLDER}/{name}"


def outputs(config: Build) -> tuple[str, ...]:
    """The checked products, and `utilization.json` where the design was placed and routed."""
    from hw.finn.vivado.plan import products_of

    asked, board = settings(config), find(config.board.name)
    names = products_of(asked.target, board.finn.shell, cpp_driver=asked.cpp_driver is not None)
    measured = () if asked.target == "stitched-ip" else ("utilization.json",)
    return (*map(_kept, names), *measured)


def key(config: Build) -> list[object]:
    """What the products depend on, besides the stage's inputs."""
    board = find(config.board.name)
    shell = [board.device, board.finn.name, board.finn.shell, board.clock_hz]
    return [settings(config).key, *shell, config.compile.output]


def settings(config: Build) -> VivadoConfig:
    """The build's `[vivado]`, or what it is where there is none."""
    return config.vivado or VivadoConfig()


def machine(asked: VivadoConfig) -> "Machine":
    """The machine that has Vivado, by the build file."""
    from hw.finn.vivado.machines import Docker, Local, Ssh
    from hw.tools.ssh import Remote

    if asked.where == "docker":
        return Docker(str(asked.image), asked.mounts, asked.settings, asked.python or "python3")
    if asked.where == "ssh":
        config = Path(asked.ssh_config).expanduser() if asked.ssh_config else None
        remote = Remote(str(asked.host), config=config)
        return Ssh(remote, asked.settings, asked.python or "python3", asked.folder)
    return Local(asked.settings, asked.python or sys.executable)


def tools(config: Build) -> tuple[str, ...]:
    """What the stage needs on this machine; Vivado itself where no script leads to it."""
    asked = settings(config)
    if asked.where != "local":
        return ("finn-plus", {"docker": "docker", "ssh": "ssh"}[asked.where])
    return ("finn-plus",) if asked.settings else ("finn-plus", "vivado")
