"""A board without a board: `pynq` as FINN's drivers use it, down to the DMAs' registers and packed bytes.

The "bitstream" is the network in ONNX. Starting both DMAs runs it on the bytes that are in memory. What goes
wrong is told by VIRTUAL_FAULT: `wrong` (a bit of every output group), `crash`, `hang`, `cut` (the
connection).
"""

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import onnxruntime

FAULT = os.environ.get("VIRTUAL_FAULT", "")
START, DONE, IDLE = 1, 2, 4
MEMORY: dict[int, "Buffer"] = {}


class Buffer(np.ndarray):
    """What the CPU sees of memory: its writes reach the DMAs by `flush`, theirs come here by `invalidate`."""

    device_address = 0

    def flush(self) -> None:
        self.there[:] = self.tobytes()

    def invalidate(self) -> None:
        self.reshape(-1)[:] = np.frombuffer(bytes(self.there), np.uint8)


def allocate(shape, dtype, cacheable=True, target=None):
    made = np.zeros(shape, dtype).view(Buffer)
    made.there = bytearray(made.nbytes)
    made.device_address = (1 << 32) + 4096 * (1 + len(MEMORY))  # beyond 32 bits: both registers count
    MEMORY[made.device_address] = made
    return made


class Bitstream:
    """A name that FINN's driver imports."""


class Dma:
    """FINN's IODMA: registers 0x00 control, 0x10 and 0x14 address, 0x1C frames."""

    def __init__(self, chip: "Overlay") -> None:
        self.chip, self.registers, self.control = chip, {}, IDLE

    def write(self, offset: int, value: int) -> None:
        self.registers[offset] = value
        if offset == 0x00 and value & START:
            self.control = 0
            self.chip.step()

    def read(self, offset: int) -> int:
        assert offset == 0x00
        return self.control

    def memory(self) -> bytearray:
        return MEMORY[self.registers[0x10] | self.registers[0x14] << 32].there


class Overlay:
    """The chip."""

    def __init__(self, bitfile_name, download=True, device=None):
        if FAULT == "crash":
            raise RuntimeError("Programming Device failed: the chip is on strike")
        if FAULT == "cut":
            subprocess.run(["bash", str(Path(__file__).parents[1] / "cut.sh")], check=False)
        path = Path(bitfile_name)
        assert path.with_suffix(".hwh").exists()
        settings = path.parent.parent / "driver" / "settings.json"
        self.shapes = json.loads(settings.read_text())["driver_information"]["io_shape_dict"]
        self.network = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
        self.device, self.ip_dict = device, {}
        self.idma0, self.odma0 = Dma(self), Dma(self)

    def step(self) -> None:
        """Run what both DMAs were started for."""
        if FAULT == "hang" or self.idma0.control or self.odma0.control:
            return
        frames = self.idma0.registers[0x1C]
        assert frames == self.odma0.registers[0x1C]
        size = int(np.prod(self.shapes["ishape_normal"][0][1:]))
        x = np.frombuffer(bytes(self.idma0.memory()), np.uint8)[: frames * size].reshape(frames, size)
        outputs = self.network.run(["logits"], {"x": x})[0]
        packed = b"".join(self.packed(values) for values in outputs)
        self.odma0.memory()[: len(packed)] = packed
        self.idma0.control = self.odma0.control = DONE | IDLE

    def packed(self, values) -> bytes:
        """A frame's outputs, group by group, the first value in the lowest bits."""
        bits = int(self.shapes["odt"][0].removeprefix("DataType['INT").removesuffix("']"))
        group = self.shapes["oshape_folded"][0][-1]
        found = b""
        for place in range(0, len(values), group):
            word = sum(
                (int(value) % (1 << bits)) << (bits * lane)
                for lane, value in enumerate(values[place : place + group])
            )
            found += (word ^ (FAULT == "wrong")).to_bytes(self.shapes["oshape_packed"][0][-1], "little")
        return found
