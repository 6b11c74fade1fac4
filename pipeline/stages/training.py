"""What the training stages share: the build file's settings as the models' own types."""

from models.distill.losses import METHODS, Distillation, WeightedSum
from models.teacher import TeacherConfig
from models.training import TrainingConfig
from pipeline.config import BuildConfig, StudentConfig
from pipeline.config import TeacherConfig as TeacherSection


def training_config(
    config: BuildConfig, section: TeacherSection | StudentConfig, seed: int
) -> TrainingConfig:
    """How the networks of a section are trained."""
    return TrainingConfig(
        epochs=section.epochs,
        batch_size=section.batch_size,
        learning_rate=section.learning_rate,
        weight_decay=section.weight_decay,
        seed=seed,
        threads=config.training.threads,
        accelerator=config.training.accelerator,
        devices=config.training.devices,
        checkpoint_every=config.training.checkpoint_every,
    )


def teacher_config(config: BuildConfig, seed: int) -> TeacherConfig:
    """The ensemble of the build."""
    section = config.teacher
    return TeacherConfig(
        section.members, section.hidden, training_config(config, section, seed), section.views
    )


def distillation(config: BuildConfig) -> Distillation:
    """The weighted sum of the build's losses."""
    parts = []
    for loss in config.distill.losses:
        settings = loss.model_dump(exclude={"method", "weight"})
        parts.append((loss.weight, METHODS[loss.method](**settings)))
    return WeightedSum(tuple(parts))
