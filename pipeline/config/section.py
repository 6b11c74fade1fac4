"""What every table of the build file is made of."""

from collections.abc import Iterator
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

MAX_COUNT = 1_000_000_000
"""Of anything that is counted; what has a tighter limit says so itself."""

MAX_ITEMS = 256
"""Of an array: layers, blocks, choices."""

Count = Annotated[int, Field(ge=1, le=MAX_COUNT)]
MAX_WIDTH = 65_536
"""Neurons or channels of a layer."""

Workers = Annotated[int, Field(ge=1, le=1024)]
"""Threads or devices."""

BatchSize = Annotated[int, Field(ge=2, le=MAX_COUNT)]
"""Samples of a step; batch-norm has no variance of one."""

Seed = Annotated[int, Field(ge=0, lt=2**32)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
LearningRate = Annotated[float, Field(ge=1e-9, le=100)]
Weight = Annotated[float, Field(ge=1e-9, le=1e9)]
"""Of a term in a sum of float32."""

Decay = Annotated[float, Field(ge=0, le=100)]
Share = Annotated[float, Field(ge=0, lt=1)]

INCONSISTENT = "inconsistent"
"""Pydantic's type of the error that holds a table's problems."""


class Section(BaseModel):
    """A table of the build file: immutable, strictly typed, without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    def problems(self) -> Iterator[tuple[str, str]]:
        """Keys, each right by itself, that do not go together: the key within the table, what is wrong."""
        yield from ()

    @model_validator(mode="after")
    def _check_consistency(self) -> Self:
        if found := tuple(self.problems()):
            raise PydanticCustomError(INCONSISTENT, "keys that do not go together", {"problems": found})
        return self
