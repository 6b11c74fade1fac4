"""Accuracy of trained students under perturbation of their inputs: noise, FGSM and PGD.

All perturbed samples are uint8, as the hardware sees them, and all sizes are in input steps (of 255). Attacks
follow the gradients of the trained student, straight through its quantizers (arXiv:1308.3432); the frozen
integer network gives the answers. What an attack does not find may be there all the same: accuracies under
attack are upper bounds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from common.errors import ConfigError
from models.lazy import F, np, torch
from models.metrics import accuracy

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from models.data import Split
    from models.students.student import Student

BATCH = 256

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Perturbations:
    """Which perturbations to measure.

    Attributes:
        noise: standard deviations of Gaussian noise, in input steps.
        fgsm: greatest changes of an input by the fast gradient sign method, in whole input steps.
        pgd: likewise by projected gradient descent.
        pgd_steps: gradient steps of each such descent.
        seed: of noise and of the descents' starts.

    Raises `ConfigError`: a size that is not above 0 or is above 255, or no gradient steps.
    """

    noise: tuple[float, ...] = ()
    fgsm: tuple[int, ...] = ()
    pgd: tuple[int, ...] = ()
    pgd_steps: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        for kind, sizes in self.sizes.items():
            for size in sizes:
                if not 0 < size <= 255:
                    raise ConfigError(f"{kind}: {size} input steps; give more than 0, up to 255")
        if self.pgd_steps < 1:
            raise ConfigError(f"pgd: {self.pgd_steps} gradient steps; give 1 or more")

    @property
    def sizes(self) -> dict[str, tuple[float, ...]]:
        """By kind."""
        return {"noise": self.noise, "fgsm": self.fgsm, "pgd": self.pgd}

    def completed(self, greatest: int) -> Perturbations:
        """Give a 32nd, a 16th and an eighth of the greatest input to each kind that has no sizes."""
        shares = [greatest / share for share in (32, 16, 8)]
        whole = tuple(sorted({max(1, round(share)) for share in shares}))
        noise = tuple(share for share in shares if share) or (1.0,)
        return replace(self, noise=self.noise or noise, fgsm=self.fgsm or whole, pgd=self.pgd or whole)

    def __iter__(self) -> Iterator[tuple[str, float]]:
        """Kind and size of each, the clean samples first."""
        yield "clean", 0
        for kind, sizes in self.sizes.items():
            yield from ((kind, size) for size in sizes)

    def perturbed(self, kind: str, size: float, student: Student, split: Split) -> NDArray[np.uint8]:
        """The samples of a split, perturbed in one way: uint8 (n, features)."""
        if kind == "noise":
            return noisy(split.x, size, self.seed)
        if kind == "fgsm":
            return fgsm(student, split, int(size))
        if kind == "pgd":
            return pgd(student, split, int(size), self.pgd_steps, self.seed)
        return split.x


def accuracies(
    students: Mapping[str, Student], split: Split, wanted: Perturbations, progress: Progress
) -> list[dict[str, str | float]]:
    """Measure several students; each is attacked by its own gradients.

    Gives `perturbation` (`clean`, `noise`, `fgsm`, `pgd`), `size` in input steps, and by the name of each
    student the accuracy (0 to 1) of its frozen network. The students are left in evaluation mode.

    Raises `ContractError`: a student that cannot be frozen.
    """
    from models.students.freeze import freeze

    networks = {name: freeze(student, name) for name, student in students.items()}
    kinds, rows = list(wanted), list[dict[str, str | float]]()
    for done, (kind, size) in enumerate(kinds):
        progress(done, len(kinds))
        row: dict[str, str | float] = {"perturbation": kind, "size": size}
        for name, student in students.items():
            logits = networks[name].forward(wanted.perturbed(kind, size, student, split))
            row[name] = accuracy(logits, split.y)
        rows.append(row)
    progress(len(kinds), len(kinds))
    return rows


def noisy(x: NDArray[np.uint8], sigma: float, seed: int) -> NDArray[np.uint8]:
    """Add Gaussian noise of standard deviation `sigma` input steps, round, and cut off at 0 and 255."""
    noise = np.random.default_rng(seed).normal(0.0, sigma, x.shape)
    return np.rint(x + noise).clip(0, 255).astype(np.uint8)


def fgsm(student: Student, split: Split, eps: int) -> NDArray[np.uint8]:
    """The fast gradient sign method (arXiv:1412.6572): x + eps sign(d loss / dx), cut off at 0 and 255.

    The loss is the cross-entropy with the labels. Inputs without a gradient stay as they are.
    """
    return _step(split.x.astype(np.int16), ascent(student, split.x, split.y), eps).astype(np.uint8)


def pgd(student: Student, split: Split, eps: int, steps: int, seed: int) -> NDArray[np.uint8]:
    """Projected gradient descent (arXiv:1706.06083) in the ball of greatest change `eps`, in whole steps.

    From a random start in the ball, `steps` gradient steps of 2.5 eps / steps input steps, rounded, at least
    1; each is followed by projection to the ball and to 0..255.
    """
    x = split.x.astype(np.int16)
    low, high = np.maximum(x - eps, 0), np.minimum(x + eps, 255)
    length = max(1, round(2.5 * eps / steps))
    found = np.random.default_rng(seed).integers(low, high, endpoint=True, dtype=np.int16)
    for _ in range(steps):
        found = np.clip(_step(found, ascent(student, found.astype(np.uint8), split.y), length), low, high)
    return found.astype(np.uint8)


def ascent(student: Student, x: NDArray[np.uint8], y: NDArray[np.int64]) -> NDArray[np.int16]:
    """Signs, -1 to 1, of the cross-entropy's gradient at `x` uint8 (n, features), labels `y` int64 (n,).

    The student is left in evaluation mode.
    """
    student.eval()
    parts = []
    for start in range(0, len(x), BATCH):
        rows = torch.from_numpy(x[start : start + BATCH]).float().requires_grad_()
        logits = student(rows)
        loss = F.cross_entropy(logits, torch.from_numpy(y[start : start + BATCH]), reduction="sum")
        (gradient,) = torch.autograd.grad(loss, rows)
        parts.append(gradient.sign().to(torch.int16).numpy())
    return np.concatenate(parts)


def _step(x: NDArray[np.int16], direction: NDArray[np.int16], length: int) -> NDArray[np.int16]:
    return np.clip(x + np.int16(length) * direction, 0, 255)
