"""The network of the area benchmark, and what other tools make of it."""
