"""Studies: a build's student trained in several ways, and the ways compared; a module a kind of study.

They use the stages and everything below them; only the command line uses them.
"""
