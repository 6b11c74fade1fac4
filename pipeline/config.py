"""The build file: TOML in, a frozen `BuildConfig` out, and one line for whatever is wrong with it."""

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from models.topology import (
    MAX_ACTIVATION_BITS,
    MAX_WEIGHT_BITS,
    MIN_ACTIVATION_BITS,
    MIN_WEIGHT_BITS,
    DenseLayer,
    Topology,
)
from pipeline.config_errors import describe
from pipeline.errors import ConfigError

Count = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Rate = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Temperature = Annotated[float, Field(gt=0, le=1000)]


class Section(BaseModel):
    """A table of the build file: immutable, strictly typed, without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class DataConfig(Section):
    """`[data]`: the data set and its split."""

    source: Literal["digits"]
    test_fraction: Fraction
    validation_fraction: Fraction


class TeacherConfig(Section):
    """`[teacher]`: an ensemble of float networks; `views` augmented views a sample are stored."""

    members: Count
    hidden: Annotated[tuple[Count, ...], Field(min_length=1)]
    epochs: Count
    batch_size: Count
    learning_rate: Rate
    weight_decay: NonNegative
    views: Count = 8


class StudentLayer(Section):
    """One dense layer; the last has no `activation_bits`, for it gives the integer logits."""

    outputs: Count
    weight_bits: Annotated[int, Field(ge=MIN_WEIGHT_BITS, le=MAX_WEIGHT_BITS)]
    activation_bits: Annotated[int, Field(ge=MIN_ACTIVATION_BITS, le=MAX_ACTIVATION_BITS)] | None = None


class StudentConfig(Section):
    """`[student]`: the narrow network, and how it is trained."""

    layers: Annotated[tuple[StudentLayer, ...], Field(min_length=1)]
    epochs: Count
    batch_size: Count
    learning_rate: Rate
    weight_decay: NonNegative

    def topology(self, inputs: int) -> Topology:
        """The network over `inputs` features."""
        layers = (
            DenseLayer(layer.outputs, layer.weight_bits, layer.activation_bits) for layer in self.layers
        )
        return Topology(inputs, tuple(layers))


class SoftenedSoftmax(Section):
    """Hinton's distillation: KL at a temperature, mixed with the labels' cross-entropy."""

    method: Literal["softened-softmax"]
    temperature: Temperature
    hard_label_weight: Annotated[float, Field(ge=0, le=1)]
    weight: Rate = 1.0


class LogitMatching(Section):
    """Squared distance between the student's and the teacher's logits."""

    method: Literal["logit-matching"]
    weight: Rate = 1.0


class HardLabels(Section):
    """Cross-entropy with the labels alone: the baseline."""

    method: Literal["hard-labels"]
    weight: Rate = 1.0


Loss = Annotated[SoftenedSoftmax | LogitMatching | HardLabels, Field(discriminator="method")]


class DistillConfig(Section):
    """`[distill]`: a weighted sum of losses, and the temperatures of the temperature curve (may be none)."""

    losses: Annotated[tuple[Loss, ...], Field(min_length=1)]
    temperatures: tuple[Temperature, ...] = ()
    sweep_epochs: Count = 1


class Fold(Section):
    """Parallelism of a layer: `pe` outputs and `simd` inputs a cycle."""

    pe: Count
    simd: Count


class CompileConfig(Section):
    """`[compile]`: folding by target or by hand, and what leaves the core."""

    target_cycles: Count | None = None
    fold: Annotated[tuple[Fold, ...], Field(min_length=1)] | None = None
    output: Literal["logits", "label"] = "logits"


class BoardConfig(Section):
    """`[board]`: where the bitstream goes, and with whose tools it is made."""

    name: str
    toolchain: Literal["wheels", "native"] = "wheels"


class VerifyConfig(Section):
    """`[verify]`: samples of the slow rungs; `stall_seed` draws the streams' random stalls.

    The rung `student` fails below `minimum_accuracy`, or `maximum_drop` below the teacher (both 0 to 1).
    """

    netlist_samples: Count = 16
    bitstream_samples: Count = 16
    board_samples: Annotated[int, Field(ge=16)] = 16
    stall_seed: Annotated[int, Field(ge=0)] = 0
    minimum_accuracy: Annotated[float, Field(ge=0, le=1)] = 0.0
    maximum_drop: Annotated[float, Field(ge=0, le=1)] = 1.0


class TrainingConfig(Section):
    """`[training]`: Fabric's accelerator and devices, CPU threads, epochs between checkpoints."""

    accelerator: Literal["cpu", "cuda", "mps", "auto"] = "cpu"
    devices: Count = 1
    threads: Count = 1
    checkpoint_every: Count = 1


class BuildConfig(Section):
    """A whole build file."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=64)]
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    data: DataConfig
    teacher: TeacherConfig
    student: StudentConfig
    distill: DistillConfig
    compile: CompileConfig
    board: BoardConfig
    verify: VerifyConfig = VerifyConfig()
    training: TrainingConfig = TrainingConfig()


def load(path: Path) -> BuildConfig:
    """Read and check a build file.

    Raises:
        ConfigError: one line with the file, the dotted key, and what to do.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read ({error.strerror}); give an existing build file"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not TOML: {error}") from error
    return parse(raw, str(path))


def parse(raw: dict[str, Any], where: str) -> BuildConfig:
    """Check a build file's content; `where` names it in errors."""
    try:
        config = BuildConfig.model_validate(_tuples(raw))
    except ValidationError as error:
        raise ConfigError(f"{where}: {describe(error, BuildConfig)}") from error
    for problem in (_split(config), _layers(config), _folding(config), _board(config)):
        if problem:
            raise ConfigError(f"{where}: {problem}")
    return config


def _tuples(value: Any) -> Any:
    """TOML's arrays as tuples, which strict validation wants."""
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    return tuple(_tuples(item) for item in value) if isinstance(value, list | tuple) else value


def _split(config: BuildConfig) -> str | None:
    total = config.data.test_fraction + config.data.validation_fraction
    if total < 1:
        return None
    return (
        f"data.validation_fraction: with test_fraction {total:g} of the data, nothing to train on; give less"
    )


def _layers(config: BuildConfig) -> str | None:
    *hidden, last = config.student.layers
    if last.activation_bits is not None:
        return f"student.layers[{len(hidden)}].activation_bits: the last layer gives logits; remove the key"
    for index, layer in enumerate(hidden):
        if layer.activation_bits is None:
            return f"student.layers[{index}].activation_bits: missing; only the last layer may go without"
    return None


def _folding(config: BuildConfig) -> str | None:
    fold, layers = config.compile.fold, config.student.layers
    if (fold is None) == (config.compile.target_cycles is None):
        found = "neither is set" if fold is None else "both are set"
        return f"compile: {found}; give either target_cycles or fold"
    if fold is None:
        return None
    if len(fold) != len(layers):
        return f"compile.fold: {len(fold)} entries for {len(layers)} layers; give one for each layer"
    for index, (entry, layer) in enumerate(zip(fold, layers, strict=True)):
        # The first layer's inputs are the data's features, known only when the data is there.
        if index and layers[index - 1].outputs % entry.simd:
            inputs = layers[index - 1].outputs
            return f"compile.fold[{index}].simd: {entry.simd} does not divide the layer's {inputs} inputs"
        if layer.outputs % entry.pe:
            return f"compile.fold[{index}].pe: {entry.pe} does not divide the layer's {layer.outputs} outputs"
    return None


def _board(config: BuildConfig) -> str | None:
    from hw.boards import find

    try:
        find(config.board.name)
    except ConfigError as error:
        return f"board.name: {error}"
    return None
