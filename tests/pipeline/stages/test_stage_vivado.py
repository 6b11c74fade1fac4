"""Stage `vivado`, with a builder in place of FINN's: what it takes of a build, and what it leaves."""

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from common.errors import TimingError, VerificationError
from common.terminal import Silent, Step
from hw.finn.vivado.machines import Docker, Local, Ssh
from pipeline.config.build import BoardConfig, Build
from pipeline.config.file import load
from pipeline.config.vivado import VivadoConfig
from pipeline.stages import vivado
from tests.hw.finn.vivado import fake_builder


@dataclass(frozen=True)
class Context:
    """What the stage uses of a context; its upstream files are a finished build's."""

    config: Build
    folder: Path
    base: Path
    step: Step = field(default=Silent().step)

    @property
    def work(self) -> Path:
        return self.base / "work"

    @property
    def partial(self) -> Path:
        return self.base / "partial"

    def lay_out(self, name: str) -> Path:
        return self.folder

    def log(self, name: str) -> Path:
        path = self.work / "logs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


@pytest.fixture
def folder(tiny, tmp_path: Path) -> Path:
    """The tiny build's folder, with a graph for FINN's builder."""
    copied = tmp_path / "build"
    copied.mkdir()
    for name in ("data.safetensors", "golden.onnx", "io.json"):
        (copied / name).write_bytes((tiny.folder / name).read_bytes())
    (copied / "implemented.onnx").write_bytes(b"graph")
    return copied


def context(tiny, folder: Path, mode: str, **asked: object) -> Context:
    python = folder.parent / "python-of-finn"
    python.write_text(f"#!/bin/bash\nexec {sys.executable} {fake_builder.__file__} {mode} {folder}/pid\n")
    python.chmod(0o755)
    config = load(tiny.file)
    (folder.parent / "work").mkdir()
    (folder.parent / "partial").mkdir()
    table = VivadoConfig(python=str(python), **asked)
    board = config.board.model_copy(update={"name": "pynq-z2"})
    return Context(config.model_copy(update={"vivado": table, "board": board}), folder, folder.parent)


@pytest.mark.slow
def test_bitfile_and_package(tiny, folder: Path) -> None:
    ctx = context(tiny, folder, "good", samples=3)
    facts = vivado.run(ctx)
    assert facts is not None
    assert facts["verified_samples"] == 3
    assert facts["fmax_hz"] == pytest.approx(1e9 / 7.5)
    for name in vivado.outputs(ctx.config):
        assert (ctx.work / name).stat().st_size, name
    assert (ctx.work / "deploy" / "driver" / "settings.json").is_file()
    utilization = json.loads((ctx.work / "utilization.json").read_text())
    assert (utilization["board"], utilization["resources"]["LUT"]["used"]) == ("pynq-z2", 6542)
    asked = ctx.partial / "job"
    assert (asked / "model.onnx").read_bytes() == b"graph"
    assert np.load(asked / "input.npy").shape[0] == 3
    assert np.load(asked / "expected.npy").shape == (3, 10)


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "error"), [("wrong", VerificationError), ("timing:missed", TimingError)])
def test_failures_end_the_stage(tiny, folder: Path, mode: str, error: type[Exception]) -> None:
    ctx = context(tiny, folder, mode)
    with pytest.raises(error, match=r"see .*logs/vivado\.log$"):
        vivado.run(ctx)
    assert not (ctx.work / "deploy").exists()


def test_outputs_by_target() -> None:
    board = BoardConfig(name="pynq-z2")

    def outputs(**asked: object) -> set[str]:
        return set(vivado.outputs(Build.model_construct(board=board, vivado=VivadoConfig(**asked))))

    ip = outputs(target="stitched-ip")
    assert "vivado/stitched_ip.zip" in ip and "utilization.json" not in ip
    alone = outputs(target="out-of-context")
    assert alone - ip == {
        "utilization.json",
        *(f"vivado/report/vivado_{each}.rpt" for each in ("utilization", "timing", "power")),
    }
    assert {"deploy/bitfile/finn-accel.bit", "deploy/bitfile/finn-accel.hwh"} <= outputs() - alone


def test_places() -> None:
    assert vivado.machine(VivadoConfig()) == Local((), sys.executable)
    image = "finn@sha256:" + "a" * 64
    docker = VivadoConfig(where="docker", image=image, mounts=("/tools",), settings=("/s.sh",))
    assert vivado.machine(docker) == Docker(image, ("/tools",), ("/s.sh",), "python3")
    ssh = vivado.machine(VivadoConfig(where="ssh", host="u@farm", version="2024.2", ssh_config="~/farm"))
    assert isinstance(ssh, Ssh)
    assert (ssh.remote.host, ssh.remote.config, ssh.folder) == (
        "u@farm",
        Path.home() / "farm",
        ".cache/retort",
    )


def test_tools_here_and_there() -> None:
    def tools(**asked: object) -> tuple[str, ...]:
        return vivado.tools(Build.model_construct(vivado=VivadoConfig.model_construct(**asked)))

    assert tools() == ("finn-plus", "vivado")
    assert tools(settings=("/s.sh",)) == ("finn-plus",)
    assert tools(where="docker") == ("finn-plus", "docker")
    assert tools(where="ssh") == ("finn-plus", "ssh")
