"""What the data and the board of a build rule out, as far as the data's outline tells."""

from collections.abc import Iterator, Mapping
from itertools import product
from typing import TYPE_CHECKING

from common.errors import CapacityError, ConfigError
from common.topology import AveragePool, Conv, Dense, Depthwise, Step, Topology
from hw.boards.boards import find
from models.augmentation import Augmentation
from models.teachers import TeacherKind
from pipeline.config.build import Build
from pipeline.config.quantized import QuantizedStudent

if TYPE_CHECKING:
    from models.data.outline import Outline

MOST_OPTIONAL = 6
"""Layers that are tried with and without; any others are left out."""

LUT_BITS = 64
"""Bits that a look-up table of the largest chips holds."""


def data_problems(config: Build, seen: "Outline") -> Iterator[str]:
    """What the data rule out."""
    yield from _split_problems(config, seen)
    try:
        shape = config.task.input_shape(seen.shape)
    except ConfigError as error:
        yield str(error)
        return
    student = config.student
    if isinstance(student, QuantizedStudent):
        yield from _layer_problems(config, shape, seen.classes)
        yield from _augment_problems("student", student.augment, shape)
    if config.teacher:
        yield from _task_problems(config, config.teacher)
        yield from _view_problems(config.teacher, shape)
        yield from _augment_problems("teacher", getattr(config.teacher, "augment", None), shape)
        yield from _batch_problems(config, config.teacher, seen)


def _split_problems(config: Build, seen: "Outline") -> Iterator[str]:
    data = config.data
    assert data is not None
    fraction = getattr(data, "test_fraction", None)
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


def _layer_problems(config: Build, shape: tuple[int, ...], classes: int) -> Iterator[str]:
    try:
        topology = any_topology(config, shape)
        config.task.check(topology, classes)
    except ConfigError as error:
        yield str(error)
    else:
        yield from _fold_problems(config, topology)


def _task_problems(config: Build, teacher: TeacherKind) -> Iterator[str]:
    """What would change samples whose labels do not stay the same."""
    task = config.task
    changes = {
        "teacher.views": teacher.views > 1,
        "teacher.augment": getattr(teacher, "augment", None),
        "student.augment": getattr(config.student, "augment", None),
    }
    for key in [key for key, set_ in changes.items() if set_ and not task.augmentable]:
        what = "give 1" if key == "teacher.views" else "remove it"
        yield f"{key}: a sample of task {task.kind} that is moved keeps not its labels; {what}"
    try:
        task.labels_only(getattr(teacher, "label_smoothing", 0.0))
    except ConfigError as error:
        yield str(error).replace("teacher: ", "teacher.", 1)


def any_topology(config: Build, shape: tuple[int, ...]) -> Topology:
    """A student of the least or the greatest numbers over samples of `shape`.

    Raises:
        ConfigError: says why none fits, by its key in the build file.
    """
    found: ConfigError | None = None
    for chosen in _least_and_most(config):
        try:
            return config.student.topology(shape, chosen)
        except ConfigError as error:
            found = found or error
    assert found is not None
    raise found


def _least_and_most(config: Build) -> Iterator[Mapping[str, int]]:
    """Choices to try: the least and the greatest numbers, with optional layers and without."""
    choices = config.student.choices
    optional = [key for key in choices if key.endswith(".present")]
    for pick in (min, max):
        numbers = {key: pick(values) for key, values in choices.items()}
        few = optional[:MOST_OPTIONAL]
        for present in product((0, 1), repeat=len(few)):
            yield numbers | dict.fromkeys(optional, 0) | dict(zip(few, present, strict=True))


def require_room(config: Build, seen: "Outline", where: str) -> None:
    """Raise `CapacityError` where the least of weights is more than all memory of the chip holds.

    Sizing counts all that a student takes, in minutes where it is far too large: this is seen at once.
    """
    if not isinstance(config.student, QuantizedStudent):
        return
    topology = any_topology(config, config.task.input_shape(seen.shape))
    bits = sum(
        step.weights * step.layer.weight_bits
        for step in topology.steps
        if isinstance(step.layer, Dense | Conv | Depthwise)
    )
    board = find(config.board.name)
    budget = board.budget_of(config.board.shell)
    room = budget.memory_bits + budget.luts * LUT_BITS
    if bits > room:
        raise CapacityError(
            f"{where}: student.layers: their weights take {bits} bits, memory and logic of {board.name} hold"
            f" {room}; make the student smaller"
        )


def _fold_problems(config: Build, topology: Topology) -> Iterator[str]:
    from hw.mapping.cost import folded_steps

    if config.compile.fold is None:
        return
    steps = [topology.steps[place] for place in folded_steps(topology.steps)]
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


def _sides(step: Step) -> tuple[int, int]:
    """What SIMD and PE divide; of the sum of an image only one pixel comes at a time."""
    inputs, outputs = step.matrix or (1, 1)
    alone = isinstance(step.layer, AveragePool) and step.layer.size in (None, step.in_shape[:2])
    return 1 if alone else inputs, outputs


def _view_problems(teacher: TeacherKind, shape: tuple[int, ...]) -> Iterator[str]:
    from models.distill.training.transfer import check_views

    try:
        check_views(shape, teacher.views, teacher.mirror)
    except ConfigError as error:
        yield str(error).replace("teacher: views", "teacher.views:", 1)


def _augment_problems(key: str, asked: Augmentation | None, shape: tuple[int, ...]) -> Iterator[str]:
    try:
        if asked:
            asked.check(shape)
    except ConfigError as error:
        yield str(error).replace("augmentation", f"{key}.augment", 1)


def _batch_problems(config: Build, teacher: TeacherKind, seen: "Outline") -> Iterator[str]:
    """Batches of more samples than there are to learn from, or of too few for each device."""
    data, devices = config.data, config.training.devices if config.training else 1
    assert data is not None
    fraction = getattr(data, "test_fraction", None)
    train = config.task.train_samples(seen.split(fraction, data.validation_fraction, data.train_samples)[1])
    there = train * teacher.views
    for key, section in (("teacher", teacher), ("student", config.student)):
        size = getattr(section, "batch_size", None)
        if size is None:
            continue
        # A method may make samples for the student.
        made = key == "student" and config.distill is not None and config.distill.data.source != "training"
        if size > there and not made:
            yield f"{key}.batch_size: {size}, but only {there} samples to train on; give less"
        if size < 2 * devices:
            what = f"{size} on {devices} devices; batch-norm needs two samples on each"
            yield f"{key}.batch_size: {what}, give more"
