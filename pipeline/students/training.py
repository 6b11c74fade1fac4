"""What the training stages share: the build file's settings as the models' own types."""

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import ConfigError
from common.topology import Topology
from models.data import Dataset, Split
from models.distill.recipe import Recipe
from models.distill.training.setup import TrainingSetup
from models.distill.training.transfer import TransferSet
from models.teachers.base import TeacherSetup
from models.training import Progress, TrainingConfig, silent
from pipeline.artefacts.training import Trained
from pipeline.config.build import Build, needed
from pipeline.config.distill import DistillConfig
from pipeline.config.quantized import QuantizedStudent
from pipeline.engine.stage import StageContext


def training_config(config: Build, student: QuantizedStudent, seed: int) -> TrainingConfig:
    """How a student is trained."""
    keys = ("epochs", "batch_size", "learning_rate", "weight_decay", "warmup")
    return TrainingConfig(**{key: getattr(student, key) for key in keys}, **_machine(config, seed))


def _machine(config: Build, seed: int) -> dict[str, Any]:
    return needed(config.training, "training").model_dump() | {"seed": seed}


def teacher_setup(
    config: Build, dataset: Dataset, seed: int, checkpoints: Path | None = None, progress: Progress = silent
) -> TeacherSetup:
    """What the build's teacher is made from."""
    topology = None
    if needed(config.teacher, "teacher").of_students and not config.student.choices:
        topology = config.student.topology(dataset.input_shape)
    return TeacherSetup(dataset, _machine(config, seed), config.task, checkpoints, progress, topology)


def training_setup(ctx: StageContext) -> Callable[[Path | None], TrainingSetup]:
    """What the build's student is made from, given the folder for unfinished runs."""
    from models import data
    from models.distill.training import transfer

    config = ctx.config
    student = config.student_as(QuantizedStudent)
    asked = needed(config.distill, "distill")
    dataset = data.load(ctx.input("data", "data.safetensors"))
    teacher = needed(config.teacher, "teacher")
    seed = ctx.seed if student.seed is None else student.seed
    members = teacher.load(
        teacher_setup(config, dataset, ctx.seed), ctx.input("teacher", "teacher.safetensors")
    )
    examples = transfer.load(ctx.input("teacher", "transfer.safetensors"))
    dataset, examples = learned(asked, dataset, examples, ctx.seed)
    made = TrainingSetup(
        topology=chosen_topology(ctx, dataset.input_shape),
        dataset=dataset,
        transfer=examples,
        members=members,
        loss=asked.recipe().loss,
        training=training_config(config, student, seed),
        augmentation=student.augment,
        task=config.task,
        progress=ctx.progress,
    )
    return lambda checkpoints: replace(made, checkpoints=checkpoints)


def learned(
    asked: DistillConfig, dataset: Dataset, examples: TransferSet, seed: int
) -> tuple[Dataset, TransferSet]:
    """What the student learns from: without the classes and samples that the build leaves out.

    Raises `ConfigError`: a class that there is not, or no class left.
    """
    if asked.leave_out:
        if dataset.train.y.ndim > 1:
            raise ConfigError("distill.leave_out: a sample of this task is not of one class; remove the key")
        if max(asked.leave_out) >= dataset.classes or len(set(asked.leave_out)) > dataset.classes - 2:
            raise ConfigError(
                f"distill.leave_out: {list(asked.leave_out)} of {dataset.classes} classes; "
                f"give numbers from 0 to {dataset.classes - 1}, and leave two classes"
            )
        examples = examples.rows(~np.isin(examples.split.y, asked.leave_out))
        train, validation = (
            Split(split.x[rows], split.y[rows])
            for split in (dataset.train, dataset.validation)
            for rows in (~np.isin(split.y, asked.leave_out),)
        )
        dataset = replace(dataset, train=train, validation=validation)
    if asked.samples is not None:
        examples = examples.part(asked.samples, seed)
        dataset = replace(dataset, train=examples.split)  # sources that make samples start from the same few
    return dataset, examples


def train_student(ctx: StageContext, recipe: Recipe, name: str) -> Trained:
    """Train a student, write `NAME.safetensors`, and log the processor time that it took."""
    from models.distill.training.student_training import save_student
    from models.students.freeze import freeze
    from models.students.masks import zero_shares

    made = training_setup(ctx)(ctx.partial)
    began = time.process_time()
    student, history = recipe.train(made)
    seconds = time.process_time() - began
    steps = made.training.epochs * max(1, len(made.transfer.split) // made.training.batch_size)
    ctx.log("time.json").write_text(json.dumps({"seconds_per_step": seconds / steps}) + "\n")
    save_student(student, ctx.work / f"{name}.safetensors")
    return Trained(history, zero_shares(freeze(student)))


def chosen_topology(ctx: StageContext, input_shape: tuple[int, ...]) -> Topology:
    """The student over frames of `input_shape`, as sizing chose what the build leaves open."""
    from pipeline.sizing.result import load_sized

    config = ctx.config
    if not config.student.choices:
        return config.student.topology(input_shape)
    return load_sized(ctx.input("size", "sized.json")).topology(config, input_shape)
