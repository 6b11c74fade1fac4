"""Runs FINN's deployment package on a PYNQ board by SSH: sends it if it is new, and fetches its outputs.

The board has a folder `.retort` in the user's home:

```
.retort/packages/DIGEST/    a package, by the digest of its files; gets that name once all have arrived
.retort/incoming-DIGEST/    a package that is arriving
.retort/runs/ID/            a run's script, frames and outputs; of a run that was cut off, removed after a day
.retort/lock                held while the accelerator runs
```
"""

import hashlib
import json
import math
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from common.errors import (
    BoardFullError,
    BoardSetupError,
    BusyBoardError,
    ConfigError,
    DriverError,
    FrameError,
    LinkError,
    LoginError,
    ModelFileError,
    SilentBoardError,
    StoreError,
)
from hw.host import pynq_run
from hw.interface import CoreInterface
from hw.tools.ssh import Remote

PACKAGE = "deploy"
FOLDER = ".retort"
ASK_SECONDS = 60.0
_GRACE = 30.0  # seconds that the board has to end a run that takes too long, before we do
_NO_ROOT, _DAMAGED = 20, 21
_TIMED_OUT, _NO_COMMAND, _KILLED = 124, 127, 137  # as coreutils' timeout and bash give them

_PREPARE = """
mkdir -p {folder}/packages {folder}/runs && cd {folder} || exit
find runs -mindepth 1 -maxdepth 1 -mtime +0 -exec rm -rf {{}} +
rm -rf incoming-{digest}; : >> lock; mkdir runs/{run} || exit
[ -e packages/{digest} ] && echo present
df -Pk . | awk 'NR == 2 {{ print "free", $4 }}'
"""

_RUN = """
cd {folder} || exit
sums=$PWD/runs/{run}/package.sha256
place=packages/{digest}
if [ -e incoming-{digest} ]; then place=incoming-{digest}; fi
if ! (cd $place && sha256sum --check --quiet "$sums"); then rm -rf $place; exit {damaged}; fi
if [ $place != packages/{digest} ]; then mv -T $place packages/{digest} || exit; fi
for each in /etc/profile.d/pynq_venv.sh /etc/profile.d/xrt_setup.sh; do
    if [ -r "$each" ]; then . "$each"; fi
done
export XILINX_XRT="${{XILINX_XRT:-/usr}}"  # without it pynq looks for no device
root=()
if [ -e /sys/class/fpga_manager/fpga0 ] && [ "$(id -u)" -ne 0 ]; then
    sudo -n true || exit {no_root}
    root=(sudo -n env "PATH=$PATH" "XILINX_XRT=$XILINX_XRT")
fi
cd runs/{run} || exit
"${{root[@]}}" timeout --kill-after=5 {seconds:g} python3 -u pynq_run.py ../../packages/{digest} ../../lock \\
    frames.npy outputs.npy measured.json
"""


@dataclass(frozen=True)
class Target:
    """A board, the number of frames to run on it (None: all), and the seconds that they may take.

    `folder` is on the board, below the user's home unless absolute.
    """

    remote: Remote
    samples: int | None = None
    seconds: float = 120.0
    folder: str = FOLDER

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[\w./][\w./-]*", self.folder):
            raise ConfigError(f"folder '{self.folder}' on the board: give one of letters, digits, ./_- alone")


@dataclass(frozen=True)
class Outcome:
    """A board's outputs (n, values) as int64, its measurements, and whether the package had to be sent."""

    outputs: NDArray[np.int64]
    measured: Mapping[str, Any]
    sent: bool


@dataclass(frozen=True)
class Package:
    """FINN's package in `folder`: `bitfile/*.bit` with its `.hwh`, `driver/settings.json`."""

    folder: Path

    @cached_property
    def sums(self) -> Mapping[str, str]:
        """SHA-256 of every file."""
        files = sorted(path for path in self.folder.rglob("*") if path.is_file())
        return {
            path.relative_to(self.folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in files
        }

    @property
    def digest(self) -> str:
        """SHA-256 of the manifest, shortened."""
        return hashlib.sha256(self.manifest.encode()).hexdigest()[:32]

    @property
    def manifest(self) -> str:
        """The sums in the format of `sha256sum`."""
        return "".join(f"{digest}  {name}\n" for name, digest in self.sums.items())

    @property
    def kilobytes(self) -> int:
        """Its size."""
        return math.ceil(sum((self.folder / name).stat().st_size for name in self.sums) / 1024)


def find_package(folder: Path, interface: CoreInterface) -> Package:
    """The package in a build's folder; its inputs and outputs must be those of the build's core.

    Raises `StoreError` where it is not there or not whole, `ModelFileError` where it is another core's.
    """
    path = folder / PACKAGE
    bitfiles = sorted((path / "bitfile").glob("*.bit"))
    if len(bitfiles) != 1 or not bitfiles[0].with_suffix(".hwh").is_file():
        raise StoreError(
            f"{path}: no bitfile/*.bit with its .hwh; `retort build` makes it, to its end, for a PYNQ board"
        )
    settings = path / "driver" / "settings.json"
    try:
        shapes = json.loads(settings.read_bytes())["driver_information"]["io_shape_dict"]
        streams = [(shapes[f"{each}dt"], shapes[f"{each}shape_normal"]) for each in "io"]
        ((kind,), (shape,)), ((given,), (result,)) = streams
        values = [math.prod(each[1:]) for each in (shape, result)]
        pynq_run.integer_type(given)
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise StoreError(
            f"{settings}: not the settings of an accelerator with one input, and one output of integers"
            f" ({error}); build again"
        ) from error
    wanted = [interface.input.elements, interface.output.elements]
    if kind != "DataType['UINT8']" or values != wanted:
        raise ModelFileError(
            f"{settings}: takes {values[0]} values of {kind}, gives {values[1]}; by io.json"
            f" {wanted[0]} of UINT8 and {wanted[1]}; build again"
        )
    return Package(path)


def execute(target: Target, package: Package, frames: NDArray[np.uint8], log: Path) -> Outcome:
    """Run frames `(n, *shape)` on the board; the package is sent where the board does not have it.

    Raises `LinkError` by what went wrong; what ssh and the board printed is in `log`.
    """
    run = _Run(target, package, frames, log, uuid4().hex)
    present = run.prepare()
    with tempfile.TemporaryDirectory(prefix="retort-deploy-") as scratch:
        run.send(Path(scratch), present)
        run.execute()
        outputs, measured = run.fetch(Path(scratch))
    return Outcome(outputs, measured, not present)


@dataclass(frozen=True)
class _Run:
    """One run on the board, under a unique name."""

    target: Target
    package: Package
    frames: NDArray[np.uint8]
    log: Path
    name: str

    def prepare(self) -> bool:
        """Make the folders there, and check for room; whether the package is there already."""
        answer = self._script(_PREPARE, "looking", ASK_SECONDS)
        present = re.search("^present$", answer, re.MULTILINE) is not None
        free = re.search(r"^free (\d+)$", answer, re.MULTILINE)
        if not free:
            raise LinkError(f"{self._host}: does not report how much of its disk is free; see {self.log}")
        wanted = 2 * math.ceil(self.frames.nbytes / 1024) + (0 if present else self.package.kilobytes)
        if int(free[1]) < wanted:
            raise BoardFullError(
                f"{self._host}: {free[1]} KiB free, {wanted} wanted; make room on its disk:"
                f" old packages are in {self.target.folder}/packages there"
            )
        return present

    def send(self, scratch: Path, present: bool) -> None:
        """Send script and frames, and the package where it is not there."""
        remote, sums, data = self.target.remote, scratch / "package.sha256", scratch / "frames.npy"
        sums.write_text(self.package.manifest)
        np.save(data, self.frames, allow_pickle=False)
        script = Path(pynq_run.__file__)
        remote.send([script, sums, data], f"{self._folder}/", log=self.log, what="sending frames")
        if not present:
            incoming = f"{self.target.folder}/incoming-{self.package.digest}"
            remote.send([self.package.folder], incoming, log=self.log, what="sending the package")

    def execute(self) -> None:
        """Check the package, move it to its folder, and run the script."""
        self._script(_RUN, "running", self.target.seconds + _GRACE)

    def fetch(self, scratch: Path) -> tuple[NDArray[np.int64], Mapping[str, Any]]:
        """Fetch and remove what the script wrote."""
        remote = self.target.remote
        there = [f"{self._folder}/{name}" for name in ("outputs.npy", "measured.json")]
        remote.fetch(there, scratch, log=self.log, what="fetching outputs")
        self._script("rm -rf {folder}/runs/{run}", "tidying", ASK_SECONDS)
        try:
            outputs = np.load(scratch / "outputs.npy", allow_pickle=False)
            measured = json.loads((scratch / "measured.json").read_bytes())
        except (OSError, ValueError) as error:
            raise FrameError(
                f"{self._host}: outputs that cannot be read ({error}); see {self.log}"
            ) from error
        if outputs.ndim != 2 or outputs.dtype != np.int64 or len(outputs) != len(self.frames):
            raise FrameError(
                f"{self._host}: outputs {outputs.dtype} {outputs.shape} for {len(self.frames)} frames;"
                f" see {self.log}"
            )
        return outputs, measured

    @property
    def _host(self) -> str:
        return self.target.remote.host

    @property
    def _folder(self) -> str:
        return f"{self.target.folder}/runs/{self.name}"

    def _script(self, template: str, what: str, timeout: float) -> str:
        """Run a script there; what it printed."""
        script = template.format(
            folder=self.target.folder,
            digest=self.package.digest,
            run=self.name,
            seconds=self.target.seconds,
            no_root=_NO_ROOT,
            damaged=_DAMAGED,
        )
        code, answer = self.target.remote.run(script, log=self.log, what=what, timeout=timeout)
        if code:
            raise self._failure(code, answer)
        return answer

    def _failure(self, code: int, answer: str) -> LinkError:
        """The error for an exit code of a script there."""
        lines = [line.strip() for line in answer.splitlines() if line.strip()]
        last = lines[-1][:300] if lines else "it printed nothing"
        stopped = f"no outputs after {self.target.seconds:g} s, the driver was stopped; see --timeout"
        known: dict[int, tuple[type[LinkError], str]] = {
            pynq_run.SETUP: (BoardSetupError, last),
            pynq_run.BUSY: (BusyBoardError, "another run has the board; wait for its end"),
            _NO_ROOT: (
                LoginError,
                "only root may program the chip, and sudo wants a password; log in as root by key, or"
                " allow your user there sudo without one",
            ),
            _DAMAGED: (FrameError, "its package is not the one that was sent; run it again"),
            _TIMED_OUT: (SilentBoardError, stopped),
            _KILLED: (SilentBoardError, f"{stopped}; or it was killed for want of memory"),
            _NO_COMMAND: (BoardSetupError, f"{last}; set the board up with the PYNQ image"),
        }
        kind, text = known.get(code, (DriverError, f"the driver failed, exit code {code}: {last}"))
        if "No space left on device" in answer:
            kind, text = BoardFullError, f"its disk is full ({last}); make room"
        return kind(f"{self._host}: {text}; see {self.log}")
