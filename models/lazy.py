"""torch and numpy, loaded at their first use: build files are checked without these slow imports."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import torch
    import torch.nn.functional as F  # noqa: N812 (its usual name)
    from torch import nn
else:

    class _Lazy:
        def __init__(self, name: str) -> None:
            self._name = name

        def __getattr__(self, attribute: str) -> Any:
            return getattr(importlib.import_module(self._name), attribute)

    np, torch = _Lazy("numpy"), _Lazy("torch")
    nn, F = _Lazy("torch.nn"), _Lazy("torch.nn.functional")

__all__ = ["F", "nn", "np", "torch"]
