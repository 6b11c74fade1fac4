"""What stages leave in a build's folder, `out/<build>/`: every file's name and the type of its content.

Imports `models`, `hw` and `pipeline.engine`. Writers, ladder, report and command line use these types.
"""
