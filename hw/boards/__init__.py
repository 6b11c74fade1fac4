"""The boards that Retort builds for, and what each chip family needs. Imports `hw.tools`."""
