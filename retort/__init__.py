"""Retort from Python, for notebooks and scripts: what users may import and rely on. Imports `pipeline`.

Errors are those of `common.errors`. Importing this package loads no framework; the functions do.
"""

from retort.api import load, open, run, size

__all__ = ["load", "open", "run", "size"]
