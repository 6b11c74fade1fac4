"""A student to show before anything is trained."""

from collections.abc import Sequence

import numpy as np

from common.errors import CapacityError
from common.progress import Step
from models import data
from pipeline.config.build import Build, needed
from pipeline.config.data import data_source
from pipeline.sizing.assessment import Assessment, assess
from pipeline.sizing.choice import Sized
from pipeline.sizing.feasible import require_feasible, require_fit
from pipeline.sizing.outcome import sized
from pipeline.sizing.space import ENUMERATED, Chosen, Space

SAMPLED = 200
"""Candidates that are looked at where there are too many for all."""


def size_of(config: Build, step: Step) -> tuple[Sized, Assessment]:
    """What a build's student takes of its board, before anything is trained.

    Of a student with open numbers it is the fitting one of the most
    multiplications a frame.
    """
    dataset = data.load_source(data_source(needed(config.data, "data")), config.seed)
    space = Space(config, dataset.input_shape)
    chosen, found = sketch(space, config, step)
    return sized(space, chosen, found), found


def sketch(space: Space, config: Build, step: Step) -> tuple[Chosen, Assessment]:
    """The student of the build or, with open numbers, the fitting one of the most multiplications a frame."""
    if not space.choices:
        topology = config.student.topology(space.input_shape)
        try:
            return {}, assess(topology, config)
        except CapacityError:
            return {}, require_fit(topology, config)  # which says what would be reached
    require_feasible(config, space.input_shape)
    fitting = []
    candidates = list(_looked_at(space))
    for index, chosen in enumerate(candidates):
        step("candidates", index, len(candidates))
        found = space.fitting(chosen)
        if found is not None:
            fitting.append((chosen, found))
    if not fitting:
        raise CapacityError(f"size: none of {len(candidates)} candidates fits: {space.rejections()}")
    return max(fitting, key=lambda pair: pair[1].topology.products)


def _looked_at(space: Space) -> Sequence[dict[str, int]]:
    if space.count <= ENUMERATED:
        return list(space.candidates())
    rng, choices = np.random.default_rng(0), space.choices
    return [{key: int(rng.choice(values)) for key, values in choices.items()} for _ in range(SAMPLED)]
