"""Running torch networks the same way every time: threads, kernels, seeds, batches."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

CPU = torch.device("cpu")


@contextmanager
def deterministic(threads: int) -> Iterator[None]:
    """Hold torch to `threads` threads and to deterministic kernels."""
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    memory: Any = torch.utils.deterministic
    filling = memory.fill_uninitialized_memory
    torch.set_num_threads(threads)
    # cuBLAS is deterministic only with an environment variable that must be set before the process starts.
    torch.use_deterministic_algorithms(True, warn_only=torch.cuda.is_available())
    # Deterministic mode would also write all new memory first, which costs time and changes no result.
    memory.fill_uninitialized_memory = False
    try:
        yield
    finally:
        memory.fill_uninitialized_memory = filling
        torch.set_num_threads(before[0])
        torch.use_deterministic_algorithms(before[1])


def epoch_seed(seed: int, epoch: int, rank: int = 0) -> int:
    """Give the seed of one epoch's generators, each process (`rank`) its own."""
    return int(np.random.SeedSequence([seed, epoch, rank]).generate_state(1, np.uint64)[0])


def predict(
    module: nn.Module, x: NDArray[np.uint8], batch_size: int = 256, device: torch.device = CPU
) -> NDArray[np.float32]:
    """Evaluate `module`, which is on `device`, on `x` uint8 (n, features): float32 (n, outputs).

    Small batches stay in a CPU's caches: a CNN takes half the time that it takes with batches of 4096.
    The module is left in evaluation mode.
    """
    module.eval()
    parts = []
    with torch.no_grad():
        for start in range(0, max(1, len(x)), batch_size):
            rows = torch.from_numpy(x[start : start + batch_size]).to(device).float()
            parts.append(module(rows).cpu().numpy())
    return np.concatenate(parts)
