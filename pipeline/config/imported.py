"""`[student]` of kind "imported": a QONNX file, what its input bytes stand for, what it gave elsewhere."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

from common.errors import DataError, ModelFileError
from pipeline.config.data import Place
from pipeline.config.section import MAX_WIDTH
from pipeline.config.student import StudentConfig

if TYPE_CHECKING:
    from hw.imported import ByteValues


MOST = 1e9
"""Of numbers that become float32, sums of which have to be exact."""


def _floats(low: float) -> Any:
    """A number, or a tuple of one for each channel; one message, where a union gives several."""

    def check(value: Any) -> float | tuple[float, ...]:
        values = value if isinstance(value, tuple) else (value,)
        good = all(type(each) in (int, float) and low <= each <= MOST for each in values)
        if not good or not 0 < len(values) <= MAX_WIDTH:
            limits = f"{low:g} to {MOST:g}"
            raise PydanticCustomError(
                "floats", f"input should be a number, {limits}, or one for each channel"
            )
        return tuple(map(float, values)) if isinstance(value, tuple) else float(value)

    return BeforeValidator(check)


class ImportedStudent(StudentConfig):
    """The network's QONNX file, and the float that a byte of its input stands for: `scale * byte + offset`.

    Floats of `[data]` become bytes by the same scale and offset. `flattened` says in which order a network
    that takes (1, features) flattened the images of `[data]`, where these have several channels. `recorded`
    is an `.npz` file of what the network was given and gave elsewhere: `inputs` (n, ...) as it took them,
    floats or bytes, and `outputs` (n, classes).
    """

    tables: ClassVar[frozenset[str]] = frozenset()
    rungs: ClassVar[frozenset[str]] = frozenset({"network_samples", "minimum_agreement", "maximum_apart"})
    kind: Literal["imported"]
    path: Place
    scale: Annotated[float | tuple[float, ...], _floats(1e-9)] = 1.0
    offset: Annotated[float | tuple[float, ...], _floats(-MOST)] = 0.0
    flattened: Literal["chw", "hwc"] | None = None
    recorded: Place | None = None

    @property
    def given(self) -> "ByteValues":
        """The input as lowering takes it."""
        from hw.imported import ByteValues

        return ByteValues(self.scale, self.offset)


def network_content(config: ImportedStudent) -> bytes:
    """The network in one file, with the weights that its own file may keep in others beside it.

    Raises:
        ModelFileError: it cannot be read as ONNX, or is no whole network.
    """
    import onnx
    from google.protobuf.message import DecodeError

    from common.onnx_checks import check_network

    where = f"student.path: {config.path}"
    if Path(config.path).exists() and not Path(config.path).is_file():
        raise ModelFileError(f"{where}: is no file; give an ONNX file")
    try:
        model = onnx.load(config.path)
    except (OSError, DecodeError, ValueError, onnx.checker.ValidationError) as error:
        reason = " ".join(str(error).split())
        raise ModelFileError(f"{where}: not ONNX ({reason:.200}); export it again") from error
    check_network(model, where)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def network_key(config: ImportedStudent) -> dict[str, Any]:
    """What the network depends on: the content of its files, wherever they are, and its input.

    Raises:
        ModelFileError: the network cannot be read.
        DataError: the recorded tensors cannot be read.
    """
    asked = config.model_dump(mode="json", exclude={"kind", "path", "recorded"})
    recorded = {"recorded": _digest(Path(config.recorded))} if config.recorded else {}
    return asked | {"network": hashlib.sha256(network_content(config)).hexdigest()} | recorded


def _digest(path: Path) -> str:
    if path.exists() and not path.is_file():
        raise DataError(f"student.recorded: {path}: is no file; give an .npz file")
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise DataError(
            f"student.recorded: {path}: cannot be read ({error.strerror}); give a file"
        ) from error
