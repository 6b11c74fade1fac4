"""Whether a student fits its board, by the closed-form costs of `hw.cost`."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from math import ceil, floor

from hw.amd_boards import AmdBoard
from hw.block_rams import with_resources
from hw.boards import Board, find
from hw.budget import Budget
from hw.cost import Cost, Estimate, estimate, fold_places, shell_cost, synthetic_graph
from hw.dataflow.fold import Fold
from hw.folding import fold, share, target_of
from hw.interface import CoreInterface
from hw.shell.port import PortWidths, parallel_port
from models.topology import Topology
from pipeline.config import BuildConfig
from pipeline.config_size import SizeConfig
from pipeline.errors import CapacityError, ConfigError

RESOURCES = ("luts", "flip_flops", "block_rams", "single_port_rams", "ultra_rams", "dsps")
SCARCITY = 8
"""By how much a resource that is exceeded weighs more when folds are chosen anew."""
TITLES = {
    "luts": "LUTs",
    "flip_flops": "flip-flops",
    "block_rams": "block RAMs",
    "single_port_rams": "single-port RAMs",
    "ultra_rams": "UltraRAMs",
    "dsps": "DSPs",
    "stream_bits": "bits a cycle of a stream",
    "stream_pins": "pins for streams",
    "cycles": "cycles a frame",
}


@dataclass(frozen=True)
class Limit:
    """A limit of the board or of the build: what is needed, what may be taken of what is there."""

    name: str
    need: int
    budget: int
    available: int

    @property
    def fits(self) -> bool:
        """Whether it is kept."""
        return self.need <= self.budget

    @property
    def load(self) -> float:
        """Share of the budget that is needed."""
        return self.need / max(self.budget, 1) if self.need else 0.0


@dataclass(frozen=True)
class Assessment:
    """A topology with its folds on a board.

    Attributes:
        target: cycles that a frame may take; None where folds are given by hand.
        estimate: of the core.
        shell: cost of the shell around it.
        port: of the parallel shell.
        limits: all that count, in the order of `TITLES`.
        share: sum of the shares of the board's resources, to compare costs by one number.
    """

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
    def interval(self) -> int:
        """Cycles between frames, those that the parallel shell needs counted in."""
        return max(self.estimate.interval, _beats(self.estimate.interface, self.port))

    def require_fit(self, board: Board | AmdBoard) -> None:
        """Raise `CapacityError` where a limit is exceeded; names it and the layer that takes most."""
        if self.fits:
            return
        limit = self.binding
        largest = max(self.estimate.layers, key=lambda layer: getattr(layer.cost, limit.name, 0))
        most = getattr(largest.cost, limit.name, 0)
        spared = "" if limit.budget == limit.available else f" ({limit.available} less the headroom)"
        taker = f"; {largest.name} takes most, {most:.0f}" if most else ""
        raise CapacityError(
            f"size: the student needs {limit.need} {TITLES[limit.name]}, the budget of {board.name} is"
            f" {limit.budget}{spared}{taker}; make the student smaller, or ask for fewer frames a second"
        )


def target_cycles(config: BuildConfig) -> int | None:
    """Cycles that a frame may take; None where folds are given by hand."""
    size = config.size or SizeConfig()
    if size.frames_per_second is not None:
        return target_of(size.frames_per_second, find(config.board.name).clock_hz)
    return config.compile.target_cycles or size.target_cycles


def assess(topology: Topology, config: BuildConfig) -> Assessment:
    """Fold a topology for the build's rate and reckon what it takes of its board.

    Where that is too much of one resource, folds that take less of it are tried.

    Raises:
        CapacityError: no fold is as fast as the build asks.
        ConfigError: folds by hand that are not as many as the layers.
    """
    found = _assess(topology, config, None)
    scarce = found.binding.name
    if found.fits or found.target is None or scarce not in RESOURCES:
        return found
    thrifty = _assess(topology, config, scarce)
    return thrifty if thrifty.fits else found


def _assess(topology: Topology, config: BuildConfig, scarce: str | None) -> Assessment:
    board = find(config.board.name)
    target = target_cycles(config)
    folds = _folds(topology, config, board, target, scarce)
    graph = synthetic_graph(topology, folds, label=config.compile.output == "label")
    budget = board.budget_of(config.board.shell)
    port = None
    if isinstance(board, AmdBoard):
        found, shell = estimate(graph, board.family), Cost()  # of FINN's shell only Vivado knows
    else:
        graph = with_resources(graph, config.compile.multiply, board.family, budget)
        found = estimate(graph, board.family)
        port = parallel_port(board, found.interface) if config.board.shell == "parallel" else None
        shell = shell_cost(found.interface, board.family, port)
    limits = tuple(_limits(found, shell, port, budget, config, target))
    return Assessment(topology, folds, target, found, shell, port, limits, share(found.total, budget))


def _folds(
    topology: Topology, config: BuildConfig, board: Board | AmdBoard, target: int | None, scarce: str | None
) -> tuple[Fold, ...]:
    """Folds for the target, at a higher price of the resource that is `scarce`; or those given by hand."""
    if target is not None:
        budget = board.budget
        if scarce is not None:
            budget = replace(budget, **{scarce: getattr(budget, scarce) // SCARCITY})
        return fold(topology, target, board.family, budget)
    given = config.compile.fold or ()
    wanted = [topology.steps[place].name for place in fold_places(topology.steps)]
    if len(given) != len(wanted):
        raise ConfigError(f"compile.fold: {len(given)} folds for {len(wanted)} layers: {', '.join(wanted)}")
    return tuple(Fold(each.pe, each.simd) for each in given)


def _limits(
    found: Estimate,
    shell: Cost,
    port: PortWidths | None,
    budget: Budget,
    config: BuildConfig,
    target: int | None,
) -> Iterator[Limit]:
    free = config.size.headroom if config.size else 0.0
    total = found.total + shell
    for name in RESOURCES:
        need, available = round(getattr(total, name)), getattr(budget, name)
        if need or available:
            yield Limit(name, need, floor(available * (1 - free)), available)
    if port is not None:
        need = _stream_pins(found.interface, target)
        yield Limit("stream_pins", need, budget.stream_bits, budget.stream_bits)
    if found.family == "amd":
        yield Limit("stream_bits", _stream_bits(found, target), budget.stream_bits, budget.stream_bits)
    if target is not None:
        yield Limit("cycles", max(found.interval, _beats(found.interface, port)), target, target)


def _beats(interface: CoreInterface, port: PortWidths | None) -> int:
    """Cycles that a frame takes on the parallel shell's pins."""
    if port is None:
        return 0
    return max(interface.input.words * port.in_beats, interface.output.words * port.out_beats)


def _stream_pins(interface: CoreInterface, target: int | None) -> int:
    """The fewest data pins on which a frame takes no more than `target` cycles."""
    need = 0
    for stream in (interface.input, interface.output):
        beats = 1 if target is None else max(1, target // stream.words)
        widths = (width for width in range(1, stream.word_bits + 1) if stream.word_bits % width == 0)
        fast = [width for width in widths if target is None or stream.word_bits // width <= beats]
        need += min(fast)
    return need


def _stream_bits(found: Estimate, target: int | None) -> int:
    """Bits that DMA has to move in a cycle, one way: a frame in `target` cycles, or at the core's rate."""
    streams = (found.interface.input, found.interface.output)
    return max(ceil(stream.words * stream.word_bits / (target or found.interval)) for stream in streams)


def require_feasible(config: BuildConfig, input_shape: tuple[int, ...]) -> None:
    """Raise `CapacityError` where no student of the build fits its board; cheap, before any training.

    Of numbers left open the least are tried, with optional layers and without.
    """
    board = find(config.board.name)
    choices = config.student.choices
    optional = [key for key in choices if key.endswith(".present")]
    problem: CapacityError | None = None
    for present in product((0, 1), repeat=len(optional)):
        chosen = {key: min(values) for key, values in choices.items()}
        chosen |= dict(zip(optional, present, strict=True))
        try:
            assess(config.student.topology(input_shape, chosen), config).require_fit(board)
            return
        except CapacityError as error:
            problem = problem or error
        except ConfigError:
            if not optional:
                raise
    if problem:
        raise problem
