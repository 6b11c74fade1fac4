"""`[size]`: how fast the core has to be, and how numbers that the student leaves open are chosen."""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from pipeline.config.section import Count, Section

if TYPE_CHECKING:
    from pipeline.config.build import Build


class SizeConfig(Section):
    """Sizing: the rate, what of the board stays free, and the search over open numbers.

    `headroom` is the share of each resource that is left free. `search` is `enumerate` (score every student
    that fits), `optuna` (score `trials` of them, chosen by a tree-structured Parzen estimator), or `auto`:
    enumerate where no more than `trials` students fit. A score is the accuracy on the validation split after
    `epochs` of distillation on `train_samples` of the transfer set (all of them, if not given). `journal`
    names a file that several processes may share to search together.
    """

    frames_per_second: Annotated[float, Field(ge=0.001, le=1e9)] | None = None
    target_cycles: Count | None = None
    headroom: Annotated[float, Field(ge=0, lt=1)] = 0.1
    search: Literal["auto", "enumerate", "optuna"] = "auto"
    trials: Count = 24
    epochs: Count = 4
    train_samples: Count | None = None
    journal: str | None = None


def size_problem(config: "Build") -> str | None:
    """What is wrong with rate and open numbers, if anything."""
    return _rate_problem(config) or _open_problem(config)


def _rate_problem(config: "Build") -> str | None:
    asked, size = config.compile, config.size or SizeConfig()
    given = {
        "compile.target_cycles": asked.target_cycles,
        "compile.fold": asked.fold,
        "size.frames_per_second": size.frames_per_second,
        "size.target_cycles": size.target_cycles,
    }
    found = [key for key, value in given.items() if value is not None]
    if len(found) == 1:
        return None
    if config.size is None:
        return f"compile: {'both are' if found else 'neither is'} set; give either target_cycles or fold"
    if not found:
        return "size: no rate; give frames_per_second, or compile.target_cycles, or compile.fold"
    return f"size: {' and '.join(found)} are set; give exactly one of them"


def _open_problem(config: "Build") -> str | None:
    open_keys = list(config.student.choices)
    if not open_keys:
        return None
    first = f"student.{open_keys[0]} is left open"
    if config.size is None:
        return f"{first}; give one value, or a [size] table that says how to choose"
    if config.compile.fold is not None:
        return f"compile.fold: {first}, and folds by hand fit one student only; give a rate instead"
    return None
