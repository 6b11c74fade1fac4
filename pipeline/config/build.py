"""The build file: TOML in, a frozen `Build` out, and one line for whatever is wrong with it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, ValidationError, model_validator

from common.errors import ConfigError
from models.tasks import TASKS
from models.tasks.base import Task
from pipeline.config.data import DATA, DataConfig
from pipeline.config.distill import DistillConfig, distill_problems
from pipeline.config.errors import describe, problems
from pipeline.config.file import plain, read_raw
from pipeline.config.imported import ImportedStudent, imported_problem
from pipeline.config.quantized import QuantizedStudent
from pipeline.config.section import MAX_COUNT, MAX_ITEMS, Count, Section, Workers
from pipeline.config.size import SizeConfig, size_problem
from pipeline.config.student import StudentConfig, TreeStudent
from pipeline.config.table import Kinds, table_problems
from pipeline.config.teacher import TeacherConfig
from pipeline.config.vivado import VivadoConfig, vivado_problem

Share = Annotated[float, Field(ge=0, le=1)]

NAME_LENGTH = 64

STUDENTS: dict[str, type[StudentConfig]] = {
    "quantized": QuantizedStudent,
    "tree": TreeStudent,
    "imported": ImportedStudent,
}

OWN_TABLES = ("teacher", "distill", "size", "training")
OWN_RUNGS = ("maximum_drop", "network_samples", "minimum_agreement", "maximum_apart")
"""Tables, and keys of `[verify]`, that only some kinds of students use."""

RENAMED = {"network": '[student] with kind = "imported", and the same keys'}
"""Tables of older build files, and what stands in their place."""

T = TypeVar("T")
S = TypeVar("S", bound=StudentConfig)


class Fold(Section):
    """Parallelism of a layer: `pe` outputs and `simd` inputs a cycle."""

    pe: Count
    simd: Count


class CompileConfig(Section):
    """`[compile]`: folding by target or by hand, where products are made, and what leaves the core.

    `multiply`: in LUTs, by tables in block RAM, or in DSP slices (ECP5 only); `auto` takes tables where block
    RAM is free, else LUTs.
    """

    target_cycles: Count | None = None
    fold: Annotated[tuple[Fold, ...], Field(min_length=1, max_length=4 * MAX_ITEMS)] | None = None
    multiply: Literal["auto", "lut", "table", "dsp"] = "auto"
    output: Literal["logits", "label"] = "logits"


class BoardConfig(Section):
    """`[board]`: where the bitstream goes, how the core meets the world, and whose tools make it.

    Shell `uart` frames requests over the board's serial link; `parallel` has the streams on pins. AMD boards
    have neither: theirs is FINN's shell, and Vivado.
    """

    name: Annotated[str, Field(max_length=64)]
    shell: Literal["uart", "parallel"] = "uart"
    toolchain: Literal["wheels", "native"] = "wheels"


class VerifyConfig(Section):
    """`[verify]`: samples of the slow rungs; `stall_seed` draws the streams' random stalls.

    The rung `student` fails below `minimum_accuracy`, or `maximum_drop` below the teacher (both 0 to 1).

    The rung `network` compares an imported network with golden on `network_samples` frames. It fails where
    they give the same class to less than `minimum_agreement` of them, where more than `maximum_apart` of them
    have an output more than one of golden's steps apart, or where golden's accuracy is below
    `minimum_accuracy`.
    """

    netlist_samples: Count = 16
    bitstream_samples: Count = 16
    board_samples: Annotated[int, Field(ge=16, le=MAX_COUNT)] = 16
    stall_seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    minimum_accuracy: Share = 0.0
    maximum_drop: Share = 1.0
    network_samples: Count = 64
    minimum_agreement: Share = 0.95
    maximum_apart: Share = 0.02


class TrainingConfig(Section):
    """`[training]`: Fabric's accelerator and devices, CPU threads, epochs between checkpoints."""

    accelerator: Literal["cpu", "cuda", "mps", "auto"] = "cpu"
    devices: Workers = 1
    threads: Workers = 1
    checkpoint_every: Count = 1


DataTable = Annotated[DataConfig, Kinds(lambda: DATA, tag="source")]
TaskTable = Annotated[Task, Kinds(lambda: TASKS, default="classification")]
StudentTable = Annotated[StudentConfig, Kinds(lambda: STUDENTS, default="quantized")]


class Build(Section):
    """A build file.

    `teacher`, `distill` and `training` are None where the kind of student has no use for them, `data` where
    an imported network runs on what was recorded of it.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=NAME_LENGTH)]
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    data: DataTable | None = None
    task: TaskTable = Field(default_factory=TASKS["classification"])
    teacher: TeacherConfig | None = None
    student: StudentTable
    distill: DistillConfig | None = None
    size: SizeConfig | None = None
    compile: CompileConfig
    board: BoardConfig
    vivado: VivadoConfig | None = None
    verify: VerifyConfig = VerifyConfig()
    training: TrainingConfig | None = None

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, tables: Any) -> Any:
        """Refuse tables that the kind of student does not use; add those that it does."""
        kind = _student_kind(tables)
        if kind is None:
            return tables
        unused = [name for name in OWN_TABLES if name not in kind.tables and tables.get(name) is not None]
        if unused:
            what = (
                "an imported network is not trained" if kind is ImportedStudent else "a tree does not use it"
            )
            raise table_problems(*((name, f"{what}; remove [{name}]") for name in unused))
        used = [name for name in ("training",) if name in kind.tables and tables.get(name) is None]
        return {**tables, **{name: {} for name in used}}

    def student_as(self, kind: type[S]) -> S:
        """The student, which is of this kind; ConfigError where it is of another."""
        if isinstance(self.student, kind):
            return self.student
        raise ConfigError(f"{self.name}: student.kind: '{self.student.kind}' has nothing to train")


def _student_kind(tables: Any) -> type[StudentConfig] | None:
    """The kind of student that a build file asks for, if it is a known one."""
    student = tables.get("student") if isinstance(tables, dict) else None
    kind = student.get("kind", "quantized") if isinstance(student, dict) else None
    return STUDENTS.get(kind) if isinstance(kind, str) else None


def needed(section: T | None, key: str) -> T:
    """A table that the step at hand cannot do without; ConfigError where it is not there."""
    if section is None:
        raise ConfigError(f"{key}: missing; add it")
    return section


def load(path: Path) -> Build:
    """Read and check a build file, or the configuration in the `build.lock.json` of a build.

    Raises:
        ConfigError: one line with the file, the dotted key, and what to do.
    """
    return parse(read_raw(path), str(path))


def parse(raw: Any, where: str) -> Build:
    """Check a build file's content; `where` names it in errors."""
    tables = plain(raw, where)
    if old := [f"{key}: is now {new}" for key, new in RENAMED.items() if key in tables]:
        raise problems(where, old)
    try:
        config = Build.model_validate(tables)
    except ValidationError as error:
        found = [f"{key}: {what}" for key, what in describe(error, Build)]
        raise problems(where, found) from error
    if found := list(_problems(config)):
        raise problems(where, found)
    return config


def _problems(config: Build) -> Iterator[str]:
    """What is wrong with tables that are well-formed each by itself."""
    yield from _unused(config)
    yield from _missing(config)
    found: list[str | None] = []
    match config.student:
        case QuantizedStudent():
            found = [size_problem(config)]
        case ImportedStudent() as student:
            found = [imported_problem(config, student)]
    if config.distill and config.teacher:
        yield from distill_problems(config.distill, config.teacher.size)
    board = _board(config)
    # Of a board that does not exist nothing else can be said.
    found += [board] if board and board.startswith("board.name") else [board, vivado_problem(config)]
    yield from (each for each in found if each)


def _unused(config: Build) -> Iterator[str]:
    """Keys of `[verify]` that the kind of student has no use for."""
    student = config.student
    for name in OWN_RUNGS:
        usual = VerifyConfig.model_fields[name].default
        if name not in student.rungs and getattr(config.verify, name) != usual:
            yield f"verify.{name}: a student of kind '{student.kind}' does not use it; remove the key"


def _missing(config: Build) -> Iterator[str]:
    for name in ("teacher", "distill"):
        if name in config.student.tables and getattr(config, name) is None:
            yield f"{name}: missing; add it"
    if "teacher" in config.student.tables and config.data is None:
        yield "data: missing; add it"


def _board(config: Build) -> str | None:
    from hw.boards.boards import find

    try:
        board = find(config.board.name)
    except ConfigError as error:
        return f"board.name: {error}"
    if board.family.uses_vivado:
        return _amd(config, board.name)
    if config.compile.multiply not in board.family.multiply:
        *some, last = (f"'{each}'" for each in board.family.multiply)
        return (
            f"compile.multiply: '{config.compile.multiply}' has no kernel for {board.family.name};"
            f" give {', '.join(some)} or {last}"
        )
    return None


def _amd(config: Build, board: str) -> str | None:
    """What only boards with open tools have."""
    given = config.board
    for key, value, usual in (("shell", given.shell, "uart"), ("toolchain", given.toolchain, "wheels")):
        if value != usual:
            return f"board.{key}: '{value}' is for open tools, {board} has FINN's shell and Vivado; remove it"
    if config.compile.multiply != "auto":
        return f"compile.multiply: FINN chooses where {board} multiplies; remove the key"
    return None
