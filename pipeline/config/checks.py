"""What a build file and its data together rule out, said before the first stage runs."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.errors import CapacityError, ConfigError
from models.tasks import Task
from pipeline.config.build import Build, load
from pipeline.config.distill import DistillConfig
from pipeline.config.errors import problems
from pipeline.config.quantized import QuantizedStudent
from pipeline.config.section import AugmentConfig
from pipeline.config.teacher import TeacherConfig

MOST_OPTIONAL = 6
"""Layers that are tried with and without; any others are left out."""

LUT_BITS, ULTRA_RAM_BITS = 64, 288 * 1024
"""What a look-up table and an UltraRAM of the largest chips hold."""

if TYPE_CHECKING:
    from common.topology import Step, Topology
    from models.data.outline import Outline


def load_checked(path: Path) -> Build:
    """A build file, checked by itself and with the data that it names.

    Raises:
        ConfigError: a line for each problem: the file, the dotted key, and what to do.
        DataError: the data cannot be read.
    """
    config = load(path)
    check(config, str(path))
    return config


def check(config: Build, where: str) -> None:
    """Check a build with the data that it names; `where` names it in errors. Raises as `load_checked`."""
    if config.data is None:
        return
    from models.data.outline import outline
    from pipeline.config.data import data_source

    seen = outline(data_source(config.data))
    found = list(_split_problems(config, seen))
    try:
        prepared = replace(seen, shape=config.task.input_shape(seen.shape))
    except ConfigError as error:
        found.append(str(error))
    else:
        found += _training_problems(config, prepared)
        seen = prepared
    if found:
        raise problems(where, found)
    if isinstance(config.student, QuantizedStudent):
        _check_room(config, seen, where)


def _split_problems(config: Build, seen: "Outline") -> Iterator[str]:
    data = config.data
    assert data is not None
    fraction = getattr(data, "test_fraction", None)
    if fraction is None and seen.test is None:
        yield "data.test_fraction: missing, and there is no test part; add it"
        return
    if fraction is not None and seen.test is not None:
        yield f"data.test_fraction: {data.source} has its own test part; remove it"
        return
    rest, train = seen.split(fraction, data.validation_fraction, data.train_samples)
    tested = seen.train - rest if seen.test is None else seen.test
    for key, asked, there in (
        ("train_samples", data.train_samples, rest),
        ("test_samples", data.test_samples, tested),
    ):
        if asked is not None and asked > there:
            yield f"data.{key}: {asked} asked for, {there} there; give less"
    if train < seen.classes:
        yield f"data: {max(train, 0)} samples to train on, for {seen.classes} classes; give more of them"


def _training_problems(config: Build, seen: "Outline") -> Iterator[str]:
    student, teacher = config.student, config.teacher
    if isinstance(student, QuantizedStudent):
        topology = _any_topology(config, seen)
        if isinstance(topology, ConfigError):
            yield str(topology)
        else:
            yield from _output_problems(config, topology, seen.classes)
            yield from _fold_problems(config, topology)
    if config.distill:
        yield from _method_problems(config.distill, config.task)
    if teacher:
        yield from _task_problems(config, teacher)
        yield from _view_problems(teacher, seen)
        yield from _augment_problems("teacher", teacher.augment, seen)
        if isinstance(student, QuantizedStudent):
            yield from _augment_problems("student", student.augment, seen)
        yield from _batch_problems(config, teacher, seen)


def _output_problems(config: Build, topology: "Topology", classes: int) -> Iterator[str]:
    try:
        config.task.check(topology, classes)
    except ConfigError as error:
        yield str(error)


def _method_problems(config: DistillConfig, task: Task) -> Iterator[str]:
    """Losses, source and schedule that do not serve the task."""
    recipe = config.recipe()
    parts: dict[str, Any] = {f"losses[{at}].method": each.made() for at, each in enumerate(config.losses)}
    for key, each in {**parts, "data": recipe.source, "schedule": recipe.schedule}.items():
        if not task.accepts(each):
            served = ", ".join(sorted(each.tasks or ()))
            yield f"distill.{key}: serves {served}, not {task.kind}; `retort methods` lists what does"


def _task_problems(config: Build, teacher: TeacherConfig) -> Iterator[str]:
    """What would change samples whose labels do not stay the same."""
    task = config.task
    changes = {
        "teacher.views": teacher.views > 1,
        "teacher.augment": teacher.augment,
        "student.augment": getattr(config.student, "augment", None),
    }
    for key in [key for key, set_ in changes.items() if set_ and not task.augmentable]:
        what = "give 1" if key == "teacher.views" else "remove it"
        yield f"{key}: a sample of task {task.kind} that is moved keeps not its labels; {what}"
    try:
        task.labels_only(teacher.label_smoothing)
    except ConfigError as error:
        yield str(error).replace("teacher: ", "teacher.", 1)


def _any_topology(config: Build, seen: "Outline") -> "Topology | ConfigError":
    """A student of the least or the greatest numbers, or why layers fit neither frame nor each other."""
    found: ConfigError | None = None
    for chosen in _least_and_most(config):
        try:
            return config.student.topology(seen.shape, chosen)
        except ConfigError as error:
            found = found or error
    assert found is not None
    return found


def _check_room(config: Build, seen: "Outline", where: str) -> None:
    """Raise `CapacityError` where the least of weights is more than all memory of the chip holds.

    Sizing counts all that a student takes, in minutes where it is far too large: this is seen at once.
    """
    from common.topology import Conv, Dense, Depthwise
    from hw.boards.boards import find

    topology = _any_topology(config, seen)
    steps = () if isinstance(topology, ConfigError) else topology.steps
    bits = sum(
        step.weights * step.layer.weight_bits
        for step in steps
        if isinstance(step.layer, Dense | Conv | Depthwise)
    )
    board = find(config.board.name)
    budget = board.budget_of(config.board.shell)
    room = budget.block_ram_bits + budget.single_port_ram_bits + budget.ultra_rams * ULTRA_RAM_BITS
    room += budget.luts * LUT_BITS
    if bits > room:
        raise CapacityError(
            f"{where}: student.layers: their weights take {bits} bits, memory and logic of {board.name} hold"
            f" {room}; make the student smaller"
        )


def _least_and_most(config: Build) -> Iterator[Mapping[str, int]]:
    """Choices to try: the least and the greatest numbers, with optional layers and without."""
    choices = config.student.choices
    optional = [key for key in choices if key.endswith(".present")]
    for pick in (min, max):
        numbers = {key: pick(values) for key, values in choices.items()}
        few = optional[:MOST_OPTIONAL]
        for present in product((0, 1), repeat=len(few)):
            yield numbers | dict.fromkeys(optional, 0) | dict(zip(few, present, strict=True))


def _fold_problems(config: Build, topology: "Topology") -> Iterator[str]:
    from hw.mapping.cost import fold_places

    if config.compile.fold is None:
        return
    steps = [topology.steps[place] for place in fold_places(topology.steps)]
    if len(steps) != len(config.compile.fold):
        names = ", ".join(step.name for step in steps)
        yield f"compile.fold: {len(config.compile.fold)} folds for {len(steps)} layers: {names}"
        return
    for at, (step, fold) in enumerate(zip(steps, config.compile.fold, strict=True)):
        inputs, outputs = _sides(step)
        for key, given, whole, what in (
            ("pe", fold.pe, outputs, "outputs"),
            ("simd", fold.simd, inputs, "inputs"),
        ):
            if whole % given:
                yield f"compile.fold[{at}].{key}: {given} does not divide the {whole} {what} of {step.name}"


def _sides(step: "Step") -> tuple[int, int]:
    """What SIMD and PE divide; of the sum of a picture only one pixel comes at a time."""
    from common.topology import AveragePool

    inputs, outputs = step.matrix or (1, 1)
    alone = isinstance(step.layer, AveragePool) and step.layer.size in (None, step.in_shape[:2])
    return 1 if alone else inputs, outputs


def _view_problems(teacher: TeacherConfig, seen: "Outline") -> Iterator[str]:
    from models.distill.training.transfer import check_views

    try:
        check_views(seen.shape, teacher.views, teacher.mirror)
    except ConfigError as error:
        yield str(error).replace("teacher: views", "teacher.views:", 1)


def _augment_problems(key: str, section: AugmentConfig | None, seen: "Outline") -> Iterator[str]:
    from models.augmentation import Augmentation

    try:
        if section:
            Augmentation(**section.model_dump()).check(seen.shape)
    except ConfigError as error:
        yield str(error).replace("augmentation", f"{key}.augment", 1)


def _batch_problems(config: Build, teacher: TeacherConfig, seen: "Outline") -> Iterator[str]:
    """Batches of more samples than there are to learn from, or of too few for each device."""
    data, devices = config.data, config.training.devices if config.training else 1
    assert data is not None
    fraction = getattr(data, "test_fraction", None)
    split = seen.split(fraction, data.validation_fraction, data.train_samples)
    train = config.task.train_samples(split[1])
    there = train * teacher.views
    sections: dict[str, TeacherConfig | QuantizedStudent] = {"teacher": teacher}
    if isinstance(config.student, QuantizedStudent):
        sections["student"] = config.student
    for key, section in sections.items():
        # A method may make samples for the student.
        made = key == "student" and config.distill is not None and config.distill.data is not None
        if section.batch_size > there and not made:
            yield f"{key}.batch_size: {section.batch_size}, but only {there} samples to train on; give less"
        if section.batch_size < 2 * devices:
            what = f"{section.batch_size} on {devices} devices; batch-norm needs two samples on each"
            yield f"{key}.batch_size: {what}, give more"
