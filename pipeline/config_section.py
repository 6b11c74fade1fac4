"""What every table of the build file is made of."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Count = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Rate = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, lt=1)]


class Section(BaseModel):
    """A table of the build file: immutable, strictly typed, without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class AugmentConfig(Section):
    """`augment`: random shift and mirror image of every sample, and a blanked square (cutout)."""

    shift: Annotated[int, Field(ge=0)] = 0
    mirror: bool = False
    cutout: Annotated[int, Field(ge=0)] = 0
