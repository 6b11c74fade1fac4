"""`retort methods`: what a student may be distilled by."""

import inspect
from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any

import typer

from models.distill.losses import METHODS
from models.distill.schedules import SCHEDULES
from models.distill.sources import SOURCES
from pipeline.cli.app import AsJson, print_json, print_table

TABLES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "losses": ("method", METHODS),
    "data": ("source", SOURCES),
    "schedule": ("kind", SCHEDULES),
}
"""Keys of `[distill]`, and what may stand there."""


def methods(as_json: AsJson = False) -> None:
    """List the distillation methods: losses, sources of samples and schedules, with papers and defaults."""
    found = {key: [_about(kind, tag) for kind in kinds.values()] for key, (tag, kinds) in TABLES.items()}
    if as_json:
        print_json(found)
        return
    for key, (tag, _) in TABLES.items():
        typer.echo(f"[distill] {key}, by their {tag}")
        rows = [
            (each["name"], each["paper"], ", ".join(each["tasks"]) or "all", _needs(each), _settings(each))
            for each in found[key]
        ]
        table = [("name", "paper", "tasks", "needs", "settings"), *rows]
        print_table([(f"  {name}", *more) for name, *more in table])
        typer.echo("")


def _about(kind: Any, tag: str) -> dict[str, Any]:
    """One method: its name, paper, first line, what it needs, and its settings with their defaults."""
    needs = sorted(kind().needs) if hasattr(kind, "needs") else []
    return {
        "name": getattr(kind, tag),
        "paper": kind.paper,
        "about": (inspect.getdoc(kind) or "").splitlines()[0],
        "tasks": sorted(kind.tasks or ()),
        "needs": needs,
        "settings": {each.name: None if each.default is MISSING else each.default for each in fields(kind)},
    }


def _needs(about: dict[str, Any]) -> str:
    return ", ".join(about["needs"]) or "-"


def _settings(about: dict[str, Any]) -> str:
    return ", ".join(f"{name} = {value}" for name, value in about["settings"].items()) or "-"
