"""The build file: TOML in, a frozen `Build` out, and one line for whatever is wrong with it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from common.errors import ConfigError
from pipeline.config.data import DataConfig
from pipeline.config.distill import DistillConfig, distill_problems
from pipeline.config.errors import describe, problems
from pipeline.config.file import plain, read_raw
from pipeline.config.network import NetworkConfig, network_problem
from pipeline.config.section import MAX_COUNT, MAX_ITEMS, Count, Section, Workers
from pipeline.config.size import SizeConfig, size_problem
from pipeline.config.student import StudentConfig
from pipeline.config.teacher import TeacherConfig
from pipeline.config.vivado import VivadoConfig, vivado_problem

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


class RungsConfig(Section):
    """`[verify]`: samples of the slow rungs; `stall_seed` draws the streams' random stalls."""

    netlist_samples: Count = 16
    bitstream_samples: Count = 16
    board_samples: Annotated[int, Field(ge=16, le=MAX_COUNT)] = 16
    stall_seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
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
    devices: Workers = 1
    threads: Workers = 1
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
    return parse(read_raw(path), str(path))


def parse(raw: Any, where: str) -> Build:
    """Check a build file's content; `where` names it in errors."""
    tables = plain(raw, where)
    model = NetworkBuild if "network" in tables else BuildConfig
    if model is NetworkBuild and (clash := [f"[{name}]" for name in TRAINED if name in tables]):
        raise ConfigError(
            f"{where}: network: a network made elsewhere is not trained;"
            f" remove {', '.join(clash)}, or [network]"
        )
    try:
        config = model.model_validate(tables)
    except ValidationError as error:
        raise problems(where, describe(error, model)) from error
    if found := list(_problems(config)):
        raise problems(where, found)
    return config


def _problems(config: Build) -> Iterator[str]:
    """What is wrong with tables that are well-formed each by itself."""
    if isinstance(config, BuildConfig):
        yield from distill_problems(config.distill, config.teacher.size)
        found = [size_problem(config)]
    else:
        found = [network_problem(config)] if isinstance(config, NetworkBuild) else []
    board = _board(config)
    # Of a board that does not exist nothing else can be said.
    found += [board] if board and board.startswith("board.name") else [board, vivado_problem(config)]
    yield from (each for each in found if each)


def _board(config: Build) -> str | None:
    from hw.boards.boards import find

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
