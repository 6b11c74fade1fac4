"""Studies: many runs of one build, summarised. Imports the engine and its stages."""
