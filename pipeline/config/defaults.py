"""Values of keys that a build file leaves out, where they depend on its data and its board."""

from collections.abc import Iterator, Mapping
from math import prod
from typing import TYPE_CHECKING, Any

from common.errors import ConfigError
from hw.boards.boards import find
from hw.shells.protocol import BITS_PER_BYTE
from pipeline.config.build import Build
from pipeline.config.table import table_of

if TYPE_CHECKING:
    from models.data.outline import Outline

TEST_FRACTION = 0.2
"""Of data without a test part of their own."""

FRAMES_PER_SECOND = 1000
"""Of the core, where no serial link says how many frames there can be."""

BATCH_SIZES = {"teacher": 64, "student": 128}
LEAST_STEPS = 8
"""Of an epoch: where there are too few samples for them, batches are smaller."""

VIEWS = 5
"""Views of an image or a series; a table has only itself."""

LEAST_ROWS = 8
"""Of images and series that a network with pools takes."""

MLP = {"kind": "mlp", "hidden": (256, 128)}
CNN = {"kind": "cnn", "blocks": ((16,), (32,), (64,))}
MAP = {"kind": "fully-convolutional"}
"""The teacher's network for tables; for images and series; for tasks whose outputs belong to places."""


def data_defaults(tables: Mapping[str, Any], config: Build, seen: "Outline") -> Iterator[tuple[str, Any]]:
    """Keys that `tables`, the content of the build file, leaves out, with their values for these data."""
    data, teacher, student = (tables.get(name) or {} for name in ("data", "teacher", "student"))
    fraction = data.get("test_fraction")
    if seen.test is None and fraction is None:
        fraction = TEST_FRACTION
        yield "data.test_fraction", fraction
    if config.teacher is None or config.data is None:
        return
    spatial = len(seen.shape) == 3 and seen.shape[0] >= LEAST_ROWS
    keys = set(table_of(type(config.teacher)).model_fields)
    if "networks" in keys and teacher.get("networks") is None and teacher.get("hidden") is None:
        image = CNN if config.task.kind == "classification" else MAP
        yield "teacher.networks", (image if spatial else MLP,)
    views = teacher.get("views")
    if views is None and "views" in keys:
        views = VIEWS if spatial and config.task.augmentable else 1
        yield "teacher.views", views
    split = seen.split(fraction, config.data.validation_fraction, config.data.train_samples)
    samples = config.task.train_samples(split[1]) * (views or 1)
    for key, table in (("teacher", teacher), ("student", student)):
        if hasattr(getattr(config, key), "batch_size") and table.get("batch_size") is None:
            yield f"{key}.batch_size", min(BATCH_SIZES[key], max(2, samples // LEAST_STEPS))


def rate_default(config: Build, seen: "Outline | None") -> Iterator[tuple[str, Any]]:
    """Cycles a frame, where the build file asks for no rate: as many as a frame takes on the serial link.

    Where the shape of a frame is not known yet, or the board has no such link, the core has a fixed rate.
    """
    asked, size, board = config.compile, config.size, find(config.board.name)
    rates = [asked.target_cycles, asked.fold, *([size.target_cycles, size.frames_per_second] if size else [])]
    if config.student.kind == "tree" or any(rate is not None for rate in rates):
        return
    target = board.clock_hz // FRAMES_PER_SECOND
    known = seen if config.student.kind != "imported" and config.board.shell == "uart" else None
    if known and not board.family.uses_vivado:
        try:
            shape = config.task.input_shape(known.shape)
        except ConfigError:  # which the checks of the data tell
            return
        target = prod(shape) * BITS_PER_BYTE * board.clocks_per_bit
    yield "compile.target_cycles", target
