"""The build file: TOML in, frozen and checked tables out. Imports `models` and `hw` for limits."""
