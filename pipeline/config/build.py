"""A build: the tables of a build file, each well-formed by itself."""

from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, model_validator

from common.errors import ConfigError
from models.tasks import TASKS, Classification, Task
from models.teachers import ARCHITECTURES, TEACHERS, Architecture, TeacherKind
from pipeline.config.data import DATA, DataConfig
from pipeline.config.distill import DistillConfig
from pipeline.config.imported import ImportedStudent
from pipeline.config.quantized import QuantizedStudent
from pipeline.config.section import MAX_COUNT, MAX_ITEMS, Count, Section, Seed, Workers
from pipeline.config.student import StudentConfig, TreeStudent
from pipeline.config.study import studies
from pipeline.config.table import PLUGINS, Kinds, inconsistent
from pipeline.config.vivado import VivadoConfig

Share = Annotated[float, Field(ge=0, le=1)]

NAME_LENGTH = 64

STUDENTS: dict[str, type[StudentConfig]] = {
    "quantized": QuantizedStudent,
    "tree": TreeStudent,
    "imported": ImportedStudent,
}

OWN_TABLES = ("teacher", "distill", "size", "training")
"""Tables that only some kinds of students use."""

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


class SizeConfig(Section):
    """Sizing: the rate, what of the board stays free, and the search over open numbers.

    `headroom` is the share of each resource that is left free. `search` is `enumerate` (score every student
    that fits), `optuna` (score `trials` of them, chosen by a tree-structured Parzen estimator), or `auto`:
    enumerate where no more than `trials` students fit. A score is the accuracy on the validation split after
    `epochs` of distillation on `train_samples` of the transfer set (all of them, if not given). `journal`
    names a file that several processes may share to search together.
    """

    frames_per_second: Annotated[float, Field(ge=0.001, le=1e9)] | None = None
    target_cycles: Count | None = None
    headroom: Annotated[float, Field(ge=0, lt=1)] = 0.1
    search: Literal["auto", "enumerate", "optuna"] = "auto"
    trials: Count = 24
    epochs: Count = 4
    train_samples: Count | None = None
    journal: str | None = None


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
    stall_seed: Seed = 0
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
PLUGINS[Architecture] = Kinds(lambda: ARCHITECTURES)
TaskTable = Annotated[Task, Kinds(lambda: TASKS, default="classification")]
TeacherTable = Annotated[TeacherKind, Kinds(lambda: TEACHERS, default="trained")]
StudyTable = Annotated[Any, Kinds(studies)]
StudentTable = Annotated[StudentConfig, Kinds(lambda: STUDENTS, default="quantized")]


class Build(Section):
    """A build file.

    `teacher`, `distill` and `training` are None where the kind of student has no use for them, `data` where
    an imported network runs on what was recorded of it.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=NAME_LENGTH)]
    seed: Seed = 0
    data: DataTable | None = None
    task: TaskTable = Field(default_factory=TASKS["classification"])
    teacher: TeacherTable | None = None
    student: StudentTable
    distill: DistillConfig | None = None
    size: SizeConfig | None = None
    compile: CompileConfig = CompileConfig()
    board: BoardConfig
    vivado: VivadoConfig | None = None
    verify: VerifyConfig = VerifyConfig()
    training: TrainingConfig | None = None
    study: StudyTable | None = None

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
            raise inconsistent(*((name, f"{what}; remove [{name}]") for name in unused))
        filled = {name: tables.get(name) or {} for name in OWN_TABLES if name in kind.tables - {"size"}}
        if "distill" in filled and isinstance(filled["distill"], dict):
            filled["distill"] = {"losses": ({"method": _usual_loss(tables)},), **filled["distill"]}
        if kind is TreeStudent and isinstance(tables.get("compile", {}), dict):
            filled["compile"] = {"output": "label", **tables.get("compile", {})}
        return {**tables, **filled}

    def table(self, name: str) -> Any:
        """A table as JSON has it: what a stage's key is made of."""
        return self.model_dump(mode="json", include={name})[name]

    def student_as(self, kind: type[S]) -> S:
        """The student, which is of this kind; ConfigError where it is of another."""
        if isinstance(self.student, kind):
            return self.student
        raise ConfigError(f"{self.name}: student.kind: '{self.student.kind}' has nothing to train")


def _usual_loss(tables: dict[str, Any]) -> str:
    """The loss of a build file that names none: the task's."""
    task = tables.get("task")
    kind = task.get("kind", "classification") if isinstance(task, dict) else "classification"
    return (TASKS.get(kind, Classification) if isinstance(kind, str) else Classification).distillation


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
