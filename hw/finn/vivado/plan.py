"""What FINN's builder builds with Vivado, as pure data: files that run on any machine that has both.

The builder starts behind the steps that lower and fold the network, so that it builds the graph that the
ladder proved, FIFOs included.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from io import BytesIO
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hw.boards.board import Board

Target: TypeAlias = Literal["stitched-ip", "out-of-context", "bitfile"]
ShellKind: TypeAlias = Literal["zynq", "alveo"]

SCRIPT = "finn_build.py"
PLAN = "plan.json"
OUT = "out"
OUTCOME = "outcome.json"
LOGS = ("build_dataflow.log", "vivado_logs.zip")
CHECK = "stitched_ip_rtlsim"
"""FINN's name of the check that runs the stitched design in Vivado's simulator."""

_STEPS = (
    "step_generate_estimate_reports",
    "step_hw_codegen",
    "step_hw_ipgen",
    "step_create_stitched_ip",
    "step_out_of_context_synthesis",
    "step_prepare_synthesis",
    "step_synthesize_bitfile",
    "step_make_driver",
    "step_deployment_package",
)
_OUTPUTS: Mapping[Target, tuple[str, ...]] = {
    "stitched-ip": ("estimate_reports", "stitched_ip"),
    "out-of-context": ("estimate_reports", "stitched_ip", "out_of_context_synth"),
    "bitfile": ("estimate_reports", "stitched_ip", "bitfile", "pynq_driver", "deployment_package"),
}
_FLOWS: Mapping[ShellKind, str] = {"zynq": "vivado_zynq", "alveo": "vitis_alveo"}
_BITFILES: Mapping[ShellKind, tuple[str, ...]] = {
    "zynq": ("finn-accel.bit", "finn-accel.hwh"),
    "alveo": ("finn-accel-0.xclbin",),
}
_ESTIMATES = (
    "estimate_layer_cycles.json",
    "estimate_layer_resources.json",
    "estimate_network_performance.json",
)


@dataclass(frozen=True)
class Plan:
    """A build: its files by name, and what it must leave in folder `out`.

    Attributes:
        target: how far the build goes.
        products: files below `out`, none of them empty.
        expected: (n, outputs) integers that Vivado's simulator must give.
    """

    board: Board
    target: Target
    files: Mapping[str, bytes]
    products: tuple[str, ...]
    expected: NDArray[np.int64]

    @property
    def digest(self) -> str:
        """SHA-256 of names and contents."""
        found = hashlib.sha256()
        for name in sorted(self.files):
            content = self.files[name]
            found.update(f"{name}\0{len(content)}\0".encode())
            found.update(content)
        return found.hexdigest()

    def write(self, folder: Path) -> None:
        """Lay the files out in a new folder."""
        folder.mkdir(parents=True)
        for name, content in self.files.items():
            (folder / name).write_bytes(content)


def make_plan(
    model: bytes,
    board: Board,
    *,
    target: Target,
    frames: NDArray[np.uint8],
    expected: NDArray[np.int64],
    vivado: str | None = None,
    cpp_driver: str | None = None,
) -> Plan:
    """Plan the build of an implemented hardware graph (ONNX).

    `frames` (n, ...) and their outputs `expected` (n, outputs) are for Vivado's simulator, which does not run
    without frames. `vivado` is the version that must be there. `cpp_driver` is the commit of FINN's C++
    driver, which is made for Alveo only.
    """
    outputs = [*_OUTPUTS[target], *(["cpp_driver"] if cpp_driver else [])]
    checks = [CHECK] if len(frames) else []
    config: dict[str, Any] = {
        "output_dir": "build",
        "generate_outputs": outputs,
        "board": board.finn.name,
        "fpga_part": board.device,
        "shell_flow_type": _FLOWS[board.finn.shell],
        "synth_clk_period_ns": 1e9 / board.clock_hz,
        "steps": list(_STEPS),
        "verify_steps": checks or None,
        "verify_input_npy": "input.npy",
        "verify_expected_output_npy": "expected.npy",
        # Integers are equal or they are not.
        **{f"verification_{kind}": 0.0 for kind in ("atol", "rtol", "mean_atol", "mean_rtol")},
        "cpp_driver_version": cpp_driver or "none",
    }
    plan = {
        "finn": metadata.version("finn-plus"),
        "vivado": vivado,
        "shell": board.finn.shell,
        "config": config,
    }
    plan |= {"target": target}
    files = {
        PLAN: (json.dumps(plan, indent=2, sort_keys=True) + "\n").encode(),
        SCRIPT: Path(__file__).with_name(SCRIPT).read_bytes(),
        "model.onnx": model,
    }
    if checks:
        files |= {"input.npy": _npy(frames), "expected.npy": _npy(expected)}
    products = products_of(target, board.finn.shell, cpp_driver=cpp_driver is not None)
    return Plan(board, target, files, products, expected[: len(frames)])


def products_of(target: Target, shell: ShellKind, *, cpp_driver: bool = False) -> tuple[str, ...]:
    """Names of the files that a build leaves, the deployment package's below `deploy`."""
    found = [f"report/{name}" for name in _ESTIMATES] + ["stitched_ip.zip"]
    if target == "stitched-ip":
        return tuple(found)
    found += [f"report/vivado_{kind}.rpt" for kind in ("utilization", "timing", "power")]
    if target == "bitfile":
        found += [f"deploy/bitfile/{name}" for name in _BITFILES[shell]]
        found += ["deploy/driver/settings.json", "report/post_synth_resources.json"]
        found += ["cpp_driver.zip"] if cpp_driver else []
    return tuple(found)


def _npy(array: NDArray[Any]) -> bytes:
    """A NumPy file, of floats as FINN computes with them."""
    sink = BytesIO()
    np.save(sink, array.astype(np.float32), allow_pickle=False)
    return sink.getvalue()
