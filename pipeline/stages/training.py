"""What the training stages share: the build file's settings as the models' own types."""

from models.augment import Augmentation
from models.distill.losses import METHODS, Distillation, WeightedSum
from models.teacher import ARCHITECTURES, Architecture, Mlp, TeacherConfig
from models.topology import Topology
from models.training import TrainingConfig
from pipeline.config import BuildConfig, distilled
from pipeline.config_student import StudentConfig
from pipeline.config_teacher import AugmentConfig
from pipeline.config_teacher import TeacherConfig as TeacherSection
from pipeline.stage import StageContext


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
        **section.model_dump(include={"warmup", "precision"}),
    )


def teacher_config(config: BuildConfig, seed: int) -> TeacherConfig:
    """The ensemble of the build."""
    section = config.teacher
    return TeacherConfig(
        networks=_architectures(section),
        training=training_config(config, section, seed),
        members=section.members,
        views=section.views,
        mirror=section.mirror,
        augmentation=augmentation(section.augment),
        label_smoothing=section.label_smoothing,
    )


def augmentation(section: AugmentConfig | None) -> Augmentation | None:
    """What happens to the samples of each batch."""
    return Augmentation(**section.model_dump()) if section else None


def distillation(config: BuildConfig) -> Distillation:
    """The weighted sum of the build's losses."""
    parts = []
    for loss in config.distill.losses:
        settings = loss.model_dump(exclude={"method", "weight"})
        parts.append((loss.weight, METHODS[loss.method](**settings)))
    return WeightedSum(tuple(parts))


def _architectures(section: TeacherSection) -> tuple[Architecture, ...]:
    if section.hidden is not None:
        return (Mlp(section.hidden),)
    networks = section.networks or ()
    return tuple(ARCHITECTURES[network.kind](**network.model_dump(exclude={"kind"})) for network in networks)


def chosen_topology(ctx: StageContext, input_shape: tuple[int, ...]) -> Topology:
    """The student over frames of `input_shape`, as sizing chose what the build leaves open."""
    from pipeline.sizing.choice import load_sized

    config = distilled(ctx.config)
    if not config.student.choices:
        return config.student.topology(input_shape)
    return load_sized(ctx.input("size", "sized.json")).topology(config, input_shape)
