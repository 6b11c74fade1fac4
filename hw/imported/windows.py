"""Attributes of convolutions and pools, completed and as of an image, whatever rank the network has."""

from dataclasses import dataclass
from typing import Any

from common.errors import LoweringError
from hw.imported.nodes import attributes, called

Sizes = tuple[int, int]


@dataclass(frozen=True)
class WindowShape:
    """Kernel and strides as (rows, columns), pads as (top, left, bottom, right).

    `partial` says that the network's own last window is cut off, which the pads make whole.
    """

    kernel: Sizes
    strides: Sizes
    pads: tuple[int, int, int, int]
    partial: bool = False

    @property
    def padded(self) -> bool:
        """Whether there are pads."""
        return any(self.pads)


def window_shape(
    node: Any, shape: tuple[int, ...], kernel: tuple[int, ...] | None, axis: int | None
) -> WindowShape:
    """The window of a node over an image (C, H, W).

    `kernel` is that of its weights, None for a pool. `axis` is that of size 1 where the network's own tensor
    is a series, 2 or 3; None where it is an image.

    Raises `LoweringError`: dilated, or of another rank.
    """
    given = attributes(node)
    kernel = tuple(given.get("kernel_shape", kernel or ()))
    rank = 2 if axis is None else 1
    if len(kernel) != rank:
        raise LoweringError(f"{called(node)}: a kernel of {list(kernel)} on {rank} axes; export it again")
    strides, dilations = (tuple(given.get(name, [1] * rank)) for name in ("strides", "dilations"))
    lengths = len(strides), len(dilations), len(given.get("pads", [0] * 2 * rank))
    if lengths != (rank, rank, 2 * rank) or min(*kernel, *strides, *dilations) < 1:
        raise LoweringError(
            f"{called(node)}: strides, dilations or pads that do not fit its kernel; export it again"
        )
    if max(dilations) > 1:
        raise LoweringError(f"{called(node)}: its kernel is dilated; Retort's hardware has no layer for it")
    sizes = shape[1:] if axis is None else (shape[1] * shape[2],)
    pads = written = _pads(given, sizes, kernel, strides)
    if given.get("ceil_mode", 0):
        pads = _rounded_up(sizes, kernel, strides, pads)
    if axis is None:
        return WindowShape(kernel, strides, pads, pads != written)  # type: ignore[arg-type]
    first, second = (0, 1) if axis == 2 else (1, 0)  # where the added axis and the series' own go

    def wide(of_series: int, added: int) -> Sizes:
        both = {first: added, second: of_series}
        return both[0], both[1]

    begin, end = wide(pads[0], 0), wide(pads[1], 0)
    return WindowShape(wide(kernel[0], 1), wide(strides[0], 1), (*begin, *end), pads != written)


def _pads(given: dict[str, Any], sizes: Any, kernel: Any, strides: Any) -> tuple[int, ...]:
    """Pads at the begin of each axis, then at the end of each."""
    mode = given.get("auto_pad", "NOTSET")
    if mode in ("NOTSET", "VALID"):
        return tuple(given.get("pads", [0] * 2 * len(kernel))) if mode == "NOTSET" else (0,) * 2 * len(kernel)
    total = [
        max((-(-size // step) - 1) * step + width - size, 0)
        for size, width, step in zip(sizes, kernel, strides, strict=True)
    ]
    less, more = [each // 2 for each in total], [each - each // 2 for each in total]
    return tuple((*less, *more) if mode == "SAME_UPPER" else (*more, *less))


def _rounded_up(sizes: Any, kernel: Any, strides: Any, pads: tuple[int, ...]) -> tuple[int, ...]:
    """Pads with which the last window, which `ceil_mode` adds, is whole."""
    rank = len(kernel)
    begin, end = pads[:rank], list(pads[rank:])
    for axis, (size, width, step) in enumerate(zip(sizes, kernel, strides, strict=True)):
        room = size + begin[axis] + end[axis] - width
        windows = -(-room // step) + 1
        if (windows - 1) * step >= size + begin[axis]:  # a window of nothing but padding is left out
            windows -= 1
        end[axis] += max((windows - 1) * step - room, 0)
    return (*begin, *end)
