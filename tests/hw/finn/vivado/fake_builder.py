"""Stands in for `finn_build.py` without Vivado: leaves in `out` what a good build would, or a bad one.

Run in a plan's folder with the name of what is to go wrong.
"""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

GOLDEN = Path(__file__).parent / "golden"
BIT = bytes.fromhex("00090ff00ff00ff00ff0000001") + b"a\x00\x04top;" + b"\xff" * 32 + b"\xaa\x99\x55\x66 data"


def good(folder: Path) -> None:
    """All that the plan in a folder asks for, every sample right."""
    plan, out = json.loads((folder / "plan.json").read_text()), folder / "out"
    report = out / "report"
    report.mkdir(parents=True)
    for name in ("layer_cycles", "layer_resources", "network_performance"):
        (report / f"estimate_{name}.json").write_text('{"total": 1}')
    (out / "stitched_ip.zip").write_bytes(b"PK")
    if plan["target"] != "stitched-ip":
        shutil.copyfile(GOLDEN / "utilization_7series.rpt", report / "vivado_utilization.rpt")
        shutil.copyfile(GOLDEN / "timing_met.rpt", report / "vivado_timing.rpt")
        shutil.copyfile(GOLDEN / "power.rpt", report / "vivado_power.rpt")
    if plan["target"] == "bitfile":
        package = out / "deploy"
        (package / "bitfile").mkdir(parents=True)
        (package / "driver").mkdir()
        (package / "driver" / "settings.json").write_text("{}")
        if plan["shell"] == "zynq":
            (package / "bitfile" / "finn-accel.bit").write_bytes(BIT)
            (package / "bitfile" / "finn-accel.hwh").write_text("<xml/>")
        else:
            (package / "bitfile" / "finn-accel-0.xclbin").write_bytes(b"xclbin2\0data")
        layers = {"(top)": {"LUT": 6542, "FF": 8120}, "MVAU_rtl_0": {"LUT": 211, "FF": 307}}
        (report / "post_synth_resources.json").write_text(json.dumps(layers))
    if plan["config"]["verify_steps"]:
        verified = out / "verification_output"
        verified.mkdir()
        path = folder / "expected.npy"
        for sample, outputs in enumerate(np.load(path)):
            np.save(verified / f"verify_stitched_ip_rtlsim_{sample}_SUCCESS.npy", outputs[None])


def damage(out: Path, mode: str) -> str:
    """One thing wrong, `name: value`; the status that is claimed."""
    kind, _, value = mode.partition(":")
    verified = out / "verification_output" / "verify_stitched_ip_rtlsim_1_SUCCESS.npy"
    match kind:
        case "lies":
            (out / value).unlink()
        case "empty":
            (out / value).write_bytes(b"")
        case "junk":
            (out / value).write_bytes(b"<html>not found</html>")
        case "timing":
            shutil.copyfile(GOLDEN / f"timing_{value}.rpt", out / "report" / "vivado_timing.rpt")
        case "wrong":  # and says SUCCESS all the same
            outputs = np.load(verified)
            outputs[0, 2] += 1
            np.save(verified, outputs)
        case "fail":
            verified.rename(verified.with_name(verified.name.replace("SUCCESS", "FAIL")))
        case "skipped":
            verified.unlink()
            (out / "verification_output" / "stitched_ip_rtlsim_SKIPPED_DSP_CONFLICT.txt").write_text("no")
        case "missing":
            return "missing"
        case "fails":
            return "failed"
    return "built"


def main(mode: str) -> int:
    sys.stdout.write("FINN at work\n")
    Path("out").mkdir()
    Path("out", "build_dataflow.log").write_text("INFO\n")
    if mode == "crashes":
        sys.stdout.write("Traceback: ERROR: no memory left\n")
        return 3
    if mode == "hangs":
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        Path(sys.argv[2]).write_text(str(child.pid))
        time.sleep(600)
    return leave(Path(), mode)


def leave(folder: Path, mode: str) -> int:
    """A build's products in a plan's folder, one thing wrong; exit code."""
    good(folder)
    out = folder / "out"
    status = damage(out, mode)
    outcome = {"status": status, "versions": {"finn": "1.6.1", "vivado": "2024.2"}, "timing": []}
    if mode == "warns":
        outcome["timing"] = ["CRITICAL WARNING: [Route 35-39] The design did not meet timing requirements."]
    if status != "built":
        outcome["message"] = "ERROR: [Common 17-345] A valid license was not found for feature 'Synthesis'"
    if mode != "silent":
        (out / "outcome.json").write_text(json.dumps(outcome))
    return {"built": 0, "missing": 4, "failed": 1}[status]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
