"""What the shells take, by the widths of their streams."""

from hw.boards.families.base import ChipFamily
from hw.interface import CoreInterface
from hw.kernels.specs.base import counter_width
from hw.mapping.cost.estimate import part_cost
from hw.mapping.cost.memory import Store
from hw.mapping.cost.part import Cost, Part
from hw.shells.port import PortWidths

LOADER = Cost(luts=200, flip_flops=75)
"""More of the serial shell, to load four columns of weights; `tests/hw/shells/test_loader.py` measures it."""


def shell_part(interface: CoreInterface, port: PortWidths | None) -> Part:
    """The features of the serial shell, or, given its `port`, of the parallel one."""
    i, o = interface.input, interface.output
    features = {"in": i.word_bits, "out": o.word_bits, "one": 1}
    if port is None:
        features |= {"counter": counter_width(i.frame_bytes) + counter_width(o.frame_bytes)}
        request = Store(i.frame_bytes, 8, writable=True)
        return Part("shell-uart", features, ((request, 1),))
    beats = counter_width(o.words * port.out_beats)
    features |= {"pins": port.in_bits + port.out_bits, "beats": beats}
    return Part("shell-parallel", features)


def shell_cost(interface: CoreInterface, family: ChipFamily, port: PortWidths | None) -> Cost:
    """What a shell takes of a chip of `family`: the serial one, or, given its `port`, the parallel one."""
    cost = part_cost(shell_part(interface, port), family)
    return cost if interface.weights is None else cost + LOADER
