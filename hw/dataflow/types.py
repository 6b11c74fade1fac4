"""What the layers share."""

from abc import ABC, abstractmethod
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from common.errors import LoweringError

Integers: TypeAlias = NDArray[np.int64]
Multiply: TypeAlias = Literal["lut", "table", "dsp"]
Memory: TypeAlias = Literal["rom", "single-port"]
"""Where weights are: in the bitstream, as LUTs or block RAM, or in single-port RAM, loaded later."""


def check_divides(name: str, what: str, part: int, whole: int) -> None:
    """Raise `LoweringError` where `part` of a layer's fold does not divide `whole`."""
    if part < 1 or whole % part:
        raise LoweringError(f"{name}: {what} {part} does not divide {whole}; give a divisor")


class StreamLayer(ABC):
    """What a layer's streams are unless it says otherwise: words of `lanes` values, as many out as in."""

    lanes: int

    @property
    @abstractmethod
    def i_elements(self) -> int:
        """Values of a frame that comes."""

    @property
    def i_lanes(self) -> int:
        """Values of a word that comes."""
        return self.lanes

    @property
    def o_lanes(self) -> int:
        """Values of a word that goes."""
        return self.i_lanes

    @property
    def o_elements(self) -> int:
        """Values of a frame that goes."""
        return self.i_elements

    @property
    def cycles(self) -> int:
        """Cycles a frame: a word a cycle, in or out, whichever are more."""
        return max(self.i_elements // self.i_lanes, self.o_elements // self.o_lanes)
