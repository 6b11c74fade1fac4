"""The Verilog that FINN wrote of a graph, and the memory files, gathered without paths of this machine."""

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from common.errors import LoweringError, ModelFileError
from hw.finn.rtl import nodes
from hw.finn.rtl.top import Module

_EPOCH = (1980, 1, 1, 0, 0, 0)


def gather(model: Any, build: Path) -> tuple[dict[str, str], tuple[Module, ...]]:
    """All files that FINN wrote or took from its library, by name, and the module of each node.

    `build` is FINN's build folder, which no file may name. Raises `LoweringError`.
    """
    found: dict[str, str] = {}
    modules = []
    for node in model.graph.node:
        files = _files(node)
        for name, text in files.items():
            if found.setdefault(name, text) != text:
                raise LoweringError(f"{name}: FINN has two files of this name; report its version")
            if str(build) in text:
                raise LoweringError(f"{name}: FINN has it name {build}; report its version")
        modules.append(_module(node, files))
    return found, tuple(modules)


def _files(node: Any) -> dict[str, str]:
    """A node's files; memory files that other nodes would have of the same name get the node's before it."""
    verilog, memories = nodes.products(node)
    found = {path.name: path.read_text() for path in verilog}
    for path in memories:
        name = path.name if path.name.startswith(node.name) else f"{node.name}_{path.name}"
        found = {file: text.replace(str(path), name) for file, text in found.items()}
        found[name] = path.read_text()
    return found


def _module(node: Any, files: Mapping[str, str]) -> Module:
    from qonnx.custom_op.registry import getCustomOp

    op = getCustomOp(node)
    text = files.get(f"{node.name}_wrapper.v") or files[f"{node.name}.v"]
    memory = files.get(f"{node.name}_memstream_wrapper.v")
    weights = (memory, op.get_instream_width_padded(1)) if memory else None
    return Module(node.name, text, op.get_instream_width_padded(), op.get_outstream_width_padded(), weights)


def pack(files: Mapping[str, str], archive: Path) -> None:
    """Write the files as a zip archive: the same bytes for the same files."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as opened:
        for name in sorted(files):
            opened.writestr(zipfile.ZipInfo(name, _EPOCH), files[name])


def unpack(archive: Path, folder: Path) -> tuple[Path, ...]:
    """Unpack what `pack` wrote into a new `folder`; the files. Raises `ModelFileError`."""
    folder.mkdir(parents=True)
    try:
        with zipfile.ZipFile(archive) as opened:
            texts = {Path(name).name: opened.read(name) for name in opened.namelist()}
    except (OSError, zipfile.BadZipFile) as error:
        raise ModelFileError(f"{archive}: no archive of Verilog ({error}); build again") from error
    for name, text in texts.items():
        (folder / name).write_bytes(text)
    return tuple(folder / name for name in sorted(texts))
