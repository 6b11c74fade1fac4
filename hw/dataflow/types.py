"""What the layers share."""

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


class SameLanes:
    """A layer whose words are of `lanes` values, in and out."""

    lanes: int

    @property
    def i_lanes(self) -> int:  # noqa: D102
        return self.lanes

    @property
    def o_lanes(self) -> int:  # noqa: D102
        return self.lanes
