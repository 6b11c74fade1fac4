"""Whether a student fits its board, by closed-form costs, and the rate that the board reaches where not."""

from dataclasses import dataclass, replace
from itertools import product
from math import inf

from common.errors import CapacityError, ConfigError
from common.topology import Topology
from hw.boards.board import Board
from hw.boards.boards import find
from hw.dataflow.fold import Fold
from hw.interface import CoreInterface
from hw.mapping.cost import Cost, Estimate, estimate, folded_steps, shell_cost, synthetic_graph
from hw.mapping.folding import candidates, fold, share, target_of
from hw.mapping.memories import with_resources
from hw.shells.port import PortWidths, parallel_port
from hw.shells.throughput import Pace, link_for, pace, spoken
from pipeline.config.build import Build, SizeConfig
from pipeline.sizing.limits import LINK, RESOURCES, Limit, limits_of

SLOWEST = 1 << 40
"""Cycles a frame that every student has time in."""
SCARCITY = 8
"""By how much a resource that is exceeded weighs more when folds are chosen anew."""


@dataclass(frozen=True)
class Assessment:
    """A topology with its folds on a board.

    Attributes:
        board: with its clock and its link.
        target: cycles that a frame may take; None where folds are given by hand.
        estimate: of the core.
        shell: cost of the shell around it.
        port: of the parallel shell.
        limits: all that count.
        share: sum of the shares of the board's resources, to compare costs by one number.
    """

    board: Board
    topology: Topology
    folds: tuple[Fold, ...]
    target: int | None
    estimate: Estimate
    shell: Cost
    port: PortWidths | None
    limits: tuple[Limit, ...]
    share: float

    @property
    def total(self) -> Cost:
        """Core and shell."""
        return self.estimate.total + self.shell

    @property
    def fits(self) -> bool:
        """Whether all limits are kept."""
        return all(limit.fits for limit in self.limits)

    @property
    def binding(self) -> Limit:
        """The limit that is nearest, or furthest exceeded."""
        return max(self.limits, key=lambda limit: limit.load)

    @property
    def pace(self) -> Pace:
        """What a host sees at best."""
        return pace(self.board, self.estimate.interface, self.estimate.interval, self.port)

    def require_fit(self) -> None:
        """Raise `CapacityError` where a limit is exceeded; names it and the layer that takes most."""
        if self.fits:
            return
        limit, board = self.binding, self.board
        if limit.name in LINK or (limit.name == "cycles" and self.estimate.interval <= limit.budget):
            raise CapacityError(_slow_link(self))
        largest = max(self.estimate.layers, key=lambda layer: getattr(layer.cost, limit.name, 0))
        most = getattr(largest.cost, limit.name, 0)
        spared = "" if limit.budget == limit.available else f" ({limit.available} less the headroom)"
        taker = f"; {largest.name} takes most, {most:.0f}" if most else ""
        raise CapacityError(
            f"size: the student needs {limit.need} {limit.title}, the budget of {board.name} is"
            f" {limit.budget}{spared}{taker}; make the student smaller, or ask for fewer frames a second"
        )


def _slow_link(found: Assessment) -> str:
    board, target = found.board, found.target or found.estimate.interval
    needed = link_for(board, found.estimate.interface, target, found.port)
    return (
        f"size: the link limits: {spoken(board.clock_hz / target)} frames/s take {needed}, {board.name} has"
        f" a {found.pace.link}; ask for fewer frames a second"
    )


def target_cycles(config: Build) -> int | None:
    """Cycles that a frame may take; None where folds are given by hand.

    Raises `CapacityError` where more frames are asked for than there are cycles.
    """
    size = config.size or SizeConfig()
    if size.frames_per_second is None:
        return config.compile.target_cycles or size.target_cycles
    clock = find(config.board.name).clock_hz
    target = target_of(size.frames_per_second, clock)
    if target < 1:
        raise CapacityError(
            f"size.frames_per_second: {size.frames_per_second:,.0f}, but a core takes a frame a cycle at"
            f" most, on {config.board.name} {clock:,} a second"
        )
    return target


def assess(topology: Topology, config: Build) -> Assessment:
    """Fold a topology for the build's rate and estimate what it takes of its board.

    Of folds that are fast enough the cheapest are taken. Where those do not fit, others are tried, also such
    that take less of what is scarce; so what fits at a rate fits at every lower one.

    Raises `CapacityError`: no fold is as fast as the build asks. Raises `ConfigError`: folds by hand that are
    not as many as the layers.
    """
    board, target = find(config.board.name), target_cycles(config)
    if target is None:
        return _assessed(topology, config, _by_hand(topology, config))
    folds = fold(topology, target, board.family, board.budget, lambda each: _surroundings(config, each)[1])
    found = _assessed(topology, config, folds)
    room = next((limit.budget for limit in found.limits if limit.name == "luts"), inf)
    budgets = [board.budget]
    if found.binding.name in RESOURCES:
        scarce = max(1, getattr(board.budget, found.binding.name) // SCARCITY)
        budgets.append(replace(board.budget, **{found.binding.name: scarce}))
    if found.fits or found.binding.name in ("baud", "frame_bytes"):  # no folds help there
        return found
    for budget in budgets:
        for candidate in candidates(topology, target, board.family, budget):
            if candidate.least_luts(config.compile.multiply, board.family) <= room:
                other = _assessed(topology, config, candidate.folds)
                if other.fits:
                    return other
    return found


def _surroundings(config: Build, interface: CoreInterface) -> tuple[PortWidths | None, Cost]:
    """The port of the build's parallel shell, and the shell's cost; of FINN's shell only Vivado knows it."""
    board = find(config.board.name)
    if board.finn_board:
        return None, Cost()
    port = parallel_port(board, interface) if config.board.shell == "parallel" else None
    return port, shell_cost(interface, board.family, port)


def _assessed(topology: Topology, config: Build, folds: tuple[Fold, ...]) -> Assessment:
    board = find(config.board.name)
    graph = synthetic_graph(topology, folds, label=config.compile.output == "label")
    budget = board.budget_of(config.board.shell)
    if not board.family.uses_vivado:
        graph = with_resources(graph, config.compile.multiply, board.family, budget)
    found = estimate(graph, board.family)
    (port, shell), target = _surroundings(config, found.interface), target_cycles(config)
    limits = tuple(limits_of(found, shell, port, budget, config, target))
    taken = share(found.total + shell, budget)
    return Assessment(board, topology, folds, target, found, shell, port, limits, taken)


def _by_hand(topology: Topology, config: Build) -> tuple[Fold, ...]:
    given = config.compile.fold or ()
    wanted = [topology.steps[place].name for place in folded_steps(topology.steps)]
    if len(given) != len(wanted):
        raise ConfigError(f"compile.fold: {len(given)} folds for {len(wanted)} layers: {', '.join(wanted)}")
    return tuple(Fold(each.pe, each.simd) for each in given)


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
        if _fitting(topology, config):
            return
        refused = refused or topology
    if refused is not None:
        require_fit(refused, config)


def _fitting(topology: Topology, config: Build) -> Assessment | None:
    """What a student takes; None where it does not fit its board at the build's rate."""
    try:
        found = assess(topology, config)
    except CapacityError:
        return None
    return found if found.fits else None


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
    best = _fitting(topology, at_target(config, SLOWEST))
    slow = 0
    while best is not None and best.estimate.interval - slow > 1:
        middle = (best.estimate.interval + slow) // 2
        found = _fitting(topology, at_target(config, middle))
        best, slow = (best, middle) if found is None else (found, slow)
    return best
