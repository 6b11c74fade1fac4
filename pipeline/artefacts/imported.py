"""An imported network as the stages see it: its input, the frames it is tried on, how far golden is."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.errors import DataError, StoreError
from hw.imported import ByteValues, Layout
from hw.imported.difference import Difference
from hw.interface import Affine
from models.data import Dataset, InputContract, Scaling
from models.data.arrays import read_npz_arrays
from models.data.samples import check_values
from models.tensorfile import read_tensors, write_tensors

KIND = "recorded tensors"


@dataclass(frozen=True)
class Entry:
    """What the network takes and gives: `network.json`.

    Attributes:
        layout: a frame, channels first, and how the core takes it.
        values: the float that a byte stands for.
        outputs: how many there are.
        end: the operator that it ends in where hardware leaves it out (a softmax or the like), or nothing.
        flattened: the order in which it flattened images, "chw" or "hwc", where the build file says it.
    """

    layout: Layout
    values: ByteValues
    outputs: int
    end: str = ""
    flattened: str | None = None

    def save(self, path: Path) -> None:
        """Write `network.json`."""
        path.write_text(json.dumps(asdict(self), indent=2) + "\n")

    @classmethod
    def load(cls, path: Path) -> "Entry":
        """Read what `save` wrote; raises `StoreError` where it is no such file."""
        try:
            raw = json.loads(path.read_text())
            scale, offset = (_numbers(raw["values"][key]) for key in ("scale", "offset"))
            values, flattened = ByteValues(scale, offset), raw["flattened"]
            moves = tuple((str(kind), tuple(map(int, sizes))) for kind, sizes in raw["layout"]["moves"])
            layout = Layout(tuple(map(int, raw["layout"]["shape"])), moves)
            return cls(layout, values, int(raw["outputs"]), str(raw["end"]), flattened)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StoreError(f"{path}: not of a network ({error!r:.100}); build again") from error

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a frame as the network takes it."""
        return self.layout.shape

    def contract(self, recorded: "Recorded | None" = None) -> InputContract:
        """What data sets have to be made of; `recorded` may tell the order of their axes."""
        inputs = recorded.inputs if recorded else None
        return InputContract(self.shape, self.scaling, self.flattened, inputs)

    @property
    def scaling(self) -> Scaling:
        """The float that a byte stands for, as data sets keep it."""
        offset, scale = (
            each if isinstance(each, tuple) else (each,) for each in (self.values.offset, self.values.scale)
        )
        return Scaling(offset, scale)


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
        arrays = read_npz_arrays(path, ("inputs", "outputs"))
        if len(arrays) < 2:
            raise DataError(
                f"{path}: holds {', '.join(arrays) or 'neither'} of inputs and outputs; record both"
            )
        inputs, outputs = arrays["inputs"], arrays["outputs"]
        if inputs.dtype.kind not in "fu" or outputs.dtype.kind not in "fiu":
            raise DataError(f"{path}: inputs of {inputs.dtype}, outputs of {outputs.dtype}; give floats")
        check_values(f"{path}, inputs", inputs)
        if inputs.ndim < 2 or outputs.ndim != 2 or len(inputs) != len(outputs) or not len(inputs):
            raise DataError(
                f"{path}: inputs of {inputs.shape}, outputs of {outputs.shape};"
                " give (n, ...) and (n, classes)"
            )
        if outputs.shape[1] != entry.outputs or not np.isfinite(outputs).all():
            raise DataError(
                f"{path}: outputs of {outputs.shape}; the network gives {entry.outputs}, finite ones"
            )
        if _sizes(inputs.shape[1:]) != _sizes(entry.shape):
            raise DataError(
                f"{path}: inputs of {inputs.shape}; the network takes {entry.shape}, channels first:"
                " record what it took, in its order"
            )
        frames = entry.contract().exact(f"{path}, inputs", inputs.reshape(-1, *entry.shape))
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


def _sizes(shape: tuple[int, ...]) -> list[int]:
    return [size for size in shape if size > 1]


@dataclass(frozen=True, eq=False)
class Trial:
    """The network and all that it is tried on; `data` or `recorded` may be None, not both."""

    entry: Entry
    data: Dataset | None
    recorded: Recorded | None

    @property
    def frames(self) -> NDArray[np.uint8]:
        """The frames of every rung, (n, *shape): the test split, or without data what was recorded."""
        if self.data is None:
            return self._recorded.inputs
        x = self.data.test.x.reshape(-1, *self.data.input_shape)
        if len(self.entry.shape) > 1:
            x = np.moveaxis(x, -1, 1)
        return x.reshape(-1, *self.entry.shape)

    @property
    def core_frames(self) -> NDArray[np.uint8]:
        """The same as the core takes them."""
        return self.entry.layout.to_core(self.frames)

    @property
    def recorded_core_frames(self) -> NDArray[np.uint8]:
        """The recorded inputs as the core takes them."""
        return self.entry.layout.to_core(self._recorded.inputs)

    @property
    def labels(self) -> NDArray[np.int64] | None:
        """Of `frames`, (n,); raises `DataError` where there are more than the network gives."""
        if self.data is None:
            return None
        classes, most = max(2, self.entry.outputs), int(self.data.test.y.max())
        if most >= classes:
            raise DataError(f"data: labels up to {most}; the network gives {classes} classes")
        return self.data.test.y

    def recorded_difference(self, integers: NDArray[np.integer[Any]], output: Affine) -> Difference:
        """The recorded outputs against golden's integers on the recorded inputs, (n, classes)."""
        from hw.imported.difference import between

        return between(self._recorded.outputs, integers.astype(np.int64), output, self.entry.end)

    @property
    def _recorded(self) -> Recorded:
        if self.recorded is None:
            raise DataError("neither data nor recorded tensors; build again")
        return self.recorded


def classified(values: NDArray[Any]) -> NDArray[np.int64]:
    """The classes (n,) of a network's outputs (n, outputs): the largest; of a single one, its sign."""
    if values.shape[1] > 1:
        return np.asarray(values.argmax(axis=1), np.int64)
    return (values[:, 0] > 0).astype(np.int64)


def load_contract(network: Path, recorded: Path | None) -> InputContract:
    """What data sets have to be made of for the network of `network.json`."""
    return Entry.load(network).contract(Recorded.load(recorded) if recorded else None)


def load_trial(network: Path, data: Path | None, recorded: Path | None) -> Trial:
    """What the stages before left of it: `network.json`, and the others where they are.

    Raises `DataError` where bytes of the data do not stand for what the network takes.
    """
    from models.data import load

    trial = Trial(
        Entry.load(network),
        load(data) if data else None,
        Recorded.load(recorded) if recorded else None,
    )
    if trial.data is not None and trial.data.scaling != trial.entry.scaling:
        raise DataError(f"{data}: its bytes do not stand for the floats of {network}; build again")
    return trial
