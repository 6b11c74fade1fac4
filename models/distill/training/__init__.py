"""Training students: the setup, the teacher's outputs, the transfer set. Imports `models.distill.losses`."""
