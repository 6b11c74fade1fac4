"""The build file: TOML in, a frozen `Build` out, and one line for whatever is wrong with it."""

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from pipeline.config_data import DataConfig, split_problem
from pipeline.config_distill import DistillConfig, distill_problem
from pipeline.config_errors import describe
from pipeline.config_network import NetworkConfig, network_problem
from pipeline.config_section import Count, Section
from pipeline.config_size import SizeConfig, size_problem
from pipeline.config_student import StudentConfig, student_problem
from pipeline.config_teacher import TeacherConfig, teacher_problem
from pipeline.config_vivado import VivadoConfig, vivado_problem
from pipeline.errors import ConfigError

Share = Annotated[float, Field(ge=0, le=1)]

NAME_LENGTH = 64

TRAINED = ("teacher", "student", "distill", "size", "training")
"""Tables of builds that train."""


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
    fold: Annotated[tuple[Fold, ...], Field(min_length=1)] | None = None
    multiply: Literal["auto", "lut", "table", "dsp"] = "auto"
    output: Literal["logits", "label"] = "logits"


class BoardConfig(Section):
    """`[board]`: where the bitstream goes, how the core meets the world, and whose tools make it.

    Shell `uart` frames requests over the board's serial link; `parallel` has the streams on pins. AMD boards
    have neither: theirs is FINN's shell, and Vivado.
    """

    name: str
    shell: Literal["uart", "parallel"] = "uart"
    toolchain: Literal["wheels", "native"] = "wheels"


class RungsConfig(Section):
    """`[verify]`: samples of the slow rungs; `stall_seed` draws the streams' random stalls."""

    netlist_samples: Count = 16
    bitstream_samples: Count = 16
    board_samples: Annotated[int, Field(ge=16)] = 16
    stall_seed: Annotated[int, Field(ge=0)] = 0
    minimum_accuracy: Share = 0.0


class VerifyConfig(RungsConfig):
    """`[verify]`.

    The rung `student` fails below `minimum_accuracy`, or `maximum_drop` below the teacher (both 0 to 1).
    """

    maximum_drop: Share = 1.0


class NetworkVerifyConfig(RungsConfig):
    """`[verify]` of a network made elsewhere.

    The rung `network` compares it with golden on `network_samples` frames. It fails where they give the same
    class to less than `minimum_agreement` of them, where more than `maximum_apart` of them have an output
    more than one of golden's steps apart, or where golden's accuracy is below `minimum_accuracy`.
    """

    network_samples: Count = 64
    minimum_agreement: Share = 0.95
    maximum_apart: Share = 0.02


class TrainingConfig(Section):
    """`[training]`: Fabric's accelerator and devices, CPU threads, epochs between checkpoints."""

    accelerator: Literal["cpu", "cuda", "mps", "auto"] = "cpu"
    devices: Count = 1
    threads: Count = 1
    checkpoint_every: Count = 1


class Build(Section):
    """What all build files have."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=NAME_LENGTH)]
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    data: DataConfig | None
    compile: CompileConfig
    board: BoardConfig
    vivado: VivadoConfig | None = None
    verify: VerifyConfig | NetworkVerifyConfig


class BuildConfig(Build):
    """A build that distils its network."""

    data: DataConfig
    teacher: TeacherConfig
    student: StudentConfig
    distill: DistillConfig
    size: SizeConfig | None = None
    verify: VerifyConfig = VerifyConfig()
    training: TrainingConfig = TrainingConfig()


class NetworkBuild(Build):
    """A build around a network made elsewhere; without `data`, what was recorded of it is what it runs on."""

    network: NetworkConfig
    data: DataConfig | None = None
    verify: NetworkVerifyConfig = NetworkVerifyConfig()


def distilled(build: Build) -> BuildConfig:
    """The build as one that trains; ConfigError where its network is made elsewhere."""
    if isinstance(build, BuildConfig):
        return build
    raise ConfigError(f"{build.name}: its [network] is made elsewhere, there is nothing to train or to size")


def brought(build: Build) -> NetworkBuild:
    """The build as one around a network made elsewhere; ConfigError where it trains its own."""
    if isinstance(build, NetworkBuild):
        return build
    raise ConfigError(f"{build.name}: has no [network]; add it")


def load(path: Path) -> Build:
    """Read and check a build file, or the configuration in the `build.lock.json` of a build.

    Raises:
        ConfigError: one line with the file, the dotted key, and what to do.
    """
    try:
        text = path.read_text(encoding="utf-8")
        raw = json.loads(text)["config"] if path.suffix == ".json" else tomllib.loads(text)
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read ({error.strerror}); give an existing build file"
        ) from error
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ConfigError(f"{path}: no lock of a build ({error!r}); give a build file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not TOML: {error}") from error
    return parse(raw, str(path))


def parse(raw: dict[str, Any], where: str) -> Build:
    """Check a build file's content; `where` names it in errors."""
    model = NetworkBuild if "network" in raw else BuildConfig
    if model is NetworkBuild and (clash := [f"[{name}]" for name in TRAINED if name in raw]):
        raise ConfigError(
            f"{where}: network: a network made elsewhere is not trained;"
            f" remove {', '.join(clash)}, or [network]"
        )
    try:
        config = model.model_validate(_tuples(raw))
    except ValidationError as error:
        raise ConfigError(f"{where}: {describe(error, model)}") from error
    for problem in _problems(config):
        if problem:
            raise ConfigError(f"{where}: {problem}")
    return config


def _problems(config: Build) -> Iterator[str | None]:
    """What is wrong with tables that are well-formed each by itself."""
    if config.data is not None:
        yield split_problem(config.data)
    if isinstance(config, BuildConfig):
        yield teacher_problem(config.teacher)
        yield student_problem(config.student)
        yield distill_problem(config.distill, config.teacher.size)
        yield size_problem(config)
    elif isinstance(config, NetworkBuild):
        yield network_problem(config)
    yield _board(config)
    yield vivado_problem(config)


def _tuples(value: Any) -> Any:
    """TOML's arrays as tuples, which strict validation wants."""
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    return tuple(_tuples(item) for item in value) if isinstance(value, list | tuple) else value


def _board(config: Build) -> str | None:
    from hw.boards import find

    try:
        board = find(config.board.name)
    except ConfigError as error:
        return f"board.name: {error}"
    if board.family == "amd":
        return _amd(config, board.name)
    if config.compile.multiply == "dsp" and board.family != "ecp5":
        return f"compile.multiply: 'dsp' has no kernel for {board.family}; give 'auto', 'lut' or 'table'"
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
