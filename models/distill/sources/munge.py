"""MUNGE: pseudo samples that look like the real ones, by swapping values between neighbours (KDD 2006)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from annotated_types import Ge

from common.errors import ConfigError
from common.settings import Count, Part, Positive
from models.distill.sources.base import Source, labelled_by
from models.lazy import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from models.distill.training.setup import TrainingSetup
    from models.distill.training.transfer import TransferSet


@dataclass(frozen=True)
class Munge(Source):
    """Pseudo samples of the unlabelled training split, `multiple` times as many.

    Algorithm 1 of the paper. A pass over a copy T' of the training samples visits each example e once, finds
    the closest other example e' of T' as it stands, and treats each attribute a with probability
    `swap_probability`: continuous values become e_a ~ N(e'_a, sd) and e'_a ~ N(e_a, sd), both of the values
    before, with sd = |e_a - e'_a| / `local_variance`; categorical ones are swapped. The distance is
    Euclidean over continuous attributes, each scaled to 0..1 by its range, plus 1 (squared) for each
    categorical attribute that differs. Each pass begins with the real samples; T' is rounded to bytes and cut
    off at 0 and 255 at its end.

    Attributes:
        multiple: passes; the paper has up to 100. With more than 12 attributes, a categorical one counted
            as often as it has categories, the time of each grows with the square of the samples.
        swap_probability: p of the paper.
        local_variance: s of the paper; the greater, the closer to the swapped values.
        categorical: indices of categorical attributes in a flat sample; all others are continuous.
        keep_real: put the real samples first, as in the paper's experiments (section 3.2).
    """

    source: ClassVar[str] = "munge"
    paper: ClassVar[str] = "Bucila, Caruana, Niculescu-Mizil 2006, KDD"
    labelled: ClassVar[bool] = False

    multiple: Count = 5
    swap_probability: Part = 0.5
    local_variance: Positive = 5.0
    categorical: tuple[Annotated[int, Ge(0)], ...] = ()
    keep_real: bool = True

    def transfer(self, setup: TrainingSetup) -> TransferSet:
        """Make the pseudo samples, and let the teacher speak on them.

        Raises `ConfigError`: a categorical index beyond the sample, or fewer than two samples.
        """
        real = setup.dataset.train.x
        if len(real) < 2:
            raise ConfigError(f"data {self.source}: {len(real)} training sample; neighbours need at least 2")
        beyond = [index for index in self.categorical if index >= real.shape[1]]
        if beyond:
            raise ConfigError(
                f"data {self.source}: categorical names place {beyond[0]}; a sample has {real.shape[1]} "
                f"values, the last at {real.shape[1] - 1}"
            )
        passes = [self.one_pass(real, (setup.training.seed, each)) for each in range(self.multiple)]
        return labelled_by(setup, np.concatenate([real, *passes] if self.keep_real else passes))

    def one_pass(self, real: NDArray[np.uint8], seed: tuple[int, ...]) -> NDArray[np.uint8]:
        """Munge every one of the samples (n, attributes) once: as many pseudo samples, in their order.

        All that is drawn comes from numpy's default generator with `seed`: for each example in turn uniform
        numbers (attributes,), then normal ones (2, attributes), the first for e, the second for e'.
        """
        rng = np.random.default_rng(seed)
        categorical = np.zeros(real.shape[1], np.bool_)
        categorical[list(self.categorical)] = True
        pool = _Pool(real, categorical)
        for index in range(len(real)):
            other = pool.closest(index)
            swapped = rng.random(real.shape[1]) < self.swap_probability
            noise = rng.standard_normal((2, real.shape[1]))
            noise[:, categorical] = 0.0
            own, theirs = pool.values[index], pool.values[other]
            spread = np.abs(own - theirs) / self.local_variance
            pool.replace(
                (index, other),
                np.where(swapped, theirs + spread * noise[0], own),
                np.where(swapped, own + spread * noise[1], theirs),
            )
        munged: NDArray[np.uint8] = np.rint(pool.values).clip(0, 255).astype(np.uint8)
        return munged


class _Pool:
    """T', and who is closest to whom in it while it changes.

    Examples are kept as points whose squared distances are those of the paper's: a continuous attribute is
    one coordinate, a categorical one a coordinate a category.
    """

    def __init__(self, real: NDArray[np.uint8], categorical: NDArray[np.bool_]) -> None:
        from models.distill.sources.neighbours import neighbours

        self.values = real.astype(np.float64)
        self._continuous = np.flatnonzero(~categorical)
        ranges = np.ptp(self.values[:, self._continuous], axis=0)
        self._scale = 1 / np.where(ranges > 0, ranges, 1.0)
        self._categories = [(index, np.unique(real[:, index])) for index in np.flatnonzero(categorical)]
        self._neighbours = neighbours(self._point(self.values))
        self.closest = self._neighbours.closest

    def replace(self, indices: tuple[int, int], *values: NDArray[np.float64]) -> None:
        """Give two examples new values."""
        for index, value in zip(indices, values, strict=True):
            self.values[index] = value
            self._neighbours.move(index, self._point(value[None])[0])

    def _point(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        coordinates = [values[:, self._continuous] * self._scale]
        for index, categories in self._categories:
            # Two that differ are 1 apart: 1/2 for each of two coordinates.
            coordinates.append((values[:, index, None] == categories) * np.sqrt(0.5))
        return np.concatenate(coordinates, axis=1)
