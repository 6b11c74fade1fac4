"""The boards that Retort builds for, what a design may use of them, and their chip families.

Imports `hw.tools.kinds` only.
"""
