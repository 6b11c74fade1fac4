"""What a stage's key is made of, and what changed since it was last made."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from common.terminal import some
from pipeline.config.build import Build
from pipeline.engine.stage import LOGS, Stage
from pipeline.engine.store import Manifest, canonical

Identify: TypeAlias = Callable[[str], str]
"""Version and digest of a tool, by name; raises `ToolMissingError`."""


def identities(stage: Stage, config: Build, identify: Identify) -> dict[str, str]:
    """Version and digest of each of the stage's tools."""
    return {name: identify(name) for name in stage.tools_of(config)}


def ingredients(
    stage: Stage, config: Build, tools: Mapping[str, str], manifests: Mapping[str, Manifest]
) -> dict[str, Any]:
    """All that the stage's key is made of, as far as its inputs are known; plain JSON."""
    known = [manifests[name] for name in stage.inputs_of(config) if name in manifests]
    made_of = {
        "name": stage.name,
        "version": stage.version,
        "seed": config.seed if stage.seeded else None,
        "config": stage.config(config),
        "tools": tools,
        "inputs": {
            f"{manifest.stage}/{name}": stored.sha256
            for manifest in known
            for name, stored in manifest.files.items()
            if not name.startswith(LOGS)
        },
    }
    plain: dict[str, Any] = json.loads(canonical(made_of))
    return plain


def changes(before: Mapping[str, Any] | None, now: Mapping[str, Any], pending: Sequence[str]) -> list[str]:
    """What differs between the ingredients of two keys, one phrase a kind; nothing on `pending` inputs."""
    if before is None:
        return ["never built"]
    found = []
    if before.get("version") != now["version"]:
        found.append(f"stage version {before.get('version')} became {now['version']}")
    if before.get("seed") != now["seed"]:
        found.append("seed changed")
    for part, phrase in (("config", "configuration"), ("inputs", "inputs"), ("tools", "tools")):
        keys = _differing(before.get(part), now[part])
        if part == "inputs":
            keys = [key for key in keys if key.split("/")[0] not in pending]
        if keys:
            found.append(f"{phrase} changed: {some(keys)}")
    return found


def _differing(before: object, now: object) -> list[str]:
    old, new = dict(_flat(before)), dict(_flat(now))
    return [key for key in old | new if old.get(key) != new.get(key)]


def _flat(value: object, prefix: str = "") -> Iterator[tuple[str, object]]:
    """Leaves of nested JSON-able data, by dotted key."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _flat(item, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _flat(item, f"{prefix}[{index}]")
    else:
        yield prefix, value
