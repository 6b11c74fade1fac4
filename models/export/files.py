"""ONNX models as files."""

from pathlib import Path

import onnx
from google.protobuf.message import DecodeError
from onnx import checker

from common.errors import ModelFileError
from models.tensorfile import write_bytes


def save_model(model: onnx.ModelProto, path: Path) -> None:
    """Write a model to `path` atomically; equal models give equal bytes."""
    write_bytes(path, model.SerializeToString(deterministic=True))


def load_checked(path: Path) -> onnx.ModelProto:
    """Read an ONNX file and check it against the ONNX specification.

    Raises `ModelFileError`: the file is missing, truncated, or no valid model.
    """
    try:
        model = onnx.load(path)
        checker.check_model(model)
    except (OSError, DecodeError, checker.ValidationError) as cause:
        reason = str(cause).strip().splitlines()[0] if str(cause).strip() else type(cause).__name__
        raise ModelFileError(
            f"{path}: cannot be read as an ONNX model ({reason}); export it again"
        ) from cause
    return model
