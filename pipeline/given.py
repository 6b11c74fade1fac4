"""A network made elsewhere as the stages see it: its input, the frames it is tried on, how far golden is."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hw.lowering import Bytes, Difference
from models.data import Dataset
from models.tensorfile import read_tensors, write_tensors
from pipeline.errors import DataError, StoreError

KIND = "recorded tensors"
TOLERANCE = 0.02
"""How far, in steps of a byte, recorded floats may be from one: rounding of float32, and no more."""


@dataclass(frozen=True)
class Entry:
    """What the network takes: `network.json`.

    Attributes:
        shape: of a frame, channels first.
        given: the float that a byte stands for.
        normalized: whether it ends in a softmax or the like, which hardware leaves out.
    """

    shape: tuple[int, ...]
    given: Bytes
    normalized: bool

    def save(self, path: Path) -> None:
        """Write `network.json`."""
        path.write_text(json.dumps(asdict(self), indent=2) + "\n")

    @classmethod
    def load(cls, path: Path) -> "Entry":
        """Read what `save` wrote; raises `StoreError` where it is no such file."""
        try:
            raw = json.loads(path.read_text())
            scale, offset = (_numbers(raw["given"][key]) for key in ("scale", "offset"))
            return cls(tuple(raw["shape"]), Bytes(scale, offset), bool(raw["normalized"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StoreError(f"{path}: not of a network ({error!r:.100}); build again") from error

    def ordered(self, x: NDArray[Any], where: str) -> NDArray[Any]:
        """Frames `(n, ...)`, channels last or first, as `(n, *shape)`; raises `DataError`."""
        shape, found = self.shape, x.shape[1:]
        last = (*shape[1:], shape[0])
        series = (shape[-1], 1, shape[0])
        if len(shape) > 1 and found in (last, series):
            return np.moveaxis(x.reshape(-1, *last), -1, 1)
        flat = found == shape or len(shape) == 1 or shape[0] == 1
        if not flat or int(np.prod(found)) != int(np.prod(shape)):
            raise DataError(f"{where}: frames of {found}; the network takes {shape}, channels first")
        return x.reshape(-1, *shape)

    def bytes_of(self, x: NDArray[Any], where: str) -> NDArray[np.uint8]:
        """The bytes that floats `(n, *shape)` stand for; raises `DataError` where one stands for none."""
        if x.dtype == np.uint8:
            return x
        scale, offset = (
            np.reshape(numbers, (-1, *[1] * (len(self.shape) - 1)))
            for numbers in (self.given.scale, self.given.offset)
        )
        steps = (x.astype(np.float64) - offset) / scale
        whole = np.rint(steps).clip(0, 255)
        if not (np.abs(steps - whole) <= TOLERANCE).all():
            worst = x.flat[int(np.abs(steps - whole).argmax())]
            raise DataError(
                f"{where}: {worst:g} stands for no byte; correct network.scale and network.offset"
            )
        found: NDArray[np.uint8] = whole.astype(np.uint8)
        return found


def _numbers(stored: Any) -> float | tuple[float, ...]:
    return tuple(map(float, stored)) if isinstance(stored, list) else float(stored)


@dataclass(frozen=True, eq=False)
class Recorded:
    """What the network was given, `inputs` uint8 (n, *shape), and gave elsewhere, `outputs` (n, classes)."""

    inputs: NDArray[np.uint8]
    outputs: NDArray[np.float64]

    @classmethod
    def read(cls, path: Path, entry: Entry) -> "Recorded":
        """A user's `.npz` file; raises `DataError`."""
        try:
            with np.load(path, allow_pickle=False) as archive:
                inputs, outputs = archive["inputs"], archive["outputs"]
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(
                f"{path}: not an .npz file with inputs and outputs ({error}); record again"
            ) from error
        if inputs.dtype.kind not in "fu" or outputs.dtype.kind not in "fiu":
            raise DataError(f"{path}: inputs of {inputs.dtype}, outputs of {outputs.dtype}; give floats")
        if outputs.ndim != 2 or len(inputs) != len(outputs) or not len(inputs):
            raise DataError(
                f"{path}: inputs of {inputs.shape}, outputs of {outputs.shape};"
                " give (n, ...) and (n, classes)"
            )
        where = f"{path}, inputs"
        frames = entry.bytes_of(entry.ordered(inputs, where), where)
        return cls(np.ascontiguousarray(frames), outputs.astype(np.float64))

    def save(self, path: Path) -> None:
        """Write `recorded.safetensors`."""
        write_tensors(path, KIND, {}, {"inputs": self.inputs, "outputs": self.outputs})

    @classmethod
    def load(cls, path: Path) -> "Recorded":
        """Read what `save` wrote; raises `DataError`."""
        _, tensors = read_tensors(path, KIND, DataError)
        try:
            return cls(tensors["inputs"], tensors["outputs"])
        except KeyError as error:
            raise DataError(f"{path}: {error} is missing; build again") from error


def _arranged(x: NDArray[np.uint8], core: tuple[int, ...]) -> NDArray[np.uint8]:
    """Frames, channels first, as a core that takes frames of shape `core` wants them."""
    if len(core) > 1:
        x = np.moveaxis(x, 1, -1)
    return np.ascontiguousarray(x).reshape(-1, *core)


@dataclass(frozen=True, eq=False)
class Trial:
    """The network and all that it is tried on; `data` or `recorded` may be None, not both."""

    entry: Entry
    data: Dataset | None
    recorded: Recorded | None

    def frames(self, core: tuple[int, ...]) -> NDArray[np.uint8]:
        """The frames of every rung, (n, *core): the test split, or without data what was recorded."""
        if self.data is None:
            return self.recorded_frames(core)
        given = self.data.test.x.reshape(-1, *self.data.input_shape)
        return _arranged(self.entry.ordered(given, f"data '{self.data.name}'"), core)

    def recorded_frames(self, core: tuple[int, ...]) -> NDArray[np.uint8]:
        """The recorded inputs, (n, *core)."""
        return _arranged(self._recorded.inputs, core)

    @property
    def labels(self) -> NDArray[np.int64] | None:
        """Of `frames`, (n,)."""
        return None if self.data is None else self.data.test.y

    def recorded_difference(self, logits: NDArray[np.integer[Any]]) -> Difference:
        """The recorded outputs against golden's integers on the recorded inputs, (n, classes)."""
        from hw.lowering.difference import between

        outputs = self._recorded.outputs
        if outputs.shape != logits.shape:
            raise DataError(f"network.recorded: outputs of {outputs.shape}; the network gives {logits.shape}")
        found = between(outputs, logits.astype(np.int64))
        if self.entry.normalized:  # golden's integers are of what was before
            return Difference(found.frames, found.agreement)
        return found

    @property
    def _recorded(self) -> Recorded:
        if self.recorded is None:
            raise DataError("neither data nor recorded tensors; build again")
        return self.recorded


def load_trial(network: Path, data: Path | None, recorded: Path | None) -> Trial:
    """What the stages before left of it: `network.json`, and the others where they are."""
    from models.data import load

    return Trial(
        Entry.load(network),
        load(data) if data else None,
        Recorded.load(recorded) if recorded else None,
    )
