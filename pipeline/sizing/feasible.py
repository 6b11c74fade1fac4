"""The check that comes before any training, and the rate that a board can reach where it fails."""

from itertools import product

from common.errors import CapacityError, ConfigError
from common.topology import Topology
from hw.boards.boards import find
from hw.shells.throughput import spoken
from pipeline.config.build import Build
from pipeline.sizing.assessment import Assessment, assess

SLOWEST = 1 << 40
"""Cycles a frame that every student has time in."""


def at_target(config: Build, target: int) -> Build:
    """The build at another pace of its core, whatever its link carries."""
    asked = config.compile.model_copy(update={"target_cycles": target, "fold": None})
    size = config.size and config.size.model_copy(update={"target_cycles": None, "frames_per_second": None})
    return config.model_copy(update={"compile": asked, "size": size})


def require_fit(topology: Topology, config: Build) -> Assessment:
    """What a student takes; raises `CapacityError` where it does not fit, with the rate that would."""
    try:
        found = assess(topology, config)
        found.require_fit()
        return found
    except CapacityError as error:
        raise CapacityError(f"{error}; {_reached(topology, config)}") from error


def require_feasible(config: Build, input_shape: tuple[int, ...]) -> None:
    """Raise `CapacityError` where no student of the build fits its board; cheap, before any training.

    Of numbers left open the least are tried, with optional layers and without.
    """
    choices = config.student.choices
    optional = [key for key in choices if key.endswith(".present")]
    refused: Topology | None = None
    for present in product((0, 1), repeat=len(optional)):
        chosen = {key: min(values) for key, values in choices.items()}
        chosen |= dict(zip(optional, present, strict=True))
        try:
            topology = config.student.topology(input_shape, chosen)
        except ConfigError:
            if not optional:
                raise
            continue
        if fits(topology, config):
            return
        refused = refused or topology
    if refused is not None:
        require_fit(refused, config)


def fits(topology: Topology, config: Build) -> bool:
    """Whether a student fits its board at the build's rate."""
    try:
        return assess(topology, config).fits
    except CapacityError:
        return False


def _reached(topology: Topology, config: Build) -> str:
    """The fastest pace at which the student fits, as words."""
    board = find(config.board.name)
    if config.compile.fold is not None:
        return "with target_cycles in place of folds by hand, sizing finds folds that fit, if there are any"
    found = _fastest(topology, config)
    if found is None:
        return f"no rate makes it fit {board.name}"
    rate, limit = spoken(found.pace.frames_per_second), found.pace.limited_by
    core = f"its core takes {found.estimate.interval} cycles a frame"
    return f"with this student {board.name} reaches {rate} frames/s, limited by the {limit}; {core}"


def _fastest(topology: Topology, config: Build) -> Assessment | None:
    """The assessment at the fastest target that fits: what fits at one fits at every slower one."""
    best = _fitting(topology, config, SLOWEST)
    slow = 0
    while best is not None and best.estimate.interval - slow > 1:
        middle = (best.estimate.interval + slow) // 2
        found = _fitting(topology, config, middle)
        best, slow = (best, middle) if found is None else (found, slow)
    return best


def _fitting(topology: Topology, config: Build, target: int) -> Assessment | None:
    try:
        found = assess(topology, at_target(config, target))
    except CapacityError:
        return None
    return found if found.fits else None
