"""The student sized to its board: what fits, which of those to take, and what is left.

May import `hw.mapping`, `hw.shells`, `hw.boards`, `models` and `pipeline.config`.
"""

from pipeline.sizing.assessment import Assessment, assess, require_feasible

__all__ = ["Assessment", "assess", "require_feasible"]
