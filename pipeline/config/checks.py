"""What is wrong with the tables of a build that do not go together."""

from collections.abc import Iterator
from typing import Any

from common.errors import ConfigError
from hw.boards.boards import find
from pipeline.config.build import Build, SizeConfig, VerifyConfig
from pipeline.config.imported import ImportedStudent

OWN_RUNGS = ("maximum_drop", "network_samples", "minimum_agreement", "maximum_apart")
"""Keys of `[verify]` that only some kinds of students use."""


def table_problems(config: Build) -> Iterator[str]:
    """What is wrong with tables that are well-formed each by itself."""
    yield from _missing(config)
    yield from _rate_problems(config)
    yield from _verify_problems(config)
    yield from _distill_problems(config)
    if config.compile.output == "label" and not config.task.has_label:
        yield f"compile.output: an answer of task {config.task.kind} is no label; give 'logits'"
    yield from _board_problems(config)
    yield from _tree_problems(config)


def _missing(config: Build) -> Iterator[str]:
    student = config.student
    for name in ("teacher", "distill"):
        if name in student.tables and getattr(config, name) is None:
            yield f"{name}: missing; add it"
    if config.data is None and not (isinstance(student, ImportedStudent) and student.recorded):
        other = ", or student.recorded, for frames to verify with" if student.kind == "imported" else ""
        yield f"data: missing; add it{other}"


def _rate_problems(config: Build) -> Iterator[str]:
    """Several rates, or none; open numbers without sizing."""
    asked, size = config.compile, config.size or SizeConfig()
    given = {
        "compile.target_cycles": asked.target_cycles,
        "compile.fold": asked.fold,
        "size.frames_per_second": size.frames_per_second,
        "size.target_cycles": size.target_cycles,
    }
    found = [key for key, value in given.items() if value is not None]
    if config.student.kind == "tree":
        yield from (f"{key}: a tree has no layers to fold; remove the key" for key in found)
        return
    if len(found) > 1:
        yield f"{found[0]}: {' and '.join(found)} are set; give one of them"
    if not config.student.choices:
        return
    first = f"student.{next(iter(config.student.choices))} is left open"
    if config.size is None:
        yield f"{first}; give one value, or a [size] table that says how to choose"
    elif asked.fold is not None:
        yield f"compile.fold: {first}, and folds by hand fit one student only; give a rate instead"


def _tree_problems(config: Build) -> Iterator[str]:
    """What a tree cannot do."""
    if config.student.kind != "tree":
        return
    if config.compile.output != "label":
        yield "compile.output: the core of a tree gives the label; give 'label', or remove the key"
    if config.compile.multiply != "auto":
        yield "compile.multiply: a tree multiplies nothing; remove the key"
    if config.task.kind != "classification":
        yield f"task.kind: a tree gives classes, not what {config.task.kind} wants; give 'classification'"


def _verify_problems(config: Build) -> Iterator[str]:
    student, limits = config.student, config.verify
    for name in OWN_RUNGS:
        usual = VerifyConfig.model_fields[name].default
        if name not in student.rungs and getattr(limits, name) != usual:
            yield f"verify.{name}: a student of kind '{student.kind}' does not use it; remove the key"
    if limits.minimum_agreement == 0 and limits.maximum_apart == 1:
        yield "verify.maximum_apart: with minimum_agreement 0 every network passes; give less than 1"
    if config.data is None and limits.minimum_accuracy:
        yield "verify.minimum_accuracy: without [data] there are no labels; add it, or remove the key"


def _distill_problems(config: Build) -> Iterator[str]:
    """Losses, source and schedule that do not suit the teacher or the task."""
    if config.distill is None or config.teacher is None:
        return
    augmented = getattr(config.student, "augment", None) is not None
    try:
        config.teacher.check(config.distill.recipe().needs, augmented)
    except ConfigError as error:
        yield str(error)
    methods: dict[str, Any] = {"data": config.distill.data, "schedule": config.distill.schedule}
    for at, each in enumerate(config.distill.losses):
        methods[f"losses[{at}].method"] = each.loss
        try:
            each.loss.check_members(config.teacher.size)
        except ConfigError as error:
            yield f"distill.losses[{at}]: {error}"
    for key, method in methods.items():
        if not config.task.accepts(method):
            served = ", ".join(sorted(method.tasks))
            what = f"serves {served}, not {config.task.kind}; `retort methods` lists what does"
            yield f"distill.{key}: {what}"


def _board_problems(config: Build) -> Iterator[str]:
    try:
        board = find(config.board.name)
    except ConfigError as error:  # of a board that does not exist nothing else can be said
        yield f"board.name: {error}"
        return
    if config.student.kind == "tree" and board.family.uses_vivado:
        yield f"board.name: FINN, which builds for {board.name}, knows no trees; give another board"
    asked, vivado, asked_multiply = config.board, config.vivado, config.compile.multiply
    if not board.family.uses_vivado:
        if asked_multiply not in board.family.multiply:
            *some, last = (f"'{each}'" for each in board.family.multiply)
            what = f"'{asked_multiply}' has no kernel for {board.family.name}"
            yield f"compile.multiply: {what}; give {', '.join(some)} or {last}"
        if vivado:
            yield f"vivado: {board.name} is none of AMD's; remove [vivado], or take another board"
        return
    for key, value, usual in (("shell", asked.shell, "uart"), ("toolchain", asked.toolchain, "wheels")):
        if value != usual:
            what = f"'{value}' is for open tools, {board.name} has FINN's shell and Vivado; remove it"
            yield f"board.{key}: {what}"
    if asked_multiply != "auto":
        yield f"compile.multiply: FINN chooses where {board.name} multiplies; remove the key"
    if vivado and vivado.cpp_driver and board.finn.shell != "alveo":
        yield f"vivado.cpp_driver: FINN has it for Alveo cards alone, {board.name} is none; remove it"
