"""What the project's files say of each other."""

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from pipeline.config.file import load

ROOT = Path(__file__).parents[1]
DEPENDENCIES = ROOT / "docs" / "dependencies.md"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
RUNTIME = PROJECT["dependencies"]
DEVELOPMENT = PROJECT["optional-dependencies"]["dev"]

# In halves, so that this file does not hold them itself.
REGISTRIES = [
    "pypi" + ".org",
    "pypi" + ".python.org",
    "python" + "hosted.org",
    "download.py" + "torch.org",
    "docker" + ".io",
    "docker" + ".com",
    "gh" + "cr.io",
    "gc" + "r.io",
    "qu" + "ay.io",
    "ana" + "conda.org",
    "npm" + "js.org",
]


def name_of(requirement: str) -> str:
    match = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert match, requirement
    return re.sub(r"[-_.]+", "-", match[0]).lower()


def locked() -> dict[str, str]:
    """Every entry of the lock file: the package's name, and all that follows it."""
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    entries: dict[str, list[str]] = {}
    for line in lines:
        if line and not line.startswith((" ", "#")):
            entries[name_of(line)] = current = []
        if line.strip() and not line.strip().startswith("#"):
            current.append(line)
    return {name: "\n".join(text) for name, text in entries.items()}


def tracked() -> list[Path]:
    if shutil.which("git") is None:
        pytest.skip("no git on this machine")
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("not a git repository")
    return [path for name in done.stdout.split("\0") if name and (path := ROOT / name).is_file()]


STARTS_PROCESSES = re.compile(
    r"subprocess\.(run|Popen|call|check_\w+|getoutput)\(|os\.(system|popen|spawn\w+|fork)\("
)


def test_processes_are_started_in_one_place() -> None:
    """Others would outlive an interrupted run. What runs on a build host knows nothing of Retort."""
    found = {
        name
        for path in tracked()
        if (name := path.relative_to(ROOT).as_posix()).startswith(("hw/", "models/", "pipeline/"))
        and path.suffix == ".py"
        and STARTS_PROCESSES.search(path.read_text())
    }
    assert found == {"hw/tools/processes.py", "hw/finn/vivado/finn_build.py"}


def test_page_explains_every_dependency() -> None:
    table = re.findall(r"^\| ([a-z0-9-]+) \| (.+) \|$", DEPENDENCIES.read_text(), re.MULTILINE)
    reasons = {name: why for name, why in table if name in {name_of(each) for each in RUNTIME}}
    assert sorted(reasons) == sorted(name_of(each) for each in RUNTIME)
    assert all(len(why) > 5 for why in reasons.values())


def test_page_has_no_dependency_too_many() -> None:
    section = DEPENDENCIES.read_text().split("## Development")[0]
    names = re.findall(r"^\| ([^ ]+) \|", section, re.MULTILINE)
    assert set(names) - {"package", "---"} == {name_of(each) for each in RUNTIME}


@pytest.mark.parametrize("requirement", DEVELOPMENT, ids=name_of)
def test_page_names_development_tools(requirement: str) -> None:
    section = DEPENDENCIES.read_text().split("For development:")[1]
    assert re.search(rf"\b{name_of(requirement)}\b", section)


def test_lock_pins_and_hashes_every_entry() -> None:
    entries = locked()
    assert len(entries) > 50
    for name, text in entries.items():
        assert re.match(r"[^=]+==[^ ;]+", text), name
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", text), name


def test_lock_covers_every_dependency() -> None:
    entries = locked()
    for requirement in [*RUNTIME, *DEVELOPMENT]:
        name = name_of(requirement)
        assert name in entries, f"{name}: run make lock"
        exact = re.search(r"==([^,;]+)$", requirement)
        if exact:
            assert f"=={exact[1]} " in entries[name] + " ", name


def test_lock_names_no_index() -> None:
    text = (ROOT / "requirements.lock").read_text()
    assert "--index-url" not in text
    assert "--find-links" not in text
    assert "://" not in text


def test_no_host_of_a_registry() -> None:
    found = []
    for path in tracked():
        text = path.read_bytes().decode(errors="replace").lower()
        found += [f"{path.relative_to(ROOT)}: {host}" for host in REGISTRIES if host in text]
    assert not found


@pytest.mark.parametrize("path", sorted((ROOT / "builds").glob("*.toml")), ids=lambda path: path.stem)
def test_build_file_loads(path: Path) -> None:
    assert load(path).name == path.stem


@pytest.mark.parametrize("target", ["help", "setup", "demo", "test", "lint", "bench", "lock", "clean"])
def test_make_has_target(target: str) -> None:
    done = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    helped = subprocess.run(["make", "-s"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert re.search(rf"^{target} ", helped, re.MULTILINE)


def test_environment_is_made_again_when_the_lock_changes(tmp_path: Path) -> None:
    for name in ("Makefile", "pyproject.toml", "requirements.lock"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())

    def planned() -> str:
        # What a make around this one says to its own makes is not meant for this one.
        env = {key: value for key, value in os.environ.items() if key not in ("MAKEFLAGS", "MFLAGS")}
        argv = ["make", "-n", "setup"]
        return subprocess.run(argv, cwd=tmp_path, env=env, capture_output=True, text=True, check=True).stdout

    first = planned()
    assert "--require-hashes" in first
    ready = re.findall(r"^touch (\S+)", first, re.MULTILINE)[-1]
    (tmp_path / ".venv").mkdir()
    assert "--require-hashes" in planned()  # half built
    (tmp_path / ready).touch()
    assert "--require-hashes" not in planned()
    with (tmp_path / "pyproject.toml").open("a") as file:
        file.write('\n[tool.new]\nkey = "value"\n')
    assert "--require-hashes" not in planned()
    with (tmp_path / "requirements.lock").open("a") as file:
        file.write("new==1 --hash=sha256:" + "0" * 64 + "\n")
    assert "--require-hashes" in planned()


def test_image_runs_as_a_user_of_its_own() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    final = lines[max(index for index, line in enumerate(lines) if line.startswith("FROM ")) :]
    users = [line.split()[1] for line in final if line.startswith("USER ")]
    assert users
    assert users[-1] not in ("root", "0")
    assert 'ENTRYPOINT ["retort"]' in final
    bases = [line.split()[1] for line in lines if line.startswith("FROM ")]
    assert bases[0] == "${BASE}"
    default = next(line for line in lines if line.startswith("ARG BASE="))
    assert re.search(r":\S*\d{8}|@sha256:", default)


def test_image_installs_by_hash_and_keeps_no_dates() -> None:
    text = (ROOT / "Dockerfile").read_text()
    assert "pip install --require-hashes -r requirements.lock" in text
    assert "--invalidation-mode unchecked-hash" in text
    assert "SOURCE_DATE_EPOCH" in text


def test_ci_script_runs() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert script.read_text().startswith("#!")
    subprocess.run(["bash", "-n", str(script)], check=True)


def test_license_is_apache() -> None:
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text
    assert PROJECT["license"]["text"] == "Apache-2.0"
