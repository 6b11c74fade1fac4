"""The student sized to its board: what fits, which of those to take, and what is left.

`require_feasible` is the check before anything is trained, `size` the choice, `load_sized` what later stages
read of it.
"""

from pipeline.sizing.assessment import Assessment, assess
from pipeline.sizing.choice import Sized, load_sized
from pipeline.sizing.feasible import require_feasible
from pipeline.sizing.limits import Limit

__all__ = ["Assessment", "Limit", "Sized", "assess", "load_sized", "require_feasible"]
