"""Running torch networks the same way every time: threads, kernels, seeds, batches."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

CPU = torch.device("cpu")


@contextmanager
def deterministic(threads: int) -> Iterator[None]:
    """Hold torch to `threads` threads and to deterministic kernels."""
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(threads)
    # cuBLAS is deterministic only with an environment variable that must be set before the process starts.
    torch.use_deterministic_algorithms(True, warn_only=torch.cuda.is_available())
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        torch.use_deterministic_algorithms(before[1])


def epoch_seed(seed: int, epoch: int) -> int:
    """Give the seed of one epoch's generator."""
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0])


def predict(
    module: nn.Module, x: NDArray[np.uint8], batch_size: int = 4096, device: torch.device = CPU
) -> NDArray[np.float32]:
    """Evaluate `module`, which is on `device`, on `x` uint8 (n, features): float32 (n, outputs).

    The module is left in evaluation mode.
    """
    module.eval()
    parts = []
    with torch.no_grad():
        for start in range(0, max(1, len(x)), batch_size):
            rows = torch.from_numpy(x[start : start + batch_size]).to(device).float()
            parts.append(module(rows).cpu().numpy())
    return np.concatenate(parts)
