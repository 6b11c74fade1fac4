"""The one training loop, for teachers and students, through Lightning Fabric.

Whatever a run draws at random depends on (seed, epoch) alone, and the learning rate on the step alone, so
that a checkpoint holds no generator or scheduler state, and a run that was killed and started again ends with
the same bits.
"""

import logging
import math
import tempfile
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies import DDPStrategy
from lightning_fabric.utilities.exceptions import MisconfigurationException
from numpy.typing import NDArray
from torch import Tensor, nn

from common.errors import CheckpointError, ConfigError
from models.history import Epoch, History
from models.training import checkpoint as checkpoints
from models.training.config import TrainingConfig
from models.training.evaluation import deterministic, epoch_seed, predict
from models.training.job import Batch, Job, Progress, silent

PRECISIONS = {"float32": "32-true", "bfloat16": "bf16-mixed"}
"""Fabric's names."""


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

    Raises `CheckpointError`: the checkpoint is corrupt or another run's. Raises `ConfigError`: the machine
    has no such accelerator, or the training diverges.
    """
    several = job.config.devices > 1
    fabric = _fabric(job.config)
    with tempfile.TemporaryDirectory(prefix="retort-training-") as name:
        # In a file: Fabric waits for the end of its processes before it reads what they give, and they wait
        # for it to be read, if it is more than a pipe holds. A partial: Fabric refuses frozen dataclasses.
        left = Path(name) / "trained"
        fabric.launch(partial(_train, job=job, progress=silent if several else progress, left=left))
        result = checkpoints.load(left)
    module = _build(job)
    checkpoints.restore(module, result["weights"], job.label)
    epochs = tuple(Epoch(**epoch) for epoch in result["epochs"])
    return module.eval(), History(epochs, result["chosen"])


def _fabric(config: TrainingConfig) -> Fabric:
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it would announce its precision
    # A loss that looks at some layers only leaves the weights of others without gradients.
    several = DDPStrategy(start_method="spawn", find_unused_parameters=True)
    try:
        return Fabric(
            accelerator=config.accelerator,
            devices=config.devices,
            strategy=several if config.devices > 1 else "auto",
            precision=PRECISIONS[config.precision],
        )
    except (ValueError, RuntimeError, MisconfigurationException) as cause:
        where = f"training: {config.devices} of accelerator {config.accelerator!r}"
        raise ConfigError(f"{where}: {str(cause).splitlines()[0]}; give cpu, or what is here") from cause


def _train(fabric: Fabric, job: Job, progress: Progress, left: Path) -> None:
    """Train, and leave in a file `left` the best weights, all epochs, and which was chosen."""
    config = job.config
    with deterministic(config.threads):
        run = _start(job)
        module, optimizer = fabric.setup(run.module, run.optimizer)
        progress(job.label, len(run.epochs), config.epochs)
        for epoch in range(len(run.epochs), config.epochs):
            loss, terms = _epoch(fabric, job, module, optimizer, epoch)
            _check_finite(job, run.module, loss, epoch)
            score = job.task.score(
                predict(run.module, job.validation.x, device=fabric.device), job.validation
            )
            run.epochs.append(Epoch(loss, terms, score))
            if not config.keep_best or score >= run.epochs[run.chosen].validation_score:
                run.best, run.chosen = _weights(run.module), epoch
            if fabric.is_global_zero and job.checkpoint and _is_due(config, epoch):
                checkpoints.save(job.checkpoint, _state(job, run))
            progress(job.label, epoch + 1, config.epochs)
        if fabric.is_global_zero:
            epochs = [asdict(epoch) for epoch in run.epochs]
            checkpoints.save(left, {"weights": run.best, "epochs": epochs, "chosen": run.chosen})


def _check_finite(job: Job, module: nn.Module, loss: float, epoch: int) -> None:
    """Raise `ConfigError` where training went beyond what float32 holds: nothing would come of it."""
    # Not the buffers: some losses mark by NaN what they do not know yet.
    if not math.isfinite(loss) or not all(bool(torch.isfinite(each).all()) for each in module.parameters()):
        raise ConfigError(
            f"{job.label}: training diverged in epoch {epoch + 1}, its loss is {loss:g}; lower learning_rate,"
            " weight_decay or the weights of the losses"
        )


def _is_due(config: TrainingConfig, epoch: int) -> bool:
    return (epoch + 1) % config.checkpoint_every == 0 or epoch + 1 == config.epochs


def _build(job: Job) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(job.config.seed)
        module = job.build()
    if job.start:
        module.load_state_dict({**module.state_dict(), **job.start})
    return module


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
    _lay_out(run.optimizer)
    run.epochs = [Epoch(**epoch) for epoch in state["epochs"]]
    run.best, run.chosen = state["best"], state["chosen"]


def _lay_out(optimizer: torch.optim.Optimizer) -> None:
    """Bring the moments to the memory format of their weights; the fused step takes both in that order."""
    for parameter, state in optimizer.state.items():
        for name, tensor in state.items():
            if tensor.shape == parameter.shape:
                state[name] = torch.empty_like(parameter, requires_grad=False).copy_(tensor)


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
    own_seed = epoch_seed(config.seed, epoch, fabric.global_rank)
    rng = np.random.default_rng(own_seed)
    # An incomplete last batch is left out: batch-norm on a few samples is noise, and the order changes every
    # epoch.
    size = min(config.batch_size, len(order))
    steps = len(order) // size
    names: list[str] = []
    total = torch.zeros((), dtype=torch.float64, device=fabric.device)
    module.train()
    with torch.random.fork_rng():
        torch.manual_seed(own_seed)  # dropout draws from it
        for step in range(steps):
            done = (epoch + step / steps) / config.epochs
            _set_rate(optimizer, config.rate(done))
            rows = order[step * size : (step + 1) * size][fabric.global_rank :: fabric.world_size]
            batch = _batch(job, rows, done, rng, fabric.device)
            optimizer.zero_grad()
            terms = job.loss(module, batch)
            values = torch.stack(list(terms.values()))
            fabric.backward(values.sum())
            optimizer.step()
            names, total = list(terms), total + values.detach()
    means = (total / steps).tolist()
    return math.fsum(means), dict(zip(names, means, strict=True))


def _set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate


def _batch(
    job: Job, rows: NDArray[np.int64], done: float, rng: np.random.Generator, device: torch.device
) -> Batch:
    samples = job.train.x[rows]
    if job.augmentation:
        samples = job.augmentation.apply(samples, job.input_shape, rng)
    x, y = torch.from_numpy(samples).to(device).float(), torch.from_numpy(job.targets[rows]).to(device)
    teacher = job.teacher.of(rows, x) if job.teacher else None
    return Batch(x, y, torch.from_numpy(rows).to(device), done, teacher)


def _weights(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().clone() for name, tensor in module.state_dict().items()}
