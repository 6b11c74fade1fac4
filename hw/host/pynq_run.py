"""Runs on a PYNQ board: frames through the accelerator of a package made by FINN, and how fast it is.

    python3 pynq_run.py PACKAGE LOCK FRAMES OUTPUTS MEASURED

It needs Python 3.8, numpy and pynq there, and nothing of Retort. FINN's own driver (`finn-plus-driver`) is
taken where the board has it. It asks for packages that boards of 32 bits (Zynq 7000) cannot install, so
there is one here, too, for accelerators whose weights are all in the bitstream.
"""

from __future__ import annotations

import fcntl
import json
import math
import re
import sys
import time
from pathlib import Path
from typing import Any

SETUP, BUSY = 3, 4
"""Exit codes: the board lacks something, another run has it."""

BATCH_BYTES = 16 << 20
BATCH = 1000
ROUNDS = 20


class SetupError(Exception):
    """The board lacks something."""


class Accelerator:
    """FINN's accelerator by its two DMAs, without FINN's driver; frames are uint8, outputs integers.

    Registers of FINN's IODMA (an HLS kernel, AXI4-Lite): 0x00 control (bit 0 start, 1 done, 2 idle), 0x10 and
    0x14 address, 0x1C frames.
    """

    def __init__(self, bitfile: Path, settings: dict[str, Any]) -> None:
        """Load the bitstream into the chip."""
        from pynq import Overlay
        from pynq.ps import Clocks

        if any(settings.get(key) for key in ("external_weights", "runtime_weights")):
            raise SetupError(
                "the accelerator's weights are loaded by FINN's driver: install finn-plus-driver"
            )
        self.shapes = settings["io_shape_dict"]
        self.overlay = Overlay(str(bitfile))
        Clocks.fclk0_mhz = 100.0  # what the clocking wizard behind it is made for
        self.idma = getattr(self.overlay, self.shapes["idma_names"][0])
        self.odma = getattr(self.overlay, self.shapes["odma_names"][0])
        self.batch_size = 1

    @property
    def batch_size(self) -> int:
        """Frames that the buffers hold."""
        return self._batch_size

    @batch_size.setter
    def batch_size(self, frames: int) -> None:
        from pynq import allocate

        self._batch_size = frames
        self.source, self.sink = (
            allocate(shape=(frames, *self.shapes[name][0][1:]), dtype="uint8", cacheable=True)
            for name in ("ishape_packed", "oshape_packed")
        )

    def execute(self, frames: Any) -> Any:
        """Outputs of `batch_size` frames of uint8; an innermost group travels with its first value lowest."""
        self.source[:] = frames.reshape(self.source.shape)
        self.source.flush()
        self.execute_on_buffers()
        self.sink.invalidate()
        return unpack(self.sink, self.shapes["odt"][0], self.shapes["oshape_folded"][0])

    def execute_on_buffers(self) -> None:
        """Run what is in the buffers, to the end."""
        if not self.odma.read(0x00) & 4:
            raise RuntimeError("the output DMA is not idle: another program uses the accelerator")
        for dma, buffer in ((self.odma, self.sink), (self.idma, self.source)):
            dma.write(0x10, buffer.device_address & 0xFFFFFFFF)
            dma.write(0x14, buffer.device_address >> 32 & 0xFFFFFFFF)
            dma.write(0x1C, self.batch_size)
            dma.write(0x00, 1)
        while not self.odma.read(0x00) & 2:
            pass


def unpack(packed: Any, kind: str, folded: list[int]) -> Any:
    """Integers (n, *folded) of bytes (n, ..., bytes of a group), as FINN packs a group: first value lowest.

    `kind` is FINN's name of their type, such as `DataType['INT12']`, `folded` begins with any number.
    """
    import numpy as np

    signed, bits = integer_type(kind)
    lanes = folded[-1]
    spread = np.unpackbits(np.asarray(packed), axis=-1, bitorder="little")[..., : lanes * bits]
    places = np.left_shift(1, np.arange(bits, dtype=np.int64))
    if signed:
        places[-1] *= -1
    values = spread.reshape(*spread.shape[:-1], lanes, bits).astype(np.int64) @ places
    return values.reshape(-1, *folded[1:])


def integer_type(kind: str) -> tuple[bool, int]:
    """Whether FINN's integer type is signed, and its bits; `ValueError` for other types."""
    found = re.fullmatch(r"DataType\['(?:(U?)INT(\d+)|BINARY)'\]", kind)
    if not found:
        raise ValueError(f"{kind}: not a type of integers")
    return bool(found[2]) and not found[1], int(found[2] or 1)


def open_accelerator(package: Path) -> tuple[str, Any, dict[str, Any]]:
    """The driver's name, the accelerator with its bitstream loaded, and FINN's settings."""
    settings = json.loads((package / "driver" / "settings.json").read_text())["driver_information"]
    (bitfile,) = (package / "bitfile").glob("*.bit")
    try:
        import numpy  # noqa: F401
        import pynq  # noqa: F401
    except ImportError as error:
        raise SetupError(f"{error}; set the board up with the PYNQ image") from error
    try:
        from finn_plus_driver import get_driver_class

        driver = get_driver_class(settings["driver_type"])
    except ImportError as error:
        sys.stderr.write(f"without FINN's driver: {error}\n")
        return "retort", Accelerator(bitfile, settings), settings
    weights = {
        f"{kind}_weight_dir": str(package / "driver" / f"{kind}_weights") for kind in ("runtime", "mlo")
    }
    return "finn-plus-driver", driver(str(bitfile), **{**settings, **weights}), settings


def infer(accelerator: Any, frames: Any, shape: list[int], batch: int) -> tuple[Any, float]:
    """Outputs as int64, (outputs, values), and the seconds that it took, packing and copying included."""
    import numpy as np

    parts, began = [], time.perf_counter()
    for start in range(0, len(frames), batch):
        part = frames[start : start + batch]
        if accelerator.batch_size != len(part):
            accelerator.batch_size = len(part)
        found = np.asarray(accelerator.execute(part.reshape(len(part), *shape[1:])))
        parts.append(found.reshape(len(found), -1))
    seconds = time.perf_counter() - began
    outputs = np.concatenate(parts)
    whole = outputs.astype(np.int64)
    if (whole != outputs).any():
        raise ValueError("the driver gave outputs that are not whole numbers")
    return whole, seconds


def measure(accelerator: Any, batch: int) -> dict[str, Any]:
    """Frames a second with full buffers, and one frame's latency: medians, from DMA start to last output."""
    figures: dict[str, Any] = {}
    for name, frames in (("batch", batch), ("frame", 1)):
        accelerator.batch_size = frames
        seconds = []
        for _ in range(ROUNDS):
            began = time.perf_counter()
            accelerator.execute_on_buffers()
            seconds.append(time.perf_counter() - began)
        figures[name] = sorted(seconds)[ROUNDS // 2]
    return {
        "frames_per_second": batch / figures["batch"],
        "latency_microseconds": figures["frame"] * 1e6,
        "batch": batch,
    }


def run(package: Path, source: Path) -> tuple[Any, dict[str, Any]]:
    """Outputs of the frames in a file, and what was measured."""
    name, accelerator, settings = open_accelerator(package)
    import numpy as np

    frames = np.load(str(source), allow_pickle=False)
    shape = settings["io_shape_dict"]["ishape_normal"][0]
    batch = max(1, min(BATCH, BATCH_BYTES // math.prod(shape[1:])))
    outputs, seconds = infer(accelerator, frames, shape, batch)
    measured = {"driver": name, "frames_per_second_with_copies": len(frames) / seconds}
    measured.update(measure(accelerator, batch))
    if name != "retort":
        accelerator.batch_size = batch
        measured["finn_throughput_test"] = accelerator.throughput_test()
    return outputs, measured


def main(arguments: list[str]) -> int:
    """The script: 0, or an exit code and a line that says why."""
    package, lock, source, outputs, measured = map(Path, arguments)
    with lock.open("rb") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return BUSY
        try:
            found, figures = run(package, source)
        except SetupError as error:
            sys.stderr.write(f"{error}\n")
            return SETUP
    import numpy as np

    np.save(str(outputs), found)
    measured.write_text(json.dumps(figures, default=float))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
