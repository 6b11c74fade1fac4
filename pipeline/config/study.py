"""`[study]`: the kinds of studies. Their modules are imported when a build file has one."""

from collections.abc import Mapping
from importlib import import_module

STUDIES: dict[str, str | type] = {
    "compare": "pipeline.studies.compare:Compare",
    "temperature": "pipeline.studies.temperature:Temperature",
    "missing-class": "pipeline.studies.missing_class:MissingClass",
    "soft-targets": "pipeline.studies.soft_targets:SoftTargets",
    "robustness": "pipeline.studies.robustness:Robustness",
    "specialize": "pipeline.studies.specialize:Specialize",
}
"""From the name in the build file to the class, or to `"package.module:class"`."""


def studies() -> Mapping[str, type]:
    """All kinds, as classes."""
    found: dict[str, type] = {}
    for kind, where in STUDIES.items():
        if isinstance(where, str):
            module, _, name = where.partition(":")
            where = getattr(import_module(module), name)
        found[kind] = where
    return found
