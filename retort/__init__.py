"""Retort from Python, for notebooks and scripts: what users may import and rely on. Imports `pipeline`."""
