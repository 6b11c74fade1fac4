"""The input: what a byte stands for, and what the network does to a frame before any layer takes it."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.errors import LoweringError
from hw.imported.nodes import attributes, called

RESHAPING = ("Reshape", "Flatten", "Squeeze", "Unsqueeze")
Move = tuple[str, tuple[int, ...]]
"""`reshape` and the new shape, or `transpose` and the order of axes; without the axis of frames."""


@dataclass(frozen=True)
class ByteValues:
    """What float a byte of the input stands for: `scale * byte + offset`, for all or for each channel."""

    scale: float | tuple[float, ...] = 1.0
    offset: float | tuple[float, ...] = 0.0

    def spread(self, shape: tuple[int, ...]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Scale and offset of every value of a frame of `shape`, channels first; raises `LoweringError`."""
        both = []
        for numbers in (self.scale, self.offset):
            if isinstance(numbers, tuple) and len(numbers) != shape[0]:
                raise LoweringError(
                    f"its input is {(1, *shape)}: {len(numbers)} numbers for what a byte stands for;"
                    " give one, or one for each channel"
                )
            column = np.reshape(np.asarray(numbers, np.float64), (-1, *[1] * (len(shape) - 1)))
            both.append(np.broadcast_to(column, shape))
        return both[0], both[1]

    def floats(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The floats that frames (n, ...), channels first, stand for."""
        scale, offset = self.spread(frames.shape[1:])
        return (frames * scale + offset).astype(np.float32)


@dataclass(frozen=True)
class Layout:
    """From frames as the network takes them to frames of the core.

    Attributes:
        shape: of a frame as the network takes it.
        moves: what is done to it, one after the other; it ends as (features,) or (C, H, W).
    """

    shape: tuple[int, ...]
    moves: tuple[Move, ...] = ()

    def arranged(self, x: NDArray[Any]) -> NDArray[Any]:
        """Frames (n, *shape) as layers take them, (n, features) or (n, C, H, W)."""
        for kind, sizes in self.moves:
            if kind == "reshape":
                x = x.reshape(len(x), *sizes)
            else:
                x = x.transpose(0, *(axis + 1 for axis in sizes))
        return x

    def to_core(self, x: NDArray[Any]) -> NDArray[Any]:
        """Frames (n, *shape) as the core takes them: (n, features) or (n, H, W, C)."""
        x = self.arranged(x)
        return np.ascontiguousarray(x if x.ndim == 2 else np.moveaxis(x, 1, -1))

    def from_core(self, x: NDArray[Any]) -> NDArray[Any]:
        """The inverse of `to_core`."""
        places = self.to_core(np.arange(prod(self.shape)).reshape(1, *self.shape)).reshape(-1)
        return x.reshape(len(x), -1)[:, np.argsort(places)].reshape(len(x), *self.shape)


def leading(model: Any, elementwise: Sequence[str]) -> tuple[Layout, set[str]]:
    """The layout of a network's input, and the names of the nodes that are part of it.

    Those are the nodes that reshape or transpose the input before any layer takes it, with nothing between
    that treats values of a frame differently.

    Raises `LoweringError`: the input is none of a single frame.
    """
    name = model.graph.input[0].name
    shape = tuple(model.get_tensor_shape(name) or ())
    if len(shape) not in (2, 3, 4) or shape[0] != 1 or min(shape) < 1:
        raise LoweringError(
            f"its input is {list(shape)}; export it for one frame: (1, features), (1, C, L) or (1, C, H, W)"
        )
    moves: list[Move] = []
    found: set[str] = set()
    while len(nodes := model.find_consumers(name) or []) == 1 and _passes(model, nodes[0], name, elementwise):
        (node,) = nodes
        given = tuple(model.get_tensor_shape(node.output[0]) or ())
        if node.op_type == "Transpose":
            perm = attributes(node).get("perm", list(reversed(range(len(given)))))
            if sorted(perm) != list(range(len(given))) or perm[0] != 0:
                raise LoweringError(f"{called(node)}: moves the axis of frames; export it for one frame")
            moves.append(("transpose", tuple(axis - 1 for axis in perm[1:])))
            found.add(node.name)
        elif node.op_type in RESHAPING:
            if len(given) < 2 or given[0] != 1:
                break
            moves.append(("reshape", given[1:]))
            found.add(node.name)
        name = node.output[0]
    last = tuple(model.get_tensor_shape(name))
    if len(last) == 3:
        moves.append(("reshape", image_of(last[1:], series_axis(model))))
    if len(last) not in (2, 3, 4):
        raise LoweringError(f"'{name}' is {list(last)}; layers take (1, features), (1, C, L) or (1, C, H, W)")
    return Layout(shape[1:], tuple(moves)), found


def _passes(model: Any, node: Any, name: str, elementwise: Sequence[str]) -> bool:
    if node.op_type in (*RESHAPING, "Transpose"):
        return True
    constants = [model.get_initializer(each) for each in node.input if each not in (name, "")]
    return node.op_type in elementwise and all(each is not None and each.size == 1 for each in constants)


def series_axis(model: Any) -> int:
    """Where a series, (1, C, L), gets an axis of size 1 to be an image: as the network does, or last."""
    for node in model.graph.node:
        if node.op_type in ("Unsqueeze", "Reshape"):
            before, after = (
                tuple(model.get_tensor_shape(name) or ()) for name in (node.input[0], node.output[0])
            )
            if len(before) == 3 and after == (*before[:2], 1, before[2]):
                return 2
    return 3


def image_of(series: tuple[int, ...], axis: int) -> tuple[int, ...]:
    """The shape (C, H, W) of a series (C, L) with an axis of size 1 at `axis`, frames' own counted."""
    channels, length = series
    return (channels, 1, length) if axis == 2 else (channels, length, 1)
