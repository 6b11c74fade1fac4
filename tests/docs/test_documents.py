"""What the documents name exists: files, headings, commands, options, build-file keys, exit codes."""

import re
import shlex
import tomllib
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer.main

import pipeline.cli  # noqa: F401 (adds the commands)
from common.errors import kinds
from pipeline.cli.app import INTERRUPTED, UNEXPECTED, app
from tests.docs import build_keys, exit_codes, rooms

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md"))]
FOLDERS = "common|models|hw|pipeline|retort|builds|tests|docs"
GROUP: Any = typer.main.get_command(app)
GLOBAL = {option for each in GROUP.params for option in each.opts}
COMMANDS: Mapping[str, Any] = GROUP.commands
OPTIONS = {name: {o for each in cmd.params for o in each.opts} for name, cmd in COMMANDS.items()}
NAMES = {name for _, _, registry in build_keys.registries() for name in registry}
FOREIGN = {"--untrained", "--max-procs", "--timestamp", "--pull-never", "--secret"}
"""Options of other programs."""
CODES = {0, UNEXPECTED, INTERRUPTED, 143, *(kind.exit_code for kind in kinds())}


def known_keys() -> dict[str, set[str]]:
    """The keys of each table; those of all kinds together."""
    found: dict[str, set[str]] = {"distill.losses": {"weight"}}
    for _, table, tag, kind in build_keys.sections():
        name = table.strip("[]").replace("] ", ".")
        found.setdefault(name, set()).update(build_keys.fields_of(kind), {tag} - {""})
    return found


KEYS = known_keys()
TABLES = {name for name in KEYS if name and "." not in name}


def faults(text: str, page: Path) -> list[str]:
    """What a document names that does not exist."""
    found = list(_links(text, page))
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    blocks = re.findall(r"^ *```(\w*)\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE)
    options = GLOBAL.union(FOREIGN, *OPTIONS.values())
    found += [f"option {each}" for each in re.findall(r"`(--[a-z-]+)", text) if each not in options]
    found += _columns(text)
    for span in spans:
        found += _path(span)
        found += _command(span)
        found += _table_key(span)
    for language, block in blocks:
        if language == "toml":
            found += _toml(block)
        elif language in ("", "sh"):
            for line in block.splitlines():
                found += _command(line.strip())
    found += [f"exit code {code}" for code in re.findall(r"exit code (\d+)", text) if int(code) not in CODES]
    return found


def _links(text: str, page: Path) -> Iterator[str]:
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        name, _, anchor = target.partition("#")
        file = page.parent / name if name else page
        if "://" in target:
            continue
        if not file.is_file():
            yield f"link {target}"
        elif anchor and anchor not in _anchors(text if file == page else file.read_text()):
            yield f"heading {target}"


def _anchors(text: str) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def _path(span: str) -> Iterator[str]:
    for path in re.findall(rf"(?<![\w./])(?:{FOLDERS})/[\w./*-]+", span):
        if not any(ROOT.glob(path.rstrip("/."))):
            yield f"path {path}"
    for module in re.findall(r"python -m ([\w.]+)", span):
        file = ROOT / module.replace(".", "/")
        if module.startswith("tests.") and not (file.with_suffix(".py").is_file() or file.is_dir()):
            yield f"module {module}"


def _command(line: str) -> Iterator[str]:
    yield from _path(line)
    match = re.search(r"(?:^|[ /])retort ((?:--?\w+ )*)([a-z-]+)( .*)?$", line.partition("  #")[0])
    if match is None or line.startswith(("from ", "import ", "docker ", "buildah ", "ls ")):
        return
    command, rest = match[2], match[3] or ""
    if command.startswith("-"):
        yield from (f"option {command}" for _ in range(command not in GLOBAL))
        return
    if command not in COMMANDS:
        yield f"command retort {command}"
        return
    yield from (f"option {o}" for o in re.findall(r" (--[a-z-]+)", rest) if o not in OPTIONS[command])
    words = shlex.split(rest.replace("…", ""))
    for key, value in pairwise(words):
        if key == "--set":
            yield from _dotted(*value.partition("=")[::2])


def _dotted(key: str, value: str) -> Iterator[str]:
    table, _, name = re.sub(r"\[[\d*]+\]", "", key).rpartition(".")
    if name not in KEYS.get(table, ()):
        yield f"key {key}"
    elif value.startswith("{"):
        yield from _toml(f"{key} = {value}")


def _table_key(span: str) -> Iterator[str]:
    """A table, and what follows it: `[task] kind = "detection"`."""
    match = re.match(r"\[(\w+)\](?: (\w+))?", span)
    if match and (match[1] == "network" or (match[2] and match[2] not in KEYS.get(match[1], {match[2]}))):
        yield f"key {span}"


def _columns(text: str) -> Iterator[str]:
    """Tables with columns of keys."""
    every = NAMES.union(*KEYS.values())
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        head, *rows = [line.strip("|\n").split(" | ") for line in table.splitlines(keepends=True)]
        for at, title in enumerate(head):
            if re.match(r" *keys?( |$)", title):
                cells = [row[at] for row in rows if at < len(row)]
                named = [word for cell in cells for word in re.findall(r"`([a-z_]+)`", cell)]
                yield from (f"key {word}" for word in named if word not in every)


def _toml(block: str) -> Iterator[str]:
    for table, value in tomllib.loads(block).items():
        if table in TABLES and isinstance(value, dict):
            yield from _within(table, value)
        elif table not in KEYS[""]:
            yield f"key {table}"


def _within(table: str, value: Mapping[str, Any]) -> Iterator[str]:
    for key, inner in value.items():
        if key not in KEYS[table]:
            yield f"key {table}.{key}"
        for each in inner if isinstance(inner, list) else [inner]:
            if isinstance(each, dict) and f"{table}.{key}" in KEYS:
                yield from _within(f"{table}.{key}", each)


def text_of(page: Path) -> str:
    """The text; of old names in a table of migration, the new ones alone."""
    text = page.read_text()
    if page.name == "artefacts.md":  # its keys are of other files
        return text.replace("| key |", "| name |")
    if page.name != "migration.md":
        return text
    text = re.sub(r"^\| .*? \| (.*) \|$", r"\1", text, flags=re.MULTILINE)
    return text.replace("An old `[network]` table", "An old table")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_it_names_exists(page: Path) -> None:
    assert faults(text_of(page), page) == []


@pytest.mark.parametrize(
    "fault",
    [
        "[a](nowhere.md)",
        "[a](README.md#nowhere)",
        "`hw/nowhere.py`",
        "`builds/nowhere.toml`",
        "`python -m tests.nowhere`",
        "`retort compare BUILD`",
        "```\nretort build x.toml --fast\n```",
        "```\nretort build x.toml --set student.widths=3\n```",
        "```sh\nretort study x.toml --set 'study={ kind = \"compare\", nowhere = 3 }'\n```",
        "`[task] nowhere = 1`",
        "`[network]`",
        "```toml\n[student]\nlayers = [{ neurons = 3 }]\n```",
        "```toml\n[studnet]\nepochs = 3\n```",
        "exit code 99",
        "`--nowhere`",
        "| key | meaning |\n| --- | --- |\n| `nowhere` | x |\n",
        "`retort --nowhere`",
    ],
)
def test_a_fault_is_found(fault: str) -> None:
    assert faults(f"# Page\n\n{fault}\n", ROOT / "README.md")


@pytest.mark.parametrize("page", PAGES[2:], ids=lambda page: page.name)
def test_page_begins_with_what_it_is_for_and_is_listed(page: Path) -> None:
    title, _, first = page.read_text().partition("\n\n")
    assert title.startswith("# ") and "\n" not in title
    assert re.match(r"(This page|Retort|`retort)", first), first[:60]
    for contents in (ROOT / "README.md", DOCS / "README.md"):
        assert page == contents or page.name in contents.read_text(), f"{contents}: {page.name}"


@pytest.mark.parametrize("generated", [build_keys, exit_codes, rooms], ids=lambda each: each.__name__)
def test_generated_page_is_current(generated: ModuleType) -> None:
    assert generated.PAGE.read_text() == generated.page(), f"run python -m {generated.__name__}"
