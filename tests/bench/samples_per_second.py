"""How fast each executable form of a built student is: samples a second, and ratios to FINN's own execution.

`python -m tests.bench.samples_per_second out/digits-icebreaker` prints a table; all run on the same samples
in the same process. Simulators are timed without their compilation.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from hw.interface import CoreInterface
from hw.lowering import execute, load_hardware
from hw.simulate import CoreSimulator
from models import data
from pipeline.verification.artefacts import run_onnx


def rate(samples: int, run: Callable[[], object], repeats: int = 3) -> float:
    """Samples a second, the best of some runs."""
    best = float("inf")
    for _ in range(repeats):
        began = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - began)
    return samples / best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("out/digits-icebreaker"))
    folder = parser.parse_args().folder
    x = data.load(folder / "data.safetensors").test.x
    hardware = load_hardware(folder / "hardware.onnx")
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        interface = CoreInterface.load(folder / "io.json")
        core = CoreSimulator(folder / "core.v", interface, work=work, log=work / "log")
        few = x[:32]
        rates = {
            "FINN's graph, executed by FINN": rate(len(few), lambda: execute(hardware, few, work / "log")),
            "core.v in Verilator": rate(len(x), lambda: core.run(x)),
            "golden.onnx in onnxruntime": rate(
                len(x), lambda: run_onnx(folder / "golden.onnx", {"x": x}, ["logits"])
            ),
        }
    finn = rates["FINN's graph, executed by FINN"]
    for form, value in rates.items():
        print(f"{form:32} {value:12.0f} samples/s  {value / finn:10.1f} x")


if __name__ == "__main__":
    main()
