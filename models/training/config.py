"""How a network is trained: the settings of the one training loop."""

import math
from dataclasses import dataclass
from typing import Literal

from common.errors import ConfigError

Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class TrainingConfig:
    """How long and how to train: AdamW (arXiv:1711.05101) with a cosine schedule (arXiv:1608.03983) to zero.

    Attributes:
        epochs: passes over the training set.
        batch_size: samples a step, over all devices.
        learning_rate: the schedule's greatest rate.
        weight_decay: decoupled decay a step, times the rate.
        seed: of the initial weights, the order of the samples, and whatever else is drawn.
        threads: of torch on the CPU; another number may change the last bits of the weights.
        accelerator: Fabric's name of the device type, such as cpu or cuda.
        devices: number of devices; above 1, each is a process of its own.
        checkpoint_every: epochs between two checkpoints.
        keep_best: end with the weights of the best epoch on validation (the later of equals), not the last.
        warmup: share of the steps over which the rate first rises from zero (arXiv:1706.02677).
        precision: of the products in training; weights, norms and losses stay float32. bfloat16 takes about
            half the time on CPUs that have it (AVX512-BF16), and longer on others.

    Raises `ConfigError`: a value out of range.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    seed: int
    threads: int = 1
    accelerator: str = "cpu"
    devices: int = 1
    checkpoint_every: int = 5
    keep_best: bool = True
    warmup: float = 0.0
    precision: Precision = "float32"

    def __post_init__(self) -> None:
        minima = {"epochs": 1, "batch_size": 2, "threads": 1, "devices": 1, "checkpoint_every": 1}
        for key, low in minima.items():
            if getattr(self, key) < low:
                raise ConfigError(f"training: {key} is {getattr(self, key)}; give at least {low}")
        if not self.learning_rate > 0 or not self.weight_decay >= 0 or self.seed < 0:
            raise ConfigError(
                f"training: learning_rate {self.learning_rate}, weight_decay {self.weight_decay}, "
                f"seed {self.seed}; give a rate above 0, a decay and a seed of at least 0"
            )
        if not 0 <= self.warmup < 1:
            raise ConfigError(f"training: warmup is {self.warmup}; give a share of 0 or more, below 1")
        if self.batch_size < 2 * self.devices:
            raise ConfigError(
                f"training: batch_size {self.batch_size} on {self.devices} devices; "
                "batch-norm needs at least 2 samples on each"
            )

    def rate(self, done: float) -> float:
        """The learning rate of a step, where a share `done` (0 to 1) of the steps lies behind."""
        if done < self.warmup:
            return self.learning_rate * done / self.warmup
        falling = (done - self.warmup) / (1 - self.warmup)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * falling))
