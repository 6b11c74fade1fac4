"""`python -m pipeline` is `retort`."""

from pipeline.cli import main

main()
