"""A build here, in a container and over SSH, by a builder in place of FINN's: good, failing, lying."""

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from common.errors import LinkError, TimingError, ToolError, ToolMissingError, VerificationError
from hw.boards.board import Board
from hw.boards.boards import find
from hw.finn.vivado.machines import Docker, Local, Machine, Ssh, build
from hw.finn.vivado.plan import Plan, Target, make_plan
from hw.finn.vivado.products import Products, check
from hw.implementation.bitstream import Use
from hw.tools.ssh import Remote
from tests.hw.finn.vivado import fake_builder
from tests.ssh_server import SshServer, serve, unavailable

PYNQ = find("pynq-z2")
ALVEO = find("u250")
BIT = "deploy/bitfile/finn-accel.bit"
needs_sshd = pytest.mark.skipif(unavailable() is not None, reason=str(unavailable()))


def planned(board: Board = PYNQ, target: Target = "bitfile", samples: int = 3) -> Plan:
    frames = np.arange(samples * 4, dtype=np.uint8).reshape(samples, 4)
    expected = np.arange(samples * 5).reshape(samples, 5) - 7
    return make_plan(b"model", board, target=target, frames=frames, expected=expected)


def fake_python(folder: Path, mode: str) -> str:
    path = folder / "python-of-finn"
    path.write_text(f"#!/bin/bash\nexec {sys.executable} {fake_builder.__file__} {mode} {folder}/pid\n")
    path.chmod(0o755)
    return str(path)


def built(plan: Plan, place: Machine, folder: Path, hours: float = 0.1) -> Products:
    return build(plan, place, work=folder / "job", log=folder / "build.log", hours=hours)


def here(folder: Path, mode: str = "good", plan: Plan | None = None) -> Products:
    return built(plan or planned(), Local(python=fake_python(folder, mode)), folder)


def left(folder: Path, mode: str, plan: Plan | None = None) -> Products:
    """The same without a process: what a builder leaves, checked."""
    plan = plan or planned()
    plan.write(folder / "job")
    assert fake_builder.leave(folder / "job", mode) == 0
    return check(plan, folder / "job" / "out", folder / "build.log")


def test_good_build(tmp_path: Path) -> None:
    found = here(tmp_path)
    assert {BIT, "deploy/bitfile/finn-accel.hwh", "deploy/driver/settings.json"} <= set(found.files)
    assert all((found.folder / name).stat().st_size for name in found.files)
    assert found.verified == 3
    assert found.versions["vivado"] == "2024.2"
    assert "FINN at work" in (tmp_path / "build.log").read_text()
    assert (tmp_path / "build_dataflow.log").read_text() == "INFO\n"


def test_utilization_is_saved_in_the_layout_of_the_open_way(tmp_path: Path) -> None:
    found = left(tmp_path, "good").utilization
    assert found is not None
    assert (found.board, found.device) == ("pynq-z2", "xc7z020clg400-1")
    assert found.resources["LUT"] == Use(6542, 53200)
    assert found.fmax_hz == pytest.approx(1e9 / 7.5)
    found.save(tmp_path / "utilization.json")
    raw = json.loads((tmp_path / "utilization.json").read_text())
    assert raw["resources"]["BRAM_18K"] == {"used": 9, "available": 280}
    assert (raw["clock_hz"], raw["timing_met"]) == (100_000_000, True)
    assert raw["power"] == {"total_w": 1.573, "dynamic_w": 1.434, "static_w": 0.139, "confidence": "Medium"}
    assert raw["timing"]["wns_ns"] == 2.5
    assert raw["by_layer"]["MVAU_rtl_0"] == {"LUT": 211, "FF": 307}


@pytest.mark.parametrize("target", ["stitched-ip", "out-of-context"])
def test_targets_before_the_bitfile(target: Target, tmp_path: Path) -> None:
    found = left(tmp_path, "good", planned(target=target, samples=0))
    assert (found.utilization is None) == (target == "stitched-ip")
    assert found.verified == 0 and "stitched_ip.zip" in found.files and BIT not in found.files


def test_alveo(tmp_path: Path) -> None:
    assert "deploy/bitfile/finn-accel-0.xclbin" in left(tmp_path, "good", planned(ALVEO)).files


def test_failure_is_told_in_the_words_of_the_tool(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match=r"^FINN's builder: ERROR: \[Common 17-345\] A valid license .*log$"):
        here(tmp_path, "fails")


def test_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ToolMissingError, match=r"A valid license .*; see .*build\.log$"):
        here(tmp_path, "missing")


def test_crash_without_a_word(tmp_path: Path) -> None:
    with pytest.raises(
        ToolError, match=r"^FINN's builder: exit code 3: Traceback: ERROR: no memory left; see"
    ):
        here(tmp_path, "crashes")


def test_success_that_is_not_said(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match=r"exit code 0 but .*outcome\.json does not say 'built'"):
        left(tmp_path, "silent")


@pytest.mark.parametrize("how", ["lies", "empty"])
@pytest.mark.parametrize("product", planned().products)
def test_every_product_is_missed(how: str, product: str, tmp_path: Path) -> None:
    with pytest.raises(ToolError, match=f"exit code 0 but no {product}, or an empty one; see .*build.log"):
        left(tmp_path, f"{how}:{product}")


@pytest.mark.parametrize(
    ("board", "name"), [(PYNQ, "finn-accel.bit"), (ALVEO, "finn-accel-0.xclbin")], ids=["zynq", "alveo"]
)
def test_bitfile_that_is_none(board: Board, name: str, tmp_path: Path) -> None:
    with pytest.raises(ToolError, match=f"{name}: 22 bytes that configure no AMD chip"):
        left(tmp_path, f"junk:deploy/bitfile/{name}", planned(board))


@pytest.mark.parametrize("name", ["utilization.rpt", "timing.rpt", "power.rpt"])
def test_report_that_is_none(name: str, tmp_path: Path) -> None:
    with pytest.raises(ToolError, match=rf"vivado_{name}: not what Vivado's"):
        left(tmp_path, f"junk:report/vivado_{name}")


def test_resources_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match=r"post_synth_resources\.json: not resources that FINN found"):
        left(tmp_path, "junk:report/post_synth_resources.json")


@pytest.mark.parametrize(
    ("mode", "told"),
    [
        (
            "timing:missed",
            "misses 100.00 MHz: worst slack -0.75 ns setup, 0.021 ns hold, total -7.451 ns, 31",
        ),
        ("timing:hold", "worst slack 1.1 ns setup, -0.008 ns hold, total 0 ns, 1 endpoints fail"),
        ("warns", r"0 endpoints fail; Vivado: CRITICAL WARNING: \[Route 35-39\]"),
    ],
)
def test_missed_timing(mode: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(TimingError, match=told):
        left(tmp_path, mode)


@pytest.mark.parametrize(
    ("mode", "told"),
    [
        ("wrong", "sample 1, output 2: expected 0, got 1"),
        ("fail", "sample 1: equal, but FINN says verify_stitched_ip_rtlsim_1_FAIL.npy"),
        ("skipped", "sample 1: stitched_ip_rtlsim_SKIPPED_DSP_CONFLICT.txt"),
        ("junk:verification_output/verify_stitched_ip_rtlsim_2_SUCCESS.npy", "sample 2: .* cannot be read"),
        ("lies:verification_output/verify_stitched_ip_rtlsim_0_SUCCESS.npy", "sample 0: no result"),
    ],
)
def test_failed_verification(mode: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(VerificationError, match=f"Vivado's simulator, {told}"):
        left(tmp_path, mode)


def test_settings_that_are_not_there(tmp_path: Path) -> None:
    place = Local(settings=("/no/settings64.sh",), python=fake_python(tmp_path, "good"))
    with pytest.raises(ToolMissingError, match=r"^/no/settings64\.sh is not there or cannot be read"):
        built(planned(), place, tmp_path)


def test_python_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ToolMissingError, match=r"^/no/python is not there"):
        built(planned(), Local(python="/no/python"), tmp_path)


def test_settings_are_sourced(tmp_path: Path) -> None:
    settings = tmp_path / "settings 64.sh"
    settings.write_text(f"touch '{tmp_path}/sourced'\n")
    built(planned(), Local((str(settings),), fake_python(tmp_path, "good")), tmp_path)
    assert (tmp_path / "sourced").exists()


def gone(pid: Path) -> bool:
    """Whether a process that was killed ends; the kernel may take a moment."""
    for _ in range(200):
        try:
            if Path(f"/proc/{pid.read_text()}/stat").read_text().split()[2] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.05)
    return False


def test_hanging_build_is_killed_with_its_children(tmp_path: Path) -> None:
    place = Local(python=fake_python(tmp_path, "hangs"))
    with pytest.raises(ToolError, match=r"^FINN's builder: not done after 3 s, killed; see"):
        built(planned(), place, tmp_path, hours=3 / 3600)
    assert gone(tmp_path / "pid")


# In a container


IMAGE = "finn@sha256:" + "a" * 64


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `docker` that notes its arguments and runs the entry point right here; its log."""
    calls = tmp_path / "docker-calls"
    script = tmp_path / "bin" / "docker"
    script.parent.mkdir()
    script.write_text(
        f'#!/bin/bash\nprintf "%s\\n" "$@" >> {calls}\n[[ $1 = run ]] || exit 0\nexec bash "${{@: -1}}"\n'
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{script.parent}{os.pathsep}{os.environ['PATH']}")
    return calls


def contained(folder: Path, mode: str) -> Docker:
    return Docker(IMAGE, ("/tools/Xilinx",), (), fake_python(folder, mode))


def test_in_a_container(docker: Path, tmp_path: Path) -> None:
    assert built(planned(), contained(tmp_path, "good"), tmp_path).verified == 3
    calls = docker.read_text().splitlines()
    job = tmp_path / "job"
    assert calls[calls.index("run") + 1] == "--rm"
    assert f"--mount=type=bind,source={job},target={job}" in calls
    assert "--mount=type=bind,source=/tools/Xilinx,target=/tools/Xilinx,readonly" in calls
    assert f"--user={os.getuid()}:{os.getgid()}" in calls
    assert {"--env=XILINXD_LICENSE_FILE", "--env=LM_LICENSE_FILE"} <= set(calls)  # by name: no value is shown
    assert calls[-3:] == ["--entrypoint=bash", IMAGE, "run.sh"]


def test_hanging_container_is_killed(docker: Path, tmp_path: Path) -> None:
    with pytest.raises(ToolError, match=r"in docker: not done after 3 s, killed"):
        built(planned(), contained(tmp_path, "hangs"), tmp_path, hours=3 / 3600)
    calls = docker.read_text().splitlines()
    name = next(each for each in calls if each.startswith("--name=")).removeprefix("--name=")
    assert calls[-2:] == ["kill", name]
    assert gone(tmp_path / "pid")


def test_without_docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolMissingError, match=r"docker .* is not on this machine"):
        built(planned(), contained(tmp_path, "good"), tmp_path)


# On a build host


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    with serve(tmp_path_factory.mktemp("ssh")) as found:
        yield found


def there(server: SshServer, folder: Path, mode: str) -> Ssh:
    remote = Remote(server.alias, config=server.config)
    return Ssh(remote, (), fake_python(folder, mode), str(folder / "farm"))


@needs_sshd
def test_on_a_build_host(server: SshServer, tmp_path: Path) -> None:
    found = built(planned(), there(server, tmp_path, "good"), tmp_path)
    assert found.verified == 3 and BIT in found.files
    assert list((tmp_path / "farm").iterdir()) == []


@needs_sshd
@pytest.mark.parametrize(
    ("mode", "error", "told"),
    [
        ("fails", ToolError, "^FINN's builder: ERROR: .* A valid license"),
        ("crashes", ToolError, "^FINN's builder on farm: exit code 3: Traceback: ERROR: no memory left"),
        (f"lies:{BIT}", ToolError, f"exit code 0 but no {BIT}"),
    ],
)
def test_failure_on_a_build_host(server, mode: str, error, told: str, tmp_path: Path) -> None:
    with pytest.raises(error, match=told):
        built(planned(), there(server, tmp_path, mode), tmp_path)
    assert list((tmp_path / "farm").iterdir()) == []


@needs_sshd
def test_hanging_build_on_a_host_is_killed(server: SshServer, tmp_path: Path) -> None:
    with pytest.raises(ToolError, match=r"^FINN's builder on farm: not done after 3 s, killed"):
        built(planned(), there(server, tmp_path, "hangs"), tmp_path, hours=3 / 3600)
    assert gone(tmp_path / "pid")
    assert list((tmp_path / "farm").iterdir()) == []


@needs_sshd
def test_host_that_nobody_knows(tmp_path: Path) -> None:
    with serve(tmp_path / "ssh") as stranger:
        stranger.forget()
        with pytest.raises(LinkError, match="farm: it is no known host"):
            built(planned(), there(stranger, tmp_path, "good"), tmp_path)


@needs_sshd
def test_host_that_is_off(tmp_path: Path) -> None:
    with serve(tmp_path / "ssh") as server:
        pass
    with pytest.raises(LinkError, match="farm: cannot be reached"):
        built(planned(), there(server, tmp_path, "good"), tmp_path)


# The plan


def test_digest_tells_plans_apart() -> None:
    plans = [
        planned(),
        planned(ALVEO),
        planned(target="out-of-context"),
        planned(samples=2),
        make_plan(
            b"other",
            PYNQ,
            target="bitfile",
            frames=np.zeros((0, 4), np.uint8),
            expected=np.zeros((0, 5), int),
        ),
    ]
    assert planned().digest == plans[0].digest
    assert len({plan.digest for plan in plans}) == len(plans)
