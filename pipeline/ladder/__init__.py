"""The verification ladder: every artefact against the one before it, in integers."""
