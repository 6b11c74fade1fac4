"""The virtual board: a whole chip in Verilator behind a pseudo-terminal, which the host driver opens."""

import contextlib
import os
import subprocess
import tty
from pathlib import Path
from types import TracebackType
from typing import Self

from common.errors import ToolError
from hw.shells.protocol import TIMEOUT_BITS
from hw.simulation.netlist import ChipModel
from hw.tools.processes import kill_group, start
from hw.tools.tools import last_error

HARNESS = Path(__file__).parent / "harness" / "board.cpp"


def build(model: ChipModel, *, work: Path, log: Path, clocks_per_bit: int, optimize: str = "-O1") -> Path:
    """The simulator of a chip with the serial shell; raises `ToolError`, `ToolMissingError`."""
    pins = {"BOARD_CLOCK": model.clk, "BOARD_RX": model.pin("rx"), "BOARD_TX": model.pin("tx")}
    settings = {"BOARD_CLOCKS_PER_BIT": str(clocks_per_bit)}
    return model.compile(HARNESS, pins, settings, work=work, log=log, optimize=optimize)


class VirtualBoard:
    """Runs a simulator that `build` made; inside the `with`, `port` is the path of its serial port.

    Simulated time stops while the host is silent: for `patience` seconds once the line has been quiet for
    half of the shell's time-out of `timeout_bits`, so that a slow host does not time out; and for good after
    `limit_bits`, which must be more than the core's latency in bit times.
    """

    def __init__(
        self,
        executable: Path,
        log: Path,
        *,
        patience: float = 2.0,
        timeout_bits: int = TIMEOUT_BITS,
        limit_bits: int | None = None,
    ) -> None:
        self._log = log
        limit = 4 * timeout_bits if limit_bits is None else limit_bits
        self._argv = [str(executable), round(patience * 1000), timeout_bits // 2, limit]
        self._process: subprocess.Popen[bytes] | None = None
        self._slave = -1
        self.port = ""

    def __enter__(self) -> Self:
        """Start the simulator; raises `ToolError` where it does not start."""
        master, self._slave = os.openpty()
        try:
            tty.setraw(self._slave)
            self.port = os.ttyname(self._slave)
            executable, *settings = map(str, self._argv)
            with self._log.open("ab") as sink:
                argv = [executable, str(master), *settings]
                self._process = start(argv, stdout=sink, pass_fds=[master])
        except OSError as error:
            os.close(self._slave)
            raise ToolError(f"virtual board does not start ({error}); build it again") from error
        finally:
            os.close(master)
        return self

    def check(self) -> None:
        """Raise `ToolError` where the simulator is dead."""
        if self._process is not None and self._process.poll() is not None:
            raise ToolError(
                f"virtual board died, exit code {self._process.returncode}: {last_error(self._log)}; "
                f"see {self._log}"
            )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the simulator; raises `ToolError` where it had died, which explains other errors."""
        try:
            self.check()
        finally:
            os.close(self._slave)
            self._stop()

    def _stop(self) -> None:
        if self._process is None:
            return
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        kill_group(self._process)
