"""The one training loop, for teachers and students, through Lightning Fabric.

Whatever a run draws at random depends on (seed, epoch) alone, and the learning rate on the step alone, so
that a checkpoint holds no generator or scheduler state, and a run that was killed and started again ends with
the same bits.
"""

import hashlib
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from lightning_fabric.utilities.exceptions import MisconfigurationException
from numpy.typing import NDArray
from torch import Tensor, nn

from models import checkpoint as checkpoints
from models.data import Split
from models.evaluation import deterministic, epoch_seed, predict
from models.metrics import accuracy
from pipeline.errors import CheckpointError, ConfigError

Progress = Callable[[str, int, int], None]


def silent(label: str, done: int, total: int) -> None:
    """Report progress to nobody."""


@dataclass(frozen=True)
class TrainingConfig:
    """How long and how to train: AdamW (arXiv:1711.05101) with a cosine schedule (arXiv:1608.03983) to zero.

    Attributes:
        epochs: passes over the training set.
        batch_size: samples a step, over all devices.
        learning_rate: rate of the first step.
        weight_decay: decoupled decay a step, times the rate.
        seed: of the initial weights and of the order of the samples.
        threads: of torch on the CPU; another number may change the last bits of the weights.
        accelerator: Fabric's name of the device type, such as cpu or cuda.
        devices: number of devices; above 1, each is a process of its own.
        checkpoint_every: epochs between two checkpoints.
        keep_best: end with the weights of the best epoch on validation (the later of equals), not the last.
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
        if self.batch_size < 2 * self.devices:
            raise ConfigError(
                f"training: batch_size {self.batch_size} on {self.devices} devices; "
                "batch-norm needs at least 2 samples on each"
            )


@dataclass(frozen=True)
class Batch:
    """One step: `x` float (batch, features), `y` int64 (batch,), `hints` (members, batch, classes)."""

    x: Tensor
    y: Tensor
    hints: Tensor | None


Loss = Callable[[Tensor, Batch], dict[str, Tensor]]
"""From student logits (batch, classes) and the batch to named terms, whose sum is minimized."""


@dataclass(frozen=True)
class Epoch:
    """What an epoch came to: mean loss, means of its terms, accuracy (0 to 1) on the validation split."""

    loss: float
    terms: dict[str, float]
    validation_accuracy: float


@dataclass(frozen=True)
class History:
    """Every epoch of a run, and which of them gave the final weights (counted from 0)."""

    epochs: tuple[Epoch, ...]
    chosen: int

    @property
    def validation_accuracy(self) -> float:
        """Of the final weights."""
        return self.epochs[self.chosen].validation_accuracy

    def to_json(self) -> dict[str, Any]:
        """Give plain lists and dictionaries for a report."""
        return {"epochs": [asdict(epoch) for epoch in self.epochs], "chosen": self.chosen}


@dataclass(frozen=True, eq=False)
class Job:
    """One run of `fit`.

    Attributes:
        build: makes the untrained network from torch's global generator; a class or a `partial` of one, and
            like
            `loss` (a frozen dataclass) of a `repr` that tells all its settings, since checkpoints are keyed
            by it.
        loss: what to minimize.
        train: what to learn from.
        validation: what the accuracy of each epoch is measured on.
        config: how to train.
        hints: a teacher's logits of the training samples, float32 (members, n, classes), if the loss wants
            them.
        label: for progress and messages.
        checkpoint: the file to go on from and to keep up; None for no checkpoints.
    """

    build: Callable[[], nn.Module]
    loss: Loss
    train: Split
    validation: Split
    config: TrainingConfig
    hints: NDArray[np.float32] | None = None
    label: str = "train"
    checkpoint: Path | None = None

    @cached_property
    def key(self) -> str:
        """Digest of all that shapes the result: a checkpoint with another key is another run's."""
        settings = (self.label, self.build, self.loss, replace(self.config, checkpoint_every=1))
        digest = hashlib.sha256(repr(settings).encode())
        for array in (self.train.x, self.train.y, self.validation.x, self.validation.y, self.hints):
            if array is not None:
                digest.update(repr(array.shape).encode() + np.ascontiguousarray(array).data)
        return digest.hexdigest()


@dataclass
class _Run:
    """Where a run stands between two epochs."""

    module: nn.Module
    optimizer: torch.optim.Optimizer
    epochs: list[Epoch]
    best: dict[str, Tensor]
    chosen: int


def fit(job: Job, progress: Progress = silent) -> tuple[nn.Module, History]:
    """Train `job.build()`, from `job.checkpoint` where there is one, and give it back in evaluation mode.

    With several devices `progress` stays silent: the epochs run in other processes.

    Raises:
        CheckpointError: the checkpoint is corrupt or another run's.
        ConfigError: the machine has no such accelerator.
    """
    several = job.config.devices > 1
    fabric = _fabric(job.config)
    # A partial, and a plain result: Fabric refuses to hand frozen dataclasses from process to process.
    result = fabric.launch(partial(_train, job=job, progress=silent if several else progress))
    module = _build(job)
    weights = {name: torch.from_numpy(array) for name, array in result["weights"].items()}
    checkpoints.restore(module, weights, job.label)
    epochs = tuple(Epoch(**epoch) for epoch in result["epochs"])
    return module.eval(), History(epochs, result["chosen"])


def _fabric(config: TrainingConfig) -> Fabric:
    strategy = "ddp_spawn" if config.devices > 1 else "auto"
    try:
        return Fabric(accelerator=config.accelerator, devices=config.devices, strategy=strategy)
    except (ValueError, RuntimeError, MisconfigurationException) as cause:
        where = f"training: {config.devices} of accelerator {config.accelerator!r}"
        raise ConfigError(f"{where}: {str(cause).splitlines()[0]}; give cpu, or what is here") from cause


def _train(fabric: Fabric, job: Job, progress: Progress) -> dict[str, Any]:
    config = job.config
    with deterministic(config.threads):
        run = _start(job)
        module, optimizer = fabric.setup(run.module, run.optimizer)
        progress(job.label, len(run.epochs), config.epochs)
        for epoch in range(len(run.epochs), config.epochs):
            loss, terms = _epoch(fabric, job, module, optimizer, epoch)
            score = accuracy(predict(module, job.validation.x, device=fabric.device), job.validation.y)
            run.epochs.append(Epoch(loss, terms, score))
            if not config.keep_best or score >= run.epochs[run.chosen].validation_accuracy:
                run.best, run.chosen = _weights(run.module), epoch
            if fabric.is_global_zero and job.checkpoint and _is_due(config, epoch):
                checkpoints.save(job.checkpoint, _state(job, run))
            progress(job.label, epoch + 1, config.epochs)
        # As numpy arrays: tensors would be shared with a process that is about to end.
        weights = {name: tensor.numpy() for name, tensor in run.best.items()}
        return {"weights": weights, "epochs": [asdict(epoch) for epoch in run.epochs], "chosen": run.chosen}


def _is_due(config: TrainingConfig, epoch: int) -> bool:
    return (epoch + 1) % config.checkpoint_every == 0 or epoch + 1 == config.epochs


def _build(job: Job) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(job.config.seed)
        return job.build()


def _start(job: Job) -> _Run:
    """Build the network and its optimizer, and load the checkpoint if there is one."""
    config = job.config
    module = _build(job)
    optimizer = torch.optim.AdamW(
        module.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
    )
    run = _Run(module, optimizer, [], {}, 0)
    if job.checkpoint and job.checkpoint.exists():
        _resume(job, run)
    return run


def _resume(job: Job, run: _Run) -> None:
    state = checkpoints.load(job.checkpoint) if job.checkpoint else {}
    where = str(job.checkpoint)
    if not isinstance(state, dict) or state.get("key") != job.key:
        raise CheckpointError(
            f"{where}: is of another run (other data, settings or loss); remove it and train again"
        )
    checkpoints.restore(run.module, state["weights"], where)
    run.optimizer.load_state_dict(state["optimizer"])
    run.epochs = [Epoch(**epoch) for epoch in state["epochs"]]
    run.best, run.chosen = state["best"], state["chosen"]


def _state(job: Job, run: _Run) -> dict[str, Any]:
    return {
        "key": job.key,
        "weights": run.module.state_dict(),
        "optimizer": run.optimizer.state_dict(),
        "epochs": [asdict(epoch) for epoch in run.epochs],
        "best": run.best,
        "chosen": run.chosen,
    }


def _epoch(
    fabric: Fabric, job: Job, module: nn.Module, optimizer: torch.optim.Optimizer, epoch: int
) -> tuple[float, dict[str, float]]:
    """Run one epoch: mean loss and mean of each term, as this process saw them."""
    config = job.config
    generator = torch.Generator().manual_seed(epoch_seed(config.seed, epoch))
    order = torch.randperm(len(job.train), generator=generator).numpy()
    # An incomplete last batch is left out: batch-norm on a few samples is noise, and the order changes every
    # epoch.
    size = min(config.batch_size, len(order))
    steps = len(order) // size
    totals: dict[str, float] = {}
    module.train()
    for step in range(steps):
        _set_rate(optimizer, config, epoch + step / steps)
        rows = order[step * size : (step + 1) * size][fabric.global_rank :: fabric.world_size]
        batch = _batch(job, rows, fabric.device)
        optimizer.zero_grad()
        terms = job.loss(module(batch.x), batch)
        fabric.backward(torch.stack(list(terms.values())).sum())
        optimizer.step()
        for name, term in terms.items():
            totals[name] = totals.get(name, 0.0) + term.item() / steps
    return math.fsum(totals.values()), totals


def _set_rate(optimizer: torch.optim.Optimizer, config: TrainingConfig, passed: float) -> None:
    rate = config.learning_rate * 0.5 * (1 + math.cos(math.pi * passed / config.epochs))
    for group in optimizer.param_groups:
        group["lr"] = rate


def _batch(job: Job, rows: NDArray[np.int64], device: torch.device) -> Batch:
    hints = None if job.hints is None else torch.from_numpy(job.hints[:, rows]).to(device)
    x, y = torch.from_numpy(job.train.x[rows]), torch.from_numpy(job.train.y[rows])
    return Batch(x.to(device).float(), y.to(device), hints)


def _weights(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().clone() for name, tensor in module.state_dict().items()}
