"""Kinds of students, a file each: what `[student] kind` names, from its training to its core and its rungs.

Imports the ladder, sizing, artefacts, the engine, the configuration, `models` and `hw`.
"""

from pipeline.config.build import Build
from pipeline.students.base import StudentKind
from pipeline.students.imported import Imported
from pipeline.students.quantized import Quantized
from pipeline.students.tree import Tree

STUDENTS: dict[str, StudentKind] = {"quantized": Quantized(), "tree": Tree(), "imported": Imported()}


def student_of(build: Build) -> StudentKind:
    """The kind of a build's student."""
    return STUDENTS[build.student.kind]
