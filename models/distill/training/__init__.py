"""Students in training, with what teachers say. Imports losses, sources and schedules."""
