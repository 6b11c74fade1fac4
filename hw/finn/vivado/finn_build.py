"""Runs FINN's builder as `plan.json` beside it says, and gathers what it leaves in `out`.

Copied to whichever machine has Vivado: it needs Python and finn-plus there, and nothing of Retort. Ends with
0, or with 1, or with 4 where something is missing, and says why in `out/outcome.json`.
"""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

MISSED = re.compile(r"^CRITICAL WARNING: \[(?:Route 35-39|Timing 38-282)\].*$", re.MULTILINE)
"""Vivado's ways to say that a routed design does not meet timing."""

_ERROR = re.compile(r"^ERROR: .*$", re.MULTILINE)
_FINN_ERROR = re.compile(r"\bERROR\b:?\s*(.*\S)")
_EPOCH = (1980, 1, 1, 0, 0, 0)
_LOGS = ("vivado.log", "vitis_hls.log", "runme.log", "v++_a.log", "*_hls_compile.log")


class MissingError(Exception):
    """What has to be installed on this machine."""


def main(folder: Path) -> int:
    """Build; exit code."""
    out = folder / "out"
    out.mkdir(exist_ok=True)
    outcome: dict[str, Any] = {"status": "failed", "versions": {}, "timing": []}
    try:
        plan = json.loads((folder / "plan.json").read_text())
        outcome["versions"] = versions = find_versions()
        check_versions(plan, versions)
        if run_finn(folder, plan):
            outcome["message"] = amd_error(folder) or finn_error(folder)
        else:
            gather(folder, out, plan)
            outcome["status"] = "built"
    except MissingError as error:
        outcome |= {"status": "missing", "message": str(error)}
    except Exception as error:
        told = amd_error(folder) or f"{type(error).__name__}: {error}"
        outcome["message"] = " ".join(told.split())[:500]
        raise
    finally:
        outcome["timing"] = sorted({line for path in logs(folder) for line in MISSED.findall(_text(path))})
        keep_logs(folder, out)
        (out / "outcome.json").write_text(json.dumps(outcome, indent=2) + "\n")
    return {"built": 0, "missing": 4}.get(str(outcome["status"]), 1)


def find_versions() -> dict[str, str]:
    """Versions of FINN and Vivado here."""
    try:
        finn = metadata.version("finn-plus")
    except metadata.PackageNotFoundError as error:
        raise MissingError(f"finn-plus is not installed for {sys.executable}: pip install it") from error
    if root := os.environ.get("XILINX_VIVADO"):
        os.environ["PATH"] += f"{os.pathsep}{root}/bin"
    vivado = shutil.which("vivado")
    if vivado is None:
        raise MissingError("vivado is not on the PATH: source AMD's settings64.sh (vivado.settings)")
    os.environ.setdefault("XILINX_VIVADO", str(Path(vivado).resolve().parents[1]))
    told = subprocess.run([vivado, "-version"], capture_output=True, text=True, check=False)
    version = re.search(r"[Vv]ivado v(\d{4}\.\d+(?:\.\d+)?)", told.stdout)
    if version is None:
        raise MissingError(f"{vivado} does not tell its version: {(told.stdout + told.stderr).strip()[:200]}")
    return {"finn": finn, "vivado": version[1]}


def check_versions(plan: dict[str, Any], versions: dict[str, str]) -> None:
    """Raise where a tool is not of the version that was planned with."""
    for tool, found in versions.items():
        if plan[tool] not in (None, found):
            raise MissingError(f"{tool} {found} is here, the plan is for {plan[tool]}: install that")


def run_finn(folder: Path, plan: dict[str, Any]) -> int:
    """FINN's builder, its own exit code: 0, or -1, which its command line takes for success."""
    from finn.interface.run_finn import ensure_ld_library_path, prepare_finn
    from finn.interface.settings import FINNSettings

    ensure_ld_library_path()  # starts this script anew where Vivado's libraries are not found
    os.environ |= own_bridge(folder, FINNSettings().finn_xsi)
    settings = FINNSettings.init(
        flow_config=folder / "plan.json", automatic_dependency_updates=False, finn_build_dir=folder / "finn"
    )
    prepare_finn(settings, accept_defaults=True, batch=True)

    from finn.builder.build_dataflow import build_dataflow_cfg
    from finn.builder.build_dataflow_config import DataflowBuildConfig

    config = DataflowBuildConfig.from_dict(plan["config"])
    config.output_dir = str(folder / "build")
    config.verify_input_npy = str(folder / "input.npy")
    config.verify_expected_output_npy = str(folder / "expected.npy")
    config.steps = [*config.steps, step_gather_reports]
    models = config.get_intermediate_models_directory()
    write_parent(folder / "model.onnx", models / "dataflow_parent.onnx")
    return int(build_dataflow_cfg(str(folder / "model.onnx"), config))


def own_bridge(folder: Path, installed: Path) -> dict[str, str]:
    """Where FINN is to compile its bridge to Vivado's simulator, as its environment has it.

    It does so in its own package, unless that is not ours to write, as in a container: then in a copy.
    """
    if "FINN_XSI" in os.environ or os.access(installed, os.W_OK):
        return {}
    return {"FINN_XSI": str(shutil.copytree(installed, folder / "xsi"))}


def write_parent(child: Path, path: Path) -> None:
    """The graph around the hardware, which FINN's checks run it in: one node, the same input and output."""
    from onnx import helper
    from qonnx.core.modelwrapper import ModelWrapper

    model = ModelWrapper(str(child))
    taken, given = model.graph.input[0], model.graph.output[0]
    node = helper.make_node(
        "StreamingDataflowPartition",
        [taken.name],
        [given.name],
        name="hardware",
        domain="finn.custom_op.fpgadataflow",
        model=str(child),
    )
    parent = ModelWrapper(helper.make_model(helper.make_graph([node], "parent", [taken], [given])))
    for tensor in (taken.name, given.name):
        parent.set_tensor_datatype(tensor, model.get_tensor_datatype(tensor))
    parent.save(str(path))


def step_gather_reports(model: Any, cfg: Any) -> Any:
    """FINN's last step: Vivado's reports of the placed and routed design, to where FINN's are."""
    runs = None
    if project := model.get_metadata_prop("vivado_pynq_proj"):
        runs = Path(project) / "finn_zynq_link.runs" / "impl_1"
    elif linked := model.get_metadata_prop("bitfile"):
        link = Path(json.loads(linked)["0"]).parent
        runs = link / "_x" / "link" / "vivado" / "vpl" / "prj" / "prj.runs" / "impl_1"
    if runs:
        found = {
            # After routing there may be an optimization, with a report of its own.
            "timing": ["*_timing_summary_postroute_physopted.rpt", "*_timing_summary_routed.rpt"],
            "utilization": ["*_utilization_placed.rpt"],
            "power": ["*_power_routed.rpt"],
        }
    elif result := model.get_metadata_prop("res_total_ooc_synth"):
        runs = Path(ast.literal_eval(result)["vivado_proj_folder"])
        found = {kind: [f"ooc_{kind}.rpt"] for kind in ("timing", "utilization", "power")}
    else:
        return model
    report = Path(cfg.get_report_directory())
    for kind, patterns in found.items():
        paths = next(filter(None, (sorted(runs.glob(pattern)) for pattern in patterns)), [])
        if len(paths) == 1:  # otherwise it is missed where products are checked
            shutil.copyfile(paths[0], report / f"vivado_{kind}.rpt")
    return model


def gather(folder: Path, out: Path, plan: dict[str, Any]) -> None:
    """Copy FINN's products to `out`."""
    build = folder / "build"
    for name in ("report", "verification_output", "deploy"):
        if (build / name).is_dir():
            shutil.copytree(build / name, out / name)
    if plan["shell"] == "alveo":  # there may be several cards; ours is the first
        for path in (out / "report").glob("post_synth_resources_0.json"):
            path.rename(out / "report" / "post_synth_resources.json")
    ip = build / "stitched_ip" / "ip"
    if (ip / "component.xml").is_file():
        _archive(ip, _files(ip), out / "stitched_ip.zip")
    driver = out / "deploy" / "driver" / "cpp"
    if (driver / "acceleratorconfig.json").is_file():
        _archive(driver, _files(driver), out / "cpp_driver.zip")
        shutil.rmtree(driver)


def logs(folder: Path) -> list[Path]:
    """Logs of AMD's tools, oldest first."""
    found = {path for pattern in _LOGS for path in (folder / "finn").rglob(pattern) if path.is_file()}
    return sorted(found, key=lambda path: (path.stat().st_mtime, path))


def keep_logs(folder: Path, out: Path) -> None:
    """FINN's log, and those of AMD's tools in an archive."""
    _archive(folder, logs(folder), out / "vivado_logs.zip")
    log = folder / "build" / "build_dataflow.log"
    if log.is_file():
        shutil.copyfile(log, out / log.name)


def amd_error(folder: Path) -> str | None:
    """What AMD's tools said first of an error, in the last log that has one; FINN often passes it over."""
    for path in reversed(logs(folder)):
        if error := _ERROR.search(_text(path)):
            return error[0][:500]
    return None


def finn_error(folder: Path) -> str:
    """What FINN said last of an error."""
    log = folder / "build" / "build_dataflow.log"
    told = _FINN_ERROR.findall(_text(log)) if log.is_file() else []
    return " ".join(told[-1].split())[:500] if told else "FINN's builder failed and said nothing"


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _text(path: Path) -> str:
    return path.read_text(errors="replace")


def _archive(folder: Path, paths: Iterable[Path], archive: Path) -> None:
    """Files in a zip archive, by names relative to `folder`, without times."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        for path in paths:
            opened.writestr(zipfile.ZipInfo(path.relative_to(folder).as_posix(), _EPOCH), path.read_bytes())


if __name__ == "__main__":
    sys.exit(main(Path(__file__).resolve().parent))
