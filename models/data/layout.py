"""Which axis of an array is which: the layouts that samples come in, and the one that they are kept in."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.errors import DataError
from models.data.samples import Samples, Source

LAYOUTS: dict[int, tuple[str, ...]] = {2: ("flat",), 3: ("nhw", "nlc", "ncl"), 4: ("nhwc", "nchw")}
"""By number of axes; n: samples, h: height, w: width, l: time, c: channels."""

CHANNELS = (1, 3)
"""How many channels an image has where nobody says: grey or colour."""


def channels_last(x: NDArray[Any], layout: str) -> NDArray[Any]:
    """Samples as they are kept: (n, height, width, channels), (n, time, 1, channels) or (n, features)."""
    match layout:
        case "nhw":
            return x[..., None]
        case "nchw":
            return np.moveaxis(x, 1, -1)
        case "nlc":
            return x[:, :, None, :]
        case "ncl":
            return np.moveaxis(x, 1, -1)[:, :, None, :]
    return x


def check_layout(where: str, x: NDArray[Any], layout: str | None) -> None:
    """Raise `DataError` where an array has not the axes of a layout."""
    if layout is not None and layout not in LAYOUTS[x.ndim]:
        names = " or ".join(map(repr, LAYOUTS[x.ndim]))
        raise DataError(f"{where}: shape {x.shape} is not in data.layout '{layout}'; give {names}")


def plain_layout(x: NDArray[Any]) -> str | None:
    """The layout that an array can only have; None where its shape leaves several.

    Vectors, bytes without channels (grey images), images whose last axis alone has 1 or 3 channels, and
    series (n, time, 1, channels) longer than they have channels.
    """
    if x.ndim != 4:
        (first, *others) = LAYOUTS[x.ndim]
        return first if not others or x.dtype == np.uint8 else None
    _, first, middle, last = x.shape
    image = last in CHANNELS and first not in CHANNELS
    series = middle == 1 and first > last
    return "nhwc" if image or series else None


def kept_layout(x: NDArray[Any]) -> tuple[str, ...]:
    """That of samples as they are kept, the only one."""
    return LAYOUTS[x.ndim][:1]


def settle(source: Source, layout: str | None, name: str) -> Source:
    """The source with its samples as they are kept, where it leaves the order of their axes open.

    Raises `DataError`: there is no `layout`, and the shape leaves several.
    """
    if source.settled:
        return source
    x = source.train.x
    if (found := layout or plain_layout(x)) is None:
        names = " or ".join(map(repr, LAYOUTS[x.ndim]))
        raise DataError(
            f"{name}: the shape {x.shape} of its {x.dtype} samples leaves open which axis is which;"
            f" set data.layout to {names}"
        )

    def kept(samples: Samples) -> Samples:
        return replace(samples, x=channels_last(samples.x, found))

    test = kept(source.test) if source.test else None
    return replace(source, train=kept(source.train), test=test, settled=True)
