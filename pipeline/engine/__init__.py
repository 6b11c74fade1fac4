"""Stages, their content-addressed store and the folder of a build. Imports `pipeline.config`."""
