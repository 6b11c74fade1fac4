"""The machine that has Vivado: this one, a container with Vivado mounted, or a build host reached by SSH.

Each runs the same script in a folder that holds a plan, and leaves folder `out`, if only with the reason of a
failure.
"""

import contextlib
import os
import secrets
import shlex
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from common.errors import LinkError, ToolError, ToolMissingError
from hw.boards.families.amd import LICENCES
from hw.finn.vivado.plan import LOGS, OUT, OUTCOME, SCRIPT, Plan
from hw.finn.vivado.products import Products, check, load_outcome
from hw.tools import tools
from hw.tools.ssh import Remote

WHAT = "FINN's builder"
RUN = "run.sh"
SHORT = 600.0  # seconds for what is no build
_GRACE = 30  # seconds between being asked to end and being killed
_TIMED_OUT = 124  # coreutils' timeout

_RUN = """\
#!/bin/bash
# Runs the plan beside it.
cd "$(dirname "${{BASH_SOURCE[0]}}")" || exit
missing() {{
    mkdir -p {out}
    printf '{{"status": "missing", "message": "%s"}}\\n' "$1" > {out}/{outcome}
    exit 4
}}
for each in {settings}; do
    [[ -r $each ]] || missing "$each is not there or cannot be read (vivado.settings)"
    . "$each" || missing "$each fails (vivado.settings)"
done
command -v {python} > /dev/null || missing {python}" is not there (vivado.python)"
exec {python} {script}
"""

# `timeout` is the head of a process group, and hands on what ends it.
_REMOTE = """
cd {folder} || exit
timeout --kill-after={grace} {seconds:g} bash {run} < /dev/null &
echo $! > pid
wait $!
code=$?
rm pid
exit $code
"""
_CLEAN = """
cd {folder} || exit
if [ -e pid ]; then
    kill $(cat pid)
    timeout {grace} tail --pid=$(cat pid) -f /dev/null
fi
cd .. && rm -rf {name}
"""


@dataclass(frozen=True)
class Local:
    """This machine; `settings` are sourced first, `python` has finn-plus."""

    settings: tuple[str, ...] = ()
    python: str = sys.executable


@dataclass(frozen=True)
class Docker:
    """FINN's image, named by its digest; `mounts` are folders of AMD's tools and licences, read-only."""

    image: str
    mounts: tuple[str, ...]
    settings: tuple[str, ...]
    python: str = "python3"


@dataclass(frozen=True)
class Ssh:
    """A build host; builds run in `folder` there, below the user's home unless absolute."""

    remote: Remote
    settings: tuple[str, ...]
    python: str = "python3"
    folder: str = ".cache/retort"


Machine: TypeAlias = Local | Docker | Ssh


def build(plan: Plan, machine: Machine, *, work: Path, log: Path, hours: float) -> Products:
    """Build a plan on a machine, in a new folder `work`; what it prints goes to `log`, beside which come
    AMD's logs.

    Raises:
        ToolMissingError: a tool is missing, here or there.
        LinkError: the build host cannot be reached.
        ToolError: the builder or a tool of AMD's failed, took longer than `hours`, or left no product.
        VerificationError: Vivado's simulator gave other outputs than golden, or none.
        TimingError: the design misses its clock.
    """
    plan.write(work)
    try:
        launch(machine, work, log=log, seconds=hours * 3600)
    except ToolError as error:
        outcome = load_outcome(work / OUT)
        if outcome is None or "message" not in outcome:
            raise
        if outcome["status"] == "missing":
            raise ToolMissingError(f"{outcome['message']}; see {log}") from error
        raise ToolError(f"FINN's builder: {outcome['message']}; see {log}") from error
    finally:
        for name in LOGS:
            if (work / OUT / name).is_file():
                shutil.copyfile(work / OUT / name, log.with_name(name))
    return check(plan, work / OUT, log)


def launch(machine: Machine, job: Path, *, log: Path, seconds: float) -> None:
    """Run the plan in folder `job` on that machine to its end; what it prints goes to `log`.

    Raises `ToolError` where it fails, or takes longer than `seconds` and is killed, `ToolMissingError`
    without docker or ssh, `LinkError` where the host cannot be reached.
    """
    script = _RUN.format(
        settings=" ".join(shlex.quote(each) for each in machine.settings),
        python=shlex.quote(machine.python),
        script=SCRIPT,
        out=OUT,
        outcome=OUTCOME,
    )
    (job / RUN).write_text(script)
    match machine:
        case Local():
            tools.run(["bash", RUN], cwd=job, log=log, what=WHAT, timeout=seconds)
        case Docker():
            _in_container(machine, job, log, seconds)
        case Ssh():
            _over_ssh(machine, job, log, seconds)


def _in_container(machine: Docker, job: Path, log: Path, seconds: float) -> None:
    """The folder is mounted at the same path, so that logs name files of this machine."""
    tools.find("docker").require()
    name, here = f"retort-{secrets.token_hex(6)}", str(job.resolve())
    (job / "home").mkdir()
    argv = ["docker", "run", "--rm", "--init", f"--name={name}", "--network=host"]
    argv += [f"--user={os.getuid()}:{os.getgid()}", f"--env=HOME={here}/home", f"--workdir={here}"]
    argv += [f"--env={variable}" for variable in LICENCES]  # docker takes their values itself
    argv += [f"--mount=type=bind,source={here},target={here}"]
    argv += [f"--mount=type=bind,source={mount},target={mount},readonly" for mount in machine.mounts]
    argv += ["--entrypoint=bash", machine.image, RUN]
    try:
        tools.run(argv, cwd=job, log=log, what=f"{WHAT} in docker", timeout=seconds)
    except BaseException:
        # Killed is only the client; of a container that has ended docker knows nothing more.
        with contextlib.suppress(ToolError):
            tools.run(["docker", "kill", name], cwd=job, log=log, what="docker kill", timeout=SHORT)
        raise


def _over_ssh(machine: Ssh, job: Path, log: Path, seconds: float) -> None:
    """Send the plan to a folder of its own, run it, fetch `out`, and remove the folder, however it ends."""
    remote = machine.remote
    there = f"{machine.folder}/vivado-{secrets.token_hex(6)}"
    folder = shlex.quote(there)
    run = _REMOTE.format(folder=folder, grace=_GRACE, seconds=seconds, run=RUN)

    def ask(script: str, what: str, timeout: float = SHORT) -> int:
        return remote.run(script, log=log, what=what, timeout=timeout)[0]

    if ask(f"umask 077; mkdir -p {folder}", "making a folder"):
        raise ToolError(f"{remote.host}: cannot make {there} (vivado.folder); see {log}")
    try:
        remote.send(sorted(path for path in job.iterdir() if path.is_file()), there, log=log, what="sending")
        code = ask(run, WHAT, seconds + 2 * _GRACE)
        if not ask(f"[ -d {folder}/{OUT} ]", "looking for products"):
            remote.fetch([f"{there}/{OUT}"], job, log=log, what="fetching products")
    finally:
        with contextlib.suppress(LinkError):  # an error before this one says more
            ask(_CLEAN.format(folder=folder, grace=2 * _GRACE, name=Path(there).name), "cleaning up")
    if code == _TIMED_OUT:
        raise ToolError(f"{WHAT} on {remote.host}: not done after {seconds:g} s, killed; see {log}")
    if code:
        raise ToolError(f"{WHAT} on {remote.host}: exit code {code}: {tools.last_error(log)}; see {log}")
