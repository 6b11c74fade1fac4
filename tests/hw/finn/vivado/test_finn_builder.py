"""FINN's own builder, run by the script that is sent to the farm, with stand-ins for AMD's tools alone.

What is run for real: FINN's steps, its code for the nodes, its Tcl; what it leaves, gathered and checked.
"""

import json
import re
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from common.errors import ToolError, ToolMissingError
from hw.boards.boards import find
from hw.dataflow.fold import Fold
from hw.finn.graph import load_hardware
from hw.finn.rtl import GRAPH, generate
from hw.finn.session import finn_session
from hw.finn.vivado import finn_build
from hw.finn.vivado.machines import Local, build
from hw.finn.vivado.plan import Target, make_plan
from hw.finn.vivado.products import Products
from tests.hw.finn.vivado import amd_tools
from tests.hw.networks import lowered, random_frames, random_network

PYNQ = find("pynq-z2")
Build = Callable[..., Products]


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network's implemented graph, alone in its folder."""
    folder = tmp_path_factory.mktemp("network")
    model = lowered(random_network([16, 8, 4]), folder, [Fold(2, 4), Fold(1, 2)])
    generate(model, part=PYNQ.device, clock_hz=PYNQ.clock_hz, folder=folder, log=folder / "finn.log")
    return folder / GRAPH


@pytest.fixture
def farm(tmp_path: Path) -> Path:
    """A folder with AMD's tools, as far as FINN looks at them, and the script that leads to them."""
    vivado, xsi = tmp_path / "Vivado" / "2024.2", tmp_path / "xsi"
    (vivado / "bin").mkdir(parents=True)
    root = Path(amd_tools.__file__).parents[4]
    for name in ("vivado", "vitis_hls"):
        script = vivado / "bin" / name
        script.write_text(
            f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(root)!r})\n"
            "from tests.hw.finn.vivado.amd_tools import main\n"
            "sys.exit(main(sys.argv[0].rsplit('/', 1)[1], sys.argv[1:]))\n"
        )
        script.chmod(0o755)
    # The bridge to Vivado's simulator, which FINN imports whether it simulates or not.
    (xsi / "xsi").mkdir(parents=True)
    (xsi / "xsi" / "__init__.py").write_text("class Port: ...\n\nKernel = Design = Port\n")
    (xsi / "xsi.so").write_bytes(b"")
    (xsi / "VERSION").write_text("Vivado 2024.2")
    settings = tmp_path / "settings64.sh"
    settings.write_text(
        f"export XILINX_VIVADO={vivado} PATH={vivado}/bin:$PATH FINN_XSI={xsi}\n"
        "unset PYTEST_CURRENT_TEST  # with it FINN raises what it otherwise logs\n"
    )
    return tmp_path


def run(farm: Path, network: Path, target: Target) -> Products:
    frames, expected = np.zeros((0, 16), np.uint8), np.zeros((0, 4), np.int64)
    plan = make_plan(
        network.read_bytes(), PYNQ, target=target, frames=frames, expected=expected, vivado="2024.2"
    )
    place = Local((str(farm / "settings64.sh"),))
    return build(plan, place, work=farm / "job", log=farm / "build.log", hours=0.4)


@pytest.mark.slow
def test_out_of_context(farm: Path, network: Path) -> None:
    found = run(farm, network, "out-of-context")
    assert found.utilization is not None
    assert found.utilization.resources["LUT"].used == 6542
    assert found.versions == {"finn": "1.6.1", "vivado": "2024.2"}
    report = found.folder / "report"
    cycles = json.loads((report / "estimate_layer_cycles.json").read_text())
    assert cycles["MVAU_rtl_0"] == 16 * 8 // (2 * 4)
    assert zipfile.ZipFile(found.folder / "stitched_ip.zip").namelist() == ["component.xml"]
    assert any(name.endswith("vivado.log") for name in zipfile.ZipFile(farm / "vivado_logs.zip").namelist())


@pytest.mark.slow
def test_bitfile(farm: Path, network: Path) -> None:
    found = run(farm, network, "bitfile")
    assert (found.folder / "deploy" / "bitfile" / "finn-accel.bit").read_bytes().endswith(b"data")
    driver = json.loads((found.folder / "deploy" / "driver" / "settings.json").read_text())
    shapes = driver["driver_information"]["io_shape_dict"]
    assert (shapes["idt"], shapes["ishape_normal"]) == (["DataType['UINT8']"], [[1, 16]])
    assert [shape[-1] for shape in shapes["oshape_normal"]] == [4]
    assert found.utilization is not None
    assert found.utilization.by_layer["(top)"]["LUT"] == 6542
    assert found.utilization.timing.wns_ns == 2.5


@pytest.mark.slow
def test_failure_of_vivado_which_finn_takes_for_a_missing_file(farm: Path, network: Path) -> None:
    licence = "ERROR: [Common 17-345] A valid license was not found for feature 'Synthesis'"
    vivado = farm / "Vivado" / "2024.2" / "bin" / "vivado"
    vivado.write_text(
        "#!/bin/bash\n[[ $1 = -version ]] && echo vivado v2024.2 && exit\n"
        f'echo "{licence}" > vivado.log\nexit 1\n'
    )
    with pytest.raises(ToolError, match=f"^FINN's builder: {re.escape(licence)}; see"):
        run(farm, network, "stitched-ip")
    assert "no wrapper HDL found" in (farm / "build_dataflow.log").read_text()


def test_vivado_of_another_version(farm: Path, network: Path) -> None:
    vivado = farm / "Vivado" / "2024.2" / "bin" / "vivado"
    vivado.write_text("#!/bin/bash\necho 'Vivado v2022.1 (64-bit)'\n")
    with pytest.raises(ToolMissingError, match=r"^vivado 2022\.1 is here, the plan is for 2024\.2"):
        run(farm, network, "stitched-ip")


def test_bridge_to_the_simulator_where_finn_is_not_ours_to_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = tmp_path / "finn_xsi"
    installed.mkdir()
    (installed / "adapter.py").write_text("bridge")
    monkeypatch.delenv("FINN_XSI", raising=False)
    assert finn_build.own_bridge(tmp_path, installed) == {}
    monkeypatch.setattr(finn_build.os, "access", lambda path, mode: False)
    assert finn_build.own_bridge(tmp_path, installed) == {"FINN_XSI": str(tmp_path / "xsi")}
    assert (tmp_path / "xsi" / "adapter.py").read_text() == "bridge"


def test_without_vivado(farm: Path, network: Path) -> None:
    (farm / "settings64.sh").write_text("unset XILINX_VIVADO\nPATH=/usr/bin:/bin\n")
    with pytest.raises(ToolMissingError, match=r"^vivado is not on the PATH"):
        run(farm, network, "stitched-ip")


@pytest.mark.slow
def test_graph_around_the_hardware_runs_it(network: Path, tmp_path: Path) -> None:
    """FINN's own check executes the parent with the child in it; here with FINN's Python models."""
    from finn.util.execution import execute_parent

    from hw.finn.execution import execute_frames, unspecialized

    x = random_frames(4, 16)
    with finn_session(tmp_path / "log"):
        child = unspecialized(load_hardware(network))
        child.save(str(tmp_path / "child.onnx"))
        finn_build.write_parent(tmp_path / "child.onnx", tmp_path / "parent.onnx")
        out = child.graph.output[0].name
        for frame, context in zip(x, execute_frames(child, x), strict=True):
            found = execute_parent(
                tmp_path / "parent.onnx", tmp_path / "child.onnx", frame[None].astype(np.float32)
            )
            assert np.array_equal(found.reshape(-1), context[out].reshape(-1))
