"""What an imported network takes, and a source's samples in its order and its bytes."""

from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.errors import DataError
from models.data.dataset import Scaling
from models.data.layout import LAYOUTS, channels_last, kept_layout, plain_layout
from models.data.samples import Samples, Source

Bytes = NDArray[np.uint8]

EXACT = 0.02
"""How far, in steps of a byte, recorded floats may be from one: rounding of float32, and no more."""
ORDERS = ("chw", "hwc")
"""In which a network of one axis may have flattened images."""
MAX_OUTSIDE = 0.001
"""Share of a data set's values that may be beyond the range of the bytes, and saturate."""
MAX_LOSS = 0.1
"""Rounding to bytes may lose this much of the values' standard deviation."""


@dataclass(frozen=True)
class Reading:
    """A way to read an array as frames of a network: its layout, and how a flat network flattened it.

    `turned` images have rows for columns.
    """

    layout: str
    flattened: str | None = None
    turned: bool = False

    def keys(self, settled: bool) -> str:
        """As the build file says it; of a source whose axes are `settled` there is no layout to set."""
        keys = {} if settled else {"data.layout": self.layout}
        keys |= {"student.flattened": self.flattened} if self.flattened else {}
        said = [f'{key} = "{value}"' for key, value in keys.items()]
        return ", ".join([*said, *(["rows for columns"] if self.turned else [])])

    def frames(self, x: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any] | None:
        """Samples (n, ...) as (n, *shape), `shape` channels first; None where they do not fit."""
        last = channels_last(x, self.layout)
        if self.turned and last.ndim == 4:
            last = last.swapaxes(1, 2)
        ordered: NDArray[Any] | None
        if len(shape) == 1:
            ordered = np.moveaxis(last, -1, 1) if self.flattened == "chw" else last
        elif last.ndim == 2:  # the values of one channel, in their order
            ordered = last if shape[0] == 1 else None
        else:
            first = np.moveaxis(last, -1, 1)
            same = first.shape[1] == shape[0] and _sides(first.shape[2:]) == _sides(shape[1:])
            ordered = first if same else None
        if ordered is None or prod(ordered.shape[1:]) != prod(shape):
            return None
        return ordered.reshape(-1, *shape)

    def fitting(self, x: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
        """The frames of samples that are known to fit."""
        frames = self.frames(x, shape)
        assert frames is not None, f"{x.shape} to {shape}"
        return frames


def _to_bytes(steps: NDArray[np.float64]) -> Bytes:
    found: Bytes = np.nan_to_num(np.rint(steps)).clip(0, 255).astype(np.uint8)
    return found


def _check_bytes(
    where: str, values: NDArray[Any], steps: NDArray[np.float64], pair: tuple[float, float]
) -> None:
    """Raise `DataError` where values are not what bytes of this scale and offset can stand for."""
    scale, offset = pair
    found = f"{where}: values are {values.min():g} to {values.max():g}"
    advice = "set student.scale and student.offset to what the network was trained with"
    inside = steps.clip(-0.5, 255.5)
    if np.mean(inside != steps) > MAX_OUTSIDE:
        raise DataError(f"{found}, bytes stand for {offset:g} to {offset + 255 * scale:g}; {advice}")
    lost = float(np.sqrt(np.mean((inside - np.rint(inside)) ** 2)))
    if lost > MAX_LOSS * float(inside.std()):
        raise DataError(f"{found}, and a byte's step is {scale:g}: rounding loses them; {advice}")


def _sides(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(size for size in shape if size > 1)


@dataclass(frozen=True, eq=False)
class InputContract:
    """What a network takes.

    Attributes:
        shape: of a frame, channels first.
        scaling: the float that a byte stands for: one number for all, or one for each of `shape[0]`.
        flattened: the order in which a flat network flattened images, "chw" or "hwc", where it is known.
        recorded: frames (n, *shape) that the network took elsewhere; what they share with a data set tells
            the order of its axes.
    """

    shape: tuple[int, ...]
    scaling: Scaling
    flattened: str | None = None
    recorded: Bytes | None = None

    def take(self, source: Source, *, layout: str | None, name: str) -> Source:
        """A source's samples as the network takes them: bytes, flat or channels last.

        Raises `DataError`: samples of another shape, of an order that is not known or not that of `recorded`,
        or floats that bytes do not stand for.
        """
        reading = self._reading(source, layout, name)

        def taken(part: str, samples: Samples) -> Samples:
            frames = self.nearest(f"{name}, {part} samples", reading.fitting(samples.x, self.shape))
            return Samples(self._kept(frames), samples.y)

        test = taken("test", source.test) if source.test else None
        return replace(source, train=taken("training", source.train), test=test, ranges={}, settled=True)

    def _kept(self, frames: Bytes) -> Bytes:
        """Frames (n, *shape) as data sets keep them, channels last."""
        if len(self.shape) == 1:
            return frames
        last = np.moveaxis(frames, 1, -1)
        return np.ascontiguousarray(last[:, :, None, :] if last.ndim == 3 else last)

    # What a byte stands for

    def exact(self, where: str, frames: NDArray[Any]) -> Bytes:
        """The bytes that frames (n, *shape) stand for; raises `DataError` where a float stands for none."""
        if frames.dtype == np.uint8:
            return frames
        steps = self._steps(frames)
        whole = _to_bytes(steps)
        away = np.abs(steps - whole)
        if not (away <= EXACT).all():
            worst = frames.flat[int(away.argmax())]
            raise DataError(
                f"{where}: {worst:g} stands for no byte; correct student.scale and student.offset"
            )
        return whole

    def nearest(self, where: str, frames: NDArray[Any]) -> Bytes:
        """The bytes nearest to frames (n, *shape).

        Raises `DataError`: more than `MAX_OUTSIDE` of the values are beyond what bytes stand for, or rounding
        loses more than `MAX_LOSS` of their spread.
        """
        if frames.dtype == np.uint8:
            return frames
        steps = self._steps(frames)
        pairs = self.scaling.pairs
        if len(pairs) == 1:
            _check_bytes(where, frames, steps, pairs[0])
        else:
            for channel, pair in enumerate(pairs):
                _check_bytes(f"{where}, channel {channel}", frames[:, channel], steps[:, channel], pair)
        return _to_bytes(steps)

    def _rounded(self, frames: NDArray[Any]) -> Bytes:
        return frames if frames.dtype == np.uint8 else _to_bytes(self._steps(frames))

    def _steps(self, frames: NDArray[Any]) -> NDArray[np.float64]:
        scale, offset = np.array(self.scaling.pairs).T.reshape(2, -1, *[1] * (len(self.shape) - 1))
        with np.errstate(over="ignore"):  # what is beyond float64 is beyond a byte
            steps: NDArray[np.float64] = (frames.astype(np.float64) - offset) / scale
        return steps

    # The order of the axes

    def _reading(self, source: Source, layout: str | None, name: str) -> Reading:
        """How to read the source's samples; raises `DataError` where it is not known, or refuted."""
        x, flat = source.train.x, len(self.shape) == 1
        possible = kept_layout(x) if source.settled else LAYOUTS[x.ndim]
        asked = (layout,) if layout else possible
        if flat and not layout and (plain := plain_layout(x)):
            asked = (plain,)
        # What is only turned refutes, and is never taken.
        every = self._readings(x, possible, None, turned=True) | self._readings(x, possible, None)
        open_ways = self._readings(x, asked, self.flattened)
        where = f"{name}: frames of {x.shape[1:]}"
        if not open_ways:
            stated = f' in data.layout "{layout}"' if layout else ""
            raise DataError(f"{where}{stated}; the network takes {self.shape}, channels first")
        found = self._found(source, every)
        for way, reading in open_ways.items():
            if all(found[other] < found[way] for other in every if other != way):
                return reading
        for way, reading in every.items():
            if all(found[other] < found[way] for other in open_ways):
                raise DataError(
                    f"{where}: {len(found[way])} frames of student.recorded are in it in another order,"
                    f" that of {reading.keys(source.settled)}; correct the keys or the data"
                )
        if len(open_ways) == 1:
            return next(iter(open_ways.values()))
        fit = tuple(each for each in asked if self._readings(x, (each,), self.flattened))
        key, values = ("student.flattened", ORDERS) if len(fit) == 1 else ("data.layout", fit)
        raise DataError(
            f"{where} can be read in several ways for a network of {self.shape}, channels first;"
            f" set {key} to {' or '.join(map(repr, values))}"
        )

    def _readings(
        self, x: NDArray[Any], layouts: tuple[str, ...], flattened: str | None, turned: bool = False
    ) -> dict[bytes, Reading]:
        """The ways to read samples like x that fit, by where each value comes from; equal ones once."""
        orders: tuple[str | None, ...] = (None,)
        if len(self.shape) == 1 and x.ndim > 2:
            orders = (flattened,) if flattened else ORDERS
        places = np.arange(prod(x.shape[1:])).reshape(1, *x.shape[1:])
        ways: dict[bytes, Reading] = {}
        for layout in layouts:
            for order in orders:
                reading = Reading(layout, order, turned)
                frames = reading.frames(places, self.shape)
                if frames is not None:
                    ways.setdefault(frames.tobytes(), reading)
        return ways

    def _found(self, source: Source, ways: dict[bytes, Reading]) -> dict[bytes, set[bytes]]:
        """Which of the recorded frames are in the source, by each way to read it."""
        recorded = () if self.recorded is None else self.recorded
        wanted = {frame.tobytes() for frame in recorded}
        found: dict[bytes, set[bytes]] = {way: set() for way in ways}
        if not wanted or len(ways) < 2:
            return found
        for samples in (source.train, *([source.test] if source.test else [])):
            for way, reading in ways.items():
                frames = self._rounded(reading.fitting(samples.x, self.shape))
                found[way].update(wanted.intersection(frame.tobytes() for frame in frames))
        return found
