"""Where a step's teacher signal comes from: logits cached once, or the teacher in every step."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.distill.features import tapped


class TeacherOutputs(NamedTuple):
    """What the teacher says of a batch: logits (members, batch, classes), the first member's features.

    `ask` gives the logits of all members on other samples (batch, features); None where they are not at hand.
    """

    logits: Tensor
    features: dict[str, Tensor]
    ask: Callable[[Tensor], Tensor] | None


@dataclass(frozen=True, eq=False)
class CachedTeacher:
    """Logits of the whole transfer set, float32 (members, n, classes): right as long as no sample changes."""

    logits: NDArray[np.float32]

    def of(self, rows: NDArray[np.int64], x: Tensor) -> TeacherOutputs:
        """Look up the rows."""
        return TeacherOutputs(torch.from_numpy(self.logits[:, rows]).to(x.device), {}, None)

    def digest(self) -> str:
        """Tell one cache from another."""
        found = hashlib.sha256(repr(self.logits.shape).encode())
        found.update(np.ascontiguousarray(self.logits).data)
        return found.hexdigest()


@dataclass(frozen=True, eq=False)
class LiveTeacher:
    """The members, evaluated on every batch as augmentation left it: one more forward pass of each a step."""

    members: Sequence[nn.Module]
    features: bool = False
    _digest: list[str] = field(default_factory=list)

    def of(self, rows: NDArray[np.int64], x: Tensor) -> TeacherOutputs:
        """Evaluate all members on `x`."""
        with torch.no_grad(), tapped(self.members[0]) if self.features else nullcontext() as found:
            logits = self.ask(x)
        return TeacherOutputs(logits, dict(found or {}), self.ask)

    def ask(self, x: Tensor) -> Tensor:
        """The logits of all members on samples (batch, features): (members, batch, classes)."""
        return torch.stack([member.to(x.device).eval()(x) for member in self.members])

    def digest(self) -> str:
        """Tell one ensemble from another: by its weights, as they were at first."""
        if not self._digest:
            found = hashlib.sha256(repr(self.features).encode())
            for member in self.members:
                for name, tensor in member.state_dict().items():
                    found.update(name.encode() + np.ascontiguousarray(tensor.cpu().numpy()).tobytes())
            self._digest.append(found.hexdigest())
        return self._digest[0]
