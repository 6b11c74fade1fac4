"""What was made of the network for the chip, and how fast it is."""

from dataclasses import dataclass

from common.jsonfile import JsonFile
from hw.finn.rtl.estimates import Estimates
from hw.implementation.bitstream import Utilization
from hw.shells.throughput import Pace


@dataclass(frozen=True)
class Layer:
    """A layer of the core. What a kind of layer does not have is left out.

    Attributes:
        name: of its module in `core.v`, behind `core_`.
        kind: of layer.
        cycles: a frame.
        origin: what the network's file calls its output.
        shape: what it takes and gives, in words.
        kernel: of a window, rows and columns.
        vectors: a frame.
        pe: outputs a cycle.
        simd: inputs of each a cycle.
        lanes: values a word.
        input_bits: of an input value.
        output_bits: of an output value.
        weights: least and greatest.
        multiply: how it multiplies.
        memory: where its weights are, unless in ROM.
        depth: words of a FIFO.
    """

    name: str
    kind: str
    cycles: int
    origin: str | None = None
    shape: str | None = None
    kernel: str | None = None
    vectors: int | None = None
    pe: int | None = None
    simd: int | None = None
    lanes: str | None = None
    input_bits: int | None = None
    output_bits: int | None = None
    weights: tuple[int, int] | None = None
    multiply: str | None = None
    memory: str | None = None
    depth: int | None = None


@dataclass(frozen=True)
class Performance(Pace):
    """How fast the core is. A host gets frames at the rate of the slower of core and link.

    Attributes:
        frames_per_second: what a host sees.
        core_frames_per_second: of the core at `clock_hz`.
        link_frames_per_second: of the link.
        limited_by: the slower of the two.
        link: what carries the frames.
        as_fast: what the link would have to be to keep up with the core; empty where it does.
        interval_cycles: from frame to frame, simulated.
        interval_bound_cycles: of the slowest layer or the input stream.
        latency_cycles: of one frame, simulated.
        clock_hz: the board's clock, in Hz.
    """

    interval_cycles: int
    interval_bound_cycles: int
    latency_cycles: int
    clock_hz: float


@dataclass(frozen=True)
class BoardPace:
    """What `retort deploy` measured on a board, in the metrics of rung `board`.

    Attributes:
        frames_per_second: in batches.
        latency_microseconds: of one frame.
        batch: frames of a batch.
    """

    frames_per_second: float
    latency_microseconds: float
    batch: int


LAYERS = JsonFile("layers.json", tuple[Layer, ...], ("compile",))
UTILIZATION = JsonFile("utilization.json", Utilization, ("bitstream", "vivado"))
ESTIMATES = JsonFile("estimates.json", Estimates, ("estimates",))
PERFORMANCE = JsonFile("performance.json", Performance, ("verify",))
